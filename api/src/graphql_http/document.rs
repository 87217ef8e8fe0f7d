//! The limits of a document, before anything walks through it. Invariant: what passes has few selections once its
//! fragments are unfolded and no fragment within itself, so that every later walk over it is short.
//!
//! A chain of fragments that each spread the next one twice doubles at each step; the walks of async-graphql unfold it.

use std::collections::HashMap;

use async_graphql::{
    Positioned, Request,
    parser::types::{
        DocumentOperations, ExecutableDocument, FragmentDefinition, OperationDefinition, OperationType, Selection, SelectionSet,
    },
};
use axum::http::{HeaderValue, header};

use super::{
    code::{Code, Refusal},
    documents::Documents,
    scan::scan,
};

/// Fields within fields.
pub const MAX_DEPTH: usize = 15;
/// Selection sets within selection sets, those of fragments included.
pub const MAX_NESTING: usize = 32;
/// Fields with an alias, fragments unfolded.
pub const MAX_ALIASES: usize = 50;
/// Fields at the root of the operation, fragments unfolded.
pub const MAX_ROOT_FIELDS: usize = 50;
/// Directives, fragments unfolded.
pub const MAX_DIRECTIVES: usize = 50;
/// Selections of any kind, fragments unfolded, over all operations of the document.
pub const MAX_SELECTIONS: usize = 3_000;

/// Parses the document, unless it is known, and holds it against the limits; the request keeps it. True for a mutation.
pub(super) fn check(request: &mut Request, post: bool, documents: &Documents) -> Result<bool, Refusal> {
    let name = request.operation_name.clone();
    let new = match documents.known(&request.query) {
        Some(document) => {
            request.set_parsed_query(document);
            None
        }
        None => {
            scan(&request.query)?;
            Some(request.query.clone())
        }
    };
    let document = request.parsed_query().map_err(|error| {
        // The parser draws the line and points at it; that belongs into `locations`.
        let rule = error.message.rsplit("= ").next().unwrap_or_default().trim();
        let message = format!("`query` is not a GraphQL document: {rule}.");
        Refusal::of(Code::ParseFailed, vec![Code::ParseFailed.error(message, error.locations.first().copied())])
    })?;
    let operation = choose(document, name.as_deref())?;
    let mutation = match operation.node.ty {
        OperationType::Query => false,
        OperationType::Mutation if post => true,
        OperationType::Mutation => {
            return Err(Refusal::new(Code::MethodNotAllowed, "A mutation cannot be sent by GET. Use POST.")
                .at(operation.pos)
                .with_header(header::ALLOW, HeaderValue::from_static("POST")));
        }
        OperationType::Subscription => {
            let message = "Subscriptions are not answered here. Send a query or a mutation.";
            return Err(Refusal::new(Code::SubscriptionUnsupported, message).at(operation.pos));
        }
    };
    limits(document, operation)?;
    if let Some(text) = new {
        documents.keep(text, document);
    }
    Ok(mutation)
}

fn choose<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Result<&'a Positioned<OperationDefinition>, Refusal> {
    let unknown = |message: String| Refusal::new(Code::OperationUnknown, message);
    match (&document.operations, name) {
        (DocumentOperations::Single(operation), None) => Ok(operation),
        (DocumentOperations::Single(_), Some(name)) => {
            Err(unknown(format!("`operationName` is \"{name}\", but the document's operation has no name.")))
        }
        (DocumentOperations::Multiple(operations), Some(name)) => {
            operations.get(name).ok_or_else(|| unknown(format!("`operationName` is \"{name}\", which the document does not define.")))
        }
        (DocumentOperations::Multiple(operations), None) => match (operations.values().next(), operations.len()) {
            (Some(operation), 1) => Ok(operation),
            (_, count) => Err(unknown(format!("The document has {count} operations. Name one of them in `operationName`."))),
        },
    }
}

