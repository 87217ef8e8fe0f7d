//! A real organisation's history goes through the program: to the letter, once, whatever happens on the way.

use crate::harness::eventually;
use crate::program::Program;
use serde_json::Value;
use sqlx::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

const OWNER: &str = "owner@demo.example";

/// A case of a log: its name, and of each event activity, resource and time.
type Cases = BTreeMap<String, Vec<(String, String, String)>>;

/// What the log holds, read independently of the importer.
fn cases(file: &Path) -> Cases {
    let mut cases = Cases::new();
    let mut current = String::new();
    for record in xes::open(file).unwrap() {
        match record.unwrap() {
            xes::Record::TraceStart { attributes, .. } => {
                current = attributes.text("concept:name").unwrap().to_owned();
                cases.entry(current.clone()).or_default();
            }
            xes::Record::Event { attributes, .. } => {
                let text = |key| attributes.text(key).unwrap().to_owned();
                let at = attributes.date("time:timestamp").unwrap().unwrap();
                cases.get_mut(&current).unwrap().push((
                    text("concept:name"),
                    text("org:resource"),
                    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
                ));
            }
            xes::Record::TraceEnd { .. } => {}
        }
    }
    cases
}

/// An event of an item as the database has it.
#[derive(Debug)]
struct Stored {
    event_type: String,
    payload: Value,
    metadata: Value,
}

struct Imported {
    program: Program,
    slug: &'static str,
}

impl Imported {
    async fn tenant(&self) -> Option<sqlx::types::Uuid> {
        let sql = "select (payload ->> 'workspace_id')::uuid from event_store.events where event_type = 'WorkspaceReserved' and payload ->> 'slug' = $1";
        sqlx::query_scalar(sql).bind(self.slug).fetch_optional(&mut self.program.database.admin().await).await.unwrap()
    }

    async fn item_events(&self) -> i64 {
        let Some(tenant) = self.tenant().await else { return 0 };
        let sql = "select count(*) from event_store.events where tenant_id = $1 and aggregate_type = 'pipeline_item'";
        sqlx::query_scalar(sql).bind(tenant).fetch_one(&mut self.program.database.admin().await).await.unwrap()
    }

    async fn head(&self) -> i64 {
        let sql = "select position from event_store.heads where tenant_id = $1";
        sqlx::query_scalar(sql).bind(self.tenant().await).fetch_one(&mut self.program.database.admin().await).await.unwrap()
    }

    /// All item events, stream by stream.
    async fn streams(&self) -> BTreeMap<String, Vec<Stored>> {
        let sql = "select aggregate_id, event_type, payload, metadata from event_store.events
                   where tenant_id = $1 and aggregate_type = 'pipeline_item' order by aggregate_id, sequence";
        let rows = sqlx::query(sql).bind(self.tenant().await).fetch_all(&mut self.program.database.admin().await).await.unwrap();
        let mut streams: BTreeMap<String, Vec<Stored>> = BTreeMap::new();
        for row in rows {
            let stored = Stored { event_type: row.get("event_type"), payload: row.get("payload"), metadata: row.get("metadata") };
            streams.entry(row.get("aggregate_id")).or_default().push(stored);
        }
        streams
    }

