//! Recovery to a point in time, by the very commands of docs/operating.md: what is before that point is there, the mistake
//! behind it is not, and work goes on.

use super::*;
use crate::graphql::{equals_its_replay, uuid};
use crate::harness::{MASTER, audited, eventually, serve};
use cluster::{Cluster, Tools};
use event_store::MasterKey;
use serde_json::json;
use sqlx::Executor;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;

/// The commands of a section of the page for operators, fence by fence; those that only set variables are the reader's.
fn commands(section: &str) -> Vec<String> {
    let page = include_str!("../../../docs/operating.md");
    let (_, rest) = page.split_once(&format!("\n### {section}\n")).unwrap();
    let section = rest.split_once("\n## ").unwrap().0.split("\n### ").next().unwrap();
    let fences = section.split("```sh\n").skip(1).map(|rest| rest.split_once("```").unwrap().0.to_owned());
    fences.filter(|commands| !commands.starts_with("export ")).collect()
}

async fn started(dir: &Path) -> (Cluster, PgConnectOptions) {
    let cluster = Cluster::start(dir, cluster::Options { durable: false, ..cluster::Options::default() }).await.unwrap();
    let options = cluster.url("annals").parse().unwrap();
    (cluster, options)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_mistake_is_undone_by_recovering_to_the_moment_before_it() {
    let place = cluster::throwaway_dir().unwrap();
    let [old, new, shelf] = ["old", "new", "shelf"].map(|name| place.path().join(name));
    // What the server's account writes to: it is not ours where we are root.
    for dir in [&new, &shelf] {
        fs::create_dir(dir).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let (cluster, options) = started(&old).await;
    let owner = fs::metadata(old.join("postgres")).unwrap();
    let data = new.join("postgres");
    let sh = |commands: &str, cluster: Option<&PgConnectOptions>, until: &str| {
        let tools = Tools::find(15).unwrap();
        let mut path = tools.dir().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let mut shell = std::process::Command::new("sh");
        shell.args(["-euc", commands]).env("PATH", path).env("UNTIL", until).env("PGUSER", options.get_username());
        shell.env("ARCHIVE", shelf.join("wal")).env("BASE", shelf.join("base")).env("DATA", &data);
        shell.envs(cluster.and_then(|cluster| cluster.get_socket()).map(|socket| ("PGHOST", socket)));
        let shell = shell.current_dir("/").uid(owner.uid()).gid(owner.gid()).output().unwrap();
        assert!(shell.status.success(), "{commands}\n{}", String::from_utf8_lossy(&shell.stderr));
    };
    let fences = commands("To a point in time");
    let [keep, copy, recover] = fences.as_slice() else { panic!("what is to be tried has changed: {fences:?}") };

    let mut admin = cluster.url("postgres").parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    admin.execute("create database annals").await.unwrap();
    admin.close().await.unwrap();
    sh(keep, Some(&options), "");
    cluster.stop().await.unwrap();
    let (cluster, options) = started(&old).await;
    event_store::migrate(&options, &MasterKey::new(MASTER)).await.unwrap();
    let running = serve(&options, Options::default()).await;
    let acme = Acme::at(&running.app, &format!("http://{}", running.address.unwrap()), "acme", "acme").await;
    let board = acme.board().await;
    item(&acme, &board, "before the copy").await;
    sh(copy, Some(&options), "");
    let kept = uuid(&item(&acme, &board, "after the copy").await["id"]);
    let mut admin = options.connect().await.unwrap();
    let until: String = sqlx::query_scalar("select clock_timestamp()::text").fetch_one(&mut admin).await.unwrap();
    item(&acme, &board, "a mistake").await;
    acme.owner.client.run("deleteItem", &format!("itemId: \"{kept}\""), "id").await;
    let end = "select position from event_store.heads where tenant_id = $1";
    let mistaken: i64 = sqlx::query_scalar(end).bind(acme.id.0).fetch_one(&mut admin).await.unwrap();
    admin.close().await.unwrap();
    running.stop().await;
    cluster.stop().await.unwrap();

    sh(recover, None, &until);
    let (cluster, options) = started(&new).await;
    let mut admin = options.connect().await.unwrap();
    eventually("the recovery to end", async || {
        let mut admin = options.connect().await.unwrap();
        let recovers: bool = sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(&mut admin).await.unwrap();
        (!recovers).then_some(())
    })
    .await;
    assert_eq!(titles(&options).await, ["after the copy", "before the copy"]);
    let head: i64 = sqlx::query_scalar(end).bind(acme.id.0).fetch_one(&mut admin).await.unwrap();
    assert_eq!(head, mistaken - 2, "both mistakes are undone");
    let running = serve(&options, Options::default()).await;
    let client = acme.owner.client.at(&format!("http://{}", running.address.unwrap()));
    let query = "{ pipelineItems { nodes { title } } }";
    let mut shown: Vec<Value> = client.get(query, json!({})).await["pipelineItems"]["nodes"].as_array().unwrap().clone();
    shown.sort_by_key(ToString::to_string);
    assert_eq!(shown, [json!({ "title": "after the copy" }), json!({ "title": "before the copy" })]);
    // The key of what was undone is free, and its position is another event's now.
    let input = format!("input: {{ pipelineId: \"{}\", title: \"a mistake\" }}", board.id);
    client.with("Idempotency-Key", "a mistake").run("createItem", &input, "id").await;
    assert_eq!(sqlx::query_scalar::<_, i64>(end).bind(acme.id.0).fetch_one(&mut admin).await.unwrap(), head + 1);
    equals_its_replay(&running.app).await;
    audited(&running.app, &options).await;
    // A backup looks through all logs, and goes from here to any other server.
    let dir = Program::new().await.dir;
    done(dir.path(), &options, &["backup", "backup"]).await;
    admin.close().await.unwrap();
    running.stop().await;
    cluster.stop().await.unwrap();
    for dir in [&old, &new] {
        Cluster::discard(dir).await.unwrap();
    }
}
