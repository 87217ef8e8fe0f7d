//! The people of a log: each resource, to the letter, becomes a user and a member with the role operator.

use super::Destination;
use crate::accounts::{NewUser, add_member, provision_user};
use crate::error::ApiError;
use crate::system::IMPORTER;
use domain::roles::BuiltInRole;
use domain::workspace::MemberSource;
use domain::{Name, UserId};
use std::collections::HashMap;

/// Those met so far.
#[derive(Debug, Default)]
pub(super) struct People(HashMap<String, UserId>);

impl People {
    /// The user of a resource, made at first sight. An event of nobody is the owner's.
    pub(super) async fn user(&mut self, destination: &Destination, resource: Option<&str>) -> anyhow::Result<UserId> {
        let Some(resource) = resource else { return Ok(destination.owner) };
        if let Some(user) = self.0.get(resource) {
            return Ok(*user);
        }
        let (id, email) = destination.names.user(resource)?;
        let join = async {
            // A resource with a name that no person could have stays nameless: its id is what counts.
            let new = NewUser { id, email, first_name: None, last_name: None, name: Name::try_from(resource).ok() };
            provision_user(&destination.app, &IMPORTER, &destination.origin, new).await?;
            add_member(
                &destination.app,
                &IMPORTER,
                &destination.origin,
                Some(destination.owner),
                destination.workspace,
                id,
                vec![BuiltInRole::Operator],
                MemberSource::Provisioned,
            )
            .await?;
            Ok::<_, ApiError>(())
        };
        join.await.map_err(|error| anyhow::anyhow!("making a member of the resource {resource:?}: {error}"))?;
        self.0.insert(resource.to_owned(), id);
        Ok(id)
    }
}
