//! The rules that one aggregate alone cannot keep, checked by folding a tenant's log: who may do what, and what
//! stands on what. Says nothing of how they are kept, and uses none of it.

use domain::pipeline::{ItemEvent, ItemStatus, Pipeline, PipelineEvent, PipelineItem};
use domain::registry::kind;
use domain::roles::{Grantable, Permission, PermissionSet, RoleRef, Scope};
use domain::workspace::{Membership, MembershipEvent, Role, RoleEvent, Workspace, WorkspaceEvent, WorkspaceStatus};
use domain::{Access, ClaimChange, ClaimOp, Decider, PipelineId, Recorded, StageId, TenantId, UserId, WorkspaceId, for_each_aggregate};
use event_store::Vault;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use uuid::Uuid;

/// A tenant's log as far as it has been folded.
pub(super) struct Rules<'a> {
    tenant: TenantId,
    vault: &'a Vault,
    access: Access,
    /// The last event that changed who may do what.
    access_position: i64,
    pipelines: HashMap<Uuid, Pipeline>,
    items: HashMap<Uuid, PipelineItem>,
    members: HashMap<Uuid, Membership>,
    roles: HashMap<Uuid, Role>,
    workspace: Workspace,
    claims: BTreeMap<String, BTreeSet<String>>,
}

impl<'a> Rules<'a> {
    pub(super) fn new(tenant: TenantId, vault: &'a Vault) -> Self {
        Self {
            tenant,
            vault,
            access: Access::default(),
            access_position: 0,
            pipelines: HashMap::new(),
            items: HashMap::new(),
            members: HashMap::new(),
            roles: HashMap::new(),
            workspace: Workspace::default(),
            claims: BTreeMap::new(),
        }
    }

    /// Names and holders, as the events made them.
    pub(super) fn claims(&self) -> BTreeSet<(String, String)> {
        self.claims.iter().flat_map(|(name, holders)| holders.iter().map(|holder| (name.clone(), holder.clone()))).collect()
    }

    /// Takes in the events of one command: all of them were allowed by what held before the first.
    pub(super) fn command(&mut self, events: &[Recorded]) {
        self.allowed(&events[0]);
        self.stands_still(&events[0]);
        for event in events {
            self.handed_on(event);
            self.stands(event);
            self.claim(event);
            self.fold(event);
        }
        let owners = self.workspace.owners().count();
        assert!(self.workspace == Workspace::Absent || owners > 0, "{} has no owner after {}", self.tenant, events[0].position);
    }

    /// Whoever did this held the permission it names when it was written, and nothing that could have taken it
    /// away came between.
    fn allowed(&self, event: &Recorded) {
        let place = format!("{} at {} of {}", event.event_type, event.position, self.tenant);
        let (Ok(permission), Some(user)) = (Permission::parse(&event.metadata["permission"]), event.actor.user()) else { return };
        let scope = if event.metadata["scope"] == "any" { Scope::Any } else { Scope::Own };
        let held = self.access.grants(user).scope(permission);
        assert!(held >= Some(scope), "{place}: {user} holds {held:?} of {permission}, not {scope:?}");
        let grants: i64 = event.metadata["grants_position"].parse().unwrap();
        assert!(
            self.access_position <= grants && grants < event.position,
            "{place}: allowed by the grants of {grants}, with access changed at {}",
            self.access_position
        );
        if let (Scope::Own, Some(owners)) = (scope, self.owners(event.aggregate_id)) {
            assert!(owners.contains(&user), "{place}: not {user}'s own but that of {owners:?}");
        }
    }

    /// Whose something is, once it is there.
    fn owners(&self, id: Uuid) -> Option<Vec<UserId>> {
        let item =
            self.items.get(&id).and_then(PipelineItem::card).map(|card| card.created_by.into_iter().chain(card.assigned_to).collect());
        let board = self.pipelines.get(&id).and_then(Pipeline::live);
        let board = || board.map(|board| board.created_by.into_iter().chain(board.operators.iter().copied()).collect());
        let member = || self.members.get(&id).and_then(Membership::user_id).map(|user| vec![user]);
        let role = || self.roles.get(&id).and_then(Role::live).map(|role| role.created_by.into_iter().collect());
        let workspace = || (id == self.tenant.0).then(|| self.workspace.owners().collect());
        item.or_else(board).or_else(member).or_else(role).or_else(workspace)
    }

