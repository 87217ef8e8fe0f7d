//! What every command and every query needs, asked of the code itself: names come from the commands' types and from
//! the schema, needs from `Guarded::needs` over made-up commands and states. `fixtures/authorization.txt` is this,
//! written down.

use super::super::schema::{DOORS, READS, Reads, Schema};
use super::guards::GUARDS;
use super::sample::samples;
use api::system;
use domain::roles::{BuiltInRole, GrantSet, Permission, PlatformRole, Scope, WORKSPACE_READ};
use domain::{Caller, Decider, Guarded, Needs, PLATFORM, Principal, UserId, for_each_aggregate};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use uuid::Uuid;

/// One of the ways to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Permission(Permission),
    Itself,
    Public,
    System,
    Token,
}

impl Way {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Permission(permission) => permission.name(),
            Self::Itself => "self",
            Self::Public => "public",
            Self::System => "sys",
            Self::Token => "token",
        }
    }

    fn cell(self, grants: &GrantSet) -> Cell {
        match self {
            Self::Permission(permission) => match grants.scope(permission) {
                Some(Scope::Any) => Cell::Any,
                Some(Scope::Own) => Cell::Own,
                None => Cell::Never,
            },
            Self::Itself => Cell::Itself,
            Self::Public => Cell::Any,
            Self::System => Cell::Never,
            Self::Token => Cell::Token,
        }
    }
}

/// What a role may, from the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cell {
    Never,
    Token,
    Itself,
    Own,
    Any,
}

impl Cell {
    fn name(self) -> &'static str {
        match self {
            Self::Never => "-",
            Self::Token => "token",
            Self::Itself => "self",
            Self::Own => "own",
            Self::Any => "any",
        }
    }
}

/// Where a command is sent from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Mutation(String),
    Rest(&'static str),
    /// By these parts of the program only.
    Program(Vec<&'static str>),
}

/// A command, and what it needs.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) aggregate: &'static str,
    pub(super) command: &'static str,
    /// Which values of the command: all that no other row of it speaks of, or those with such a field.
    values: String,
    /// Where its door takes the field that makes the difference.
    pub(super) path: Option<String>,
    /// Any of these is enough.
    pub(super) ways: Vec<Way>,
    /// Does its record have owners, to whom `own` is limited?
    pub(super) owned: bool,
    pub(super) door: Door,
}

impl Row {
    pub(super) fn cell(&self, grants: &GrantSet) -> Cell {
        self.ways.iter().map(|way| way.cell(grants)).max().unwrap_or(Cell::Never)
    }

    fn needs(&self) -> String {
        self.ways.iter().map(|way| way.name()).collect::<Vec<_>>().join(" or ")
    }
}

/// A query, and what it takes to be answered.
#[derive(Clone, Debug)]
pub(super) struct Query {
    pub(super) name: String,
    pub(super) reads: Reads,
}

impl Query {
    pub(super) fn cell(&self, grants: &GrantSet) -> Cell {
        match self.reads {
            Reads::Permission(permission) => Way::Permission(permission).cell(grants),
            Reads::All(permission) if Way::Permission(permission).cell(grants) < Cell::Any => Cell::Never,
            // Every role reads the workspace, so who does not is no member.
            Reads::Member | Reads::Named if grants.scope(WORKSPACE_READ).is_none() => Cell::Never,
            Reads::All(_) | Reads::Member | Reads::Named => Cell::Any,
            Reads::Itself => Cell::Itself,
        }
    }

    /// The permission that a refusal names.
    pub(super) fn permission(&self) -> Option<&'static str> {
        match self.reads {
            Reads::Permission(permission) | Reads::All(permission) => Some(permission.name()),
            Reads::Itself | Reads::Member | Reads::Named => None,
        }
    }

    fn needs(&self) -> String {
        match self.reads {
            Reads::Permission(permission) => permission.name().to_owned(),
            Reads::All(permission) => format!("{permission} of all"),
            Reads::Itself => "self".to_owned(),
            Reads::Member => "membership".to_owned(),
            Reads::Named => "what it names".to_owned(),
        }
    }
}

