//! The schema as the program publishes it, and documents that ask for its fields, filled in as the catalogue says: a
//! field, argument or input that it knows no value for fails the tests that go through all fields.

use super::catalogue::{BEFORE, COMPANIONS, Ids, UNDOES, filler};
use async_graphql_parser::types::{BaseType, FieldDefinition, InputValueDefinition, Type, TypeDefinition, TypeKind, TypeSystemDefinition};
use std::collections::HashMap;

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

    /// The mutations that make one mean something by being done before it, on the same things and in this order.
    pub(super) fn before(&self, root: &Root) -> Vec<Root> {
        let known = self.mutations();
        let named = |name: &str| known.iter().find(|mutation| mutation.name == name).cloned();
        let undone = |(verb, other): &(&str, &str), of: &Root| {
            let rest = of.name.strip_prefix(verb).filter(|rest| rest.starts_with(char::is_uppercase))?;
            named(&format!("{other}{rest}"))
        };
        let before = |of: &Root| {
            let said = BEFORE.iter().find(|(name, _)| *name == of.name).and_then(|(_, first)| named(first));
            said.or_else(|| UNDOES.iter().find_map(|pair| undone(pair, of)))
        };
        let mut chain: Vec<Root> = std::iter::successors(before(root), before).collect();
        chain.reverse();
        chain
    }

    /// The name of the type of what a query answers with, without lists, pages and `?`.
    pub(super) fn entity(&self, root: &Root) -> String {
        let name = base(&root.answer);
        name.strip_suffix("Connection").unwrap_or(name).to_owned()
    }

    /// Asks whether a field answers at all, and with which ids: nothing below it takes more than it does itself.
    pub(super) fn glance(&self, root: &Root, trial: Option<&str>, ids: &dyn Fn(&str) -> Ids) -> String {
        let has = |name: &str, field: &str| self.fields(name).iter().any(|known| known.name.node == field);
        let of = |name: &str| if has(name, "id") { "{ __typename id }" } else { "{ __typename }" };
        let answer = base(&root.answer);
        let selection = match answer.strip_suffix("Connection") {
            Some(node) => format!("{{ nodes {} }}", of(node)),
            None if answer == "Node" => "{ __typename id }".to_owned(),
            None if answer.ends_with("Payload") => "{ entity { __typename } userErrors { code message } }".to_owned(),
            None if has(answer, "userErrors") => "{ __typename userErrors { code message } }".to_owned(),
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
                Given::And(trial) => {
                    let with = COMPANIONS.iter().find(|(name, _)| trial.ends_with(name)).map(|(name, with)| trial.replace(name, with));
                    [Some(trial.to_owned()), with].iter().flatten().any(|trial| *trial == path || trial.starts_with(&format!("{path}.")))
                }
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
                    let mut said = self.arguments(field, &inner, &format!("{path}."), which, ids);
                    // An update that leaves everything out says nothing: it is given its first text, unless it has it.
                    let text = inner.iter().find(|input| field.starts_with("update") && base(&input.ty.node) == "String");
                    if let Some(text) = text.filter(|text| !said.contains(&format!("{}:", text.name.node))) {
                        let value = filler(self, field, &format!("{path}.{}", text.name.node), &text.ty.node, ids);
                        said = format!("{}: {value}, {said}", text.name.node);
                    }
                    format!("{{ {said} }}")
                }
                None => filler(self, field, &path, &input.ty.node, ids),
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
