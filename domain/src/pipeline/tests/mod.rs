//! Two pipelines, their stages and some items, for the tests of the context.

mod definition;
mod item;
mod laws;
mod task;

use super::*;
use crate::roles::BuiltInRole;
use crate::testing::{ALICE, BOB, Given, ID, TENANT, given, noon};
use crate::workspace::{MemberSource, Membership, MembershipEvent, Plan, WorkspaceEvent, WorkspaceKind};
use crate::{ClaimName, ClaimOp, Decider, Personal, PipelineId, StageId, UserId, WorkspaceId};
use std::collections::BTreeSet;
use uuid::Uuid;

const SALES: PipelineId = PipelineId(Uuid::from_u128(0x5a1e5));
const LEAD: StageId = StageId(Uuid::from_u128(0x1ead));
const OFFER: StageId = StageId(Uuid::from_u128(0x0ffe));
const WON: StageId = StageId(Uuid::from_u128(0x3013));
const BILLING: PipelineId = PipelineId(Uuid::from_u128(0xb111));
const DUE: StageId = StageId(Uuid::from_u128(0xd0e));
const PAID: StageId = StageId(Uuid::from_u128(0xba1d));
const NOWHERE: StageId = StageId(Uuid::from_u128(0x404));

fn member(user: UserId) -> (Uuid, Vec<MembershipEvent>) {
    let joined = MembershipEvent::MemberJoined {
        user_id: user,
        roles: vec![BuiltInRole::Member.into()],
        source: MemberSource::Provisioned,
        profile_name: None,
        profile_email: Personal::new(user, "someone@example.org".to_owned()),
        limit: None,
    };
    (WorkspaceId::from(TENANT).membership(user).0, vec![joined])
}

fn former_member(user: UserId) -> (Uuid, Vec<MembershipEvent>) {
    let (id, mut events) = member(user);
    events.push(MembershipEvent::MemberRemoved { user_id: user, reason: None, left: true, custom_roles: vec![] });
    (id, events)
}

fn free_workspace() -> Vec<WorkspaceEvent> {
    vec![WorkspaceEvent::WorkspaceCreated {
        name: "Acme".into(),
        slug: "acme".into(),
        kind: WorkspaceKind::Team,
        owner_id: ALICE,
        plan: Plan::Free,
        quota_reset_at: noon(),
    }]
}

fn new_stage(key: &str, id: StageId, is_terminal: bool) -> NewStage {
    let name = key.try_into().unwrap();
    NewStage { key: key.try_into().unwrap(), name, is_terminal, color: None, wip_limit: None, stage_id: Some(id) }
}

fn stage_added(order: u32, key: &str, stage_id: StageId, is_terminal: bool) -> PipelineEvent {
    PipelineEvent::StageAdded { stage_id, key: key.into(), name: key.into(), order, is_terminal, color: None, wip_limit: None }
}

fn created(key: &str) -> PipelineEvent {
    PipelineEvent::PipelineCreated {
        key: key.into(),
        name: key.into(),
        pipeline_type: PipelineType::Sales,
        description: None,
        created_by: Some(ALICE),
    }
}

/// `sales`: lead, offer and won, which is terminal; inactive.
fn sales() -> Vec<PipelineEvent> {
    vec![created("sales"), stage_added(0, "lead", LEAD, false), stage_added(1, "offer", OFFER, false), stage_added(2, "won", WON, true)]
}

fn active(mut events: Vec<PipelineEvent>) -> Vec<PipelineEvent> {
    events.push(PipelineEvent::PipelineActivated { limit: Some(3) });
    events
}

/// `billing`: due and paid, which is terminal; active.
fn billing() -> Vec<PipelineEvent> {
    active(vec![created("billing"), stage_added(0, "due", DUE, false), stage_added(1, "paid", PAID, true)])
}

/// An item of Alice's in the lead stage.
fn item() -> ItemEvent {
    ItemEvent::PipelineItemCreated {
        pipeline_id: SALES,
        stage_id: LEAD,
        rank: rank::at(noon()),
        title: "Ada".into(),
        description: None,
        assigned_to: None,
        due_date: None,
        priority: Priority::Medium,
        data: None,
        tags: vec![],
        source_ref: None,
        attributes: None,
        created_by: Some(ALICE),
        entered_at: noon(),
        wip_limit: None,
    }
}

/// The same item, asked for.
fn new_item() -> ItemCommand {
    ItemCommand::CreateItem {
        pipeline_id: SALES,
        stage_id: None,
        title: "Ada".try_into().unwrap(),
        description: None,
        assigned_to: None,
        due_date: None,
        priority: None,
        data: None,
        tags: vec![],
        source_ref: None,
        attributes: None,
        rank: None,
    }
}

fn move_to(stage: StageId) -> ItemCommand {
    ItemCommand::MoveItem { to_stage_id: stage, rank: None, note: None, attributes: None }
}

fn moved(from: StageId, to: StageId) -> ItemEvent {
    ItemEvent::PipelineItemMoved {
        from,
        to,
        rank: rank::at(noon()),
        left_stage_entered_at: noon(),
        entered_at: noon(),
        note: None,
        attributes: None,
        wip_limit: None,
    }
}

fn completed() -> ItemEvent {
    ItemEvent::PipelineItemCompleted { pipeline_id: SALES, completed_at: noon() }
}

fn deleted(stage_id: StageId, was_open: bool) -> ItemEvent {
    ItemEvent::PipelineItemDeleted { pipeline_id: SALES, stage_id, was_open }
}

/// An item on the boards: both pipelines active, Alice and Bob members.
fn on_the_boards(events: impl IntoIterator<Item = ItemEvent>) -> Given<PipelineItem> {
    with_sales(events, active(sales()))
}

fn with_sales(events: impl IntoIterator<Item = ItemEvent>, sales: Vec<PipelineEvent>) -> Given<PipelineItem> {
    let given = given::<PipelineItem>(events).and::<Pipeline>(SALES, sales).and::<Pipeline>(BILLING, billing());
    [ALICE, BOB].map(member).into_iter().fold(given, |given, (id, events)| given.and::<Membership>(id, events))
}

/// The claims an aggregate holds after its events, as the store keeps them.
fn held<D: Decider>(events: &[D::Event]) -> BTreeSet<(&'static str, String)> {
    let mut held = BTreeSet::new();
    for change in events.iter().flat_map(|event| D::claims(event, ID)) {
        let ClaimName { kind, value, personal } = change.name;
        assert!(!personal && D::claim_refused(kind).is_some(), "{kind} has a refusal");
        match change.op {
            ClaimOp::Take { .. } => drop(held.insert((kind, value))),
            ClaimOp::Release => drop(held.remove(&(kind, value))),
            ClaimOp::RequireNone => {}
        }
    }
    held
}
