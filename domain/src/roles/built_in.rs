//! The roles that are constants, and the table of what each grants.
//! The table is read by the compiler: a cell that makes no sense does not build.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    GrantSet, Permission, PermissionGrant, Scope,
    catalogue::{
        BILLING_MANAGE, ENTRIES, SYSTEM_AUDIT, SYSTEM_PROJECTIONS, SYSTEM_SETTINGS, SYSTEM_USERS, SYSTEM_WORKSPACES, WORKSPACE_DELETE,
        WORKSPACE_TRANSFER,
    },
    permission::{NameError, excerpt},
};

/// A role that every workspace has and none can edit. Serialised as its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, strum::VariantArray)]
#[serde(rename_all = "lowercase")]
pub enum BuiltInRole {
    /// Everything. Held by those whom the workspace names as owners, never assigned.
    Owner,
    /// Everything except `billing.manage`, `workspace.delete` and `workspace.transfer`.
    Admin,
    /// Engagements, tasks, pipelines.
    Pm,
    /// Daily operations.
    Operator,
    /// All content.
    Editor,
    /// Own posts.
    Author,
    /// Own work, and reading what is shared.
    Member,
    /// Reading only.
    Viewer,
    /// A customer: own requests and what is shared with them.
    Client,
}

impl BuiltInRole {
    /// Every built-in role, from `owner` to `client`.
    pub const ALL: &'static [BuiltInRole] = <Self as strum::VariantArray>::VARIANTS;

    /// The stable name: `operator`.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Pm => "pm",
            Self::Operator => "operator",
            Self::Editor => "editor",
            Self::Author => "author",
            Self::Member => "member",
            Self::Viewer => "viewer",
            Self::Client => "client",
        }
    }

    /// The name shown to people.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Owner => "Owner",
            Self::Admin => "Administrator",
            Self::Pm => "Project manager",
            Self::Operator => "Operator",
            Self::Editor => "Editor",
            Self::Author => "Author",
            Self::Member => "Member",
            Self::Viewer => "Viewer",
            Self::Client => "Client",
        }
    }

    /// What the role is for, in one sentence.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Owner => "Everything, including billing, deletion and transfer of the workspace.",
            Self::Admin => "Everything except managing billing and deleting or transferring the workspace.",
            Self::Pm => "Runs engagements, tasks and pipelines.",
            Self::Operator => "Runs daily operations: pipelines, intake, documents, bookings and orders.",
            Self::Editor => "Writes and publishes all content and newsletters.",
            Self::Author => "Writes own posts.",
            Self::Member => "Reads and writes own records and reads shared ones.",
            Self::Viewer => "Reads, and changes nothing.",
            Self::Client => "Own intake, bookings and orders, and documents shared with them.",
        }
    }

    /// What the role grants.
    pub fn grants(self) -> &'static GrantSet {
        &GRANTS[self as usize]
    }
}

impl fmt::Display for BuiltInRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.key())
    }
}

impl FromStr for BuiltInRole {
    type Err = NameError;

    fn from_str(key: &str) -> Result<Self, NameError> {
        let found = Self::ALL.iter().copied().find(|role| role.key() == key);
        found.ok_or_else(|| NameError::UnknownRole(excerpt(key)))
    }
}

/// A user's role on the platform. It gives no permission inside any workspace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PlatformRole {
    /// A user like any other.
    #[default]
    None,
    /// Runs the platform: all `system.*`, and nothing else.
    SystemAdmin,
}

impl PlatformRole {
    /// What the role grants on the platform.
    pub fn grants(self) -> &'static GrantSet {
        match self {
            Self::None => &GrantSet::EMPTY,
            Self::SystemAdmin => &SYSTEM_GRANTS,
        }
    }
}

static SYSTEM_GRANTS: GrantSet = {
    let mut set = GrantSet::EMPTY;
    set.grant(SYSTEM_SETTINGS.any());
    set.grant(SYSTEM_WORKSPACES.any());
    set.grant(SYSTEM_USERS.any());
    set.grant(SYSTEM_AUDIT.any());
    set.grant(SYSTEM_PROJECTIONS.any());
    set
};

/// The columns of [`TABLE`]. `owner` has all, `admin` all but three: they need none.
pub(super) const COLUMNS: [BuiltInRole; 7] = {
    use BuiltInRole::*;
    [Pm, Operator, Editor, Author, Member, Viewer, Client]
};

