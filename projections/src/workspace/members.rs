//! A user in a workspace. Who has left keeps the row, so that history can name them, without any rights.

use crate::model::{shown, take};
use crate::query::{Page, PageArgs, QueryError, Scope, Sort, count, page, row, rows};
use crate::{NodeId, ReadModel, Stored};
use async_graphql::{Enum, InputObject, SimpleObject};
use chrono::{DateTime, Utc};
use domain::roles::{PermissionName, PermissionSet, RoleRef};
use domain::workspace::{MembershipEvent, OverrideChanges};
use domain::{Decider, MembershipId, Recorded, RoleId, TenantId, UserId};
use serde::{Deserialize, Serialize};
use sqlx::{Postgres, QueryBuilder};
use std::collections::HashMap;
use uuid::Uuid;

/// How a member came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[graphql(remote = "domain::workspace::MemberSource")]
pub enum MemberSource {
    /// They created the workspace.
    Creator,
    /// They accepted an invitation.
    Invitation,
    /// The program added them.
    Provisioned,
}

/// Whether a user is a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MemberStatus {
    /// The user is a member.
    Active,
    /// The user is one, but may do nothing for now.
    Suspended,
    /// The user was one.
    Removed,
}

/// A user in this workspace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, SimpleObject)]
#[graphql(name = "MemberRow")]
pub struct Member {
    /// The membership's id: the same when a user leaves and comes back.
    pub id: NodeId<MembershipId>,
    /// The user.
    pub user_id: NodeId<UserId>,
    /// Their display name.
    pub name: Option<String>,
    /// Their e-mail address; `[erased]` once the person is forgotten.
    pub email: String,
    /// The keys of the built-in roles they were given; none after they have left. `owner` is never among them.
    pub role_keys: Vec<String>,
    /// The ids of the workspace's own roles they were given; none after they have left.
    pub role_ids: Vec<NodeId<RoleId>>,
    /// What they may do beside what their roles grant: `posts.update`, or `posts.update@own` for own records only.
    pub grants: Vec<String>,
    /// What they may not do, whatever grants it, unless they own the workspace.
    pub denies: Vec<String>,
    /// How they came, the last time.
    pub source: MemberSource,
    /// Whether they are a member now.
    pub status: MemberStatus,
    /// When they came, the last time.
    pub joined_at: DateTime<Utc>,
    /// When they left, unless they are back.
    pub left_at: Option<DateTime<Utc>>,
}

impl ReadModel for Member {
    const TABLE: &'static str = "workspace_members";
    const VERSION: i32 = 2;
    const READS: &'static [&'static str] = &[domain::workspace::Membership::TYPE];
    type Key = UserId;

    fn keys(event: &Recorded) -> Vec<UserId> {
        use MembershipEvent::*;
        match event.of() {
            Some(
                MemberJoined { user_id, .. }
                | RoleAssigned { user_id, .. }
                | RoleRevoked { user_id, .. }
                | PermissionOverridesSet { user_id, .. }
                | MemberSuspended { user_id, .. }
                | MemberReinstated { user_id }
                | MemberRemoved { user_id, .. },
            ) => vec![*user_id],
            None => vec![],
        }
    }

    fn fold(row: Option<Self>, _: &UserId, event: &Recorded) -> Option<Self> {
        let Some(change) = event.of::<MembershipEvent>() else { return row };
        match change {
            MembershipEvent::MemberJoined { user_id, roles, source, profile_name, profile_email, limit: _ } => {
                let row = Self {
                    id: NodeId(MembershipId(event.aggregate_id)),
                    user_id: NodeId(*user_id),
                    name: profile_name.as_ref().map(shown),
                    email: shown(profile_email),
                    role_keys: vec![],
                    role_ids: vec![],
                    grants: vec![],
                    denies: vec![],
                    source: (*source).into(),
                    status: MemberStatus::Active,
                    joined_at: event.at(),
                    left_at: None,
                };
                Some(roles.iter().fold(row, |row, role| row.with(*role)))
            }
            MembershipEvent::RoleAssigned { role, .. } => row.map(|row| row.with(*role)),
            MembershipEvent::RoleRevoked { role, .. } => row.map(|row| row.without(*role)),
            MembershipEvent::PermissionOverridesSet { changes: OverrideChanges { grants, denies }, .. } => {
                let mut row = row?;
                take(&mut row.grants, grants.as_ref(), |grants: &PermissionSet| grants.iter().map(|grant| grant.to_string()).collect());
                take(&mut row.denies, denies.as_ref(), |denies| denies.iter().map(PermissionName::to_string).collect());
                Some(row)
            }
            MembershipEvent::MemberSuspended { .. } => row.map(|row| Self { status: MemberStatus::Suspended, ..row }),
            MembershipEvent::MemberReinstated { .. } => row.map(|row| Self { status: MemberStatus::Active, ..row }),
            MembershipEvent::MemberRemoved { .. } => {
                let left = |row: Self| Self {
                    role_keys: vec![],
                    role_ids: vec![],
                    grants: vec![],
                    denies: vec![],
                    status: MemberStatus::Removed,
                    left_at: Some(event.at()),
                    ..row
                };
                row.map(left)
            }
        }
    }
}

