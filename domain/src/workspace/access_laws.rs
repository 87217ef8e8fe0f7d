//! Whatever is done to a workspace, its members and its roles: the fold of access says of everybody what the
//! aggregates' own states say, worked out here the slow way and from nothing that the fold uses.

use super::*;
use crate::roles::{BuiltInRole, CustomPermission, Grantable, Permission, PermissionName, PermissionSet, RoleRef, Scope};
use crate::testing::{TENANT, somebody};
use crate::{
    Access, Caller, ClaimName, ClaimOp, Decider, Email, Envelope, Facts, Name, Principal, RoleId, RoleName, Slug, SystemCaller, UserId,
    WorkspaceId,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use uuid::Uuid;

static PROGRAM: SystemCaller =
    SystemCaller { name: "tests", commands: &["CreateWorkspace", "AddMember", "SuspendWorkspace", "ReinstateWorkspace"] };
const USERS: u128 = 4;
const ROLES: u128 = 3;
const CUSTOM: [&str; 3] = ["custom.approve", "custom.read", "custom.export"];
const NAMES: [&str; 8] = [
    "posts.read",
    "posts.update@own",
    "posts.update",
    "billing.view",
    "roles.assign@own",
    "workspace.delete",
    "custom.approve",
    "custom.read",
];

fn user(n: u128) -> UserId {
    UserId(Uuid::from_u128(0xa0 + n % USERS))
}

fn role(n: u128) -> RoleId {
    RoleId(Uuid::from_u128(0xb0 + n % ROLES))
}

/// Any role there may be.
fn any_role(n: u128) -> RoleRef {
    match n % 12 {
        n @ 0..=8 => BuiltInRole::ALL[usize::try_from(n).unwrap()].into(),
        n => role(n).into(),
    }
}

#[derive(Default)]
struct World {
    workspace: Workspace,
    members: BTreeMap<UserId, Membership>,
    roles: BTreeMap<RoleId, Role>,
    access: Access,
    claims: HashMap<ClaimName, BTreeSet<Uuid>>,
}

impl World {
    fn new() -> Self {
        let mut world = Self::default();
        let (name, slug) = (Name::try_from("Acme").unwrap(), Slug::try_from("acme").unwrap());
        let create = WorkspaceCommand::CreateWorkspace { name, slug, kind: WorkspaceKind::Team, plan: Some(Plan::Enterprise) };
        assert!(world.ask_workspace(None, create));
        for n in 0..USERS {
            assert!(world.ask_member(None, user(n), join(user(n), vec![BuiltInRole::ALL[usize::try_from(1 + 2 * n).unwrap()].into()])));
        }
        world
    }

    fn caller(&self, who: Option<UserId>) -> Caller {
        match who {
            Some(user) => {
                let PermissionSet { catalogue, custom } = self.access.effective(user);
                Caller { custom, ..somebody(Principal::User(user), catalogue) }
            }
            None => Caller { on_behalf_of: Some(user(0)), ..crate::testing::system(&PROGRAM) },
        }
    }

    fn facts(&self) -> Facts {
        let mut facts = Facts::default();
        facts.insert(TENANT.0, Arc::new(self.workspace.clone()));
        (0..USERS).for_each(|n| {
            let member = self.members.get(&user(n)).cloned().unwrap_or_default();
            facts.insert(WorkspaceId::from(TENANT).membership(user(n)).0, Arc::new(member));
        });
        (0..ROLES).for_each(|n| facts.insert(role(n).0, Arc::new(self.roles.get(&role(n)).cloned().unwrap_or_default())));
        facts
    }

    /// What comes of a command, unless it is denied or refused.
    fn decide<D: Decider>(&mut self, who: Option<UserId>, id: Uuid, mut state: D, command: D::Command) -> Option<D> {
        let envelope = Envelope::new(command, self.caller(who), id, self.facts());
        let (command, act) = envelope.open(&state).ok()?;
        let events = state.decide(command, &act).ok()?;
        let mut claims = self.claims.clone();
        for change in events.iter().flat_map(|event| D::claims(event, id)) {
            let holders = claims.entry(change.name).or_default();
            match change.op {
                ClaimOp::Take { capacity } => {
                    let others = holders.iter().filter(|holder| **holder != id).count();
                    if capacity.is_some_and(|most| others >= most as usize) {
                        return None;
                    }
                    holders.insert(id);
                }
                ClaimOp::Release => drop(holders.remove(&id)),
                ClaimOp::RequireNone if holders.is_empty() => {}
                ClaimOp::RequireNone => return None,
            }
        }
        self.claims = claims;
        for event in events {
            D::access(&event, id).into_iter().for_each(|change| self.access.apply(change));
            state.apply(event);
        }
        Some(state)
    }

    fn ask_workspace(&mut self, who: Option<UserId>, command: WorkspaceCommand) -> bool {
        let state = self.decide(who, TENANT.0, self.workspace.clone(), command);
        state.map(|state| self.workspace = state).is_some()
    }

    fn ask_member(&mut self, who: Option<UserId>, user: UserId, command: MembershipCommand) -> bool {
        let state = self.members.get(&user).cloned().unwrap_or_default();
        let state = self.decide(who, WorkspaceId::from(TENANT).membership(user).0, state, command);
        state.map(|state| self.members.insert(user, state)).is_some()
    }

    fn ask_role(&mut self, who: Option<UserId>, role: RoleId, command: RoleCommand) -> bool {
        let state = self.roles.get(&role).cloned().unwrap_or_default();
        let state = self.decide(who, role.0, state, command);
        state.map(|state| self.roles.insert(role, state)).is_some()
    }

    /// By the words of the specification, permission by permission.
    fn model(&self, user: UserId) -> BTreeSet<Grantable> {
        let Some(seat) = self.members.get(&user).and_then(Membership::seat) else { return BTreeSet::new() };
        let (owner, status) = (self.workspace.is_owner(user), self.workspace.status().unwrap());
        let in_charge = owner || seat.roles.contains(&BuiltInRole::Admin.into());
        let roles: Vec<PermissionSet> = seat
            .roles
            .iter()
            .map(|role| match role {
                RoleRef::BuiltIn(role) => PermissionSet::from(*role.grants()),
                RoleRef::Custom(id) => self.roles[id].live().expect("a role that is held is not deleted").permissions.clone(),
            })
            .chain([seat.grants.clone()])
            .collect();
        let mut held = BTreeSet::new();
        for permission in Permission::all().filter(|permission| !permission.is_system()) {
            let widest = roles.iter().filter_map(|role| role.catalogue.scope(permission)).max();
            let scope = match owner {
                true => Some(Scope::Any),
                false if seat.denies.contains(&PermissionName::Catalogue(permission)) => None,
                false => widest,
            };
            let left = match status {
                WorkspaceStatus::Deleted => owner && permission.name() == "workspace.delete",
                _ if seat.suspended => false,
                WorkspaceStatus::Suspended => permission.action() == "read" || (in_charge && permission.resource() == "billing"),
                WorkspaceStatus::Active => true,
            };
            let grant = |scope| Grantable::Catalogue(crate::roles::PermissionGrant { permission, scope });
            held.extend(scope.filter(|_| left).map(grant));
        }
        for permission in self.workspace.custom_permissions() {
            let given = in_charge || roles.iter().any(|role| role.custom.contains(permission));
            let denied = !owner && seat.denies.contains(&PermissionName::Custom(permission.clone()));
            let left = match status {
                WorkspaceStatus::Deleted => false,
                _ if seat.suspended => false,
                WorkspaceStatus::Suspended => permission.name() == "custom.read",
                WorkspaceStatus::Active => true,
            };
            held.extend((given && !denied && left).then(|| Grantable::Custom(permission.clone())));
        }
        held
    }
}

fn join(user_id: UserId, roles: Vec<RoleRef>) -> MembershipCommand {
    let profile = MemberProfile { name: None, email: Email::try_from("x@example.org").unwrap() };
    MembershipCommand::AddMember { user_id, roles, source: MemberSource::Provisioned, profile }
}

fn grantable(n: u128) -> Grantable {
    NAMES[usize::try_from(n).unwrap() % NAMES.len()].parse().unwrap()
}

fn custom(n: u128) -> CustomPermission {
    CUSTOM[usize::try_from(n).unwrap() % CUSTOM.len()].parse().unwrap()
}

/// One deed, by numbers; the answer says whether it was done.
fn carry_out(world: &mut World, (who, what, a, b): (u128, u8, u128, u128)) -> bool {
    let by = Some(user(who));
    let role_permissions = || (0..b % 4).map(|n| grantable(a + n)).collect();
    match what {
        0..3 => world.ask_member(by, user(a), MembershipCommand::AssignRole { role: any_role(b) }),
        3 => world.ask_member(by, user(a), MembershipCommand::RevokeRole { role: any_role(b) }),
        4..6 => {
            let (grants, denies) = ((0..a % 4).map(|n| grantable(b + n)), (0..b % 4).map(|n| grantable(a + n).permission()));
            let overrides = MembershipCommand::SetPermissionOverrides { grants: grants.collect(), denies: denies.collect() };
            world.ask_member(by, user(a), overrides)
        }
        6 => world.ask_member(by, user(a), MembershipCommand::SuspendMember { reason: None }),
        7..9 => world.ask_member(by, user(a), MembershipCommand::ReinstateMember {}),
        9 => world.ask_member(by, user(a), MembershipCommand::RemoveMember { reason: None }),
        10..12 => world.ask_member(None, user(a), join(user(a), vec![any_role(b), any_role(a + b)])),
        12..14 => {
            let name = RoleName::try_from(format!("Role {}", b % 4)).unwrap();
            world.ask_role(by, role(a), RoleCommand::CreateRole { name, description: None, permissions: role_permissions() })
        }
        14..16 => world.ask_role(by, role(a), RoleCommand::GrantPermission { permission: grantable(b) }),
        16 => world.ask_role(by, role(a), RoleCommand::RevokePermission { permission: grantable(b).permission() }),
        17 => world.ask_role(by, role(a), RoleCommand::DeleteRole {}),
        18 => world.ask_workspace(by, WorkspaceCommand::GrantOwnership { user_id: user(a) }),
        19 => world.ask_workspace(by, WorkspaceCommand::RevokeOwnership { user_id: user(a) }),
        20..22 => world.ask_workspace(by, WorkspaceCommand::RegisterCustomPermission { name: custom(a), description: None }),
        22 => world.ask_workspace(by, WorkspaceCommand::RetireCustomPermission { name: custom(a) }),
        23 => world.ask_workspace(None, WorkspaceCommand::SuspendWorkspace { reason: None }),
        24..26 => world.ask_workspace(None, WorkspaceCommand::ReinstateWorkspace {}),
        26 => world.ask_workspace(by, WorkspaceCommand::DeleteWorkspace { confirm_slug: "acme".into() }),
        _ => world.ask_workspace(by, WorkspaceCommand::RestoreWorkspace {}),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_fold_of_access_says_what_the_aggregates_say(
        deeds in prop::collection::vec((prop_oneof![2 => Just(0_u128), 1 => 0..USERS], 0..30_u8, 0..24_u128, 0..24_u128), 1..60)
    ) {
        let mut world = World::new();
        for deed in deeds {
            carry_out(&mut world, deed);
            for n in 0..USERS {
                let held: BTreeSet<Grantable> = world.access.effective(user(n)).iter().collect();
                prop_assert_eq!(&held, &world.model(user(n)), "after {:?}", deed);
                let writes = held.iter().filter(|grant| match grant {
                    Grantable::Catalogue(grant) => !grant.permission.is_read() && grant.permission.resource() != "billing",
                    Grantable::Custom(permission) => permission.action() != "read",
                });
                match world.workspace.status().unwrap() {
                    WorkspaceStatus::Suspended => prop_assert_eq!(writes.count(), 0),
                    WorkspaceStatus::Deleted => prop_assert!(held.len() <= usize::from(world.workspace.is_owner(user(n)))),
                    WorkspaceStatus::Active => {}
                }
                let suspended = world.members.get(&user(n)).and_then(Membership::seat).is_some_and(|seat| seat.suspended);
                prop_assert!(!suspended || (held.is_empty() && !world.workspace.is_owner(user(n))));
                prop_assert_eq!(world.access.roles(user(n)).iter().filter(|role| **role == BuiltInRole::Owner).count() == 1,
                    world.workspace.is_owner(user(n)) && world.members[&user(n)].seat().is_some());
            }
            prop_assert!(world.workspace.owners().all(|owner| world.members[&owner].is_active()), "an owner is an active member");
        }
    }
}

#[test]
fn the_deeds_of_the_property_are_mostly_carried_out() {
    let mut done = BTreeMap::<u8, usize>::new();
    for what in 0..28_u8 {
        for (a, b) in (0..24).flat_map(|a| (0..6).map(move |b| (a, b))) {
            let mut world = World::new();
            world.ask_workspace(Some(user(0)), WorkspaceCommand::RegisterCustomPermission { name: custom(0), description: None });
            carry_out(&mut world, (0, 12, 0, 3));
            if (10..12).contains(&what) {
                carry_out(&mut world, (0, 9, a, 0));
            }
            *done.entry(what).or_default() += usize::from(carry_out(&mut world, (0, what, a, b)));
        }
    }
    assert!(done.values().all(|times| *times > 5), "some deeds are hardly ever allowed: {done:?}");
}
