//! The schema as the program publishes it, and how tests fill in its arguments: a field, argument or input that
//! nobody here knows a value for fails the tests that go through all fields.

use async_graphql_parser::types::{BaseType, FieldDefinition, InputValueDefinition, Type, TypeDefinition, TypeKind, TypeSystemDefinition};
use domain::roles::{PIPELINE_ITEMS_READ, PIPELINES_READ, Permission, ROLES_READ};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The published schema.
pub(super) struct Schema {
    pub(super) types: HashMap<String, TypeDefinition>,
}

/// A field of a root.
#[derive(Clone)]
pub(super) struct Root {
    pub(super) operation: &'static str,
    pub(super) name: String,
    pub(super) arguments: Vec<InputValueDefinition>,
    pub(super) answer: Type,
}

/// What ids stand for: one of each kind.
#[derive(Clone, Debug)]
pub(super) struct Ids {
    pub(super) pipeline: Uuid,
    pub(super) stages: Vec<Uuid>,
    /// Another pipeline and its first stage.
    pub(super) elsewhere: (Uuid, Uuid),
    pub(super) item: Uuid,
    pub(super) beside: Uuid,
    pub(super) user: Uuid,
    pub(super) session: Uuid,
    pub(super) workspace: Uuid,
    /// One of each kind beside these, by its name in the schema: `company`, which `createCompany` made.
    pub(super) others: BTreeMap<String, Uuid>,
}

impl Ids {
    /// The value, in GraphQL, of the id that stands at this path of a field's arguments.
    fn at(&self, field: &str, path: &str) -> String {
        let name = path.rsplit('.').next().unwrap_or(path);
        let id = match (field, name) {
            // Where nothing stands that would be in the way.
            ("transferItem" | "removeStage" | "deletePipeline" | "restorePipeline", "pipelineId") => self.elsewhere.0,
            ("transferItem" | "removeStage", "stageId") => self.elsewhere.1,
            ("pipeline" | "pipelineBoard" | "pipelineMetrics", "id") | (_, "pipelineId") => self.pipeline,
            ("pipelineItem" | "node", "id") | (_, "itemId") => self.item,
            ("workspace", "id") | (_, "workspaceId") => self.workspace,
            // To where it does not stand yet.
            (_, "stageId" | "toStageId") if field == "moveItem" => self.stages[1],
            (_, "stageId" | "toStageId") => self.stages[0],
            (_, "stageIds") => {
                return format!("[{}]", self.stages.iter().rev().map(|id| format!("\"{id}\"")).collect::<Vec<_>>().join(", "));
            }
            ("moveItem", "before" | "after") => self.beside,
            (_, "userId" | "assignedTo" | "assigneeId") => self.user,
            (_, "sessionId") => self.session,
            _ => {
                let name = if name == "templateId" { "taskTemplateId" } else { name };
                let kind = if name == "id" { field } else { name.strip_suffix("Id").unwrap_or(name) };
                let unknown = || panic!("{field}({path}) is an id that this test knows nothing of: say in `Ids::at` what it names");
                *self.others.get(kind).unwrap_or_else(unknown)
            }
        };
        format!("\"{id}\"")
    }
}

/// A value, in GraphQL, for an argument that is no id and must be given.
fn filler(schema: &Schema, field: &str, path: &str, kind: &Type) -> String {
    let name = path.rsplit('.').next().unwrap_or(path);
    let said = match (field, name) {
        ("hasPermission", "name") => "\"pipelines.update\"",
        ("registerCustomPermission" | "retireCustomPermission", "name") => "\"custom.something\"",
        (_, "permission") => "\"posts.read\"",
        (_, "grants" | "denies") => "[]",
        (_, "confirmSlug") => "\"some-thing\"",
        (_, "name") => "\"Something\"",
        (_, "title" | "label" | "category" | "titlePattern" | "reason" | "note") => "\"Something\"",
        ("pipelineMetrics", "from" | "to") => "\"2026-06-01\"",
        (_, "key") => "\"something\"",
        ("changeSlug", "slug") => "\"some-other-thing\"",
        (_, "slug") => "\"some-thing\"",
        (_, "tag") => "\"some\"",
        (_, "role") => "\"viewer\"",
        (_, "readModel") => "\"pipeline_items\"",
        (_, "workspace") => "\"some-thing\"",
        (_, "position") => "\"1\"",
        (_, "type") => "SALES",
        (_, "currentPassword") => "\"correct horse battery 9A!\"",
        (_, "newPassword" | "passwordConfirm") => "\"a better horse 9A!\"",
        (_, "timezone") => "\"Europe/Paris\"",
        (_, "currency") => "\"EUR\"",
        (_, "color") => "\"#aabbcc\"",
        (_, "phone") => "\"+31 20 123 4567\"",
        (_, "imageUrl" | "website" | "url") => "\"https://something.example\"",
        (_, "email") => "\"something@people.example\"",
        (_, "defaultRoleKey") => "\"viewer\"",
        (_, "lifecycle") => "\"something\"",
        // Any text will do for what is free text, and any value of an enum.
        _ => match (base(kind), schema.types.get(base(kind)).map(|kind| &kind.kind)) {
            ("String", _) => "\"Something\"",
            ("JSON", _) => "{ about: \"Something\" }",
            ("Boolean", _) => "true",
            ("Int", _) => "1",
            ("Date", _) => "\"2026-06-01\"",
            ("DateTime", _) => "\"2026-06-01T12:00:00Z\"",
            (_, Some(TypeKind::Enum(of))) => of.values[0].node.value.node.as_str(),
            _ => panic!("{field}({path}) must be given and this test knows no value: say one in `filler`"),
        },
    };
    if matches!(kind.base, BaseType::List(_)) { format!("[{said}]") } else { said.to_owned() }
}

