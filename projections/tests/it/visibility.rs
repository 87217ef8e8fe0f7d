//! Who sees which rows, by the database's policies.

use crate::world::World;
use domain::PLATFORM;
use domain::roles::BuiltInRole;
use domain::workspace::{Membership, MembershipCommand};
use projections::identity::{SessionStatus, entry_by_slug, entry_of, me, my_session, my_sessions};
use projections::query::{Desk, PageArgs};
use projections::workspace::{MemberFilter, MemberOrder, members, my_workspaces, workspace};

#[tokio::test]
async fn users_and_sessions_are_seen_by_their_user_only() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let (first, second, his) = (world.session(ada).await, world.session(ada).await, world.session(bob).await);
    world.project().await;

    let mut scope = world.scope(PLATFORM, ada).await;
    assert_eq!(me(&mut scope).await.unwrap().unwrap().row.email, "ada@example.org");
    let seen: i64 = sqlx::query_scalar("select count(*) from read_models.identity_users").fetch_one(scope.connection()).await.unwrap();
    assert_eq!(seen, 1);
    let page = my_sessions(&mut scope, Some(SessionStatus::Active), &PageArgs { first: Some(1), ..PageArgs::default() }).await.unwrap();
    assert_eq!((page.rows[0].1.row.id.0, page.has_next), (second, true));
    let next = PageArgs { after: Some(page.rows[0].0.encode()), ..PageArgs::default() };
    let page = my_sessions(&mut scope, None, &next).await.unwrap();
    assert_eq!((page.rows.len(), page.rows[0].1.row.id.0, page.has_next), (1, first, false));
    assert!(my_session(&mut scope, his).await.unwrap().is_none());
    scope.end();

    let mut nobody = Desk::new(world.pools.api.clone(), None).scope(PLATFORM).await.unwrap();
    assert!(me(&mut nobody).await.unwrap().is_none());
    nobody.end();
    let mut elsewhere = world.scope(domain::TenantId(crate::world::new_id()), ada).await;
    assert!(me(&mut elsewhere).await.unwrap().is_none());
}

#[tokio::test]
async fn my_workspaces_are_those_in_which_i_am_a_member_and_only_on_the_platform() {
    let world = World::new().await;
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let (zebra, acme, foreign) = (world.team("zebra", ada).await, world.team("acme", bob).await, world.team("foreign", bob).await);
    world.join(acme, ada, BuiltInRole::Viewer, "ada").await;
    world.join(foreign, ada, BuiltInRole::Viewer, "ada").await;
    let leave = crate::world::request(domain::Principal::User(ada), foreign.id);
    world.run::<Membership>(leave, foreign.id.membership(ada), MembershipCommand::LeaveWorkspace {}).await;
    world.project().await;

    let mut scope = world.scope(PLATFORM, ada).await;
    let mine: Vec<_> = my_workspaces(&mut scope, 100).await.unwrap().into_iter().map(|stored| stored.row.id.0).collect();
    assert_eq!(mine, [acme.id, zebra.id]);
    let others: i64 = sqlx::query_scalar("select count(*) from read_models.workspace_members where user_id <> $1")
        .bind(ada.0)
        .fetch_one(scope.connection())
        .await
        .unwrap();
    assert_eq!(others, 0, "memberships of others stay hidden");
    assert_eq!(entry_by_slug(&mut scope, "acme").await.unwrap().unwrap().row.workspace_id.0, acme.id);
    assert_eq!(entry_of(&mut scope, zebra.id).await.unwrap().unwrap().row.owner_id.0, ada);
    scope.end();

    let mut scope = world.scope(acme.id, ada).await;
    assert_eq!(my_workspaces(&mut scope, 100).await.unwrap().len(), 1, "inside a workspace there is only that one");
    assert_eq!(workspace(&mut scope).await.unwrap().unwrap().row.slug, "acme");
    let page = members(&mut scope, &MemberFilter::default(), MemberOrder::Name, &PageArgs::default()).await.unwrap();
    assert_eq!(page.rows.iter().map(|(_, stored)| stored.row.user_id.0).collect::<Vec<_>>(), [ada, bob]);
    let owners = MemberFilter { role: Some("owner".into()), ..MemberFilter::default() };
    let page = members(&mut scope, &owners, MemberOrder::JoinedAtDesc, &PageArgs::default()).await.unwrap();
    assert_eq!(page.rows.iter().map(|(_, stored)| stored.row.user_id.0).collect::<Vec<_>>(), [bob]);
    let viewers = MemberFilter { role: Some("viewer".into()), ..MemberFilter::default() };
    let page = members(&mut scope, &viewers, MemberOrder::JoinedAtAsc, &PageArgs::default()).await.unwrap();
    assert_eq!(page.rows.iter().map(|(_, stored)| stored.row.user_id.0).collect::<Vec<_>>(), [ada]);
    scope.end();
    world.check_replay(&[PLATFORM, acme.id.into(), zebra.id.into(), foreign.id.into()]).await;
}
