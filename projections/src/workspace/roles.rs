//! A role that a workspace made itself. One that is deleted has no row: nobody had it, and its name is free.
//! How many members have a role follows from the members' rows.

use crate::model::{shown, take};
use crate::query::{Scope, rows};
use crate::{NodeId, ReadModel, Stored};
use domain::roles::PermissionSet;
use domain::workspace::{RoleChanges, RoleEvent};
use domain::{Decider, Recorded, RoleId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A role of the workspace's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Role {
    /// The id.
    pub id: NodeId<RoleId>,
    /// Its name, unique in the workspace whatever the case of its letters.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What it grants, retired permissions included.
    pub permissions: PermissionSet,
}

impl ReadModel for Role {
    const TABLE: &'static str = "workspace_roles";
    const READS: &'static [&'static str] = &[domain::workspace::Role::TYPE];
    type Key = RoleId;

    fn keys(event: &Recorded) -> Vec<RoleId> {
        event.of::<RoleEvent>().map(|_| RoleId(event.aggregate_id)).into_iter().collect()
    }

    fn fold(row: Option<Self>, key: &RoleId, event: &Recorded) -> Option<Self> {
        let Some(change) = event.of::<RoleEvent>() else { return row };
        if let RoleEvent::RoleCreated { name, description, permissions, created_by: _ } = change {
            let (name, description) = (name.clone(), description.as_ref().map(shown));
            return Some(Self { id: NodeId(*key), name, description, permissions: permissions.clone() });
        }
        let mut row = row?;
        match change {
            RoleEvent::RoleCreated { .. } => {}
            RoleEvent::RoleUpdated { changes: RoleChanges { name, description } } => {
                take(&mut row.name, name.as_ref(), Clone::clone);
                take(&mut row.description, description.as_ref(), |text| text.as_ref().map(shown));
            }
            RoleEvent::PermissionGranted { permission } => row.permissions.grant(permission.clone()),
            RoleEvent::PermissionRevoked { permission } => row.permissions.deny(permission),
            RoleEvent::RoleDeleted { .. } => return None,
        }
        Some(row)
    }
}

/// These roles of the workspace, or all of them, by name; those that `maker` has made, if one is named.
///
/// # Errors
/// The database.
pub async fn roles(scope: &mut Scope, ids: Option<&[RoleId]>, maker: Option<UserId>) -> Result<Vec<Stored<Role>>, sqlx::Error> {
    let ids: Option<Vec<Uuid>> = ids.map(|ids| ids.iter().map(|id| id.0).collect());
    rows(
        scope,
        move |query| {
            if let Some(ids) = &ids {
                query.push(" and t.id = any (").push_bind(ids.clone()).push(")");
            }
            if let Some(maker) = maker {
                query.push(" and t.created_by = ").push_bind(maker.0);
            }
        },
        "lower(t.name), t.id",
        i64::from(domain::workspace::MAX_CUSTOM_ROLES),
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TENANT, log, row, rows};
    use domain::workspace::RoleEvent::*;
    use domain::{Change, Personal};

    const DESK: RoleId = RoleId(Uuid::from_u128(0xde5c));

    fn history(then: impl IntoIterator<Item = RoleEvent>) -> Vec<Recorded> {
        let description = Some(Personal::new(TENANT, "The desk".to_owned()));
        let permissions = ["posts.read", "custom.approve"].iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let created = RoleCreated { name: "Desk".into(), description, permissions: permissions.into_iter().collect(), created_by: None };
        log::<domain::workspace::Role>(DESK, std::iter::once(created).chain(then))
    }

    #[test]
    fn a_role_is_as_it_was_last_said_to_be() {
        let name = Some(Change { from: "Desk".to_owned(), to: "Front desk".to_owned() });
        let role: Role = row(&history([
            RoleUpdated { changes: RoleChanges { name, description: None } },
            PermissionGranted { permission: "posts.update@own".parse().unwrap() },
            PermissionRevoked { permission: "posts.read".parse().unwrap() },
        ]));
        assert_eq!((role.name.as_str(), role.description.as_deref()), ("Front desk", Some("The desk")));
        assert_eq!(serde_json::to_value(&role.permissions).unwrap(), serde_json::json!(["posts.update@own", "custom.approve"]));
    }

    #[test]
    fn a_deleted_role_leaves_no_row() {
        assert!(rows::<Role>(&history([RoleDeleted { name: "Desk".into() }])).is_empty());
    }
}
