//! The operators' commands as they are typed: status, retry, skip, and who administers the platform.

use super::*;
use crate::harness::eventually;
use crate::program::{Program, annals};
use sqlx::Executor;

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_what_stands_still_and_have_it_tried_or_skipped() {
    let program = Program::new().await;
    let (dir, world) = (program.dir, World::on(program.database, api::serve::Options::default()).await);
    let run = |arguments: Vec<String>| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = annals(dir.path(), &world.database.options(), &arguments);
        async move {
            let output = command.output().await.unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            (output.status.success(), text(output.stdout), text(output.stderr))
        }
    };
    let named = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let acme = Acme::new(&world, "acme").await;
    let board = acme.board().await;

    let (good, text, error) = run(named("status")).await;
    assert!(good && text.contains("pipeline_items") && text.contains("workers") && text.contains("64 of 64 shards"), "{text}{error}");
    let (_, text, _) = run(named("status --json")).await;
    let status: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&status["parked"], &status["logs"]), (&json!([]), &json!(2)), "{text}");

    let mut admin = world.database.admin().await;
    admin.execute("alter table read_models.pipeline_items add constraint no_ducks check (title <> 'Duck')").await.unwrap();
    acme.owner.client.mutate("createItem", &format!("input: {{ pipelineId: \"{}\", title: \"Duck\" }}", board.id), "id").await;
    let duck = heads(&world).await[&acme.id.0];
    let parked = eventually("the event at fault to be known", || async {
        let (_, text, _) = run(named("status --json")).await;
        let status: Value = serde_json::from_str(&text).unwrap();
        (status["parked"][0]["failing"] == duck).then(|| status["parked"][0].clone())
    })
    .await;
    assert_eq!((&parked["read_model"], &parked["workspace_id"]), (&json!("pipeline_items"), &json!(acme.id.to_string())));

    for (arguments, said) in [
        (named("retry pipeline_things --reason why"), "there is no read model"),
        (named("retry identity_users --reason why"), "does not stand still"),
        (named("retry pipeline_items --workspace nowhere --reason why"), "there is no workspace nowhere"),
        (["retry", "pipeline_items", "--reason", " "].map(str::to_owned).to_vec(), "say why"),
        (named("retry pipeline_items --reason why"), "no_ducks"),
        (named(&format!("skip pipeline_items --workspace acme-inc --position {} --reason why", duck - 1)), "before event"),
        (named(&format!("skip pipeline_items --workspace acme-inc --position {} --reason why", duck + 100)), "there is no event"),
        (named(&format!("skip pipeline_items --workspace acme-inc --position {duck}")), "--reason"),
    ] {
        let (good, _, error) = run(arguments.clone()).await;
        assert!(!good && error.contains(said), "{arguments:?}: {error}");
    }
    let (good, text, error) = run(named(&format!("skip pipeline_items --workspace acme-inc --position {duck} --reason duck"))).await;
    assert!(good && text == "Caught up in 1 workspaces.\n", "{text}{error}");
    let (_, text, _) = run(named("status")).await;
    assert!(!text.contains("\nparked\n"), "{text}");

    let (good, _, error) = run(named("system-admin --email nobody@example.org")).await;
    assert!(!good && error.contains("there is no user"), "{error}");
    let email = "root@people.example";
    let root = NewUser { id: clock::new_id(), email: Email::try_from(email).unwrap(), first_name: None, last_name: None, name: None };
    let root = accounts::provision_user(&world.app, &DEMO, &Origin::new(), root).await.unwrap();
    let client = Client::new(&world.http(), Some(world.token(root)));
    let (good, text, _) = run(named(&format!("system-admin --email {email}"))).await;
    assert!(good && text == format!("{email} is an administrator of the platform.\n"));
    assert_eq!(client.ask("{ projectionStatus { logs } }", json!({})).await.code(), "");
    assert!(run(named(&format!("system-admin --email {email} --revoke"))).await.0);
    assert_eq!(client.ask("{ projectionStatus { logs } }", json!({})).await.code(), "FORBIDDEN");
    equals_its_replay(&world.app).await;
    world.audit().await;
}