    /// By a suspended member, or in a suspended or deleted workspace, nothing is done that takes a permission, but
    /// billing in the second and restoring in the third.
    fn stands_still(&self, event: &Recorded) {
        let place = format!("{} at {} of {}", event.event_type, event.position, self.tenant);
        let (Ok(permission), Some(user)) = (Permission::parse(&event.metadata["permission"]), event.actor.user()) else { return };
        assert!(self.is_member(user), "{place}: {user} is suspended or no member");
        match self.workspace.status() {
            Some(WorkspaceStatus::Suspended) => assert_eq!(permission.resource(), "billing", "{place}: the workspace is suspended"),
            Some(WorkspaceStatus::Deleted) => assert_eq!(event.event_type, "WorkspaceRestored", "{place}: the workspace is deleted"),
            Some(WorkspaceStatus::Active) | None => {}
        }
    }

    /// Nobody has handed on what they did not hold, and nobody has changed what is their own (guard rules 1 and 3).
    fn handed_on(&self, event: &Recorded) {
        let place = format!("{} at {} of {}", event.event_type, event.position, self.tenant);
        let Some(by) = event.actor.user().filter(|_| event.metadata["permission"] != "sys") else { return };
        let holds = |grant: &Grantable| {
            let retired = matches!(grant, Grantable::Custom(custom) if !self.workspace.custom_permissions().any(|known| known == custom));
            assert!(retired || self.access.effective(by).contains(grant), "{place}: {by} hands on {grant}, which they do not hold");
        };
        match event.of::<MembershipEvent>() {
            Some(MembershipEvent::RoleAssigned { user_id, role, .. } | MembershipEvent::RoleRevoked { user_id, role }) => {
                assert_ne!(*user_id, by, "{place}");
                self.granted_by(*role).unwrap_or_else(|| panic!("{place}: there is no such role")).iter().for_each(|grant| holds(&grant));
            }
            Some(MembershipEvent::PermissionOverridesSet { user_id, changes }) => {
                assert_ne!(*user_id, by, "{place}");
                let grants = changes.grants.iter().flat_map(|change| change.to.iter().filter(|grant| !change.from.contains(grant)));
                grants.for_each(|grant| holds(&grant));
            }
            Some(MembershipEvent::MemberSuspended { user_id, .. }) => {
                assert_ne!(*user_id, by, "{place}");
                assert!(!self.workspace.is_owner(*user_id), "{place}: an owner is suspended");
            }
            _ => {}
        }
        match event.of::<RoleEvent>() {
            Some(RoleEvent::RoleCreated { permissions, .. }) => permissions.iter().for_each(|grant| holds(&grant)),
            Some(RoleEvent::PermissionGranted { permission }) => holds(permission),
            _ => {}
        }
    }

    /// What a role grants, if there is one.
    fn granted_by(&self, role: RoleRef) -> Option<PermissionSet> {
        match role {
            RoleRef::BuiltIn(role) => Some(PermissionSet::from(*role.grants())),
            RoleRef::Custom(id) => self.roles.get(&id.0).and_then(Role::live).map(|role| role.permissions.clone()),
        }
    }

