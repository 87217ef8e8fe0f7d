//! Another tenant's aggregate is nothing: it answers exactly as what never was, to every command, and nobody takes
//! its id.

use crate::harness::{
    Log, Process, Team, add_member, audit, by_system, code_of, create_item, create_pipeline, keyed, move_to, named, new_id, record,
};
use domain::identity::{RevokeReason, Session, SessionCommand, User, UserCommand};
use domain::pipeline::{ItemCommand, NewStage, Pipeline, PipelineCommand, PipelineItem};
use domain::roles::BuiltInRole;
use domain::workspace::{Membership, MembershipCommand, Plan, Workspace, WorkspaceCommand};
use domain::{Decider, ItemId, PLATFORM, Patch, StageId, UserId, WorkspaceId};
use event_store::{Committed, ExecuteError, Request};
use uuid::Uuid;

fn told<D: Decider>(outcome: Result<Committed, ExecuteError<D::Error>>) -> (&'static str, String) {
    let code = code_of(&outcome);
    (code, outcome.map_or_else(|error| error.to_string(), |committed| format!("{committed:?}")))
}

/// Sends a command to a foreign aggregate and to one that never was, and finds no difference.
async fn nothing<D: Decider>(process: &Process, request: Request, foreign: Uuid, command: D::Command) -> &'static str
where
    D::Command: Clone,
{
    let fresh = |request: &Request| Request { command_id: new_id(), ..request.clone() };
    let there = told::<D>(process.send::<D>(fresh(&request), foreign, command.clone()).await);
    let nowhere = told::<D>(process.send::<D>(fresh(&request), new_id::<Uuid>(), command.clone()).await);
    assert_eq!(there, nowhere, "{command:?}");
    assert_ne!(there.0, "OK", "{command:?}");
    there.0
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_on_another_tenants_aggregate_answers_as_if_there_were_none() {
    let log = Log::new().await;
    let (ours, theirs) = (Team::new(&log).await, Team::new(&log).await);
    let board = theirs.board(3).await;
    let item = theirs.item(&board).await;
    let guest = theirs.member(&[BuiltInRole::Viewer]).await;
    let before = audit(&log).await.len();

    // Cached or not: a second process has seen nothing yet.
    for process in [log.process.clone(), log.another_process()] {
        let by = || ours.by(ours.owner);
        let new_stage = NewStage { key: named("k"), name: named("n"), is_terminal: false, color: None, wip_limit: None, stage_id: None };
        for command in [
            PipelineCommand::UpdatePipeline { name: Patch::Set(named("x")), kind: Patch::Keep, description: Patch::Keep },
            PipelineCommand::ActivatePipeline,
            PipelineCommand::DeactivatePipeline,
            PipelineCommand::AddStage { stage: new_stage, order: None },
            PipelineCommand::UpdateStage {
                stage_id: board.stages[0],
                name: Patch::Set(named("x")),
                color: Patch::Keep,
                is_terminal: Patch::Keep,
                wip_limit: Patch::Keep,
            },
            PipelineCommand::ReorderStages { stage_ids: board.stages.clone() },
            PipelineCommand::RemoveStage { stage_id: board.stages[0] },
            PipelineCommand::AssignOperator { user_id: ours.owner },
            PipelineCommand::UnassignOperator { user_id: theirs.owner },
            PipelineCommand::DeletePipeline,
            PipelineCommand::RestorePipeline,
        ] {
            assert_eq!(nothing::<Pipeline>(&process, by(), board.id.0, command).await, "NOT_FOUND");
        }
        for command in [
            ItemCommand::UpdateItem {
                title: Patch::Set(named("x")),
                description: Patch::Keep,
                due_date: Patch::Keep,
                priority: Patch::Keep,
                data: Patch::Keep,
            },
            move_to(board.stages[1]),
            record("x"),
            ItemCommand::TransferItem { pipeline_id: board.id, stage_id: board.stages[0] },
            ItemCommand::AssignItem { user_id: ours.owner },
            ItemCommand::UnassignItem,
            ItemCommand::AddItemTag { tag: named("x") },
            ItemCommand::RemoveItemTag { tag: named("x") },
            ItemCommand::DeleteItem,
            ItemCommand::RestoreItem,
        ] {
            assert_eq!(nothing::<PipelineItem>(&process, by(), item.0, command.clone()).await, "NOT_FOUND");
            // Nor is the key remembered for it.
            assert_eq!(nothing::<PipelineItem>(&process, keyed(by(), "key"), item.0, command).await, "NOT_FOUND");
        }
        let membership = theirs.membership(guest).0;
        for command in [
            MembershipCommand::AssignRole { role: BuiltInRole::Editor.into() },
            MembershipCommand::RevokeRole { role: BuiltInRole::Viewer.into() },
            MembershipCommand::RemoveMember { reason: None },
        ] {
            assert_eq!(nothing::<Membership>(&process, by(), membership, command).await, "NOT_FOUND");
        }
        for command in [
            WorkspaceCommand::RenameWorkspace { name: named("x") },
            WorkspaceCommand::ChangeSlug { slug: named("x") },
            WorkspaceCommand::GrantOwnership { user_id: ours.owner },
            WorkspaceCommand::RevokeOwnership { user_id: theirs.owner },
        ] {
            assert_eq!(nothing::<Workspace>(&process, by(), theirs.tenant.0, command).await, "NOT_FOUND");
        }
        let plan = WorkspaceCommand::ChangePlan { plan: Plan::Free, reason: None };
        assert_eq!(nothing::<Workspace>(&process, by_system(ours.tenant), theirs.tenant.0, plan).await, "NOT_FOUND");

        // Nor can it be named in a command on one's own.
        let here = ours.through(&process).board(2).await;
        let mine = ours.through(&process).item(&here).await;
        assert_eq!(code_of(&process.create::<PipelineItem>(by(), new_id::<ItemId>(), create_item(&board)).await), "PIPELINE_NOT_FOUND");
        assert_eq!(code_of(&process.send::<PipelineItem>(by(), mine, move_to(board.stages[1])).await), "STAGE_NOT_FOUND");
        let transfer = ItemCommand::TransferItem { pipeline_id: board.id, stage_id: board.stages[0] };
        assert_eq!(code_of(&process.send::<PipelineItem>(by(), mine, transfer).await), "PIPELINE_NOT_FOUND");
        assert_eq!(
            code_of(&process.send::<PipelineItem>(by(), mine, ItemCommand::AssignItem { user_id: guest }).await),
            "MEMBER_NOT_FOUND"
        );
        assert_eq!(process.state::<Pipeline>(ours.tenant, board.id).await, Pipeline::Absent);
    }
    let events = audit(&log).await;
    assert_eq!(events.iter().filter(|event| event.tenant == theirs.tenant).count(), before - 2, "nothing was written to their log");
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_sessions_are_nothing_in_a_workspace() {
    let log = Log::new().await;
    let team = Team::new(&log).await;
    let user: UserId = new_id();
    let provision = UserCommand::ProvisionUser { email: named("a@b.example"), first_name: None, last_name: None, name: None };
    log.create::<User>(by_system(PLATFORM), user, provision).await.unwrap();
    let rename = UserCommand::SetDefaultWorkspace { workspace_id: WorkspaceId::from(team.tenant) };
    assert_eq!(nothing::<User>(&log, team.by(user), user.0, rename).await, "NOT_FOUND");
    let logout = SessionCommand::RevokeSession { reason: RevokeReason::Logout };
    assert_eq!(nothing::<Session>(&log, team.by(user), user.0, logout).await, "NOT_FOUND");
    audit(&log).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_another_aggregate_cannot_be_taken_whosever_and_of_whatever_type() {
    let log = Log::new().await;
    let (ours, theirs) = (Team::new(&log).await, Team::new(&log).await);
    let (their_board, our_board) = (theirs.board(2).await, ours.board(2).await);
    let (their_item, our_item) = (theirs.item(&their_board).await, ours.item(&our_board).await);
    let stages: Vec<StageId> = vec![new_id(), new_id()];
    for process in [log.process.clone(), log.another_process()] {
        for taken in [their_board.id.0, their_item.0, our_item.0, theirs.tenant.0] {
            let key = format!("k_{}", new_id::<Uuid>().simple());
            let create = create_pipeline(&key, &stages);
            assert_eq!(code_of(&process.send::<Pipeline>(ours.by(ours.owner), taken, create).await), "ID_TAKEN", "pipeline under {taken}");
        }
        for taken in [their_item.0, their_board.id.0, our_board.id.0] {
            assert_eq!(
                code_of(&process.send::<PipelineItem>(ours.by(ours.owner), taken, create_item(&our_board)).await),
                "ID_TAKEN",
                "item under {taken}"
            );
        }
        let own = create_pipeline("own", &stages);
        assert_eq!(code_of(&process.send::<Pipeline>(ours.by(ours.owner), our_board.id, own).await), "ALREADY_EXISTS");
        let astray = ItemCommand::TransferItem { pipeline_id: our_item.0.into(), stage_id: stages[0] };
        assert_eq!(code_of(&process.send::<PipelineItem>(ours.by(ours.owner), our_item, astray).await), "PIPELINE_NOT_FOUND");
        // What is of another type is not there as this one.
        assert_eq!(nothing::<Pipeline>(&process, ours.by(ours.owner), our_item.0, PipelineCommand::ActivatePipeline).await, "NOT_FOUND");
        assert_eq!(nothing::<PipelineItem>(&process, ours.by(ours.owner), our_board.id.0, ItemCommand::DeleteItem).await, "NOT_FOUND");
        let workspace = WorkspaceCommand::CreateWorkspace {
            name: named("x"),
            slug: named("x"),
            kind: domain::workspace::WorkspaceKind::Team,
            plan: None,
        };
        let foreign = process.send::<Workspace>(ours.by(ours.owner), theirs.tenant, workspace).await;
        assert!(["ID_TAKEN", "FOREIGN_LOG"].contains(&code_of(&foreign)), "{foreign:?}");
        let joined = process
            .send::<Membership>(by_system(ours.tenant), theirs.membership(theirs.owner), add_member(theirs.owner, &[BuiltInRole::Viewer]))
            .await;
        assert_eq!(code_of(&joined), "ID_TAKEN");
    }
    audit(&log).await;
}
