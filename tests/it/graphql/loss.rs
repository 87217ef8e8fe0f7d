//! The database goes away in the middle of commands, from under the whole program: each request is answered with a
//! code, the process lives and recovers, and a command that is sent again under its key has one effect.

use super::*;
use crate::harness::{MASTER, audited, eventually, serve};
use cluster::Cluster;
use event_store::MasterKey;
use futures::future::join_all;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const WRITERS: usize = 8;
const EACH: usize = 25;
/// What may be said of a database that is not there.
const AWAY: [&str; 5] = ["UNAVAILABLE", "TIMEOUT", "OVERLOADED", "READ_MODEL_BEHIND", "STALE_READ"];

async fn start(dir: &Path) -> Cluster {
    // Durable: what a server has confirmed must be there when it comes back.
    Cluster::start(dir, cluster::Options::default()).await.unwrap()
}

/// The server, ended as a crash would end it. It is the test's own.
async fn crash(options: &PgConnectOptions) {
    let mut admin = options.connect().await.unwrap();
    let data: String = sqlx::query_scalar("show data_directory").fetch_one(&mut admin).await.unwrap();
    let pid = std::fs::read_to_string(Path::new(&data).join("postmaster.pid")).unwrap().lines().next().unwrap().to_owned();
    let killed = std::process::Command::new("kill").args(["-9", &pid]).status().unwrap();
    assert!(killed.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn commands_go_through_exactly_once_though_the_database_crashes_under_them() {
    let dir = tempfile::Builder::new().prefix("annals-loss-").tempdir().unwrap();
    let data = dir.path().join("data");
    let first = start(&data).await;
    let mut admin = first.url("postgres").parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    admin.execute("create database annals").await.unwrap();
    admin.close().await.unwrap();
    let options: PgConnectOptions = first.url("annals").parse().unwrap();
    event_store::migrate(&options, &MasterKey::new(MASTER)).await.unwrap();
    let running = serve(&options, api::serve::Options::default()).await;
    let url = format!("http://{}", running.address.unwrap());
    let acme = Acme::at(&running.app, &url, "acme", "acme").await;
    let board = acme.board().await;

    let done = Arc::new(AtomicUsize::new(0));
    let codes = Arc::new(Mutex::new(BTreeMap::<String, usize>::new()));
    let writers = (0..WRITERS).map(|writer| {
        let (client, pipeline) = (acme.owner.client.clone(), board.id);
        let (done, codes) = (Arc::clone(&done), Arc::clone(&codes));
        tokio::spawn(async move {
            let mut made = vec![];
            for n in 0..EACH {
                let client = client.with("Idempotency-Key", format!("writer {writer} item {n}"));
                let input = format!("input: {{ pipelineId: \"{pipeline}\", title: \"{writer} {n}\" }}");
                let deadline = Instant::now() + Duration::from_secs(90);
                loop {
                    let reply = client.mutate("createItem", &input, "id title").await;
                    let code = reply.code();
                    if code.is_empty() {
                        assert_eq!(reply.payload()["entity"]["title"], format!("{writer} {n}"), "{}", reply.text);
                        made.push(uuid(&reply.payload()["entity"]["id"]));
                        break;
                    }
                    *codes.lock().unwrap().entry(code.clone()).or_default() += 1;
                    assert!(AWAY.contains(&code.as_str()), "{} {}", reply.status, reply.text);
                    assert!(Instant::now() < deadline, "never went through: {}", reply.text);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                done.fetch_add(1, Ordering::SeqCst);
            }
            made
        })
    });
    let writers: Vec<_> = writers.collect();

    let mut servers = vec![first];
    for crash_at in [WRITERS * EACH / 5, WRITERS * EACH / 2] {
        eventually("enough to be written", || async {
            let enough = done.load(Ordering::SeqCst) >= crash_at;
            assert!(enough || !writers.iter().all(JoinHandle::is_finished), "the writers ended early");
            enough.then_some(())
        })
        .await;
        crash(&options).await;
        // While it is away, which its last processes notice somewhat later: an error with a code, and the process is there.
        let reply = eventually("the server to be gone", || async {
            let reply = acme.owner.client.ask("{ pipelines { nodes { id } } }", json!({})).await;
            (!reply.code().is_empty()).then_some(reply)
        })
        .await;
        assert!(AWAY.contains(&reply.code().as_str()), "{} {}", reply.status, reply.text);
        assert!([503, 200, PARTIAL].contains(&reply.status), "{} {}", reply.status, reply.text);
        assert_eq!(reqwest::get(format!("{url}/livez")).await.unwrap().status(), 200);
        servers.push(start(&data).await);
    }
    let made: Vec<Uuid> = join_all(writers).await.into_iter().flat_map(Result::unwrap).collect();
    let codes = codes.lock().unwrap().clone();
    assert!(codes.values().sum::<usize>() > 0, "no command met a crash");
    assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), WRITERS * EACH);

    let mut admin = options.connect().await.unwrap();
    let titles: Vec<String> =
        sqlx::query_scalar("select payload ->> 'title' from event_store.events where event_type = 'PipelineItemCreated'")
            .fetch_all(&mut admin)
            .await
            .unwrap();
    assert_eq!((titles.len(), titles.iter().collect::<BTreeSet<_>>().len()), (WRITERS * EACH, WRITERS * EACH), "each once; met {codes:?}");
    let shown = acme.owner.client.get("{ pipelineItems { totalCount } }", json!({})).await;
    assert_eq!(shown["pipelineItems"]["totalCount"], WRITERS * EACH);
    is_dense(&mut admin).await;
    admin.close().await.unwrap();
    equals_its_replay(&running.app).await;
    audited(&running.app, &options).await;
    running.stop().await;
    for server in servers.into_iter().rev() {
        server.stop().await.unwrap();
    }
    Cluster::discard(&data).await.unwrap();
}
