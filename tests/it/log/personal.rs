//! Personal data is never in clear where it is kept, opens again for those who hold the key, and nothing that was
//! tampered with is ever taken for data.

use crate::harness::{Log, Process, Team, add_member, audit, by_system, create_item, named, new_id, record};
use domain::identity::{User, UserCommand};
use domain::pipeline::{ItemCommand, PipelineItem};
use domain::roles::BuiltInRole;
use domain::workspace::{Membership, MembershipCommand};
use domain::{ClientInfo, ItemId, PLATFORM, Personal, UserId};
use event_store::{ExecuteError, Request, Span, StoreError};
use uuid::Uuid;

/// Stands in every value that must not be found.
const NEEDLE: &str = "needle";

struct Secrets {
    team: Team,
    user: UserId,
    item: ItemId,
}

async fn write(log: &Log) -> Secrets {
    let team = Team::new(log).await;
    let (user, item): (UserId, ItemId) = (new_id(), new_id());
    let client = ClientInfo { ip: Some("203.0.113.77".parse().unwrap()), user_agent: Some("needle-browser".into()) };
    let provision = UserCommand::ProvisionUser {
        email: named("needle@example.org"),
        first_name: Some(named("Needle-Ada")),
        last_name: Some(named("Needle-Lovelace")),
        name: None,
    };
    log.create::<User>(Request { client: Some(client.clone()), ..by_system(PLATFORM) }, user, provision).await.unwrap();
    let guest: UserId = new_id();
    let mut add = add_member(guest, &[BuiltInRole::Viewer]);
    if let MembershipCommand::AddMember { profile, .. } = &mut add {
        profile.email = named("needle.guest@example.org");
        profile.name = Some(named("Needle Guest"));
    }
    log.send::<Membership>(by_system(team.tenant), team.membership(guest), add).await.unwrap();
    let remove = MembershipCommand::RemoveMember { reason: Some(named("needle: stole the spoons")) };
    log.send::<Membership>(team.by(team.owner), team.membership(guest), remove).await.unwrap();
    let board = team.board(2).await;
    let mut create = create_item(&board);
    if let ItemCommand::CreateItem { description, data, attributes, .. } = &mut create {
        *description = Some(named("the needle in the haystack"));
        *data = Some(serde_json::from_str(r#"{"needle": [1, "needle"]}"#).unwrap());
        *attributes = Some(serde_json::from_str(r#"{"org:needle": "x"}"#).unwrap());
    }
    let request = Request { client: Some(client), key: Some("k".into()), ..team.by(team.owner) };
    log.create::<PipelineItem>(request, item, create).await.unwrap();
    Secrets { team, user, item }
}

async fn opens(process: &Process, secrets: &Secrets) {
    let user = process.state::<User>(PLATFORM, secrets.user).await;
    let account = user.account().unwrap();
    assert_eq!(account.email.open().map(String::as_str), Some("needle@example.org"));
    assert_eq!(account.first_name.as_ref().and_then(Personal::open).map(String::as_str), Some("Needle-Ada"));
    let item = process.state::<PipelineItem>(secrets.team.tenant, secrets.item).await;
    let card = item.card().unwrap();
    assert_eq!(card.description.as_ref().and_then(Personal::open).map(String::as_str), Some("the needle in the haystack"));
    assert_eq!(card.data.as_ref().and_then(Personal::open).map(String::as_str), Some(r#"{"needle":[1,"needle"]}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn personal_data_is_nowhere_in_clear_and_opens_again_with_an_empty_cache() {
    let log = Log::new().await;
    let secrets = write(&log).await;
    opens(&log, &secrets).await;
    opens(&log.another_process(), &secrets).await;

    let tables: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind = 'r' and n.nspname in ('event_store', 'vault', 'read_models', 'public')",
    )
    .fetch_all(&log.admin)
    .await
    .unwrap();
    for table in tables {
        // Bytes are shown in escape form, where text would be readable.
        let rows: Vec<String> = sqlx::query_scalar(&format!("select t::text from {table} t")).fetch_all(&log.admin).await.unwrap();
        for row in rows {
            let row = row.to_lowercase();
            let hex = hex::encode(NEEDLE);
            assert!(
                !row.contains(NEEDLE) && !row.contains(&hex) && !row.contains("203.0.113.77") && !row.contains("spoons"),
                "{table}: {row}"
            );
        }
    }
    let sealed: i64 = sqlx::query_scalar("select count(*) from event_store.events where metadata ->> 'request' is not null")
        .fetch_one(&log.admin)
        .await
        .unwrap();
    assert_eq!(sealed, 2, "where a request came from is kept, sealed");
    audit(&log).await;
}

fn is_sealed<T: std::fmt::Debug, E: domain::Refusal>(outcome: &Result<T, ExecuteError<E>>) -> bool {
    matches!(outcome, Err(ExecuteError::Store(StoreError::Sealed { .. })))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_opens_nothing_writes_nothing_and_says_so() {
    let log = Log::new().await;
    let secrets = write(&log).await;
    let wrong = log.process_with_key([8; 32]);
    let (tenant, item, owner) = (secrets.team.tenant, secrets.item, secrets.team.owner);
    let error = wrong.commands.state::<PipelineItem>(tenant, item.0).await.unwrap_err();
    assert!(matches!(error, StoreError::Sealed { .. }) && error.to_string().contains("master key"), "{error}");
    assert!(is_sealed(&wrong.send::<PipelineItem>(secrets.team.by(owner), item, record("seen")).await));
    // Nor is anything sealed under it beside what is there: nobody could ever read both.
    let plain = secrets.team.item(&secrets.team.board(2).await).await;
    let before = audit(&log).await.len();
    let data = ItemCommand::RecordActivity {
        name: named("x"),
        lifecycle: None,
        data: Some(serde_json::from_str("{}").unwrap()),
        attributes: None,
    };
    assert!(is_sealed(&wrong.send::<PipelineItem>(secrets.team.by(owner), plain, data).await));
    let read = wrong.reader.read(&[Span { tenant: PLATFORM, after: 0, limit: 10 }]).await.unwrap();
    assert!(
        !read.is_empty() && read.iter().all(|event| event.as_ref().is_err_and(|poison| poison.error.contains("master key"))),
        "{read:?}"
    );
    assert_eq!(audit(&log).await.len(), before);
}

/// Changes the stored payload of an item's creation, as somebody who owns the machine could.
async fn tamper(log: &Log, item: ItemId, change: impl Fn(serde_json::Value) -> serde_json::Value) {
    let select = "select payload::text from event_store.events where aggregate_id = $1 and sequence = 1";
    let payload: String = sqlx::query_scalar(select).bind(item.to_string()).fetch_one(&log.admin).await.unwrap();
    let changed = change(serde_json::from_str(&payload).unwrap());
    let mut tx = event_store::begin(&log.admin).await.unwrap();
    sqlx::query("set local session_replication_role = replica").execute(&mut *tx).await.unwrap();
    let update = "update event_store.events set payload = $2::json where aggregate_id = $1 and sequence = 1";
    sqlx::query(update).bind(item.to_string()).bind(changed.to_string()).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_value_that_was_changed_or_moved_is_an_error_and_what_is_around_it_is_not_lost() {
    let log = Log::new().await;
    let secrets = write(&log).await;
    let (team, item) = (&secrets.team, secrets.item);
    let original: String = sqlx::query_scalar("select payload::text from event_store.events where aggregate_id = $1")
        .bind(item.to_string())
        .fetch_one(&log.admin)
        .await
        .unwrap();
    let head = log.reader.head(team.tenant).await.unwrap();
    let stranger: Uuid = new_id();
    let changes: [(&str, Box<dyn Fn(serde_json::Value) -> serde_json::Value>); 4] = [
        (
            "one character",
            Box::new(|mut payload| {
                let text = payload["description"]["$sealed"]["text"].as_str().unwrap().to_owned();
                let other = if text.as_bytes()[30] == b'A' { "B" } else { "A" };
                payload["description"]["$sealed"]["text"] = format!("{}{other}{}", &text[..30], &text[31..]).into();
                payload
            }),
        ),
        (
            "cut off",
            Box::new(|mut payload| {
                payload["description"]["$sealed"]["text"] = "AAAA".into();
                payload
            }),
        ),
        (
            "a subject without a key",
            Box::new(move |mut payload| {
                payload["description"]["$sealed"]["subject"] = stranger.to_string().into();
                payload
            }),
        ),
        (
            "another subject",
            Box::new({
                let owner = team.owner;
                move |mut payload| {
                    payload["description"]["$sealed"]["subject"] = owner.to_string().into();
                    payload
                }
            }),
        ),
    ];
    for (what, change) in changes {
        tamper(&log, item, change).await;
        let fresh = log.another_process();
        let error = fresh.commands.state::<PipelineItem>(team.tenant, item.0).await.unwrap_err();
        assert!(matches!(error, StoreError::Sealed { .. }), "{what}: {error}");
        let events = fresh.reader.read(&[Span { tenant: team.tenant, after: 0, limit: 1_000 }]).await.unwrap();
        assert_eq!(events.len() as i64, head, "{what}");
        let poison: Vec<_> = events.iter().filter_map(|event| event.as_ref().err()).collect();
        assert!(poison.len() == 1 && poison[0].position == head && poison[0].aggregate_type == "pipeline_item", "{what}: {poison:?}");
        let original = original.clone();
        tamper(&log, item, move |_| serde_json::from_str(&original).unwrap()).await;
        opens(&log.another_process(), &secrets).await;
    }
    audit(&log).await;
}