/// A field that is asked for together with an input that has to say something.
fn something(field: &str) -> Option<&'static str> {
    Some(match field {
        "updateItem" | "updateTask" => "title: \"Something else\"",
        "updatePipeline" | "updateStage" => "name: \"Something else\"",
        "updateTaskTemplate" => "label: \"Something else\"",
        "updateProfile" => "firstName: \"Something\"",
        "updateWorkspaceSettings" => "timezone: \"Europe/Paris\"",
        _ => return None,
    })
}

/// Commands whose door is not the mutation of their own name: another mutation, or a path of REST.
pub(super) const DOORS: [(&str, &str); 4] = [
    ("RegisterUser", "POST /api/v1/auth/register"),
    ("RefreshSession", "POST /api/v1/auth/refresh"),
    ("UpdateSettings", "updateWorkspaceSettings"),
    ("RecordActivity", "recordItemActivity"),
];

/// What it takes to be answered a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// A permission; in scope *own* it shows one's own.
    Permission(Permission),
    /// A permission in scope *any*.
    All(Permission),
    /// To be signed in: it shows what is one's own.
    Itself,
    /// To be a member.
    Member,
    /// What it takes to read the thing whose id is given.
    Named,
}

/// Queries that take something else than what their entity says (`Entity::READ`), or that answer with no entity.
pub(super) const READS: [(&str, Reads); 9] = [
    ("node", Reads::Named),
    ("hasPermission", Reads::Member),
    ("myPermissions", Reads::Member),
    ("permissions", Reads::Permission(ROLES_READ)),
    ("roles", Reads::Permission(ROLES_READ)),
    ("itemHistory", Reads::Permission(PIPELINE_ITEMS_READ)),
    ("itemsByAssignee", Reads::Permission(PIPELINE_ITEMS_READ)),
    ("timeInStage", Reads::All(PIPELINE_ITEMS_READ)),
    ("pipelineBoard", Reads::Permission(PIPELINES_READ)),
];

/// What undoes what: before `restoreItem` is tried, `deleteItem` is done. By the verbs with which mutations begin.
const UNDOES: [(&str, &str); 9] = [
    ("restore", "delete"),
    ("remove", "add"),
    ("activate", "deactivate"),
    ("unassign", "assign"),
    ("revoke", "assign"),
    ("revoke", "grant"),
    ("reinstate", "suspend"),
    ("reopen", "complete"),
    ("reopen", "close"),
];

/// Mutations after which a member is none or a workspace is not what it was: each is tried in a workspace of its own.
pub(super) const ENDS: [&str; 3] = ["leaveWorkspace", "deleteWorkspace", "restoreWorkspace"];