fn limits(document: &ExecutableDocument, chosen: &Positioned<OperationDefinition>) -> Result<(), Refusal> {
    let mut unfolded = Unfolded { fragments: HashMap::new(), document };
    let mut selections = 0_usize;
    for (_, operation) in document.operations.iter() {
        let totals = unfolded.operation(operation)?;
        selections = selections.saturating_add(totals.selections);
    }
    for (name, fragment) in &document.fragments {
        selections = selections.max(unfolded.fragment(name, fragment)?.selections);
    }
    let totals = unfolded.operation(chosen)?;
    for (code, found, most, what) in [
        (Code::QueryTooComplex, selections, MAX_SELECTIONS, "selections with its fragments unfolded"),
        (Code::QueryTooDeep, totals.depth, MAX_DEPTH, "fields within each other"),
        (Code::QueryTooDeep, totals.nesting, MAX_NESTING, "selection sets within each other"),
        (Code::TooManyAliases, totals.aliases, MAX_ALIASES, "fields with an alias"),
        (Code::TooManyRootFields, totals.root_fields, MAX_ROOT_FIELDS, "fields at its root"),
        (Code::TooManyDirectives, totals.directives, MAX_DIRECTIVES, "directives"),
    ] {
        if found > most {
            let message = format!("The operation has {found} {what}; at most {most} are allowed. Split it.");
            return Err(Refusal::new(code, message).at(chosen.pos));
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Totals {
    selections: usize,
    aliases: usize,
    directives: usize,
    root_fields: usize,
    depth: usize,
    nesting: usize,
}

impl Totals {
    /// Counts what stands beside; `inside` says whether its fields are one level further in.
    fn add(&mut self, other: Self, inside: bool) {
        self.selections = self.selections.saturating_add(other.selections);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
        if !inside {
            self.root_fields = self.root_fields.saturating_add(other.root_fields);
        }
        self.depth = self.depth.max(other.depth + usize::from(inside));
    }
}

struct Unfolded<'a> {
    /// `None`: being counted right now, so that meeting it again is a cycle.
    fragments: HashMap<&'a str, Option<Totals>>,
    document: &'a ExecutableDocument,
}

impl<'a> Unfolded<'a> {
    fn operation(&mut self, operation: &'a Positioned<OperationDefinition>) -> Result<Totals, Refusal> {
        let mut totals = self.set(&operation.node.selection_set)?;
        totals.directives = totals.directives.saturating_add(operation.node.directives.len());
        for variable in &operation.node.variable_definitions {
            totals.directives = totals.directives.saturating_add(variable.node.directives.len());
        }
        Ok(totals)
    }

    fn set(&mut self, set: &'a Positioned<SelectionSet>) -> Result<Totals, Refusal> {
        let mut totals = Totals::default();
        for selection in &set.node.items {
            totals.selections = totals.selections.saturating_add(1);
            totals.directives = totals.directives.saturating_add(selection.node.directives().len());
            let (below, inside) = match &selection.node {
                Selection::Field(field) => {
                    totals.root_fields = totals.root_fields.saturating_add(1);
                    totals.aliases = totals.aliases.saturating_add(usize::from(field.node.alias.is_some()));
                    totals.depth = totals.depth.max(1);
                    if field.node.selection_set.node.items.is_empty() {
                        continue;
                    }
                    (self.set(&field.node.selection_set)?, true)
                }
                Selection::InlineFragment(fragment) => (self.set(&fragment.node.selection_set)?, false),
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    // One that is not defined is left to validation.
                    let Some((name, fragment)) = self.document.fragments.get_key_value(name) else {
                        continue;
                    };
                    (self.fragment(name, fragment)?, false)
                }
            };
            totals.add(below, inside);
            totals.nesting = totals.nesting.max(below.nesting + 1);
        }
        Ok(totals)
    }

    fn fragment(&mut self, name: &'a str, fragment: &'a Positioned<FragmentDefinition>) -> Result<Totals, Refusal> {
        match self.fragments.get(name) {
            Some(Some(totals)) => return Ok(*totals),
            Some(None) => {
                let message = format!("Fragment \"{name}\" spreads itself. Take it out of its own selection.");
                return Err(Refusal::new(Code::ValidationFailed, message).at(fragment.pos));
            }
            None => {}
        }
        self.fragments.insert(name, None);
        let totals = self.set(&fragment.node.selection_set)?;
        self.fragments.insert(name, Some(totals));
        Ok(totals)
    }
}
