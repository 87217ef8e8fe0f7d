//! TEAM workspaces and their slugs, over two logs.

use super::*;

#[tokio::test]
async fn a_team_is_created_once_however_often_it_is_begun() {
    let world = World::new().await;
    let (ada, eve) = (registered(&world, "ada").await, registered(&world, "eve").await);
    let origin = Origin::new();
    for (n, last) in [Step::Reserved, Step::Created, Step::Joined].into_iter().enumerate() {
        let text = format!("acme-{n}");
        let began = Creation {
            id: clock::new_id(),
            name: Name::try_from("Acme").unwrap(),
            slug: slug(&text),
            kind: WorkspaceKind::Team,
            owner: ada,
            plan: None,
        };
        accounts::create_workspace(&world.app, &system::TEAMS, &origin, &began, last).await.unwrap();
        assert_eq!(found(&world, &text).await, None);
        let taken = accounts::create_team_workspace(&world.app, &origin, eve, team(&text)).await.unwrap_err();
        assert_eq!(taken.code(), "SLUG_TAKEN");
        let again = NewTeam { plan: Some(Plan::Enterprise), ..team(&text) };
        assert_eq!(
            accounts::create_team_workspace(&world.app, &origin, ada, again.clone()).await.unwrap(),
            began.id,
            "goes on under the first id"
        );
        assert_eq!(found(&world, &text).await, Some(began.id));
        let workspace: Workspace = world.app.commands.state(began.id.into(), began.id.0).await.unwrap();
        assert_eq!(workspace.plan(), Some(Plan::Enterprise));
        assert_eq!(
            accounts::create_team_workspace(&world.app, &origin, ada, again).await.unwrap_err().code(),
            "SLUG_TAKEN",
            "it is there already"
        );
        let same = NewTeam { id: began.id, ..team(&text) };
        assert_eq!(
            accounts::create_team_workspace(&world.app, &origin, ada, same).await.unwrap(),
            began.id,
            "the same id is the same workspace"
        );
    }
    let access = world.app.commands.access().fresh(found(&world, "acme-0").await.unwrap().into()).await.unwrap();
    assert!(access.roles(ada).into_iter().eq([BuiltInRole::Owner, BuiltInRole::Admin]) && !access.is_member(eve));
    let like_an_id = accounts::create_team_workspace(&world.app, &origin, ada, team(&ada.to_string())).await.unwrap_err();
    assert!(like_an_id.is(Code::ValidationError));
}

#[tokio::test]
async fn of_many_who_want_a_slug_at_once_exactly_one_gets_it() {
    let world = World::new().await;
    let users = join_all((0..5).map(|n| {
        let world = &world;
        async move { registered(world, &format!("user{n}")).await }
    }))
    .await;
    let origin = Origin::new();
    let outcomes = join_all(users.iter().map(|user| accounts::create_team_workspace(&world.app, &origin, *user, team("acme")))).await;
    let won: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(found(&world, "acme").await, Some(*won[0]));
    assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|error| error.code() == "SLUG_TAKEN"));
}

#[tokio::test]
async fn a_reservation_that_has_expired_gives_way_unless_something_was_created() {
    let world = World::new().await;
    let (ada, eve) = (registered(&world, "ada").await, registered(&world, "eve").await);
    let origin = Origin::new();
    let reserve_two_hours_ago = async |text: &str| {
        let id: WorkspaceId = clock::new_id();
        let command =
            WorkspaceEntryCommand::ReserveWorkspace { workspace_id: id, slug: slug(text), kind: WorkspaceKind::Team, owner_id: ada };
        let request =
            Request { occurred_at: Some(clock::now() - TimeDelta::hours(2)), ..origin.system(&system::TEAMS, PLATFORM, Some(ada)) };
        world.app.commands.execute::<WorkspaceEntry>(&request, Target::Existing(id.entry().0), command).await.unwrap();
        id
    };
    let old = reserve_two_hours_ago("acme").await;
    let new = accounts::create_team_workspace(&world.app, &origin, eve, team("acme")).await.unwrap();
    assert_eq!((found(&world, "acme").await, entry(&world, old).await), (Some(new), WorkspaceEntry::Released));

    let made = reserve_two_hours_ago("made").await;
    let create = WorkspaceCommand::CreateWorkspace {
        name: Name::try_from("Made").unwrap(),
        slug: slug("made"),
        kind: WorkspaceKind::Team,
        plan: None,
    };
    world
        .app
        .commands
        .execute::<Workspace>(&origin.request(Principal::User(ada), made.into()), Target::Existing(made.0), create)
        .await
        .unwrap();
    let taken = accounts::create_team_workspace(&world.app, &origin, eve, team("made")).await.unwrap_err();
    assert_eq!((taken.code(), found(&world, "made").await), ("SLUG_TAKEN", Some(made)), "it is completed instead");
    assert!(world.app.commands.access().fresh(made.into()).await.unwrap().is_member(ada));

    let resumed = reserve_two_hours_ago("late").await;
    assert_eq!(accounts::create_team_workspace(&world.app, &origin, ada, team("late")).await.unwrap(), resumed, "its owner may still come");
}

