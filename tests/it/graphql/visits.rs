//! Ways through the schema: from a query to every type behind it and every field of that type, as documents of the size
//! that the API takes. And what of it an answer has shown.

use super::schema::{Given, Ids, Root, Schema, base};
use async_graphql_parser::types::{FieldDefinition, TypeKind};
use serde_json::Value;
use std::collections::{BTreeSet, VecDeque};

/// How many fields are asked at once: answers below lists of lists are costly.
const AT_ONCE: usize = 5;

/// Some fields of a type, and the way to it.
pub(super) struct Visit {
    pub(super) kind: String,
    pub(super) fields: Vec<FieldDefinition>,
    way: Vec<Step>,
}

#[derive(Clone)]
enum Step {
    Field(FieldDefinition),
    /// What has this type of all that an interface may be.
    On(String),
}

impl Schema {
    /// All types behind a query, each by the shortest way.
    pub(super) fn visits(&self, root: &Root) -> Vec<Visit> {
        let start = base(&root.answer).to_owned();
        let (mut known, mut open, mut found) = (BTreeSet::from([start.clone()]), VecDeque::from([(start, vec![])]), vec![]);
        while let Some((kind, way)) = open.pop_front() {
            let mut next: Vec<(String, Step)> = vec![];
            if let Some(TypeKind::Interface(_)) = self.types.get(&kind).map(|kind| &kind.kind) {
                next.extend(self.implementors(&kind).into_iter().map(|kind| (kind.clone(), Step::On(kind))));
            }
            let fields = self.fields(&kind);
            for field in fields.iter().filter(|field| self.is_object(&field.ty.node)) {
                next.push((base(&field.ty.node).to_owned(), Step::Field(field.clone())));
            }
            for fields in fields.chunks(AT_ONCE) {
                found.push(Visit { kind: kind.clone(), fields: fields.to_vec(), way: way.clone() });
            }
            for (kind, step) in next {
                if known.insert(kind.clone()) {
                    open.push_back((kind, way.iter().cloned().chain([step]).collect()));
                }
            }
        }
        found
    }

    /// Every field of every type behind the queries.
    pub(super) fn reachable(&self) -> BTreeSet<(String, String)> {
        let visits = self.queries().into_iter().flat_map(|root| self.visits(&root));
        visits
            .flat_map(|visit| visit.fields.iter().map(|field| (visit.kind.clone(), field.name.node.to_string())).collect::<Vec<_>>())
            .collect()
    }

    fn implementors(&self, interface: &str) -> Vec<String> {
        let implements =
            |kind: &TypeKind| matches!(kind, TypeKind::Object(object) if object.implements.iter().any(|of| of.node.as_str() == interface));
        self.types.iter().filter(|(_, kind)| implements(&kind.kind)).map(|(name, _)| name.clone()).collect()
    }

    /// Asks for the fields of a visit. `trial` names one of them and the path of an id that it takes.
    pub(super) fn ask(&self, root: &Root, visit: &Visit, trial: Option<(&str, &str)>, ids: &dyn Fn(&str) -> Ids) -> String {
        let field = |field: &FieldDefinition| {
            let (name, arguments) =
                (field.name.node.as_str(), field.arguments.iter().map(|argument| argument.node.clone()).collect::<Vec<_>>());
            let given = trial.filter(|(tried, _)| *tried == name).map_or(Given::Needed, |(_, path)| Given::And(path));
            self.call(name, &arguments, given, ids)
        };
        let below = |of: &FieldDefinition| if self.is_object(&of.ty.node) { " { __typename }" } else { "" };
        let asked = visit.fields.iter().filter(|of| trial.is_none_or(|(name, _)| name == of.name.node.as_str()));
        let leaves = asked.map(|of| format!("{}{}", field(of), below(of))).collect::<Vec<_>>().join(" ");
        let selection = visit.way.iter().rev().fold(leaves, |inner, step| match step {
            Step::Field(of) => format!("__typename {} {{ {inner} }}", field(of)),
            Step::On(kind) => format!("__typename ... on {kind} {{ {inner} }}"),
        });
        let selection = if selection.is_empty() { selection } else { format!("{{ {selection} }}") };
        format!("{} {{ {} {selection} }}", root.operation, self.call(&root.name, &root.arguments, Given::Needed, ids))
    }

    /// The paths of ids that a field below the roots takes.
    pub(super) fn ids_of(&self, field: &FieldDefinition) -> Vec<String> {
        let arguments: Vec<_> = field.arguments.iter().map(|argument| argument.node.clone()).collect();
        self.leaves(&arguments).into_iter().filter(|(_, kind)| kind == "ID").map(|(path, _)| path).collect()
    }
}

impl Visit {
    /// The fields of which the answer to its question shows something, be it null.
    pub(super) fn shown(&self, root: &Root, answer: &Value) -> Vec<(String, String)> {
        fn flat(value: &Value) -> Vec<&Value> {
            value.as_array().map_or_else(|| vec![value], |list| list.iter().flat_map(flat).collect())
        }
        let mut here = flat(&answer["data"][&root.name]);
        for step in &self.way {
            if let Step::Field(field) = step {
                here = here.into_iter().flat_map(|value| flat(&value[field.name.node.as_str()])).collect();
            }
        }
        let names = self.fields.iter().map(|field| field.name.node.as_str());
        let shown = names.filter(|name| here.iter().any(|value| value.get(name).is_some()));
        shown.map(|name| (self.kind.clone(), name.to_owned())).collect()
    }
}
