//! What tests that go through all fields, commands and queries cannot learn from the code: values for arguments, and
//! doors, needs and endings that go by no rule. Said once, here; what is missing fails those tests.

use super::schema::{Schema, base};
use async_graphql_parser::types::{BaseType, Type, TypeKind};
use domain::roles::{PIPELINE_ITEMS_READ, PIPELINES_READ, Permission, ROLES_READ, SYSTEM_PROJECTIONS, TASKS_READ};
use std::collections::BTreeMap;
use uuid::Uuid;

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
    /// The workspace's name in addresses.
    pub(super) slug: String,
    /// One of each kind beside these, by its name in the schema: `company`, which `createCompany` made.
    pub(super) others: BTreeMap<String, Uuid>,
}

impl Ids {
    /// The value, in GraphQL, of the id that stands at this path of a field's arguments.
    pub(super) fn at(&self, field: &str, path: &str) -> String {
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
pub(super) fn filler(schema: &Schema, field: &str, path: &str, kind: &Type, ids: &dyn Fn(&str) -> Ids) -> String {
    let name = path.rsplit('.').next().unwrap_or(path);
    let (slug, around);
    let said = match (field, name) {
        ("hasPermission", "name") => "\"pipelines.update\"",
        ("registerCustomPermission" | "retireCustomPermission", "name") => "\"custom.something\"",
        // Not what the role grants already.
        (_, "permission") => "\"posts.update\"",
        (_, "permissions" | "grants" | "denies") => "\"posts.read\"",
        (_, "confirmSlug") => {
            slug = format!("\"{}\"", ids(path).slug);
            &slug
        }
        // Another one than what is renamed.
        ("createRole", "name") => "\"A role of Something\"",
        // Not what they are called already.
        (_, "name" | "title" | "label") if field.starts_with("update") => "\"Something else\"",
        (_, "name") => "\"Something\"",
        (_, "title" | "label" | "category" | "titlePattern" | "note") => "\"Something\"",
        // Around what has just been done.
        ("pipelineMetrics", "from" | "to") => {
            let days = chrono::TimeDelta::days(if name == "from" { -2 } else { 2 });
            around = (crate::harness::now() + days).format("\"%Y-%m-%d\"").to_string();
            &around
        }
        (_, "key") => "\"something\"",
        ("changeSlug", "slug") => "\"some-other-thing\"",
        (_, "slug") => "\"some-thing\"",
        (_, "tag") => "\"some\"",
        (_, "role") => "\"viewer\"",
        (_, "resource") => "\"custom\"",
        (_, "readModel") => "\"pipeline_items\"",
        (_, "workspace") => "\"some-thing\"",
        (_, "position") => "\"1\"",
        (_, "reason") => "\"something\"",
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

/// Arguments that say nothing without another.
pub(super) const COMPANIONS: [(&str, &str); 1] = [("stageId", "pipelineId")];

/// Commands whose door is not the mutation of their own name: another mutation, or a path of REST.
pub(super) const DOORS: [(&str, &str); 4] = [
    ("RegisterUser", "POST /api/v1/auth/register"),
    ("RefreshSession", "POST /api/v1/auth/refresh"),
    ("UpdateSettings", "updateWorkspaceSettings"),
    ("RecordActivity", "recordItemActivity"),
];

/// Commands that a permission allows and that have no public door all the same, each with the reason.
pub(super) const NO_DOOR: [(&str, &str); 2] = [
    ("GrantPlatformRole", "only who operates the machine makes administrators: `annals system-admin`"),
    ("RevokePlatformRole", "only who operates the machine unmakes administrators: `annals system-admin --revoke`"),
];

/// Mutations for administrators of the platform, who are in no workspace's grants: each asks for a permission of the
/// platform's itself, and has the program send its command, if it sends one.
pub(super) const ADMINISTERS: [(&str, Permission, Option<&str>); 2] =
    [("retryProjection", SYSTEM_PROJECTIONS, None), ("skipProjectionEvent", SYSTEM_PROJECTIONS, Some("SkipProjectionEvent"))];

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
pub(super) const READS: [(&str, Reads); 12] = [
    ("node", Reads::Named),
    ("hasPermission", Reads::Member),
    ("myPermissions", Reads::Member),
    ("permissions", Reads::Permission(ROLES_READ)),
    ("roles", Reads::Permission(ROLES_READ)),
    ("itemHistory", Reads::Permission(PIPELINE_ITEMS_READ)),
    ("itemsByAssignee", Reads::Permission(PIPELINE_ITEMS_READ)),
    ("timeInStage", Reads::All(PIPELINE_ITEMS_READ)),
    ("pipelineMetrics", Reads::All(PIPELINE_ITEMS_READ)),
    ("taskDecisions", Reads::Permission(TASKS_READ)),
    ("pipelineBoard", Reads::Permission(PIPELINES_READ)),
    ("projectionStatus", Reads::Permission(SYSTEM_PROJECTIONS)),
];

/// What undoes what: before `restoreItem` is tried, `deleteItem` is done. By the verbs with which mutations begin.
pub(super) const UNDOES: [(&str, &str); 10] = [
    ("restore", "delete"),
    ("remove", "add"),
    ("activate", "deactivate"),
    ("unassign", "assign"),
    ("revoke", "assign"),
    ("revoke", "grant"),
    ("reinstate", "suspend"),
    ("retire", "register"),
    ("reopen", "complete"),
    ("reopen", "close"),
];

/// What comes before what in a life of several states: before `approveTask` is tried, the task is submitted, and before
/// that started.
pub(super) const BEFORE: [(&str, &str); 6] = [
    ("submitTaskForReview", "startTask"),
    ("requestTaskChanges", "submitTaskForReview"),
    ("approveTask", "submitTaskForReview"),
    ("completeTask", "startTask"),
    ("reopenTask", "completeTask"),
    ("unblockTask", "blockTask"),
];

/// Mutations after which a member is none or a workspace is not what it was: each is tried in a workspace of its own.
pub(super) const ENDS: [&str; 3] = ["leaveWorkspace", "deleteWorkspace", "restoreWorkspace"];

/// Mutations after which there is no entity to answer with.
pub(super) const GONE: [&str; 1] = ["deleteRole"];
