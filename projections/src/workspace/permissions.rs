//! The permissions that a workspace names itself. One that is retired has no row.

use crate::model::shown;
use crate::query::{Scope, rows};
use crate::{ReadModel, Stored};
use domain::workspace::WorkspaceEvent;
use domain::{Decider, Recorded};
use serde::{Deserialize, Serialize};

/// A permission of the workspace's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomPermission {
    /// Its name: `custom.approve`.
    pub name: String,
    /// What it allows.
    pub description: Option<String>,
}

impl ReadModel for CustomPermission {
    const TABLE: &'static str = "workspace_permissions";
    const READS: &'static [&'static str] = &[domain::workspace::Workspace::TYPE];
    type Key = String;

    fn keys(event: &Recorded) -> Vec<String> {
        use WorkspaceEvent::*;
        match event.of() {
            Some(CustomPermissionRegistered { name, .. } | CustomPermissionRetired { name }) => vec![name.to_string()],
            _ => vec![],
        }
    }

    fn fold(row: Option<Self>, name: &String, event: &Recorded) -> Option<Self> {
        match event.of() {
            Some(WorkspaceEvent::CustomPermissionRegistered { description, .. }) => {
                Some(Self { name: name.clone(), description: description.as_ref().map(shown) })
            }
            Some(WorkspaceEvent::CustomPermissionRetired { .. }) => None,
            _ => row,
        }
    }
}

/// The permissions of the workspace's own, by name.
///
/// # Errors
/// The database.
pub async fn custom_permissions(scope: &mut Scope) -> Result<Vec<Stored<CustomPermission>>, sqlx::Error> {
    let most = i64::try_from(domain::workspace::MAX_CUSTOM_PERMISSIONS).unwrap_or(i64::MAX);
    rows(scope, |_| {}, "t.name", most).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TENANT, log, rows};
    use domain::Personal;
    use domain::workspace::WorkspaceEvent::*;

    #[test]
    fn a_permission_is_there_from_its_registration_until_it_is_retired() {
        let description = Some(Personal::new(TENANT, "Approves offers".to_owned()));
        let registered = |name: &str| CustomPermissionRegistered { name: name.parse().unwrap(), description: description.clone() };
        let retired = CustomPermissionRetired { name: "custom.approve".parse().unwrap() };
        let events = [registered("custom.approve"), registered("custom.export"), retired];
        let rows = rows::<CustomPermission>(&log::<domain::workspace::Workspace>(TENANT.0, events));
        let expected = CustomPermission { name: "custom.export".into(), description: Some("Approves offers".into()) };
        assert_eq!(rows.into_values().collect::<Vec<_>>(), [expected]);
    }
}