impl Schema {
    pub(super) fn read() -> Self {
        let document = async_graphql_parser::parse_schema(api::graphql::sdl()).unwrap();
        let types = document.definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(kind) => Some((kind.node.name.node.to_string(), kind.node)),
            _ => None,
        });
        Self { types: types.collect() }
    }

    pub(super) fn fields(&self, name: &str) -> Vec<FieldDefinition> {
        match self.types.get(name).map(|kind| &kind.kind) {
            Some(TypeKind::Object(object)) => object.fields.iter().map(|field| field.node.clone()).collect(),
            _ => vec![],
        }
    }

    fn of(&self, operation: &'static str, kind: &str) -> Vec<Root> {
        let root = |field: FieldDefinition| Root {
            operation,
            name: field.name.node.to_string(),
            arguments: field.arguments.into_iter().map(|argument| argument.node).collect(),
            answer: field.ty.node,
        };
        self.fields(kind).into_iter().map(root).collect()
    }

    pub(super) fn queries(&self) -> Vec<Root> {
        self.of("query", "Query")
    }

    pub(super) fn mutations(&self) -> Vec<Root> {
        self.of("mutation", "Mutation")
    }

    pub(super) fn roots(&self) -> Vec<Root> {
        [self.queries(), self.mutations()].concat()
    }

    /// The mutations that make something by fillers alone, each with the name of what it makes. What needs more care is
    /// made by hand.
    pub(super) fn makers(&self) -> Vec<(String, Root)> {
        let made = |root: Root| {
            let kind = root.name.strip_prefix("create")?;
            let kind = format!("{}{}", kind[..1].to_lowercase(), &kind[1..]);
            (!["item", "pipeline", "role", "taskFromTemplate", "workspace"].contains(&kind.as_str())).then_some((kind, root))
        };
        self.mutations().into_iter().filter_map(made).collect()
    }

    fn inputs(&self, kind: &Type) -> Option<Vec<InputValueDefinition>> {
        match &self.types.get(base(kind))?.kind {
            TypeKind::InputObject(input) => Some(input.fields.iter().map(|field| field.node.clone()).collect()),
            _ => None,
        }
    }

    /// The paths of all ids that a field takes.
    pub(super) fn id_paths(&self, root: &Root) -> Vec<String> {
        self.leaves(&root.arguments).into_iter().filter(|(_, kind)| kind == "ID").map(|(path, _)| path).collect()
    }

    /// Where a field takes something of this name.
    pub(super) fn path_of(&self, root: &Root, name: &str) -> Option<String> {
        self.leaves(&root.arguments).into_iter().map(|(path, _)| path).find(|path| path.rsplit('.').next() == Some(name))
    }

    /// The paths of everything that can be given, within inputs too, each with the name of its type.
    pub(super) fn leaves(&self, inputs: &[InputValueDefinition]) -> Vec<(String, String)> {
        let below = |input: &InputValueDefinition| {
            let (name, kind) = (&input.name.node, &input.ty.node);
            match self.inputs(kind) {
                Some(inner) => self.leaves(&inner).into_iter().map(|(path, kind)| (format!("{name}.{path}"), kind)).collect(),
                None => vec![(name.to_string(), base(kind).to_owned())],
            }
        };
        inputs.iter().flat_map(below).collect()
    }

    /// The mutation that makes one mean something by being done before it, on the same things.
    pub(super) fn undone_by(&self, root: &Root) -> Option<Root> {
        let known = self.mutations();
        let other = |(verb, other): &(&str, &str)| {
            let rest = root.name.strip_prefix(verb).filter(|rest| rest.starts_with(char::is_uppercase))?;
            known.iter().find(|mutation| mutation.name == format!("{other}{rest}")).cloned()
        };
        UNDOES.iter().find_map(other)
    }

    /// The name of the type of what a query answers with, without lists, pages and `?`.
    pub(super) fn entity(&self, root: &Root) -> String {
        let name = base(&root.answer);
        name.strip_suffix("Connection").unwrap_or(name).to_owned()
    }

    /// Asks whether a field answers at all, and with which ids: nothing below it takes more than it does itself.
    pub(super) fn glance(&self, root: &Root, trial: Option<&str>, ids: &dyn Fn(&str) -> Ids) -> String {
        let of =
            |name: &str| if self.fields(name).iter().any(|field| field.name.node == "id") { "{ __typename id }" } else { "{ __typename }" };
        let answer = base(&root.answer);
        let selection = match answer.strip_suffix("Connection") {
            Some(node) => format!("{{ nodes {} }}", of(node)),
            None if answer == "Node" => "{ __typename id }".to_owned(),
            None if answer.ends_with("Payload") => "{ entity { __typename } userErrors { code message } }".to_owned(),
            None if self.is_object(&root.answer) => of(answer).to_owned(),
            None => String::new(),
        };
        format!("{} {{ {} {selection} }}", root.operation, self.call(&root.name, &root.arguments, Given::of(trial), ids))
    }

    /// A field with the arguments it takes.
    pub(super) fn call(&self, field: &str, inputs: &[InputValueDefinition], given: Given<'_>, ids: &dyn Fn(&str) -> Ids) -> String {
        let arguments = self.arguments(field, inputs, "", given, ids);
        if arguments.is_empty() { field.to_owned() } else { format!("{field}({arguments})") }
    }

    /// Must it be given an id?
    pub(super) fn needs_id(&self, root: &Root) -> bool {
        root.arguments.iter().any(|argument| base(&argument.ty.node) == "ID" && !argument.ty.node.nullable)
    }

    /// Asks for a field: ids that must be given and the one at `trial` are given, each as `ids` says of its path.
    pub(super) fn document(&self, root: &Root, trial: Option<&str>, ids: &dyn Fn(&str) -> Ids) -> String {
        let call = self.call(&root.name, &root.arguments, Given::of(trial), ids);
        format!("{} {{ {call} {} }}", root.operation, self.selection(&root.answer, 3))
    }

    /// The same with every text that can be given.
    pub(super) fn wordy(&self, root: &Root, ids: &dyn Fn(&str) -> Ids) -> String {
        format!(
            "{} {{ {} {} }}",
            root.operation,
            self.call(&root.name, &root.arguments, Given::Texts, ids),
            self.selection(&root.answer, 2)
        )
    }

    /// Does a field take free text?
    pub(super) fn takes_text(&self, root: &Root) -> bool {
        self.leaves(&root.arguments).iter().any(|(_, kind)| is_text(kind))
    }

    fn arguments(&self, field: &str, inputs: &[InputValueDefinition], prefix: &str, which: Given<'_>, ids: &dyn Fn(&str) -> Ids) -> String {
        let mut given = vec![];
        for input in inputs {
            let path = format!("{prefix}{}", input.name.node);
            let wanted = match which {
                Given::Needed => false,
                Given::And(trial) => trial == path || trial.starts_with(&format!("{path}.")),
                Given::Texts => self.leaves(std::slice::from_ref(input)).iter().any(|(_, kind)| is_text(kind)),
            };
            if path == "first" {
                // Full pages of everything are too much at once.
                given.push("first: 5".to_owned());
                continue;
            }
            if !wanted && (input.ty.node.nullable || input.default_value.is_some()) {
                continue;
            }
            let value = match self.inputs(&input.ty.node) {
                _ if base(&input.ty.node) == "ID" => ids(&path).at(field, &path),
                Some(inner) => {
                    let inner = self.arguments(field, &inner, &format!("{path}."), which, ids);
                    let is_said = |said: &&str| said.split(':').next().is_some_and(|name| inner.contains(&format!("{name}:")));
                    let said = if prefix.is_empty() { something(field).filter(|said| !is_said(said)) } else { None };
                    format!(
                        "{{ {} }}",
                        [Some(inner.as_str()), said].into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
                    )
                }
                None => filler(self, field, &path, &input.ty.node),
            };
            given.push(format!("{}: {value}", input.name.node));
        }
        given.join(", ")
    }

    /// Everything that can be asked of an answer without arguments, so many levels deep.
    fn selection(&self, kind: &Type, levels: u32) -> String {
        let name = base(kind);
        match &self.types.get(name).map(|kind| &kind.kind) {
            Some(TypeKind::Interface(_)) => {
                assert_eq!(name, "Node", "an interface this test knows nothing of");
                "{ id __typename ... on User { email } ... on Session { method } ... on Workspace { slug settings { timezone } } \
                 ... on Member { roleKeys } ... on Pipeline { key } ... on PipelineItem { title } }"
                    .to_owned()
            }
            Some(TypeKind::Object(_)) => {
                let simple = |field: &FieldDefinition| !self.is_object(&field.ty.node);
                let asked = |field: &FieldDefinition| {
                    let required =
                        field.arguments.iter().any(|argument| !argument.node.ty.node.nullable && argument.node.default_value.is_none());
                    // The same twice; nodes are enough.
                    !required && field.name.node != "edges" && (levels > 1 || simple(field))
                };
                let fields = self.fields(name).into_iter().filter(asked);
                let parts = fields.map(|field| match simple(&field) {
                    true => field.name.node.to_string(),
                    false => format!(
                        "{} {}",
                        field.name.node,
                        self.selection(
                            &field.ty.node,
                            levels - if name.ends_with("Payload") || name.ends_with("Connection") { 1 } else { 2 }.min(levels - 1)
                        )
                    ),
                });
                format!("{{ {} }}", parts.collect::<Vec<_>>().join(" "))
            }
            _ => String::new(),
        }
    }

    pub(super) fn is_object(&self, kind: &Type) -> bool {
        self.types.get(base(kind)).is_some_and(|kind| matches!(kind.kind, TypeKind::Object(_) | TypeKind::Interface(_)))
    }
}

/// Which arguments are given beside those that must be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    Needed,
    /// The one at this path.
    And(&'a str),
    /// Every text.
    Texts,
}

impl<'a> Given<'a> {
    fn of(trial: Option<&'a str>) -> Self {
        trial.map_or(Self::Needed, Self::And)
    }
}

fn is_text(kind: &str) -> bool {
    ["String", "JSON"].contains(&kind)
}

/// The name of a type within its lists.
pub(super) fn base(kind: &Type) -> &str {
    match &kind.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(inner) => base(inner),
    }
}
