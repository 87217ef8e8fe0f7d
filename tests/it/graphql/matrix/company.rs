//! The people of the matrix: one in each role, an administrator of the platform, and one who was a member once. Each made
//! things of every kind when they still could.

use super::super::catalogue::Ids;
use super::super::operations::make_administrator;
use super::super::*;
use super::rows::{SYSTEM_ADMIN, columns};
use domain::roles::{GrantSet, PlatformRole};

/// Somebody in a role of the matrix, and a set of things they made themselves, when they still could.
pub(super) struct Holder {
    pub(super) role: &'static str,
    pub(super) grants: GrantSet,
    pub(super) person: Person,
    pub(super) own: Ids,
    /// Where they are at home who administer the platform and are no member.
    pub(super) home: Option<Client>,
}

impl Holder {
    /// What they are told who may not.
    pub(super) fn refusal(&self) -> &'static str {
        if self.home.is_some() { "NOT_FOUND" } else { "FORBIDDEN" }
    }

    /// Where they may do what they may.
    pub(super) fn at_home(&self) -> &Client {
        self.home.as_ref().unwrap_or(&self.person.client)
    }
}

/// A workspace with somebody in each role.
pub(super) struct Company {
    pub(super) acme: Acme,
    pub(super) holders: Vec<Holder>,
    /// Was a member, made things, and is none any more.
    pub(super) stranger: (Person, Ids),
}

/// A user with the password of the fillers, and a session.
async fn with_password(world: &World) -> Person {
    let email = format!("{}@people.example", clock::new_uuid().simple());
    let registered = world.register(&email).await;
    let id: UserId = registered["user"]["id"].as_str().unwrap().parse().unwrap();
    let session = session(&world.app, id).await;
    Person { id, session, client: Client::new(&world.http(), Some(world.app.tokens.issue(id, Some(session), None, clock::now()))) }
}

impl Company {
    pub(super) async fn new(world: &World) -> Self {
        let mut acme = Acme::new(world, &format!("c{}", &clock::new_uuid().simple().to_string()[..12])).await;
        // Not by its slug, which changes.
        acme.owner.client = acme.owner.client.in_workspace(acme.id);
        // One after the other: whatever changes who may do what has all that is decided beside it decided again.
        let mut holders = vec![];
        for (role, grants) in columns().into_iter().filter(|(role, _)| *role != SYSTEM_ADMIN) {
            let (person, own) = maker(world, &acme).await;
            become_(&acme, &person, role).await;
            holders.push(Holder { role, grants, person, own, home: None });
        }
        let gone = async || {
            let (person, own) = maker(world, &acme).await;
            acme.owner.client.run("removeMember", &format!("userId: \"{}\"", person.id), "status").await;
            (person, own)
        };
        let (stranger, (person, own)) = (gone().await, gone().await);
        make_administrator(world, &person).await;
        let workspace = WorkspaceId::personal(person.id).0;
        let home = Some(person.client.in_workspace(workspace));
        holders.push(Holder {
            role: SYSTEM_ADMIN,
            grants: *PlatformRole::SystemAdmin.grants(),
            person,
            own: Ids { workspace, ..own },
            home,
        });
        Self { acme, holders, stranger }
    }
}

/// A new administrator, and things they made.
async fn maker(world: &World, acme: &Acme) -> (Person, Ids) {
    let mut person = with_password(world).await;
    let (origin, owner) = (Origin::new(), Some(acme.owner.id));
    accounts::add_member(&acme.app, &DEMO, &origin, owner, acme.id, person.id, vec![BuiltInRole::Admin], MemberSource::Provisioned)
        .await
        .unwrap();
    person.client = person.client.in_workspace(acme.id);
    let own = acme.things_of(&person).await;
    (person, own)
}

/// An administrator comes to have another role, and this alone.
pub(super) async fn become_(acme: &Acme, person: &Person, role: &str) {
    let user = format!("userId: \"{}\"", person.id);
    match role {
        "admin" => {}
        "owner" => drop(acme.owner.client.run("grantOwnership", &user, "id").await),
        _ => {
            acme.owner.client.run("assignRole", &format!("{user}, role: \"{role}\""), "id").await;
            acme.owner.client.run("revokeRole", &format!("{user}, role: \"admin\""), "id").await;
        }
    }
}
