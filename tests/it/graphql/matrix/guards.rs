//! The guard rules that stand beside permissions: who holds the permission is refused all the same.

use super::super::{Acme, World};
use domain::roles::BuiltInRole;

/// A guard rule, and how it is tried.
pub(super) struct Guard {
    pub(super) rule: &'static str,
    pub(super) says: &'static str,
    /// Why nothing is tried here, where nothing is.
    untried: &'static str,
    tries: &'static [Try],
}

/// Somebody in a role sends what only the rule stands against. `ME` is who sends it, `MEMBER` somebody else.
struct Try {
    role: BuiltInRole,
    mutation: &'static str,
    arguments: &'static str,
    /// What is answered; empty where the rule lets it pass.
    code: &'static str,
}

const fn attempt(role: BuiltInRole, mutation: &'static str, arguments: &'static str, code: &'static str) -> Try {
    Try { role, mutation, arguments, code }
}

const fn tried(rule: &'static str, says: &'static str, tries: &'static [Try]) -> Guard {
    Guard { rule, says, untried: "", tries }
}

const fn untried(rule: &'static str, says: &'static str, untried: &'static str) -> Guard {
    Guard { rule, says, untried, tries: &[] }
}

use BuiltInRole::{Admin, Member, Owner};

pub(super) const GUARDS: [Guard; 6] = [
    tried(
        "1",
        "Nobody hands out a role or a permission beyond what they hold.",
        &[attempt(Admin, "assignRole", "userId: MEMBER, role: \"owner\"", "OWNER_NOT_ASSIGNABLE")],
    ),
    tried(
        "2",
        "A workspace always has an owner.",
        &[attempt(Owner, "revokeOwnership", "userId: ME", "LAST_OWNER"), attempt(Owner, "leaveWorkspace", "", "LAST_OWNER")],
    ),
    tried(
        "3",
        "Nobody changes their own roles, except by leaving.",
        &[
            attempt(Admin, "assignRole", "userId: ME, role: \"pm\"", "OWN_ROLES"),
            attempt(Admin, "revokeRole", "userId: ME, role: \"admin\"", "OWN_ROLES"),
            attempt(Member, "leaveWorkspace", "", ""),
        ],
    ),
    untried("4", "API keys carry a subset of what their creator holds, and lose what the creator loses.", "there are no API keys yet"),
    untried("5", "Agents act within what their activator holds.", "there are no agents yet"),
    untried(
        "6",
        "What is taken from a member counts at once.",
        "tried by what_is_taken_from_a_member_counts_at_once (tests/it/graphql/roles.rs) and tests/it/log/fence.rs",
    ),
];

impl Guard {
    pub(super) fn shown(&self) -> String {
        if self.tries.is_empty() {
            return self.untried.to_owned();
        }
        let shown = |attempt: &Try| {
            let arguments = if attempt.arguments.is_empty() { String::new() } else { format!("({})", attempt.arguments) };
            let answer = if attempt.code.is_empty() { "done" } else { attempt.code };
            format!("{} {}{arguments}: {answer}", attempt.role, attempt.mutation)
        };
        self.tries.iter().map(shown).collect::<Vec<_>>().join("\n   ")
    }
}

#[tokio::test]
async fn guard_rules_stand_against_those_who_hold_the_permission() {
    let world = World::new().await;
    let acme = Acme::new(&world, "acme").await;
    let member = acme.member(Member).await;
    for attempt in GUARDS.iter().flat_map(|guard| guard.tries) {
        let person = if attempt.role == Owner { acme.owner.clone() } else { acme.member(attempt.role).await };
        let id = |user: domain::UserId| format!("\"{user}\"");
        let arguments = attempt.arguments.replace("MEMBER", &id(member.id)).replace("ME", &id(person.id));
        let before = super::super::heads(&world).await;
        let reply = person.client.mutate(attempt.mutation, &arguments, "id").await;
        assert_eq!(reply.code(), attempt.code, "{} {}({arguments}): {}", attempt.role, attempt.mutation, reply.text);
        assert_eq!(super::super::heads(&world).await == before, !attempt.code.is_empty(), "{}: {}", attempt.mutation, reply.text);
    }
}
