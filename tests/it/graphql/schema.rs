//! The schema as the program publishes it, and how tests fill in its arguments: a field, argument or input that
//! nobody here knows a value for fails the tests that go through all fields.

use async_graphql_parser::types::{BaseType, FieldDefinition, InputValueDefinition, Type, TypeDefinition, TypeKind, TypeSystemDefinition};
use std::collections::{BTreeMap, HashMap};
use uuid::Uuid;

/// The published schema.
pub(super) struct Schema {
    types: HashMap<String, TypeDefinition>,
}

/// A field of a root.
#[derive(Clone)]
pub(super) struct Root {
    pub(super) operation: &'static str,
    pub(super) name: String,
    arguments: Vec<InputValueDefinition>,
    answer: Type,
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
            ("transferItem", "pipelineId") => self.elsewhere.0,
            ("transferItem", "stageId") => self.elsewhere.1,
            ("pipeline" | "pipelineBoard" | "pipelineMetrics", "id") | (_, "pipelineId") => self.pipeline,
            ("pipelineItem" | "node", "id") | (_, "itemId") => self.item,
            ("workspace", "id") | (_, "workspaceId") => self.workspace,
            // To where it does not stand yet.
            (_, "stageId" | "toStageId") if field == "moveItem" || field == "removeStage" => self.stages[1],
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
fn filler(field: &str, path: &str) -> &'static str {
    let name = path.rsplit('.').next().unwrap_or(path);
    match (field, name) {
        ("hasPermission", "name") => "\"pipelines.update\"",
        (_, "name") => "\"Something\"",
        (_, "title" | "label" | "category" | "titlePattern" | "reason" | "note") => "\"Something\"",
        ("pipelineMetrics", "from" | "to") => "\"2026-06-01\"",
        (_, "key") => "\"something\"",
        (_, "slug") => "\"some-thing\"",
        (_, "tag") => "\"some\"",
        (_, "role") => "\"viewer\"",
        (_, "type") => "SALES",
        (_, "currentPassword") => "\"something old\"",
        (_, "newPassword" | "passwordConfirm") => "\"something new\"",
        _ => panic!("{field}({path}) must be given and this test knows no value: say one in `filler`"),
    }
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

impl Schema {
    pub(super) fn read() -> Self {
        let document = async_graphql_parser::parse_schema(api::graphql::sdl()).unwrap();
        let types = document.definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(kind) => Some((kind.node.name.node.to_string(), kind.node)),
            _ => None,
        });
        Self { types: types.collect() }
    }

    fn fields(&self, name: &str) -> Vec<FieldDefinition> {
        match &self.types[name].kind {
            TypeKind::Object(object) => object.fields.iter().map(|field| field.node.clone()).collect(),
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
            (!["item", "pipeline", "taskFromTemplate", "workspace"].contains(&kind.as_str())).then_some((kind, root))
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
        fn walk(schema: &Schema, inputs: &[InputValueDefinition], prefix: &str, found: &mut Vec<String>) {
            for input in inputs {
                let path = format!("{prefix}{}", input.name.node);
                if base(&input.ty.node) == "ID" {
                    found.push(path);
                } else if let Some(inner) = schema.inputs(&input.ty.node) {
                    walk(schema, &inner, &format!("{path}."), found);
                }
            }
        }
        let mut found = vec![];
        walk(self, &root.arguments, "", &mut found);
        found
    }

    /// Must it be given an id?
    pub(super) fn needs_id(&self, root: &Root) -> bool {
        root.arguments.iter().any(|argument| base(&argument.ty.node) == "ID" && !argument.ty.node.nullable)
    }

    /// Asks for a field: ids that must be given and the one at `trial` are given, each as `ids` says of its path.
    pub(super) fn document(&self, root: &Root, trial: Option<&str>, ids: &dyn Fn(&str) -> Ids) -> String {
        let arguments = self.arguments(&root.name, &root.arguments, "", trial, ids);
        let arguments = if arguments.is_empty() { arguments } else { format!("({arguments})") };
        format!("{} {{ {}{arguments} {} }}", root.operation, root.name, self.selection(&root.answer, 3))
    }

    fn arguments(
        &self,
        field: &str,
        inputs: &[InputValueDefinition],
        prefix: &str,
        trial: Option<&str>,
        ids: &dyn Fn(&str) -> Ids,
    ) -> String {
        let mut given = vec![];
        for input in inputs {
            let path = format!("{prefix}{}", input.name.node);
            let wanted = trial.is_some_and(|trial| trial == path || trial.starts_with(&format!("{path}.")));
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
                    let said = if prefix.is_empty() { something(field) } else { None };
                    let inner = self.arguments(field, &inner, &format!("{path}."), trial, ids);
                    format!(
                        "{{ {} }}",
                        [Some(inner.as_str()), said].into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", ")
                    )
                }
                None => filler(field, &path).to_owned(),
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

    fn is_object(&self, kind: &Type) -> bool {
        self.types.get(base(kind)).is_some_and(|kind| matches!(kind.kind, TypeKind::Object(_) | TypeKind::Interface(_)))
    }
}

/// The name of a type within its lists.
fn base(kind: &Type) -> &str {
    match &kind.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(inner) => base(inner),
    }
}
