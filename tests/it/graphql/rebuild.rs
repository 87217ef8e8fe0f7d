//! Read models are made anew beside the live ones: nobody who asks or writes meanwhile notices, one that is killed goes
//! on where it stopped, and what comes of it is what was there.

use super::operations::administrator;
use super::*;
use crate::harness::{Process, Team, eventually};
use crate::program::{Program, annals};
use projections::{Freshness, Pace, Projector, ProjectorConfig, RebuildProgress};
use sqlx::{Connection, Executor, PgConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What the catalog says of read models' tables: columns, keys, indexes, policies, grants.
async fn catalog(admin: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar(
        "select format('%s %s %s %s', c.relname, c.relrowsecurity, c.relforcerowsecurity, (select string_agg(a::text, ' ' order by a::text) from unnest(c.relacl) a))
           from pg_class c where c.relnamespace = 'read_models'::regnamespace and c.relkind = 'r'
         union all
         select format('%s.%s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attcollation::regcollation, pg_get_expr(d.adbin, d.adrelid))
           from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
           where c.relnamespace = 'read_models'::regnamespace and c.relkind = 'r'
         union all select indexdef from pg_indexes where schemaname = 'read_models'
         union all select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint where connamespace = 'read_models'::regnamespace
         union all select format('%s %s %s %s %s %s', tablename, policyname, roles, cmd, qual, with_check) from pg_policies where schemaname = 'read_models'
         order by 1",
    )
    .fetch_all(admin)
    .await
    .unwrap()
}

async fn filled(world: &World, mark: &str) -> (Acme, Board) {
    let acme = Acme::new(world, mark).await;
    let board = acme.board().await;
    for _ in 0..4 {
        let item = acme.item(&board).await;
        let to = format!("itemId: \"{item}\", input: {{ toStageId: \"{}\" }}", board.stages[1]);
        acme.owner.client.run("moveItem", &to, "id").await;
        acme.owner.client.run("addItemTag", &format!("itemId: \"{item}\", tag: \"t\""), "id").await;
    }
    (acme, board)
}

/// A projector of batches so small that a rebuild takes many.
async fn small(world: &World, batch_events: i64) -> Projector {
    let config = ProjectorConfig { batch_events, ..ProjectorConfig::default() };
    let freshness = Freshness::new(world.app.pools.worker.clone());
    Projector::new(&world.app.pools, world.app.commands.vault(), &world.app.wake, &freshness, config).await.unwrap()
}

/// Somebody whose query goes on: whatever they look at cannot be exchanged.
async fn looking_at(world: &World, table: &str) -> PgConnection {
    let mut long = world.database.admin().await;
    long.execute(format!("begin; select count(*) from read_models.{table}").as_str()).await.unwrap();
    long
}

async fn one<T>(world: &World, sql: &str) -> T
where
    T: Send + Unpin + sqlx::Type<sqlx::Postgres> + for<'r> sqlx::Decode<'r, sqlx::Postgres>,
{
    sqlx::query_scalar(sql).fetch_one(&world.app.pools.worker).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_asks_or_writes_notices_that_all_read_models_are_made_anew() {
    let world = World::new().await;
    let (acme, board) = filled(&world, "acme").await;
    let mut admin = world.database.admin().await;
    let before = catalog(&mut admin).await;
    let done = Arc::new(AtomicBool::new(false));
    let asks = [
        "{ pipelineItems { nodes { title stage { name } } } pipelines { nodes { name stages { name itemCount } } } }",
        "{ workspace { name } members { nodes { name email } } myWorkspaces { id } }",
        "{ me { email } mySessions { nodes { status } } }",
    ];
    let mut busy = tokio::task::JoinSet::new();
    for query in asks {
        let (client, done) = (acme.owner.client.clone(), Arc::clone(&done));
        busy.spawn(async move {
            let mut answers = 0;
            while !done.load(Ordering::Relaxed) {
                client.get(query, json!({})).await;
                answers += 1;
            }
            answers
        });
    }
    for n in 0..2 {
        let (client, done, board) = (acme.owner.client.clone(), Arc::clone(&done), board.clone());
        busy.spawn(async move {
            let mut written = 0;
            while !done.load(Ordering::Relaxed) {
                let input = format!("input: {{ pipelineId: \"{}\", title: \"{n} meanwhile {written}\" }}", board.id);
                client.run("createItem", &input, "id").await;
                written += 1;
            }
            written
        });
    }
    let projector = small(&world, 100).await;
    for pace in [Pace::FULL, Pace::percent(80).unwrap(), Pace::AUTO] {
        assert_eq!(projections::rebuild(&projector, &[], pace, &mut |_| {}).await.unwrap(), []);
    }
    done.store(true, Ordering::Relaxed);
    while let Some(count) = busy.join_next().await {
        assert!(count.unwrap() > 0, "somebody was never answered");
    }
    assert_eq!(catalog(&mut admin).await, before, "the new tables are as the old ones were");
    assert_eq!(one::<i64>(&world, "select count(*) from pg_class where relnamespace = 'read_models_next'::regnamespace").await, 0);
    assert_eq!(
        one::<i64>(&world, "select (select count(*) from read_models.rebuilt) + (select count(*) from read_models.rebuilds)").await,
        0
    );
    equals_its_replay(&world.app).await;
    world.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_way_while_somebody_asks_and_only_then() {
    let world = World::without_projector().await;
    let projecting = world.projecting().await;
    let acme = Acme::new(&world, "acme").await;
    projecting.stop().await;
    let team = Team { tenant: acme.id.into(), owner: acme.owner.id, process: Process::of(&world.app) };
    let board = team.board(2).await;
    for _ in 0..40 {
        futures::future::join_all((0..100).map(|_| team.item(&board))).await;
    }
    let projector = small(&world, 1_000).await;
    projector.catch_up().await.unwrap();

    // An event at a time while it gives way: it outlasts the first judgement, after two seconds.
    let slow = small(&world, 1).await;
    let watched = |seen: fn(&RebuildProgress) -> bool| {
        let (slow, soon) = (slow.clone(), Duration::from_secs(60));
        async move {
            let nothing = RebuildProgress { before: 0, events: 0, of_events: 0, gives_way: true, elapsed: Duration::ZERO };
            let (tell, mut told) = tokio::sync::watch::channel(nothing);
            let mut progress = |now: &RebuildProgress| {
                tell.send_replace(*now);
            };
            let found = tokio::select! {
                found = tokio::time::timeout(soon, told.wait_for(seen)) => *found.expect("in time").unwrap(),
                ended = projections::rebuild(&slow, &[], Pace::AUTO, &mut progress) => panic!("it ended before that: {ended:?}"),
            };
            projections::abandon(&slow, &[]).await.unwrap();
            found
        }
    };
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let pool = world.app.pools.loader.clone();
        busy.spawn(async move {
            loop {
                sqlx::query("select 1").execute(&pool).await.unwrap();
            }
        });
    }
    let beside = watched(|now| !now.gives_way || now.elapsed > Duration::from_secs(3)).await;
    assert!(beside.gives_way, "somebody asks, and it does not give way: {beside:?}");
    busy.shutdown().await;
    let alone = watched(|now| !now.gives_way).await;
    assert!(alone.events < alone.of_events, "it gave way as long as there was something to do: {alone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_stopped_anywhere_goes_on_where_it_was() {
    let world = World::without_projector().await;
    let projecting = world.projecting().await;
    filled(&world, "acme").await;
    filled(&world, "other").await;
    projecting.stop().await;
    let projector = small(&world, 2).await;
    projector.catch_up().await.unwrap();
    let (mut runs, mut reached) = (0, 0);
    loop {
        // Stopped after a few batches, wherever that is.
        let (stop, mut stopped) =
            tokio::sync::watch::channel(RebuildProgress { before: 0, events: 0, of_events: 0, gives_way: false, elapsed: Duration::ZERO });
        let again = projector.clone();
        let names = ["pipeline_items".to_owned(), "pipeline_item_history".to_owned()];
        let run = tokio::spawn(async move {
            projections::rebuild(&again, &names, Pace::FULL, &mut |now| {
                stop.send_replace(*now);
            })
            .await
            .unwrap();
        });
        let ended = tokio::select! {
            Ok(_) = stopped.wait_for(|now| now.events > now.before + 4 && now.events < now.of_events) => false,
            _ = async { while !run.is_finished() { tokio::task::yield_now().await } } => true,
        };
        let now = *stopped.borrow();
        assert!(now.before >= reached, "what was done is done: {now:?} after {reached}");
        (runs, reached) = (runs + 1, now.before);
        if ended {
            run.await.unwrap();
            break;
        }
        run.abort();
        // It may have come to its end just now.
        if let Err(error) = run.await {
            assert!(error.is_cancelled(), "{error}");
        }
    }
    assert!(runs > 2 && reached > 0, "{runs} runs");
    equals_its_replay(&world.app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_is_killed_is_gone_on_with_by_the_next_command() {
    let program = Program::new().await;
    let world = World::on(program.database, api::serve::Options::default()).await;
    let (acme, _) = filled(&world, "acme").await;
    let (dir, database) = (program.dir, world.database.options());
    let annals = |arguments: &[&str]| annals(dir.path(), &database, arguments);
    let mut looking = looking_at(&world, "pipeline_items").await;
    let mut run = annals(&["rebuild", "pipeline_items"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let is_filled = "select count(*) = 0 and exists (select from read_models.rebuilt) from read_models.checkpoints c
                     left join read_models.rebuilt r on r.tenant_id = c.tenant_id where r.position is distinct from c.position";
    eventually("all to be filled", || async { one::<bool>(&world, is_filled).await.then_some(()) }).await;
    run.kill().await.unwrap();
    looking.execute("rollback").await.unwrap();
    looking.close().await.unwrap();

    // The live rows are as they were, and the rest is there to be seen.
    assert_eq!(acme.owner.client.get("{ pipelineItems { totalCount } }", json!({})).await["pipelineItems"]["totalCount"], 4);
    let status = annals(&["status"]).output().await.unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.lines().any(|line| line.starts_with("pipeline_items ") && line.contains("made anew since")), "{status}");
    // By this it is known again what was filled before.
    let mut admin = world.database.admin().await;
    admin.execute("update read_models_next.pipeline_items set title = 'from before'").await.unwrap();
    let run = annals(&["rebuild", "pipeline_items"]).output().await.unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(String::from_utf8(run.stdout).unwrap(), "Made anew: pipeline_items.\n");
    let titles: Vec<String> =
        sqlx::query_scalar("select distinct title from read_models.pipeline_items").fetch_all(&mut admin).await.unwrap();
    assert_eq!(titles, ["from before"], "it did not begin anew");

    // One that is given up leaves nothing.
    let mut looking = looking_at(&world, "pipeline_items").await;
    let mut run = annals(&["rebuild", "pipeline_items"]).stderr(std::process::Stdio::null()).spawn().unwrap();
    eventually("all to be filled again", || async { one::<bool>(&world, is_filled).await.then_some(()) }).await;
    run.kill().await.unwrap();
    looking.execute("rollback").await.unwrap();
    let run = annals(&["rebuild", "pipeline_items", "--abandon"]).output().await.unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(one::<i64>(&world, "select count(*) from pg_class where relnamespace = 'read_models_next'::regnamespace").await, 0);
    let unknown = annals(&["rebuild", "checkpoints"]).output().await.unwrap();
    assert!(!unknown.status.success() && String::from_utf8_lossy(&unknown.stderr).contains("there is no read model"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_in_stands_still_after_a_rebuild_and_nothing_else_does() {
    let world = World::without_projector().await;
    let projecting = world.projecting().await;
    let ((acme, board), _) = (filled(&world, "acme").await, filled(&world, "other").await);
    projecting.stop().await;
    let create = |title: &str| format!("input: {{ pipelineId: \"{}\", title: \"{title}\" }}", board.id);
    acme.owner.client.mutate("createItem", &create("Duck"), "id").await;
    let duck = heads(&world).await[&acme.id.0];
    acme.owner.client.mutate("createItem", &create("Behind it"), "id").await;
    let projector = small(&world, 2).await;
    projector.catch_up().await.unwrap();
    // It was taken in once; today it would be refused.
    let mut admin = world.database.admin().await;
    admin.execute("alter table read_models.pipeline_items add constraint no_ducks check (title <> 'Duck') not valid").await.unwrap();
    let standing = projections::rebuild(&projector, &[], Pace::FULL, &mut |_| {}).await.unwrap();
    let [standing] = standing.as_slice() else { panic!("{standing:?}") };
    assert_eq!((standing.tenant, standing.read_model.as_str(), standing.failing), (acme.id.into(), "pipeline_items", duck));
    assert!(standing.error.contains("no_ducks"), "{standing:?}");
    let parked: (Uuid, String, i64, Option<i64>) =
        sqlx::query_as("select tenant_id, read_model, position, failing from read_models.parked").fetch_one(&mut admin).await.unwrap();
    assert_eq!(parked, (acme.id.0, "pipeline_items".to_owned(), duck - 1, Some(duck)));
    let titles = "select count(*) from read_models.pipeline_items where title in ('Duck', 'Behind it')";
    assert_eq!(one::<i64>(&world, titles).await, 0);

    admin.execute("alter table read_models.pipeline_items drop constraint no_ducks").await.unwrap();
    admin.execute("update read_models.parked set retry_at = clock_timestamp()").await.unwrap();
    equals_its_replay(&world.app).await;
    assert_eq!(one::<i64>(&world, titles).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_skipped_while_a_rebuild_waits_to_be_swapped_in_is_passed_over_by_it() {
    let world = World::without_projector().await;
    let projecting = world.projecting().await;
    let (acme, board) = filled(&world, "acme").await;
    let mut admin = world.database.admin().await;
    admin.execute("alter table read_models.pipeline_items add constraint no_ducks check (title <> 'Duck')").await.unwrap();
    let create = |title: &str| format!("input: {{ pipelineId: \"{}\", title: \"{title}\" }}", board.id);
    acme.owner.client.mutate("createItem", &create("Duck"), "id").await;
    let duck = heads(&world).await[&acme.id.0];
    acme.owner.client.mutate("createItem", &create("Behind it"), "id").await;
    eventually("the duck to be found", || async {
        one::<bool>(&world, &format!("select exists (select from read_models.parked where failing = {duck})")).await.then_some(())
    })
    .await;
    let root = administrator(&world).await;
    projecting.stop().await;
    // Mended, but nobody has tried it yet.
    admin.execute("alter table read_models.pipeline_items drop constraint no_ducks").await.unwrap();

    let mut looking = looking_at(&world, "pipeline_items").await;
    let projector = small(&world, 2).await;
    let run =
        tokio::spawn(
            async move { projections::rebuild(&projector, &["pipeline_items".to_owned()], Pace::FULL, &mut |_| {}).await.unwrap() },
        );
    let taken_in = format!("select exists (select from read_models.rebuilt where tenant_id = '{}' and position > {duck})", acme.id);
    eventually("the rebuild to be past the duck", || async { one::<bool>(&world, &taken_in).await.then_some(()) }).await;
    let skip = api::operations::Skip { read_model: "pipeline_items", workspace: &acme.slug, position: duck, reason: "no item" };
    let tried = api::operations::skip(&world.app, &Origin::new(), Some(root.id), None, skip).await.unwrap();
    assert_eq!((tried.caught_up, tried.waiting.len()), (0, 1), "nobody projects just now");
    looking.execute("rollback").await.unwrap();
    assert_eq!(run.await.unwrap(), []);
    let titles = |title: &str| format!("select count(*) from read_models.pipeline_items where title = '{title}'");
    assert_eq!((one::<i64>(&world, &titles("Duck")).await, one::<i64>(&world, &titles("Behind it")).await), (0, 1));
    equals_its_replay(&world.app).await;
    world.audit().await;
}