/// The roles of the file's columns, each with what it grants.
pub(super) fn columns() -> Vec<(&'static str, GrantSet)> {
    let roles = BuiltInRole::ALL.iter().map(|role| (role.key(), *role.grants()));
    roles.chain([("system_admin", *PlatformRole::SystemAdmin.grants())]).collect()
}

/// The ways to be allowed that needs name, and whether the record has owners.
fn ways(needs: &Needs) -> (Vec<Way>, bool) {
    match needs {
        Needs::Permission { permission, owners } => (vec![Way::Permission(*permission)], owners.is_some()),
        Needs::Itself(_) => (vec![Way::Itself], false),
        Needs::Public => (vec![Way::Public], false),
        Needs::System => (vec![Way::System], false),
        Needs::Token => (vec![Way::Token], false),
        Needs::Either(first, second) => {
            let ((mut ways, owned), (others, also)) = (self::ways(first), self::ways(second));
            ways.extend(others);
            (ways, owned || also)
        }
    }
}

/// What one command needs on every state of its aggregate, which is one thing.
fn needs_of<D: Decider>(command: &D::Command, states: &[D]) -> Result<(Vec<Way>, bool), String> {
    let nobody = Caller {
        principal: Principal::User(UserId(Uuid::nil())),
        tenant: PLATFORM,
        grants: GrantSet::EMPTY,
        custom: Default::default(),
        grants_position: 0,
        on_behalf_of: None,
        session: None,
        occurred_at: None,
        now: crate::harness::now(),
        command_id: Uuid::nil(),
    };
    let mut found = states.iter().map(|state| ways(&command.needs(state, &nobody)));
    let (ways, mut owned) = found.next().ok_or("an aggregate has states")?;
    for (others, also) in found {
        if others != ways {
            return Err(format!(
                "{} needs {ways:?} on one state of its {} and {others:?} on another: a row of the matrix cannot say that; make it two commands",
                command.name(),
                D::TYPE
            ));
        }
        owned |= also;
    }
    Ok((ways, owned))
}

/// Where two commands first differ: the field and what it is in the second.
fn difference(one: &Value, other: &Value) -> Option<(String, Option<String>)> {
    let (one, other) = (one.as_object()?, other.as_object()?);
    let differs = |name: &&String| one.get(*name) != other.get(*name);
    let name = one.keys().chain(other.keys()).find(differs)?;
    match (one.get(name), other.get(name)) {
        (Some(one), Some(other)) if one.is_object() && other.is_object() => difference(one, other),
        (_, None | Some(Value::Null)) => Some((format!("no {name}"), None)),
        (None | Some(Value::Null), Some(_)) => Some((name.clone(), None)),
        (_, Some(other)) => Some((name.clone(), Some(other.as_str().map_or_else(|| other.to_string(), str::to_owned)))),
    }
}

/// The rows of an aggregate's commands, from their types.
fn rows_of<D: Decider>(schema: &Schema, rows: &mut Vec<Row>) -> Result<(), String> {
    let about = |error: String| format!("{}: {error}", D::TYPE);
    let states: Vec<D> = [D::default()].into_iter().chain(samples::<D>(true).map_err(about)?.into_iter().flatten()).collect();
    for commands in samples::<D::Command>(false).map_err(about)? {
        let Some(first) = commands.first() else { continue };
        let ordinary = needs_of(first, &states)?;
        let mut others: Vec<(Vec<Way>, bool, BTreeMap<String, BTreeSet<String>>)> = vec![];
        let mut ordinary_values: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for command in &commands[1..] {
            let (ways, owned) = needs_of(command, &states)?;
            let as_json = |command: &D::Command| serde_json::to_value(command).unwrap_or(Value::Null);
            let (field, value) = difference(&as_json(first), &as_json(command)).unwrap_or_default();
            let values = if (&ways, owned) == (&ordinary.0, ordinary.1) {
                &mut ordinary_values
            } else {
                let at = others.iter().position(|(known, also, _)| (known, *also) == (&ways, owned)).unwrap_or_else(|| {
                    others.push((ways, owned, BTreeMap::new()));
                    others.len() - 1
                });
                &mut others[at].2
            };
            values.entry(field).or_default().extend(value);
        }
        let row = |ways: Vec<Way>, owned, values: BTreeMap<String, BTreeSet<String>>| {
            let text = |(field, values): (String, BTreeSet<String>)| match values.len() {
                0 => field,
                _ => format!("{field}: {}", values.into_iter().collect::<Vec<_>>().join("/")),
            };
            let field = values.keys().next().cloned();
            let values = values.into_iter().map(text).collect::<Vec<_>>().join(", ");
            let (door, path) = door(schema, D::TYPE, first.name(), &ways, field.as_deref())?;
            Ok::<_, String>(Row { aggregate: D::TYPE, command: first.name(), values, path, ways, owned, door })
        };
        rows.push(row(ordinary.0, ordinary.1, BTreeMap::new())?);
        for (ways, owned, values) in others {
            rows.push(row(ways, owned, values)?);
        }
    }
    Ok(())
}

