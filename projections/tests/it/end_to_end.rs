//! Commands in, rows out: a pipeline's life through the log, the projector and the queries.

use crate::world::{Team, World, minute, new_id, request};
use domain::pipeline::{ItemCommand, Pipeline, PipelineCommand, PipelineItem};
use domain::roles::BuiltInRole;
use domain::{ItemId, PLATFORM, PipelineId, Principal, StageId, UserId};
use projections::pipeline::*;
use projections::query::{CursorError, PageArgs, QueryError, Scope};
use projections::{Date, NodeId};
use serde_json::{Value, json};
use std::collections::BTreeSet;

struct Board {
    id: PipelineId,
    stages: [StageId; 3],
}

async fn board(world: &World, team: Team) -> Board {
    let id = PipelineId(new_id());
    let stages = [StageId(new_id()), StageId(new_id()), StageId(new_id())];
    let stage = |n: usize, terminal: bool| json!({ "key": format!("stage_{n}"), "name": format!("Stage {n}"), "isTerminal": terminal, "stageId": stages[n] });
    let create = json!({ "CreatePipeline": { "key": "sales", "name": "Sales", "type": "SALES", "stages": [stage(0, false), stage(1, false), stage(2, true)] } });
    pipeline_command(world, team, id, create).await;
    pipeline_command(world, team, id, json!("ActivatePipeline")).await;
    Board { id, stages }
}

async fn pipeline_command(world: &World, team: Team, id: PipelineId, command: Value) {
    let command: PipelineCommand = serde_json::from_value(command).unwrap();
    world.run::<Pipeline>(request(Principal::User(team.owner), team.id), id, command).await;
}

async fn item_command(world: &World, team: Team, by: UserId, id: ItemId, at: i64, command: Value) {
    let command: ItemCommand = serde_json::from_value(command).unwrap();
    let request = event_store::Request { occurred_at: Some(minute(at)), ..request(Principal::User(by), team.id) };
    world.run::<PipelineItem>(request, id, command).await;
}

async fn create_item(world: &World, team: Team, board: &Board, by: UserId, at: i64, more: Value) -> ItemId {
    let id = ItemId(new_id());
    let mut input = json!({ "pipelineId": board.id, "title": format!("Item {at}") });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    item_command(world, team, by, id, at, json!({ "CreateItem": input })).await;
    id
}

async fn ids(scope: &mut Scope, filter: ItemFilter, order: ItemOrder) -> Vec<ItemId> {
    items(scope, &filter, order, &PageArgs::default()).await.unwrap().rows.into_iter().map(|(_, stored)| stored.row.id.0).collect()
}