impl Member {
    /// The roles they were given, be they of the workspace or built in.
    pub fn roles(&self) -> impl Iterator<Item = RoleRef> {
        let built_in = self.role_keys.iter().filter_map(|key| key.parse().ok());
        built_in.chain(self.role_ids.iter().map(|id| RoleRef::Custom(id.0)))
    }

    fn with(self, role: RoleRef) -> Self {
        let mut row = self.without(role);
        match role {
            RoleRef::BuiltIn(role) => row.role_keys.push(role.key().to_owned()),
            RoleRef::Custom(id) => row.role_ids.push(NodeId(id)),
        }
        row
    }

    fn without(mut self, role: RoleRef) -> Self {
        match role {
            RoleRef::BuiltIn(role) => self.role_keys.retain(|key| key != role.key()),
            RoleRef::Custom(id) => self.role_ids.retain(|held| held.0 != id),
        }
        self
    }
}

/// Which members.
#[derive(Clone, Debug, Default, InputObject)]
pub struct MemberFilter {
    /// Those of this status; all who have not left, unless one is named.
    pub status: Option<MemberStatus>,
    /// Those with this role, by the key of a built-in one or the id of one of the workspace's own; `owner` is a role here.
    pub role: Option<String>,
    /// The one with this e-mail address.
    pub email: Option<String>,
    /// This one.
    #[graphql(skip)]
    pub user: Option<UserId>,
}

impl MemberFilter {
    fn push(&self, tenant: TenantId, query: &mut QueryBuilder<'static, Postgres>) {
        match self.status {
            None => query.push(" and t.status <> 'REMOVED'"),
            Some(MemberStatus::Active) => query.push(" and t.status = 'ACTIVE'"),
            Some(MemberStatus::Suspended) => query.push(" and t.status = 'SUSPENDED'"),
            Some(MemberStatus::Removed) => query.push(" and t.status = 'REMOVED'"),
        };
        if let Some(user) = self.user {
            query.push(" and t.user_id = ").push_bind(user.0);
        }
        if let Some(email) = &self.email {
            query.push(" and t.email = ").push_bind(email.trim().to_lowercase());
        }
        match self.role.as_deref() {
            None => {}
            Some("owner") => {
                query.push(
                    " and t.user_id = any (array(select unnest(w.owner_ids) from read_models.workspace_workspaces w where w.tenant_id = ",
                );
                query.push_bind(tenant.0).push("))");
            }
            // The members of one workspace are few; the index on the tenant is enough.
            Some(role) => {
                match role.parse() {
                    Ok(RoleId(id)) => query.push(" and ").push_bind(id).push(" = any (t.role_ids)"),
                    Err(_) => query.push(" and ").push_bind(role.to_owned()).push(" = any (t.role_keys)"),
                };
            }
        }
    }
}