#[tokio::test]
async fn a_slug_changes_in_both_logs_and_the_old_one_is_free() {
    let world = World::new().await;
    let (ada, eve) = (registered(&world, "ada").await, registered(&world, "eve").await);
    let origin = Origin::new();
    let acme = accounts::create_team_workspace(&world.app, &origin, ada, team("acme")).await.unwrap();
    let other = accounts::create_team_workspace(&world.app, &origin, eve, team("other")).await.unwrap();
    let change = async |user: UserId, text: &str| accounts::change_slug(&world.app, &origin, user, acme, slug(text)).await;

    change(ada, "acme-inc").await.unwrap();
    assert_eq!((found(&world, "acme").await, found(&world, "acme-inc").await), (None, Some(acme)));
    let workspace: Workspace = world.app.commands.state(acme.into(), acme.0).await.unwrap();
    assert_eq!(workspace.slug(), Some("acme-inc"));
    assert_eq!(change(ada, "acme-inc").await.unwrap().events, 0, "again changes nothing");
    assert_eq!(change(ada, "other").await.unwrap_err().code(), "SLUG_TAKEN");
    assert_eq!(found(&world, "other").await, Some(other));
    accounts::change_slug(&world.app, &origin, eve, other, slug("acme")).await.unwrap();
    assert_eq!(found(&world, "acme").await, Some(other));

    assert!(change(eve, "mine").await.unwrap_err().is(Code::NotFound), "strangers learn nothing");
    accounts::add_member(&world.app, &system::DEMO, &origin, Some(ada), acme, eve, vec![BuiltInRole::Viewer], MemberSource::Provisioned)
        .await
        .unwrap();
    let before = names(&world, PLATFORM).await.len();
    let denied = change(eve, "mine").await.unwrap_err();
    assert!(denied.is(Code::Forbidden) && denied.message().contains("workspace.update"));
    assert_eq!(names(&world, PLATFORM).await.len(), before, "nothing is reserved for who may not");
    assert!(change(ada, &ada.to_string()).await.unwrap_err().is(Code::ValidationError));
}

#[tokio::test]
async fn a_change_of_slug_that_was_interrupted_is_ended_by_the_next() {
    let world = World::new().await;
    let ada = registered(&world, "ada").await;
    let origin = Origin::new();
    let acme = accounts::create_team_workspace(&world.app, &origin, ada, team("acme")).await.unwrap();
    let reserve = async |text: &str| {
        let command = WorkspaceEntryCommand::ReserveSlug { slug: slug(text) };
        world
            .app
            .commands
            .execute::<WorkspaceEntry>(&origin.system(&system::SLUGS, PLATFORM, Some(ada)), Target::Existing(acme.entry().0), command)
            .await
            .unwrap();
    };
    let set = async |text: &str| {
        let command = WorkspaceCommand::ChangeSlug { slug: slug(text) };
        world
            .app
            .commands
            .execute::<Workspace>(&origin.request(Principal::User(ada), acme.into()), Target::Existing(acme.0), command)
            .await
            .unwrap();
    };
    let change = async |text: &str| accounts::change_slug(&world.app, &origin, ada, acme, slug(text)).await.unwrap();
    let in_step = async |text: &str| {
        let workspace: Workspace = world.app.commands.state(acme.into(), acme.0).await.unwrap();
        assert_eq!((workspace.slug(), found(&world, text).await, entry(&world, acme).await.next_slug()), (Some(text), Some(acme), None));
    };

    reserve("one").await;
    assert_eq!(found(&world, "one").await, None, "a reserved slug does not resolve");
    change("two").await;
    in_step("two").await;
    assert_eq!(entry(&world, acme).await.slug(), Some("two"));
    reserve("three").await;
    set("three").await;
    assert_eq!((found(&world, "two").await, found(&world, "three").await), (Some(acme), None));
    change("three").await;
    in_step("three").await;
    reserve("four").await;
    set("four").await;
    change("five").await;
    in_step("five").await;
    for free in ["acme", "one", "two", "three", "four"] {
        assert_eq!(found(&world, free).await, None, "{free}");
        accounts::create_team_workspace(&world.app, &origin, ada, team(free)).await.unwrap();
    }
}

#[tokio::test]
async fn however_changes_of_a_slug_meet_both_logs_agree_in_the_end() {
    let world = World::new().await;
    let ada = registered(&world, "ada").await;
    let origin = Origin::new();
    let acme = accounts::create_team_workspace(&world.app, &origin, ada, team("acme")).await.unwrap();
    for round in 0..10 {
        let change = async |side: &str| accounts::change_slug(&world.app, &origin, ada, acme, slug(&format!("{side}-{round}"))).await;
        let outcomes = tokio::join!(change("left"), change("right"), change("middle"));
        assert!(outcomes.0.is_ok() || outcomes.1.is_ok() || outcomes.2.is_ok(), "{outcomes:?}");
        let entry = entry(&world, acme).await;
        let workspace: Workspace = world.app.commands.state(acme.into(), acme.0).await.unwrap();
        assert_eq!((entry.slug(), entry.next_slug()), (workspace.slug(), None));
        assert_eq!(found(&world, entry.slug().unwrap()).await, Some(acme));
    }
}