    /// Everything in the log is what the file says: each event of each case, by its own person, at its own time.
    async fn is_exactly(&self, cases: &Cases) {
        let streams = self.streams().await;
        assert_eq!(streams.len(), cases.len(), "one item a case");
        let sql =
            "select payload ->> 'stage_id', payload ->> 'name' from event_store.events where tenant_id = $1 and event_type = 'StageAdded'";
        let stages: Vec<(String, String)> =
            sqlx::query_as(sql).bind(self.tenant().await).fetch_all(&mut self.program.database.admin().await).await.unwrap();
        let stages: BTreeMap<String, String> = stages.into_iter().collect();
        let mut people: BTreeMap<String, String> = BTreeMap::new();
        for stream in streams.values() {
            let case = &cases[stream[0].payload["title"].as_str().unwrap()];
            assert_eq!(stream.len(), case.len());
            let mut standing = "";
            for (stored, (activity, resource, at)) in stream.iter().zip(case) {
                let stage = |field: &str| stages[stored.payload[field].as_str().unwrap()].as_str();
                match stored.event_type.as_str() {
                    "PipelineItemCreated" => assert_eq!(stage("stage_id"), activity),
                    "PipelineItemMoved" => assert_eq!((stage("from"), stage("to")), (standing, activity.as_str())),
                    "PipelineItemActivityRecorded" => {
                        assert_eq!((stored.payload["name"].as_str().unwrap(), standing), (activity.as_str(), activity.as_str()))
                    }
                    other => panic!("{other}"),
                }
                standing = activity;
                let said = |key: &str| stored.metadata[key].as_str().unwrap_or_default();
                assert_eq!((said("occurred_at"), said("imported"), said("actor_kind")), (at.as_str(), "true", "USER"));
                assert_eq!(
                    people.entry(resource.clone()).or_insert_with(|| said("actor_id").to_owned()),
                    said("actor_id"),
                    "{resource} is always the same user"
                );
            }
        }
        let actors: BTreeSet<&String> = people.values().collect();
        assert_eq!(actors.len(), people.len(), "no two resources are the same user");
        let sql = "select payload ->> 'user_id' from event_store.events where tenant_id = $1 and event_type = 'MemberJoined' and (payload -> 'roles')::text = '[\"operator\"]'";
        let members: Vec<String> =
            sqlx::query_scalar(sql).bind(self.tenant().await).fetch_all(&mut self.program.database.admin().await).await.unwrap();
        assert_eq!(members.iter().collect::<BTreeSet<_>>(), actors, "each is a member with the role operator");
    }
}

/// Kills the import five times on its way, lets it end, and repeats it, unpacked.
async fn survives(file: &Path) -> (Imported, Cases) {
    let cases = cases(file);
    let events: usize = cases.values().map(Vec::len).sum();
    let imported = Imported { program: Program::new().await, slug: "receipt" };
    imported.program.succeed(&["demo"]).await;
    let path = file.to_str().unwrap();
    let arguments = ["import", "xes", path, "--workspace", "receipt", "--pipeline", "receipt", "--owner", OWNER];
    for round in 1..=5_usize {
        let mut running =
            imported.program.annals(&arguments).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
        let enough = i64::try_from(events * round / 6).unwrap();
        eventually("the import to come so far", || async { (imported.item_events().await >= enough).then_some(()) }).await;
        running.kill().await.unwrap();
    }
    let printed = imported.program.succeed(&arguments).await;
    assert!(printed.contains(&format!("{events} events of {} cases", cases.len())), "{printed}");
    imported.is_exactly(&cases).await;

    let before = imported.head().await;
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(std::fs::File::open(file).unwrap()), &mut plain).unwrap();
    let unpacked = imported.program.path("log.xes");
    std::fs::write(&unpacked, plain).unwrap();
    let again = ["import", "xes", unpacked.to_str().unwrap(), "--workspace", "receipt", "--pipeline", "receipt"];
    let printed = imported.program.succeed(&again).await;
    assert!(printed.contains(&format!("0 new, {events} known")), "{printed}");
    assert_eq!(imported.head().await, before, "repeating it changes nothing");
    (imported, cases)
}

/// A log of our own making: cases, people and activities in a pattern, two people whose names differ in case only.
fn made_up(dir: &Path, cases: usize) -> PathBuf {
    let mut xml =
        String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<log xes.version=\"1.0\" xmlns=\"http://www.xes-standard.org/\">\n");
    for case in 0..cases {
        writeln!(xml, "<trace><string key=\"concept:name\" value=\"case {case}\"/><string key=\"channel\" value=\"Post &amp; desk\"/>")
            .unwrap();
        for event in 0..=(case % 9) {
            let activity = ["Receive", "Check ü", "Check ü", "Decide", "check ü"][(case + event) % 5];
            let resource = ["test", "TEST", "Jo"][(case * 7 + event) % 3];
            writeln!(
                xml,
                "<event><string key=\"concept:name\" value=\"{activity}\"/><string key=\"org:resource\" value=\"{resource}\"/>\
                 <date key=\"time:timestamp\" value=\"2026-01-{:02}T{:02}:00:00.250+01:00\"/><float key=\"cost\" value=\"12.50\"/></event>",
                1 + case % 28,
                event
            )
            .unwrap();
        }
        xml.push_str("</trace>\n");
    }
    xml.push_str("</log>\n");
    let path = dir.join("made-up.xes.gz");
    let mut gzip = flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::default());
    gzip.write_all(xml.as_bytes()).unwrap();
    gzip.finish().unwrap();
    path
}