/// In which order members are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum)]
pub enum MemberOrder {
    /// By display name, or e-mail address where there is none.
    #[default]
    Name,
    /// Who came first, first.
    JoinedAtAsc,
    /// Who came last, first.
    JoinedAtDesc,
}

impl MemberOrder {
    fn sort(self) -> Sort {
        const JOINED: &[(&str, &str)] = &[("t.joined_at", "timestamptz"), ("t.user_id", "uuid")];
        match self {
            Self::Name => Sort { name: "NAME", by: &[("t.sort_name", "text"), ("t.user_id", "uuid")], descending: false },
            Self::JoinedAtAsc => Sort { name: "JOINED_AT_ASC", by: JOINED, descending: false },
            Self::JoinedAtDesc => Sort { name: "JOINED_AT_DESC", by: JOINED, descending: true },
        }
    }
}

/// Members in an order.
///
/// # Errors
/// The page's arguments, or the database.
pub async fn members(scope: &mut Scope, filter: &MemberFilter, order: MemberOrder, args: &PageArgs) -> Result<Page<Member>, QueryError> {
    let tenant = scope.tenant();
    page(scope, |query| filter.push(tenant, query), &order.sort(), args).await
}

/// How many members pass a filter.
///
/// # Errors
/// The database.
pub async fn count_members(scope: &mut Scope, filter: &MemberFilter) -> Result<i64, sqlx::Error> {
    let tenant = scope.tenant();
    count::<Member>(scope, |query| filter.push(tenant, query)).await
}

/// How many members have each role, by the key of a built-in one or the id of one of the workspace's own.
///
/// # Errors
/// The database.
pub async fn role_holders(scope: &mut Scope) -> Result<HashMap<String, i64>, sqlx::Error> {
    let tenant = scope.tenant().0;
    let counts: Vec<(String, i64)> = sqlx::query_as(
        "select r.role, count(*)
         from read_models.workspace_members m
         left join read_models.workspace_workspaces w on w.tenant_id = m.tenant_id
         cross join lateral unnest(m.role_keys || m.role_ids::text[] || case when m.user_id = any (w.owner_ids) then array['owner'] end) as r (role)
         where m.tenant_id = $1 and m.status <> 'REMOVED'
         group by r.role",
    )
    .bind(tenant)
    .fetch_all(scope.connection())
    .await?;
    Ok(counts.into_iter().collect())
}

/// A user in this workspace, be it that they have left.
///
/// # Errors
/// The database.
pub async fn member(scope: &mut Scope, user: UserId) -> Result<Option<Stored<Member>>, sqlx::Error> {
    row(scope, move |query| {
        query.push(" and t.user_id = ").push_bind(user.0);
    })
    .await
}

/// A membership of this workspace, be it an ended one.
///
/// # Errors
/// The database.
pub async fn member_by_id(scope: &mut Scope, id: MembershipId) -> Result<Option<Stored<Member>>, sqlx::Error> {
    row(scope, move |query| {
        query.push(" and t.id = ").push_bind(id.0);
    })
    .await
}

