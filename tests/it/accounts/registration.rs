//! Becoming a user: by oneself, over two logs, or by the program.

use super::*;

#[tokio::test]
async fn registration_takes_five_steps_in_two_logs_in_this_order() {
    let world = World::new().await;
    let user = registered(&world, "ada").await;
    let (own, forhim) = (format!("USER:{user}"), user.to_string());
    let step = |name: &str, actor: &str, on_behalf_of: &str| (name.to_owned(), actor.to_owned(), on_behalf_of.to_owned());
    assert_eq!(
        log(&world, PLATFORM).await,
        [
            step("UserRegistered", "PUBLIC:", ""),
            step("PasswordSet", "PUBLIC:", ""),
            step("WorkspaceReserved", "SYSTEM:registration", &forhim),
            step("WorkspaceConfirmed", "SYSTEM:registration", &forhim),
        ]
    );
    let id = WorkspaceId::personal(user);
    assert_eq!(log(&world, id.into()).await, [step("WorkspaceCreated", &own, ""), step("MemberJoined", "SYSTEM:registration", &forhim)]);
    let member: Membership = world.app.commands.state(id.into(), id.membership(user).0).await.unwrap();
    assert!(member.roles().eq([BuiltInRole::Admin]));
    let workspace: Workspace = world.app.commands.state(id.into(), id.0).await.unwrap();
    assert!(workspace.is_owner(user) && workspace.kind() == Some(WorkspaceKind::Personal));
    assert_eq!(workspace.slug(), entry(&world, id).await.slug());
    assert_eq!(found(&world, workspace.slug().unwrap()).await, Some(id));
    assert_eq!(found(&world, &id.to_string()).await, Some(id));
}

#[tokio::test]
async fn a_registration_that_stopped_after_any_step_is_completed_by_signing_in() {
    let world = World::new().await;
    let steps = [None, Some(Step::Reserved), Some(Step::Created), Some(Step::Joined), Some(Step::Confirmed)];
    for (n, last) in steps.into_iter().enumerate() {
        let name = format!("stopped{n}");
        let user = accounts::open_account(&world.app, &Origin::new(), account(&name)).await.unwrap();
        let id = WorkspaceId::personal(user);
        if let Some(last) = last {
            accounts::complete_personal_workspace(&world.app, &Origin::new(), user, last).await.unwrap();
        }
        let kept = entry(&world, id).await.slug().map(str::to_owned);
        assert_eq!(found(&world, &id.to_string()).await.is_some(), last == Some(Step::Confirmed));
        if let (Some(kept), true) = (&kept, last < Some(Step::Confirmed)) {
            assert_eq!(found(&world, kept).await, None, "a slug resolves only once it is confirmed");
        }
        // Two at once find the same step missing.
        let (one, two) = tokio::join!(sign_in(&world, &name, PASSWORD), sign_in(&world, &name, PASSWORD));
        assert_ne!(one.unwrap().session, two.unwrap().session);
        assert_eq!(names(&world, id.into()).await, ["WorkspaceCreated", "MemberJoined"], "after {last:?}");
        let entry = entry(&world, id).await;
        assert!(entry.is_confirmed() && kept.is_none_or(|kept| entry.slug() == Some(kept.as_str())));
        assert_eq!(found(&world, entry.slug().unwrap()).await, Some(id));
    }
    let log = names(&world, PLATFORM).await;
    for once in ["UserRegistered", "WorkspaceReserved", "WorkspaceConfirmed"] {
        assert_eq!(log.iter().filter(|name| *name == once).count(), 5, "{once}");
    }
    assert_eq!(log.iter().filter(|name| *name == "SessionStarted").count(), 10);
}

#[tokio::test]
async fn of_many_registrations_with_one_address_exactly_one_wins() {
    let world = World::new().await;
    let origin = Origin::new();
    let outcomes = join_all((0..8).map(|_| accounts::register(&world.app, &origin, account("ada")))).await;
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    for error in lost.into_iter().map(Result::unwrap_err) {
        assert_eq!((error.code(), error.details()[0].field.as_str()), ("EMAIL_TAKEN", "email"));
    }
    assert!(sign_in(&world, "ada", PASSWORD).await.is_ok());
    assert_eq!(names(&world, PLATFORM).await.iter().filter(|name| *name == "UserRegistered").count(), 1);
}

#[tokio::test]
async fn the_program_makes_users_and_members_once_and_they_cannot_sign_in() {
    let world = World::new().await;
    let ada = registered(&world, "ada").await;
    let origin = Origin::new();
    let acme = accounts::create_team_workspace(&world.app, &origin, ada, team("acme")).await.unwrap();
    let resource = NewUser {
        id: clock::new_id(),
        email: email("resource01"),
        first_name: None,
        last_name: None,
        name: Some(Name::try_from("Resource 01").unwrap()),
    };
    for _ in 0..2 {
        let user = accounts::provision_user(&world.app, &system::IMPORTER, &origin, resource.clone()).await.unwrap();
        assert_eq!(accounts::user_by_email(&world.app, &resource.email).await.unwrap(), Some(user));
        accounts::add_member(
            &world.app,
            &system::IMPORTER,
            &origin,
            Some(ada),
            acme,
            user,
            vec![BuiltInRole::Operator],
            MemberSource::Provisioned,
        )
        .await
        .unwrap();
    }
    assert_eq!(names(&world, acme.into()).await, ["WorkspaceCreated", "MemberJoined", "MemberJoined"]);
    let taken = NewUser { id: clock::new_id(), ..resource.clone() };
    assert_eq!(accounts::provision_user(&world.app, &system::IMPORTER, &origin, taken).await.unwrap_err().code(), "EMAIL_TAKEN");
    assert!(sign_in(&world, "resource01", "whatever it is").await.unwrap_err().is(Code::Unauthenticated));
    let other = NewUser { id: clock::new_id(), email: email("other"), ..resource };
    assert!(accounts::provision_user(&world.app, &system::SIGN_IN, &origin, other).await.unwrap_err().is(Code::Forbidden), "only who may");
    let nobody = accounts::add_member(
        &world.app,
        &system::IMPORTER,
        &origin,
        None,
        acme,
        clock::new_id(),
        vec![BuiltInRole::Operator],
        MemberSource::Provisioned,
    )
    .await;
    assert!(nobody.unwrap_err().is(Code::NotFound));
}
