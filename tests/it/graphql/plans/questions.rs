//! Every question that the schema lets be asked of its lists: each filter in each order, pages from both ends, counts.

use crate::graphql::catalogue::{Ids, filler};
use crate::graphql::schema::{Root, Schema, base};
use async_graphql_parser::types::{InputValueDefinition, TypeKind};

/// What says which page.
const PAGING: [&str; 4] = ["first", "after", "last", "before"];

/// One way to ask a query.
#[derive(Clone, Debug)]
pub(super) struct Question {
    name: String,
    /// In GraphQL, without those that say which page.
    arguments: Vec<String>,
    paged: bool,
    object: bool,
    /// Whether its other pages are turned, too: where there is no filter, and with each filter in one order.
    turned: bool,
}

impl Question {
    /// As a document; `page` is more arguments, and `ask` what is asked of a list instead of a page.
    fn document(&self, page: &str, ask: &str) -> String {
        let mut arguments = self.arguments.clone();
        if !page.is_empty() {
            arguments.push(page.to_owned());
        }
        let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        let selection = if self.paged {
            ask
        } else if self.object {
            "{ __typename }"
        } else {
            ""
        };
        format!("{{ it: {}{arguments} {selection} }}", self.name)
    }

    /// The first page, or what there is where there are no pages.
    pub(super) fn first(&self) -> String {
        let page = if self.paged { "first: 50" } else { "" };
        self.document(page, "{ nodes { __typename } pageInfo { startCursor endCursor } }")
    }

    /// The other pages, and the count.
    pub(super) fn others(&self, cursors: Option<(&str, &str)>) -> Vec<String> {
        if !self.paged || !self.turned {
            return vec![];
        }
        let page = |page: String| self.document(&page, "{ nodes { __typename } }");
        let mut documents = vec![self.document("", "{ totalCount }"), page("last: 50".to_owned())];
        if let Some((start, end)) = cursors {
            documents.push(page(format!("first: 50, after: \"{end}\"")));
            documents.push(page(format!("last: 50, before: \"{start}\"")));
        }
        documents
    }
}

/// All ways to ask a query: with each filter alone and with none, each in each order.
pub(super) fn questions(schema: &Schema, root: &Root, ids: &Ids) -> Vec<Question> {
    let all = |_: &str| ids.clone();
    let (mut needed, mut filters, mut orders) = (vec![], vec![String::new()], vec![]);
    for argument in &root.arguments {
        let (name, kind) = (argument.name.node.as_str(), &argument.ty.node);
        match inputs(schema, argument) {
            _ if PAGING.contains(&name) => {}
            Some(fields) => {
                for field in fields {
                    let said = values(schema, root, &field, &format!("{name}.{}", field.name.node), &all);
                    filters.extend(said.iter().map(|value| format!("{name}: {{ {}: {value} }}", field.name.node)));
                }
            }
            None if name == "orderBy" => {
                orders = values(schema, root, argument, name, &all).iter().map(|order| format!("orderBy: {order}")).collect();
            }
            None => {
                let said = values(schema, root, argument, name, &all).into_iter().map(|value| format!("{name}: {value}"));
                if kind.nullable || argument.default_value.is_some() { filters.extend(said) } else { needed.extend(said.take(1)) }
            }
        }
    }
    if orders.is_empty() {
        orders.push(String::new());
    }
    let mut questions = vec![];
    for filter in &filters {
        for (n, order) in orders.iter().enumerate() {
            let given = [filter, order].into_iter().filter(|said| !said.is_empty()).cloned();
            questions.push(Question {
                name: root.name.clone(),
                arguments: needed.iter().cloned().chain(given).collect(),
                paged: base(&root.answer).ends_with("Connection"),
                object: schema.is_object(&root.answer),
                turned: filter.is_empty() || n == 0,
            });
        }
    }
    questions
}

fn inputs(schema: &Schema, argument: &InputValueDefinition) -> Option<Vec<InputValueDefinition>> {
    match &schema.types.get(base(&argument.ty.node))?.kind {
        TypeKind::InputObject(input) => Some(input.fields.iter().map(|field| field.node.clone()).collect()),
        _ => None,
    }
}

/// What can be said there: each value of an enum, yes and no, else one that means something.
fn values(schema: &Schema, root: &Root, argument: &InputValueDefinition, path: &str, ids: &dyn Fn(&str) -> Ids) -> Vec<String> {
    let kind = &argument.ty.node;
    match (base(kind), schema.types.get(base(kind)).map(|kind| &kind.kind)) {
        ("Boolean", _) => vec!["true".to_owned(), "false".to_owned()],
        ("ID", _) => vec![ids(path).at(&root.name, path)],
        (_, Some(TypeKind::Enum(of))) => of.values.iter().map(|value| value.node.value.node.to_string()).collect(),
        _ => vec![filler(schema, &root.name, path, kind, ids)],
    }
}