/// Where a command is sent from: a mutation of its name, the door that the catalogue says, or the program; and where
/// that door takes the field that makes a row of its own.
fn door(
    schema: &Schema,
    aggregate: &str,
    command: &'static str,
    ways: &[Way],
    field: Option<&str>,
) -> Result<(Door, Option<String>), String> {
    let senders: Vec<_> = system::ALL.iter().filter(|caller| caller.commands.contains(&command)).map(|caller| caller.name).collect();
    if ways == [Way::System] {
        return Ok((Door::Program(senders), None));
    }
    let said = DOORS.iter().find(|(known, _)| *known == command).map(|(_, door)| *door);
    let mutation = said.map_or_else(|| format!("{}{}", command[..1].to_lowercase(), &command[1..]), str::to_owned);
    let root = schema.mutations().into_iter().find(|root| root.name == mutation);
    match (said, root, field) {
        (Some(door), ..) if door.contains(' ') => Ok((Door::Rest(door), None)),
        (_, Some(_), None) => Ok((Door::Mutation(mutation), None)),
        (_, Some(root), Some(field)) => match schema.path_of(&root, field) {
            Some(path) => Ok((Door::Mutation(mutation), Some(path))),
            None if ways.contains(&Way::System) => Ok((Door::Program(senders), None)),
            None => Err(format!("{command} of {aggregate} needs {ways:?} with {field}, which {mutation} does not take")),
        },
        (_, None, _) => Err(format!(
            "{command} of {aggregate} has no public door: there is no mutation {mutation}. Give it one; or, if it goes by another name, say \
             which in DOORS of tests/it/graphql/schema.rs; or, if only the program sends it, let it need `Needs::System`"
        )),
    }
}

/// The rows of all commands.
pub(super) fn rows() -> Result<Vec<Row>, String> {
    macro_rules! each {
        ($schema:ident, $rows:ident; $($decider:ty,)*) => { $(rows_of::<$decider>(&$schema, &mut $rows)?;)* };
    }
    let (schema, mut rows) = (Schema::read(), vec![]);
    for_each_aggregate!(each!(schema, rows;));
    let doors: BTreeSet<&str> =
        rows.iter().filter_map(|row| if let Door::Mutation(name) = &row.door { Some(name.as_str()) } else { None }).collect();
    match schema.mutations().into_iter().find(|root| !doors.contains(root.name.as_str())) {
        Some(root) => Err(format!(
            "the mutation {} sends no command that the matrix knows: if its command has another name, say so in DOORS of \
             tests/it/graphql/schema.rs",
            root.name
        )),
        None => Ok(rows),
    }
}