#[tokio::test]
async fn a_board_its_histories_and_its_times_follow_from_the_commands() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let bob = world.user("bob").await;
    let team = world.team("acme", ada).await;
    world.join(team, bob, BuiltInRole::Operator, "bob").await;
    let board = board(&world, team).await;
    let [first, second, done] = board.stages;

    let one =
        create_item(&world, team, &board, ada, 1, json!({ "tags": ["hot", "roof"], "priority": "URGENT", "data": { "m2": 40 } })).await;
    let two = create_item(&world, team, &board, bob, 2, json!({ "tags": ["hot"], "dueDate": "2026-07-01", "assignedTo": bob })).await;
    let three = create_item(&world, team, &board, ada, 3, json!({ "dueDate": "2026-06-15" })).await;
    item_command(
        &world,
        team,
        ada,
        one,
        11,
        json!({ "MoveItem": { "toStageId": second, "note": "looks good", "attributes": { "cost": 5 } } }),
    )
    .await;
    item_command(&world, team, ada, two, 22, json!({ "MoveItem": { "toStageId": second } })).await;
    item_command(&world, team, bob, one, 31, json!({ "MoveItem": { "toStageId": done } })).await;
    item_command(&world, team, bob, two, 40, json!({ "RecordActivity": { "name": "Call", "lifecycle": "complete" } })).await;
    item_command(&world, team, ada, three, 41, json!({ "AssignItem": { "userId": ada } })).await;
    item_command(&world, team, ada, three, 42, json!("DeleteItem")).await;
    pipeline_command(&world, team, board.id, json!({ "AssignOperator": { "userId": bob } })).await;
    pipeline_command(&world, team, board.id, json!({ "ReorderStages": { "stageIds": [second, first, done] } })).await;
    world.project().await;

    let mut scope = world.scope(team.id, ada).await;
    let found = pipeline_by_key(&mut scope, "sales").await.unwrap().unwrap();
    assert!(found.row.is_active && found.common.created_by == Some(NodeId(ada)));
    let stages = stages_by_pipeline(&mut scope, &[board.id]).await.unwrap().remove(&board.id).unwrap();
    assert_eq!(stages.iter().map(|stage| stage.row.id.0).collect::<Vec<_>>(), [second, first, done]);
    let operators = operators_by_pipeline(&mut scope, &[board.id]).await.unwrap();
    assert_eq!(operators[&board.id][0].row.user_id.0, bob);

    // The row: personal data in clear, the world's times, whoever did it.
    let stored = item(&mut scope, one, None).await.unwrap().unwrap();
    assert_eq!(
        (stored.row.status, stored.row.completed_at, stored.row.entered_stage_at),
        (ItemStatus::Completed, Some(minute(31)), minute(31))
    );
    assert_eq!(stored.row.data.unwrap().0, "{\"m2\":40}");
    assert_eq!(
        (stored.common.created_at, stored.common.created_by, stored.common.updated_by),
        (minute(1), Some(NodeId(ada)), Some(NodeId(bob)))
    );

    // Filters and orders.
    let any = ItemFilter::default;
    assert_eq!(ids(&mut scope, any(), ItemOrder::CreatedAtAsc).await, [one, two]);
    assert_eq!(ids(&mut scope, ItemFilter { include_deleted: true, ..any() }, ItemOrder::DueDateAsc).await, [three, two, one]);
    assert_eq!(ids(&mut scope, ItemFilter { status: Some(ItemStatus::Deleted), ..any() }, ItemOrder::Rank).await, [three]);
    assert_eq!(ids(&mut scope, ItemFilter { tags: vec!["hot".into(), "roof".into()], ..any() }, ItemOrder::Rank).await, [one]);
    assert_eq!(ids(&mut scope, any(), ItemOrder::PriorityDesc).await, [one, two]);
    assert_eq!(ids(&mut scope, ItemFilter { unassigned: Some(true), ..any() }, ItemOrder::UpdatedAtDesc).await, [one]);
    assert_eq!(
        ids(&mut scope, ItemFilter { assigned_to: Some(NodeId(bob)), stage_id: Some(NodeId(second)), ..any() }, ItemOrder::Rank).await,
        [two]
    );
    let before = Some(Date("2026-07-02".parse().unwrap()));
    assert_eq!(
        ids(&mut scope, ItemFilter { due_before: before, pipeline_id: Some(NodeId(board.id)), ..any() }, ItemOrder::Rank).await,
        [two]
    );
    assert_eq!(ids(&mut scope, ItemFilter { priority: Some(Priority::Urgent), ..any() }, ItemOrder::Rank).await, [one]);
    assert_eq!(ids(&mut scope, ItemFilter { owned_by: Some(bob), ..any() }, ItemOrder::Rank).await, [two]);
    assert!(item(&mut scope, one, Some(bob)).await.unwrap().is_none() && item(&mut scope, two, Some(bob)).await.unwrap().is_some());
    assert_eq!(count_items(&mut scope, &any()).await.unwrap(), 2);

    // The board and its counts.
    let on_board = items_by_stage(&mut scope, &board.stages, 10, None).await.unwrap();
    assert_eq!((on_board.contains_key(&first), on_board[&second][0].row.id.0, on_board[&done][0].row.id.0), (false, two, one));
    let counts = item_counts_by_stage(&mut scope, &board.stages, None).await.unwrap();
    assert_eq!((counts.get(&first), counts[&second], counts[&done]), (None, 1, 1));
    assert_eq!(item_counts_by_pipeline(&mut scope, &[board.id], None).await.unwrap()[&board.id], 1);
    let assignees = items_by_assignee(&mut scope, Some(board.id), true, None).await.unwrap();
    assert_eq!(
        assignees.iter().map(|count| (count.user_id, count.items)).collect::<BTreeSet<_>>(),
        BTreeSet::from([(None, 1), (Some(NodeId(bob)), 1)])
    );

    // What happened, and how long it took.
    let history = item_history(&mut scope, one, &PageArgs::default()).await.unwrap();
    let kinds: Vec<HistoryKind> = history.rows.iter().map(|(_, stored)| stored.row.kind).collect();
    assert_eq!(kinds, [HistoryKind::Created, HistoryKind::Moved, HistoryKind::Moved, HistoryKind::Completed]);
    let left = &history.rows[1].1.row;
    assert_eq!((left.note.as_deref(), left.seconds_in_stage, left.at), (Some("looks good"), Some(600), minute(11)));
    let times = time_in_stage(&mut scope, board.id).await.unwrap();
    let line =
        |time: &StageTime| (time.stage_id.0, time.visits, time.completed_stays, time.total_seconds, time.median_seconds, time.items_now);
    assert_eq!(
        times.iter().map(line).collect::<Vec<_>>(),
        [(second, 2, 1, 1200, Some(1200.0), 1), (first, 3, 2, 1800, Some(900.0), 0), (done, 1, 0, 0, None, 1)]
    );
    scope.end();

    world.check_replay(&[team.id.into(), PLATFORM]).await;
}