#[tokio::test]
async fn a_log_is_carried_over_once_and_to_the_letter_though_the_import_is_killed_five_times() {
    let dir = tempfile::tempdir().unwrap();
    survives(&made_up(dir.path(), 120)).await;
}

#[tokio::test]
async fn the_receipt_phase_of_a_dutch_municipality_is_carried_over() {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/receipt.xes.gz"));
    if !file.exists() {
        eprintln!("SKIPPED: {} is not there", file.display());
        return;
    }
    let (imported, cases) = survives(file).await;
    assert_eq!((cases.len(), imported.item_events().await), (1434, 8577));
    let sql = "select event_type, count(*) from event_store.events where tenant_id = $1 and aggregate_type = 'pipeline_item' group by 1 order by 1";
    let counts: Vec<(String, i64)> =
        sqlx::query_as(sql).bind(imported.tenant().await).fetch_all(&mut imported.program.database.admin().await).await.unwrap();
    let expected = [("PipelineItemActivityRecorded", 6), ("PipelineItemCreated", 1434), ("PipelineItemMoved", 7137)];
    assert_eq!(counts, expected.map(|(name, count)| (name.to_owned(), count)));
}

#[tokio::test]
async fn a_broken_file_is_refused_with_its_line_before_anything_is_written() {
    let program = Program::new().await;
    program.succeed(&["demo"]).await;
    let imported = Imported { program, slug: "broken" };
    let whole = made_up(imported.program.dir.path(), 20);
    let gzip = std::fs::read(&whole).unwrap();
    let mut plain = String::new();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(&gzip[..]), &mut plain).unwrap();
    let truncated: String = plain.chars().take(plain.len() * 2 / 3).collect();
    let trials = [
        ("truncated.xes", truncated.into_bytes(), "line"),
        ("truncated.xes.gz", gzip[..gzip.len() / 2].to_vec(), "gzip"),
        ("no.xes", b"<html/>".to_vec(), "log"),
        ("empty.xes", Vec::new(), "log"),
        ("late.xes", plain.replacen("2026-01-20T00", "yesterday", 1).into_bytes(), "line"),
        (
            "nameless.xes",
            plain.replacen("key=\"concept:name\" value=\"case 7\"", "key=\"x\" value=\"case 7\"", 1).into_bytes(),
            "concept:name",
        ),
        ("twice.xes", plain.replacen("value=\"case 7\"", "value=\"case 6\"", 1).into_bytes(), "case 6"),
    ];
    for (name, bytes, says) in trials {
        let path = imported.program.path(name);
        std::fs::write(&path, bytes).unwrap();
        let said = imported
            .program
            .fail(&["import", "xes", path.to_str().unwrap(), "--workspace", "broken", "--pipeline", "p", "--owner", OWNER])
            .await;
        assert!(said.contains(says), "{name}: {said}");
        assert_eq!(imported.tenant().await, None, "{name}: nothing was written");
    }
    let path = whole.to_str().unwrap();
    let said = imported.program.fail(&["import", "xes", path, "--workspace", "broken", "--pipeline", "p"]).await;
    assert!(said.contains("--owner"), "{said}");
    let said =
        imported.program.fail(&["import", "xes", path, "--workspace", "broken", "--pipeline", "p", "--owner", "nobody@demo.example"]).await;
    assert!(said.contains("no such user"), "{said}");
    let said =
        imported.program.fail(&["import", "xes", "/nowhere.xes", "--workspace", "broken", "--pipeline", "p", "--owner", OWNER]).await;
    assert!(said.contains("/nowhere.xes"), "{said}");
}