/// These users as members, those included who have left.
///
/// # Errors
/// The database.
pub async fn members_by_user(scope: &mut Scope, users: &[UserId]) -> Result<HashMap<UserId, Stored<Member>>, sqlx::Error> {
    let ids: Vec<Uuid> = users.iter().map(|user| user.0).collect();
    let limit = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    let found = rows::<Member>(
        scope,
        |query| {
            query.push(" and t.user_id = any (").push_bind(ids.clone()).push(")");
        },
        "t.user_id",
        limit,
    )
    .await?;
    Ok(found.into_iter().map(|stored| (stored.row.user_id.0, stored)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{ALICE, BOB, TENANT, log, minute, row};
    use domain::Change;
    use domain::roles::BuiltInRole;
    use domain::workspace::MemberSource as Source;
    use domain::workspace::MembershipEvent::*;
    use domain::{Personal, WorkspaceId};

    fn joined(roles: Vec<BuiltInRole>) -> MembershipEvent {
        let (profile_name, profile_email) = (Some(Personal::new(BOB, "Bob".into())), Personal::new(BOB, "bob@example.org".into()));
        MemberJoined {
            user_id: BOB,
            roles: roles.into_iter().map(Into::into).collect(),
            source: Source::Invitation,
            profile_name,
            profile_email,
            limit: None,
        }
    }

    fn bob(events: impl IntoIterator<Item = MembershipEvent>) -> Member {
        row(&log::<domain::workspace::Membership>(WorkspaceId::from(TENANT).membership(BOB), events))
    }

    #[test]
    fn a_member_has_the_roles_they_were_given() {
        let assigned = RoleAssigned { user_id: BOB, role: BuiltInRole::Pm.into(), assigned_by: Some(ALICE) };
        let revoked = RoleRevoked { user_id: BOB, role: BuiltInRole::Viewer.into() };
        let member = bob([joined(vec![BuiltInRole::Viewer]), assigned.clone(), assigned, revoked]);
        assert_eq!(
            (member.role_keys, member.name.as_deref(), member.email.as_str()),
            (vec!["pm".to_owned()], Some("Bob"), "bob@example.org")
        );
    }

    #[test]
    fn who_leaves_keeps_the_row_without_roles_and_comes_back_to_it() {
        let left = [joined(vec![BuiltInRole::Viewer]), MemberRemoved { user_id: BOB, reason: None, left: true, custom_roles: vec![] }];
        let member = bob(left.clone());
        assert_eq!((member.status, member.role_keys.len(), member.left_at), (MemberStatus::Removed, 0, Some(minute(2))));
        let member = bob(left.into_iter().chain([joined(vec![BuiltInRole::Editor])]));
        assert_eq!(
            (member.status, member.role_keys, member.joined_at, member.left_at),
            (MemberStatus::Active, vec!["editor".to_owned()], minute(3), None)
        );
    }

    #[test]
    fn roles_of_the_workspace_overrides_and_suspension_show_until_the_member_leaves() {
        let desk = RoleId(Uuid::from_u128(0xde5c));
        let grants: PermissionSet =
            ["posts.update@own", "custom.approve"].iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>().into_iter().collect();
        let changes = OverrideChanges {
            grants: Some(Change { from: PermissionSet::default(), to: grants }),
            denies: Some(Change { from: Default::default(), to: ["tasks.create".parse().unwrap()].into() }),
        };
        let history = [
            joined(vec![BuiltInRole::Viewer]),
            RoleAssigned { user_id: BOB, role: desk.into(), assigned_by: None },
            PermissionOverridesSet { user_id: BOB, changes },
            MemberSuspended { user_id: BOB, reason: None },
        ];
        let member = bob(history.clone());
        assert_eq!((member.status, member.role_ids.as_slice()), (MemberStatus::Suspended, [NodeId(desk)].as_slice()));
        assert_eq!((member.grants.join(" "), member.denies.join(" ")), ("posts.update@own custom.approve".into(), "tasks.create".into()));
        assert!(member.roles().eq([RoleRef::from(BuiltInRole::Viewer), desk.into()]));
        assert_eq!(bob(history.clone().into_iter().chain([MemberReinstated { user_id: BOB }])).status, MemberStatus::Active);
        let revoked = RoleRevoked { user_id: BOB, role: desk.into() };
        assert_eq!(bob(history.clone().into_iter().chain([revoked])).role_ids, []);
        let gone = bob(history.into_iter().chain([MemberRemoved { user_id: BOB, reason: None, left: false, custom_roles: vec![desk] }]));
        assert_eq!((gone.roles().count(), gone.grants.len(), gone.denies.len(), gone.status), (0, 0, 0, MemberStatus::Removed));
    }
}