/// Resources, their actions, and a cell for each of [`COLUMNS`].
pub(super) type Row = (&'static str, &'static str, [&'static str; COLUMNS.len()]);

/// C create, R read, U update, D delete, other actions by name; `@` after a word: own records only,
/// for the whole word; `all`: every action of the row; `-`: none.
#[rustfmt::skip]
pub(super) const TABLE: &[Row] = &[
    // resource              actions                                             pm                 operator              editor           author           member             viewer client
    ("users",                "create read update delete",                      ["R",               "R",                  "R",             "R",             "R",               "R",   "-"]),
    ("workspace",            "read update delete transfer",                    ["R",               "R",                  "R",             "R",             "R",               "R",   "R"]),
    ("workspace_keys",       "read update",                                    ["-",               "-",                  "-",             "-",             "-",               "-",   "-"]),
    ("members",              "read invite update remove",                      ["R invite",        "R",                  "R",             "R",             "R",               "R",   "-"]),
    ("roles",                "read create update delete assign",               ["R",               "R",                  "R",             "R",             "R",               "R",   "-"]),
    ("billing",              "view manage",                                    ["-",               "-",                  "-",             "-",             "-",               "-",   "-"]),
    ("usage",                "read",                                           ["R",               "R",                  "-",             "-",             "-",               "-",   "-"]),
    ("pipelines",            "create read update delete",                      ["CRU",             "all",                "R",             "R",             "R",               "R",   "-"]),
    ("pipeline_items",       "create read update delete move assign",          ["all",             "all",                "R",             "R",             "CR U@ move@",     "R",   "-"]),
    ("tasks",                "create read update delete assign review",        ["all",             "all",                "CR U@",         "CR U@",         "CR U@",           "R",   "R@"]),
    ("task_templates",       "create read update delete",                      ["all",             "CRU",                "R",             "R",             "R",               "R",   "-"]),
    ("intake",               "create read update route close delete",          ["CRU route close", "all",                "CR",            "CR@",           "CR U@",           "R",   "CR@"]),
    ("documents",            "create read update delete share process",        ["CRU share",       "all",                "CRU share",     "CR U@",         "CR U@ D@ share@", "R",   "R@ C@"]),
    ("document_chats",       "create read delete",                             ["CR@ D@",          "CR@ D@",             "CR@ D@",        "CR@ D@",        "CR@ D@",          "R@",  "CR@"]),
    ("agents",               "create read update delete activate execute",     ["R execute",       "R execute",          "R",             "R",             "CR U@ execute",   "R",   "-"]),
    ("agent_executions",     "read cancel",                                    ["R",               "R cancel",           "-",             "-",             "R@ cancel@",      "R",   "-"]),
    ("agent_decisions",      "read review",                                    ["R review",        "R review",           "-",             "-",             "R@",              "R",   "-"]),
    ("automations",          "create read update delete activate run",         ["R run",           "CRU activate run",   "R",             "-",             "R",               "R",   "-"]),
    ("workflow_executions",  "read cancel",                                    ["R",               "R cancel",           "-",             "-",             "R@",              "R",   "-"]),
    ("automation_templates", "create read update delete publish install rate", ["R rate",          "CR install rate",    "R",             "R",             "R rate",          "R",   "R"]),
    ("credentials",          "create read update delete",                      ["CRUD@",           "CRUD@",              "CRUD@",         "-",             "CRUD@",           "-",   "-"]),
    ("calendar",             "create read update cancel",                      ["all",             "all",                "CR U@ cancel@", "CR U@ cancel@", "CR U@ cancel@",   "R",   "R@"]),
    ("scheduling_tasks",     "create read update",                             ["all",             "all",                "CR@",           "CR@",           "CR@ U@",          "R",   "CR@"]),
    ("availability",         "read update",                                    ["R U@",            "R U@",               "R U@",          "R U@",          "R U@",            "R",   "-"]),
    ("calendar_connections", "create read delete",                             ["all@",            "all@",               "all@",          "all@",          "all@",            "-",   "-"]),
    ("bookings",             "create read update cancel assign",               ["all",             "all",                "R",             "-",             "CR U@",           "R",   "C R@ cancel@"]),
    ("booking_setup",        "read update",                                    ["R",               "all",                "R",             "-",             "R",               "R",   "-"]),
    ("consultations",        "create read update cancel",                      ["all",             "all",                "R",             "-",             "R U@",            "R",   "R@"]),
    ("revenue_audits",       "create read update",                             ["all",             "all",                "R",             "-",             "R U@",            "R",   "R@"]),
    ("follow_ups",           "create read update",                             ["all",             "all",                "-",             "-",             "CR U@",           "R",   "-"]),
    ("companies, contacts",  "create read update delete",                      ["all",             "CRU",                "R",             "-",             "R",               "R",   "-"]),
    ("engagements",          "create read update close delete",                ["CRU close",       "R",                  "-",             "-",             "R@",              "R",   "R@"]),
    ("milestones",           "create update complete invoice",                 ["all",             "complete",           "-",             "-",             "-",               "-",   "-"]),
    ("access_requests",      "create read decide",                             ["all",             "CR",                 "-",             "-",             "CR@",             "R",   "CR@"]),
    ("catalog",              "create read update publish delete stock",        ["R",               "CRU stock",          "R",             "R",             "R",               "R",   "R"]),
    ("taxonomy",             "create read update delete",                      ["R",               "R",                  "all",           "R",             "R",               "R",   "R"]),
    ("orders",               "create read update fulfill refund cancel",       ["R",               "R U fulfill cancel", "-",             "-",             "CR@ cancel@",     "R",   "CR@ cancel@"]),
    ("wishlist",             "read update",                                    ["all@",            "all@",               "all@",          "all@",          "all@",            "R@",  "all@"]),
    ("posts",                "create read update publish delete",              ["R",               "R",                  "all",           "CR U@ D@",      "R",               "R",   "R"]),
    ("comments",             "create read update delete moderate",             ["CR U@ D@",        "CR U@ D@",           "all",           "CR U@ D@",      "CR U@ D@",        "R",   "CR U@ D@"]),
    ("likes",                "create",                                         ["C@",              "C@",                 "C@",            "C@",            "C@",              "-",   "C@"]),
    ("testimonials",         "create read update publish delete",              ["R",               "R",                  "all",           "R",             "CR U@",           "R",   "C R@"]),
    ("subscribers",          "create read update delete export",               ["-",               "R",                  "all",           "-",             "-",               "-",   "-"]),
    ("newsletter_templates", "create read update delete",                      ["-",               "R",                  "all",           "R",             "-",               "R",   "-"]),
    ("campaigns",            "create read update send delete",                 ["-",               "R",                  "all",           "R",             "-",               "R",   "-"]),
    ("contact_forms",        "read update delete",                             ["RU",              "all",                "R",             "-",             "-",               "R",   "-"]),
    ("client_calls",         "create read update cancel",                      ["all",             "all",                "-",             "-",             "CR U@",           "R",   "R@"]),
    ("reports",              "create read delete",                             ["CR",              "CR",                 "-",             "-",             "R",               "R",   "R@"]),
    ("audit",                "read export",                                    ["-",               "-",                  "-",             "-",             "-",               "-",   "-"]),
    ("incidents",            "read manage",                                    ["-",               "-",                  "-",             "-",             "-",               "-",   "-"]),
    ("api_keys",             "create read delete",                             ["-",               "-",                  "-",             "-",             "-",               "-",   "-"]),
    ("event_streams",        "read manage",                                    ["R",               "R",                  "-",             "-",             "-",               "-",   "-"]),
    ("notifications",        "create read retry",                              ["CR",              "all",                "R",             "-",             "R@",              "R",   "R@"]),
];

static GRANTS: [GrantSet; BuiltInRole::ALL.len()] = built_in_grants();

/// The scope of each of a row's actions, in the row's order.
pub(super) type Cell = [Option<Scope>; 8];

/// Reads one cell of a row with these actions.
pub(super) const fn parse_cell(actions: &str, cell: &str) -> Result<Cell, &'static str> {
    let (actions, cell) = (actions.as_bytes(), cell.as_bytes());
    let mut given: Cell = [None; 8];
    if same(cell, b"-") {
        return Ok(given);
    }
    let mut at = 0;
    let mut sound = true;
    while let Some((start, end)) = next_word(cell, at) {
        at = end;
        let own = cell[end - 1] == b'@';
        let (word, scope) = if own { (cut(cell, start, end - 1), Scope::Own) } else { (cut(cell, start, end), Scope::Any) };
        if same(word, b"all") {
            let mut action = 0;
            let mut from = 0;
            while let Some((_, next)) = next_word(actions, from) {
                sound &= give(&mut given, Some(action), scope);
                (action, from) = (action + 1, next);
            }
        } else if !word.is_empty() && word[0].is_ascii_uppercase() {
            let mut letter = 0;
            while letter < word.len() {
                let name: &[u8] = match word[letter] {
                    b'C' => b"create",
                    b'R' => b"read",
                    b'U' => b"update",
                    b'D' => b"delete",
                    _ => return Err("a cell has a letter other than C, R, U and D"),
                };
                sound &= give(&mut given, position(actions, name), scope);
                letter += 1;
            }
        } else {
            sound &= give(&mut given, position(actions, word), scope);
        }
    }
    if at == 0 {
        return Err("an empty cell: write `-` for none");
    }
    if sound { Ok(given) } else { Err("a cell names an action twice, or one that its row lacks") }
}

const fn give(given: &mut Cell, action: Option<usize>, scope: Scope) -> bool {
    match action {
        Some(action) if given[action].is_none() => {
            given[action] = Some(scope);
            true
        }
        _ => false,
    }
}

/// Reads the table, whose rows must list the catalogue's permissions in the catalogue's order.
const fn built_in_grants() -> [GrantSet; BuiltInRole::ALL.len()] {
    let mut sets = [GrantSet::EMPTY; BuiltInRole::ALL.len()];
    let mut next: u16 = 0;
    let mut row = 0;
    while row < TABLE.len() {
        let (resources, actions, cells) = TABLE[row];
        let mut after_resource = 0;
        while let Some((start, end)) = next_word(resources.as_bytes(), after_resource) {
            after_resource = end;
            let resource = cut(resources.as_bytes(), start, end);
            let first = next;
            let mut after_action = 0;
            while let Some((start, end)) = next_word(actions.as_bytes(), after_action) {
                after_action = end;
                let entry = &ENTRIES[next as usize];
                assert!(
                    same(entry.resource.as_bytes(), resource) && same(entry.action.as_bytes(), cut(actions.as_bytes(), start, end)),
                    "the roles' table and the catalogue list different permissions"
                );
                let permission = Permission(next);
                sets[BuiltInRole::Owner as usize].grant(permission.any());
                sets[BuiltInRole::Admin as usize].grant(permission.any());
                next += 1;
            }
            let mut column = 0;
            while column < COLUMNS.len() {
                let cell = match parse_cell(actions, cells[column]) {
                    Ok(cell) => cell,
                    Err(reason) => panic!("{}", reason),
                };
                let mut permission = first;
                while permission < next {
                    if let Some(scope) = cell[(permission - first) as usize] {
                        let grant = PermissionGrant { permission: Permission(permission), scope };
                        sets[COLUMNS[column] as usize].grant(grant);
                    }
                    permission += 1;
                }
                column += 1;
            }
        }
        row += 1;
    }
    assert!(next == SYSTEM_SETTINGS.0, "every permission but system.* has a row");
    sets[BuiltInRole::Admin as usize].deny(BILLING_MANAGE);
    sets[BuiltInRole::Admin as usize].deny(WORKSPACE_DELETE);
    sets[BuiltInRole::Admin as usize].deny(WORKSPACE_TRANSFER);
    sets
}

/// Where the next word begins and ends; commas and spaces separate.
const fn next_word(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut start = from;
    while start < text.len() && matches!(text[start], b' ' | b',') {
        start += 1;
    }
    let mut end = start;
    while end < text.len() && !matches!(text[end], b' ' | b',') {
        end += 1;
    }
    if start < end { Some((start, end)) } else { None }
}

/// Which of the words it is, counted from 0.
const fn position(words: &[u8], word: &[u8]) -> Option<usize> {
    let (mut index, mut from) = (0, 0);
    while let Some((start, end)) = next_word(words, from) {
        if same(cut(words, start, end), word) {
            return Some(index);
        }
        (index, from) = (index + 1, end);
    }
    None
}

const fn cut(text: &[u8], start: usize, end: usize) -> &[u8] {
    text.split_at(end).0.split_at(start).1
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}