#[tokio::test]
async fn pages_go_through_all_rows_in_both_directions_in_every_order() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let team = world.team("acme", ada).await;
    let board = board(&world, team).await;
    for n in 0..11 {
        let due = if n % 3 == 0 { Value::Null } else { json!(format!("2026-07-{:02}", 1 + n % 4)) };
        let priority = if n % 2 == 0 { "LOW" } else { "HIGH" };
        create_item(&world, team, &board, ada, n / 2, json!({ "dueDate": due, "priority": priority })).await;
    }
    world.project().await;
    let mut scope = world.scope(team.id, ada).await;
    for order in ItemOrder::ALL {
        let whole = ids(&mut scope, ItemFilter::default(), order).await;
        assert_eq!(whole.iter().collect::<BTreeSet<_>>().len(), 11);
        let (mut forward, mut args) = (Vec::new(), PageArgs { first: Some(4), ..PageArgs::default() });
        let last = loop {
            let page = items(&mut scope, &ItemFilter::default(), order, &args).await.unwrap();
            forward.extend(page.rows.iter().map(|(_, stored)| stored.row.id.0));
            let cursor = page.rows.last().unwrap().0.encode();
            if !page.has_next {
                break cursor;
            }
            args.after = Some(cursor);
        };
        assert_eq!(forward, whole, "{order:?}");
        let back = PageArgs { last: Some(3), before: Some(last.clone()), ..PageArgs::default() };
        let page = items(&mut scope, &ItemFilter::default(), order, &back).await.unwrap();
        assert_eq!(page.rows.iter().map(|(_, stored)| stored.row.id.0).collect::<Vec<_>>(), whole[7..10], "{order:?}");
        assert!(page.has_previous);
        let other = if order == ItemOrder::Rank { ItemOrder::CreatedAtAsc } else { ItemOrder::Rank };
        let wrong = items(&mut scope, &ItemFilter::default(), other, &PageArgs { after: Some(last), ..PageArgs::default() }).await;
        assert!(matches!(wrong, Err(QueryError::Page(CursorError::OtherOrder { .. }))));
    }
}

#[tokio::test]
async fn an_item_finds_its_neighbours_ranks_and_is_none_of_its_own() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let team = world.team("acme", ada).await;
    let board = board(&world, team).await;
    let mut made = Vec::new();
    for n in 1..=3 {
        made.push(create_item(&world, team, &board, ada, n, json!({})).await);
    }
    world.project().await;
    let mut scope = world.scope(team.id, ada).await;
    let (rows, stage) = (items_by_id(&mut scope, &made, None).await.unwrap(), board.stages[0]);
    let rank = |n: usize| Some(rows[&made[n]].row.rank.clone());
    assert_eq!(neighbour_ranks(&mut scope, stage, None, made[1], false).await.unwrap(), Some((rank(0), rank(1))));
    assert_eq!(neighbour_ranks(&mut scope, stage, None, made[1], true).await.unwrap(), Some((rank(1), rank(2))));
    assert_eq!(neighbour_ranks(&mut scope, stage, Some(made[2]), made[1], true).await.unwrap(), Some((rank(1), None)));
    assert_eq!(neighbour_ranks(&mut scope, stage, None, made[0], false).await.unwrap(), Some((None, rank(0))));
    assert_eq!(neighbour_ranks(&mut scope, board.stages[1], None, made[0], false).await.unwrap(), None);
}

