//! The parts of the program that send commands in their own name, each with the commands it may send and no other.
//! All there are stand here.

use domain::SystemCaller;

/// Carries a registration on, from the account to the PERSONAL workspace.
pub static REGISTRATION: SystemCaller =
    SystemCaller { name: "registration", commands: &["ReserveWorkspace", "AddMember", "ConfirmWorkspace"] };

/// Notes sign-ins and starts sessions, once a password was right.
pub static SIGN_IN: SystemCaller = SystemCaller { name: "sign_in", commands: &["RecordLogin", "RecordLoginFailure", "StartSession"] };

/// Creates TEAM workspaces for users.
pub static TEAMS: SystemCaller = SystemCaller { name: "teams", commands: &["ReserveWorkspace", "AddMember", "ConfirmWorkspace"] };

/// Keeps the directory in step with a workspace that changes its slug.
pub static SLUGS: SystemCaller = SystemCaller { name: "slugs", commands: &["ReserveSlug", "ConfirmSlug", "ReleaseSlug"] };

/// Ends reservations that have expired, when another wants the slug.
pub static RESERVATIONS: SystemCaller =
    SystemCaller { name: "reservations", commands: &["ReleaseWorkspace", "AddMember", "ConfirmWorkspace"] };

/// Sets plans, until there are subscriptions.
pub static PLANS: SystemCaller = SystemCaller { name: "plans", commands: &["ChangePlan"] };

/// Suspends workspaces and ends suspensions, for who runs the platform.
pub static SUSPENSIONS: SystemCaller = SystemCaller { name: "suspensions", commands: &["SuspendWorkspace", "ReinstateWorkspace"] };

/// Makes users and members of the people an imported log names.
pub static IMPORTER: SystemCaller = SystemCaller { name: "importer", commands: &["ProvisionUser", "AddMember"] };

/// Makes the demo's people.
pub static DEMO: SystemCaller = SystemCaller { name: "demo", commands: &["ProvisionUser", "AddMember"] };

/// Whoever operates the machine, and the administrators of the platform where a workspace's log is concerned.
pub static OPERATORS: SystemCaller =
    SystemCaller { name: "operators", commands: &["SkipProjectionEvent", "GrantPlatformRole", "RevokePlatformRole"] };

/// All of them.
pub static ALL: [&SystemCaller; 10] =
    [&REGISTRATION, &SIGN_IN, &TEAMS, &SLUGS, &RESERVATIONS, &PLANS, &SUSPENSIONS, &IMPORTER, &DEMO, &OPERATORS];

#[cfg(test)]
mod tests {
    use super::*;
    use domain::identity::{SessionCommand, UserCommand, WorkspaceEntryCommand};
    use domain::operations::ProjectionControlCommand;
    use domain::workspace::{MembershipCommand, WorkspaceCommand};
    use std::collections::BTreeSet;

    #[test]
    fn their_names_differ_and_their_commands_exist() {
        let names: BTreeSet<_> = ALL.iter().map(|caller| caller.name).collect();
        assert_eq!(names.len(), ALL.len());
        // A name that no command has any more would be refused at the worst moment: when it is needed.
        for command in ALL.iter().flat_map(|caller| caller.commands) {
            let exists = [
                exists::<UserCommand>,
                exists::<SessionCommand>,
                exists::<WorkspaceEntryCommand>,
                exists::<MembershipCommand>,
                exists::<WorkspaceCommand>,
                exists::<ProjectionControlCommand>,
            ];
            assert!(exists.iter().any(|exists| exists(command)), "there is no command {command}");
        }
    }

    /// serde knows the names of an enum's variants: an unknown one is refused as such.
    fn exists<C: serde::de::DeserializeOwned>(command: &str) -> bool {
        match serde_json::from_value::<C>(serde_json::json!({ command: {} })) {
            Ok(_) => true,
            Err(error) => !error.to_string().contains("unknown variant"),
        }
    }
}
