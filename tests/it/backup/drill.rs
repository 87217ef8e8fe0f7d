//! The drill: a backup is taken under load, everything is lost, it is restored elsewhere, and work goes on.

use super::*;
use crate::graphql::{equals_its_replay, uuid};
use crate::harness::{audited, eventually, serve};
use cluster::Cluster;
use domain::{PLATFORM, TenantId};
use serde_json::json;
use sqlx::Executor;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

const WRITERS: usize = 4;
/// Items that are answered before the backup, while it is taken, and after it.
const ANSWERED: usize = 20;
const PASSWORD: &str = "correct horse battery 9A!";

fn sorted(mut titles: Vec<String>) -> Vec<String> {
    titles.sort();
    titles
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_answered_before_a_backup_is_there_after_everything_was_lost_and_work_goes_on() {
    let (world, dir) = served().await;
    world.register("ada@example.org").await;
    let acme = Arc::new(Acme::new(&world, "acme").await);
    let board = acme.board().await;

    // Each sends one after the other, so what is restored of each has no hole.
    let (answered, stop) = (Arc::new(Mutex::new(Vec::<String>::new())), Arc::new(AtomicBool::new(false)));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (acme, board, answered, stop) = (Arc::clone(&acme), board.clone(), Arc::clone(&answered), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut made = vec![];
                while !stop.load(Ordering::SeqCst) {
                    let title = format!("{writer}-{:05}", made.len());
                    let entity = item(&acme, &board, &title).await;
                    answered.lock().unwrap().push(title.clone());
                    made.push((title, uuid(&entity["id"])));
                }
                made
            })
        })
        .collect();
    let more = async |than: usize| {
        eventually("more to be answered", || async { (answered.lock().unwrap().len() > than).then_some(()) }).await;
        answered.lock().unwrap().clone()
    };
    let before = more(ANSWERED).await;
    let said = done(dir.path(), &world.database.options(), &["backup", "backups/monday"]).await;
    let during = more(before.len()).await;
    more(during.len() + ANSWERED).await;
    stop.store(true, Ordering::SeqCst);
    let mut made = vec![];
    for writer in writers {
        made.push(writer.await.unwrap());
    }
    assert!(said.contains("logs with") && said.contains("master key") && said.contains("Keep a copy"), "{said}");

    // Everything is lost but the backup and the key.
    let written = titles(&world.database.options()).await;
    drop(world.stop().await);
    let place = cluster::throwaway_dir().unwrap();
    let data = place.path().join("data");
    let embedded = |arguments: &[&str]| {
        let mut command = annals(dir.path(), &PgConnectOptions::new(), arguments);
        command.env_remove("DATABASE_URL").env("ANNALS_DATA_DIR", &data);
        command
    };
    let output = embedded(&["restore", "backups/monday"]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("Restored backups/monday: ") && said.contains("compared in"), "{said}");
    let again = embedded(&["restore", "backups/monday"]).output().await.unwrap();
    assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("is not empty"));

    // What is there: all that was answered before, of each writer without a hole, and nothing that was never written.
    let cluster = Cluster::start(&data, cluster::Options { durable: false, ..cluster::Options::default() }).await.unwrap();
    let options: PgConnectOptions = cluster.url("annals").parse().unwrap();
    let found = titles(&options).await;
    let set: BTreeSet<&String> = found.iter().collect();
    assert_eq!(set.len(), found.len(), "each once");
    let missing: Vec<&String> = before.iter().filter(|title| !set.contains(title)).collect();
    assert!(missing.is_empty(), "answered before the backup began, and not in it: {missing:?}");
    assert!(found.iter().all(|title| written.contains(title)));
    assert!(found.len() < written.len(), "something was lost, or the load was none");
    for writer in &made {
        let kept: Vec<bool> = writer.iter().map(|(title, _)| set.contains(title)).collect();
        assert!(kept.is_sorted_by(|a, b| a >= b), "a hole: {kept:?}");
    }

    // The read models are there before anybody asks, and made by the restore.
    let mut admin = options.connect().await.unwrap();
    let rows: i64 = sqlx::query_scalar("select count(*) from read_models.pipeline_items").fetch_one(&mut admin).await.unwrap();
    assert_eq!(usize::try_from(rows).unwrap(), found.len());
    let behind = "select count(*) from event_store.heads h left join read_models.checkpoints c using (tenant_id) where h.position is distinct from c.position";
    assert_eq!(sqlx::query_scalar::<_, i64>(behind).fetch_one(&mut admin).await.unwrap(), 0);
    let running = serve(&options, Options::default()).await;
    let url = format!("http://{}", running.address.unwrap());
    let client = acme.owner.client.at(&url);
    assert_eq!(client.get("{ pipelineItems { totalCount } }", json!({})).await["pipelineItems"]["totalCount"], found.len());

    // The old password, under the old master key.
    let login = json!({ "email": "ada@example.org", "password": PASSWORD });
    let answer = reqwest::Client::new().post(format!("{url}/api/v1/auth/login")).json(&login).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());

    // Every command once more, under its key: those that are there have the outcome they had, the lost ones are done now.
    let head = async |tenant: TenantId| {
        let sql = "select position from event_store.heads where tenant_id = $1";
        sqlx::query_scalar::<_, i64>(sql).bind(tenant.0).fetch_one(&running.app.pools.loader).await.unwrap()
    };
    let (tenant, mut lost) = (acme.id.into(), 0);
    let end = head(tenant).await;
    for (title, id) in made.iter().flatten() {
        let input = format!("input: {{ pipelineId: \"{}\", title: \"{title}\" }}", board.id);
        let again = client.with("Idempotency-Key", title).run("createItem", &input, "id").await;
        let known = set.contains(title);
        assert_eq!(uuid(&again["entity"]["id"]) == *id, known, "{title}");
        lost += i64::from(!known);
    }
    assert_eq!(head(tenant).await, end + lost);
    assert_eq!(titles(&options).await, sorted(made.into_iter().flatten().map(|(title, _)| title).collect()));
    assert!(head(PLATFORM).await > 0);
    equals_its_replay(&running.app).await;
    audited(&running.app, &options).await;
    running.stop().await;

    // It can be backed up in its turn, as it is.
    let output = embedded(&["backup", "backups/tuesday"]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    admin.execute("select 1").await.unwrap();
    admin.close().await.unwrap();
    cluster.stop().await.unwrap();
    Cluster::discard(&data).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_read_models_that_were_backed_up_are_restored_as_they_were() {
    let (world, dir) = served().await;
    let acme = Acme::new(&world, "acme").await;
    let board = acme.board().await;
    item(&acme, &board, "one").await;
    // By this it is known again.
    let mut admin = world.database.admin().await;
    admin.execute("update read_models.pipeline_items set title = 'from before'").await.unwrap();
    done(dir.path(), &world.database.options(), &["backup", "with", "--read-models", "--jobs", "4"]).await;
    done(dir.path(), &world.database.options(), &["backup", "without"]).await;
    for (backup, title) in [("with", "from before"), ("without", "one")] {
        let database = Database::empty().await;
        let said = done(dir.path(), &database.options(), &["restore", backup, "--jobs", "4"]).await;
        assert!(said.contains(&format!("{backup} the rows of read models")), "{said}");
        let mut restored = database.admin().await;
        let titles: Vec<String> =
            sqlx::query_scalar("select title from read_models.pipeline_items").fetch_all(&mut restored).await.unwrap();
        assert_eq!(titles, [title]);
        restored.close().await.unwrap();
        let next = World::on(database, Options::default()).await;
        let query = "{ pipelineItems { nodes { title } } }";
        let there = acme.owner.client.at(&next.http());
        assert_eq!(there.get(query, json!({})).await["pipelineItems"]["nodes"], json!([{ "title": title }]));
        let again = Acme::new(&next, "other").await;
        item(&again, &again.board().await, "two").await;
        next.audit().await;
        drop(next.stop().await);
    }
    admin.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_the_database_needs_to_be_no_superuser_to_back_it_up_and_to_restore_it() {
    let (world, dir) = served().await;
    let acme = Acme::new(&world, "acme").await;
    item(&acme, &acme.board().await, "one").await;
    let (source, target) = (&world.database, Database::empty().await);
    let owner = format!("it_owner_{}", std::process::id());
    let (mut admin, mut there) = (source.admin().await, target.admin().await);
    let roles = "annals_owner, annals_append, annals_vault, annals_worker, annals_api, annals_loader";
    // With the admin option, which who has made the roles has from 16 on.
    let sql = format!(
        "drop role if exists {owner}; create role {owner} login createrole;
         grant {roles} to {owner} with admin option"
    );
    admin.execute(sql.as_str()).await.unwrap();
    for connection in [&mut admin, &mut there] {
        let database: String = sqlx::query_scalar("select current_database()::text").fetch_one(&mut *connection).await.unwrap();
        connection.execute(format!("alter database {database} owner to {owner}").as_str()).await.unwrap();
    }
    there.close().await.unwrap();
    done(dir.path(), &source.options().username(&owner), &["backup", "backup"]).await;
    done(dir.path(), &target.options().username(&owner), &["restore", "backup"]).await;
    let next = World::on(target, Options::default()).await;
    assert_eq!(titles(&next.database.options()).await, ["one"]);
    equals_its_replay(&next.app).await;
    next.audit().await;
    // Who owns what, who may do what and what hides what is as it was.
    let catalog = "select format('%s %s %s %s %s', c.oid::regclass, c.relowner::regrole, c.relrowsecurity, c.relforcerowsecurity, (select string_agg(a::text, ' ' order by a::text) from unnest(c.relacl) a))
           from pg_class c where c.relnamespace::regnamespace::text ~ '^(annals|event_store|vault|read_models)' and c.relkind in ('r', 'i')
         union all select format('%s %s %s %s %s', p.oid::regprocedure, p.proowner::regrole, p.prosecdef, p.proconfig, (select string_agg(a::text, ' ' order by a::text) from unnest(p.proacl) a))
           from pg_proc p where p.pronamespace::regnamespace::text ~ '^(annals|event_store|vault|read_models)'
         union all select format('%s %s %s', n.nspname, n.nspowner::regrole, (select string_agg(a::text, ' ' order by a::text) from unnest(n.nspacl) a))
           from pg_namespace n where n.nspname ~ '^(annals|event_store|vault|read_models)'
         union all select format('%s.%s %s %s %s %s %s', schemaname, tablename, policyname, roles, cmd, qual, with_check) from pg_policies
         union all select format('%s %s', t.tgrelid::regclass, pg_get_triggerdef(t.oid)) from pg_trigger t where not t.tgisinternal
         union all select format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint where conrelid <> 0
         order by 1";
    let mut there = next.database.admin().await;
    let was: Vec<String> = sqlx::query_scalar(catalog).fetch_all(&mut admin).await.unwrap();
    let is: Vec<String> = sqlx::query_scalar(catalog).fetch_all(&mut there).await.unwrap();
    assert_eq!(is, was);
    for connection in [&mut there, &mut admin] {
        connection.execute(format!("reassign owned by {owner} to current_user; drop owned by {owner}").as_str()).await.unwrap();
    }
    admin.execute(format!("drop role {owner}").as_str()).await.unwrap();
    there.close().await.unwrap();
    admin.close().await.unwrap();
    drop(next.stop().await);
    drop(world.stop().await);
}