/// What each query takes: what its entity says, what the catalogue says, or, for `my…`, nothing but oneself.
pub(super) fn queries() -> Result<Vec<Query>, String> {
    let (schema, entities) = (Schema::read(), api::graphql::reads());
    let one = |root: super::super::schema::Root| {
        let entity = schema.entity(&root);
        let said = READS.iter().find(|(name, _)| *name == root.name).map(|(_, reads)| *reads);
        let of_entity = || entities.iter().find(|(name, _)| *name == entity).map(|(_, read)| read.map_or(Reads::Itself, Reads::Permission));
        let reads = said.or_else(|| root.name.starts_with("my").then_some(Reads::Itself)).or_else(of_entity).ok_or_else(|| {
            format!("nobody says what it takes to read {} (a {entity}): say it in READS of tests/it/graphql/schema.rs", root.name)
        })?;
        Ok(Query { name: root.name, reads })
    };
    schema.queries().into_iter().map(one).collect()
}

/// The whole file.
pub(super) fn listing() -> Result<String, String> {
    let (rows, queries, columns) = (rows()?, queries()?, columns());
    let mut text = format!(
        "# Who may send which command, and who may read what: made by `make matrix` from the code, tried row by row through\n\
         # the API by tests/it/graphql/matrix. Catalogue version {}.\n\
         #\n\
         # any: on every record. own: on one's own where the record has owners (whoever made it, is assigned to it and so on), and\n\
         # on every record where it has none. self: everybody, on themselves. token: whoever holds a valid one. -: FORBIDDEN.\n\
         # Who is no member of the workspace is told NOT_FOUND, and who is not signed in UNAUTHENTICATED, except through public doors.\n\
         # sys: the parts of the program that are named, and nobody else.\n",
        domain::roles::CATALOGUE_VERSION
    );
    let mut table = |first: &str, lines: Vec<[String; 4]>, cells: Vec<Vec<Cell>>| {
        let width = |n: usize| lines.iter().map(|line| line[n].chars().count()).max().unwrap_or(0).max(first.len()) + 2;
        let (names, needs) = (width(0), width(1));
        let heads: String = columns.iter().map(|(role, _)| format!("{role:<9}")).collect::<Vec<_>>().concat();
        let [record, door] = if first == "query" { ["", ""] } else { ["record", "door"] };
        let head = format!("{first:names$}{:needs$}{record:8}{heads}    {door}", "needs");
        let _ = writeln!(text, "\n{}", head.trim_end());
        for (line, cells) in lines.iter().zip(cells) {
            let last = cells.len() - 1;
            let cells: String = cells
                .iter()
                .enumerate()
                .map(|(n, cell)| format!("{:<width$}", cell.name(), width = if n == last { 16 } else { 9 }))
                .collect();
            let line = format!("{:names$}{:needs$}{:8}{cells}{}", line[0], line[1], line[2], line[3]);
            let _ = writeln!(text, "{}", line.trim_end());
        }
    };
    let mut aggregates: Vec<&str> = rows.iter().map(|row| row.aggregate).collect();
    aggregates.dedup();
    for aggregate in aggregates {
        let of_it: Vec<&Row> = rows.iter().filter(|row| row.aggregate == aggregate).collect();
        let line = |row: &&Row| {
            let values = if row.values.is_empty() { String::new() } else { format!(" {{{}}}", row.values) };
            let door = match &row.door {
                Door::Mutation(name) => name.clone(),
                Door::Rest(door) => (*door).to_owned(),
                Door::Program(senders) if senders.is_empty() => "no public door, and no part of the program sends it".to_owned(),
                Door::Program(senders) => format!("no public door; sent by {}", senders.join(", ")),
            };
            [format!("{}{values}", row.command), row.needs(), if row.owned { "owned" } else { "-" }.to_owned(), door]
        };
        let cells = of_it.iter().map(|row| columns.iter().map(|(_, grants)| row.cell(grants)).collect()).collect();
        table(aggregate, of_it.iter().map(line).collect(), cells);
    }
    let line = |query: &Query| [query.name.clone(), query.needs(), String::new(), String::new()];
    let cells = queries.iter().map(|query| columns.iter().map(|(_, grants)| query.cell(grants)).collect()).collect();
    table("query", queries.iter().map(line).collect(), cells);
    text.push_str("\nguard rules\n");
    for guard in &GUARDS {
        let _ = writeln!(text, "{}  {}\n   {}", guard.rule, guard.says, guard.shown());
    }
    Ok(text)
}