#[tokio::test]
async fn every_filter_and_order_of_items_uses_an_index_under_row_level_security() {
    let world = World::new().await;
    let ada = world.user("ada").await;
    let team = world.team("acme", ada).await;
    world.project().await;
    // Made-up rows in their thousands, as the worker may write them: the planner has to have something to win.
    let mut worker = world.pools.worker.acquire().await.unwrap();
    sqlx::query(
        "insert into read_models.pipeline_items (tenant_id, sequence, created_at, created_by, updated_at, id, pipeline_id, stage_id, rank, title, assigned_to,
           due_date, priority, tags, status, entered_stage_at)
         select $1, 1, now() - n * interval '1 minute', md5((n % 200)::text)::uuid, now() - n * interval '1 minute', md5(n::text)::uuid, md5((n % 50)::text)::uuid,
           md5((n % 500)::text)::uuid, lpad(n::text, 8, '0'), 'x', md5((n % 300)::text)::uuid, date '2026-01-01' + n % 900,
           case when n % 1000 = 0 then 'URGENT' else 'LOW' end, '{}', 'OPEN', now()
         from generate_series(1, 20000) n",
    )
    .bind(team.id.0)
    .execute(&mut *worker)
    .await
    .unwrap();
    drop(worker);
    let mut admin = world.database.admin().await;
    sqlx::query(
        "insert into read_models.pipeline_item_tags (tenant_id, sequence, created_at, updated_at, tag, item_id)
         select tenant_id, 1, created_at, created_at, 'tag ' || (row_number() over ()) % 500, id from read_models.pipeline_items",
    )
    .execute(&mut admin)
    .await
    .unwrap();
    sqlx::query("analyze read_models.pipeline_item_tags").execute(&mut admin).await.unwrap();
    sqlx::query("analyze read_models.pipeline_items").execute(&mut admin).await.unwrap();

    let cursor = |by: &str, value: &str| {
        format!("and (t.{by}, t.id) > ('{value}', '00000000-0000-0000-0000-000000000000') order by t.{by}, t.id limit 21")
    };
    let plans = [
        ("created_at", cursor("created_at", "2020-01-01")),
        ("updated_at", cursor("updated_at", "2020-01-01")),
        ("due_key", cursor("due_key", "2026-02-01")),
        ("rank", format!("and t.pipeline_id = md5('7')::uuid {}", cursor("rank", "0000"))),
        ("stage", format!("and t.stage_id = md5('7')::uuid {}", cursor("rank", "0000"))),
        ("priority", "and t.priority_rank = 4::smallint".to_owned()),
        ("assignee", "and t.assigned_to = md5('7')::uuid".to_owned()),
        ("own", "and (t.created_by = md5('7')::uuid or t.assigned_to = md5('7')::uuid)".to_owned()),
        (
            "tag",
            format!(
                "and t.id in (select g.item_id from read_models.pipeline_item_tags g where g.tenant_id = '{}' and g.tag = 'tag 7')",
                team.id
            ),
        ),
        ("status", "and t.status = 'COMPLETED'".to_owned()),
    ];
    let mut scope = world.scope(team.id, ada).await;
    for (name, condition) in plans {
        let sql = format!(
            "explain select t.id from read_models.pipeline_items t where t.tenant_id = '{}' and t.deleted_at is null {condition}",
            team.id
        );
        let plan: Vec<String> = sqlx::query_scalar(&sql).fetch_all(scope.connection()).await.unwrap();
        let plan = plan.join("\n");
        let indexed =
            plan.lines().any(|line| line.contains("Index Cond") && line.matches("tenant_id").count() < line.matches(['=', '>']).count());
        assert!(
            indexed && !plan.contains("Seq Scan") && !plan.contains("Sort") && !plan.contains("SubPlan"),
            "{name} does without its index:\n{plan}"
        );
    }
}