    /// What the event stands on is there.
    fn stands(&self, event: &Recorded) {
        let place = format!("{} at {} of {}", event.event_type, event.position, self.tenant);
        match event.of::<ItemEvent>() {
            Some(ItemEvent::PipelineItemCreated { pipeline_id, stage_id, assigned_to, .. }) => {
                assert!(self.has_stage(*pipeline_id, *stage_id, true), "{place}: no such stage of an active pipeline");
                assert!(assigned_to.is_none_or(|user| self.is_member(user)), "{place}: assigned to no member");
            }
            Some(ItemEvent::PipelineItemTransferred { pipeline_id, stage_id, .. }) => {
                assert!(self.has_stage(*pipeline_id, *stage_id, true), "{place}: no such stage of an active pipeline");
            }
            Some(ItemEvent::PipelineItemRestored { pipeline_id, stage_id, .. }) => {
                assert!(self.has_stage(*pipeline_id, *stage_id, false), "{place}: no such stage");
            }
            Some(ItemEvent::PipelineItemMoved { from, to, .. }) => {
                let card = self.items[&event.aggregate_id].card().unwrap();
                assert_eq!(card.stage_id, *from, "{place}");
                assert!(self.has_stage(card.pipeline_id, *to, false), "{place}: no such stage");
            }
            Some(ItemEvent::PipelineItemAssigned { user_id }) => assert!(self.is_member(*user_id), "{place}: assigned to no member"),
            _ => {}
        }
        match event.of::<MembershipEvent>() {
            Some(MembershipEvent::MemberJoined { roles, .. }) => {
                assert!(roles.iter().all(|role| self.granted_by(*role).is_some()), "{place}: joined with a role that is not there");
            }
            Some(MembershipEvent::RoleAssigned { role, .. }) => assert!(self.granted_by(*role).is_some(), "{place}: there is no such role"),
            _ => {}
        }
        if let Some(RoleEvent::RoleDeleted { .. }) = event.of() {
            let held = |member: &Membership| member.roles().any(|role| role.custom().is_some_and(|id| id.0 == event.aggregate_id));
            assert!(!self.members.values().any(held), "{place}: members have it");
        }
        match event.of::<PipelineEvent>() {
            Some(PipelineEvent::StageRemoved { stage_id }) => {
                let standing =
                    self.items.values().filter(|item| matches!(item, PipelineItem::Live(card) if card.stage_id == *stage_id)).count();
                assert_eq!(standing, 0, "{place}: items stand in the stage");
            }
            Some(PipelineEvent::PipelineDeleted { .. }) => {
                let here = |item: &PipelineItem| item.card().is_some_and(|card| card.pipeline_id.0 == event.aggregate_id);
                let open = self.items.values().filter(|item| item.status() == Some(ItemStatus::Open) && here(item)).count();
                assert_eq!(open, 0, "{place}: the pipeline has open items");
            }
            Some(PipelineEvent::OperatorAssigned { user_id }) => assert!(self.is_member(*user_id), "{place}: operated by no member"),
            _ => {}
        }
    }

    fn has_stage(&self, pipeline: PipelineId, stage: StageId, active: bool) -> bool {
        let board = self.pipelines.get(&pipeline.0).and_then(Pipeline::live);
        board.is_some_and(|board| (board.is_active || !active) && board.stage(stage).is_some())
    }

    fn is_member(&self, user: UserId) -> bool {
        self.members.get(&WorkspaceId::from(self.tenant).membership(user).0).is_some_and(Membership::is_active)
    }

    /// No name has two holders, no limit is passed, nothing goes that is referred to.
    fn claim(&mut self, event: &Recorded) {
        let place = format!("{} at {} of {}", event.event_type, event.position, self.tenant);
        let holder = event.aggregate_id.to_string();
        for ClaimChange { name, op } in changes(event) {
            let holders = self.claims.entry(self.vault.claim(self.tenant, &name)).or_default();
            match op {
                ClaimOp::Take { capacity } => {
                    let others = holders.iter().filter(|other| **other != holder).count();
                    assert!(
                        capacity.is_none_or(|most| others < most as usize),
                        "{place}: {name:?} is held by {others} others, {capacity:?} may"
                    );
                    holders.insert(holder.clone());
                }
                ClaimOp::Release => drop(holders.remove(&holder)),
                ClaimOp::RequireNone => assert!(holders.is_empty(), "{place}: {name:?} is held by {holders:?}"),
            }
        }
    }

    fn fold(&mut self, event: &Recorded) {
        if let Some(change) = kind(event.aggregate_type).and_then(|kind| kind.access(&*event.payload, event.aggregate_id)) {
            self.access.apply(change);
            self.access_position = event.position;
        }
        let id = event.aggregate_id;
        event.of::<PipelineEvent>().into_iter().for_each(|event| self.pipelines.entry(id).or_default().apply(event.clone()));
        event.of::<ItemEvent>().into_iter().for_each(|event| self.items.entry(id).or_default().apply(event.clone()));
        event.of::<RoleEvent>().into_iter().for_each(|event| self.roles.entry(id).or_default().apply(event.clone()));
        event.of::<WorkspaceEvent>().into_iter().for_each(|event| self.workspace.apply(event.clone()));
        event.of::<MembershipEvent>().into_iter().for_each(|event| self.members.entry(id).or_default().apply(event.clone()));
    }
}

fn changes(event: &Recorded) -> Vec<ClaimChange> {
    macro_rules! changes {
        ($event:ident; $($decider:ty,)*) => {
            $(if let Some(event) = $event.of::<<$decider as Decider>::Event>() {
                return <$decider>::claims(event, $event.aggregate_id);
            })*
        };
    }
    for_each_aggregate!(changes!(event;));
    vec![]
}
