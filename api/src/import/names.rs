//! Ids and keys from the exact names in a log: the same name always gives the same id, and the id does not give
//! the name away (names of cases and resources may be people's, so they go through a keyed hash first).

use anyhow::anyhow;
use domain::pipeline::NewStage;
use domain::{ClaimName, Email, ItemId, Key, Name, PipelineId, StageId, TenantId, Title, UserId};
use event_store::Vault;
use sha2::{Digest, Sha256};
use uuid::Uuid;

#[derive(Clone, Debug)]
pub(super) struct Names {
    vault: Vault,
    tenant: TenantId,
}

/// Tells names apart without keeping them: 128 bits of SHA-256.
pub(super) fn digest(name: &str) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(name)[..16]);
    digest
}

/// The title of a case's item: its name to the letter.
pub(super) fn title(case: &str) -> anyhow::Result<Title> {
    exactly(case, Title::try_from(case)).map_err(|error| anyhow!("the case {case:?}: {error}; items have such titles"))
}

/// Key and name of an activity's stage. The key ends in a hash of the exact name: names that differ only in what a
/// key cannot hold stay apart.
pub(super) fn stage_texts(activity: &str) -> anyhow::Result<(Key, Name)> {
    let name = exactly(activity, Name::try_from(activity))
        .map_err(|error| anyhow!("the activity {activity:?}: {error}; stages have such names"))?;
    let words: String = activity.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).take(41).collect();
    let key = format!("{}_{}", words.trim_matches('_'), hex::encode(&digest(activity)[..4]));
    Ok((Key::try_from(key.trim_start_matches('_')).map_err(|error| anyhow!("the activity {activity:?}: {error}"))?, name))
}

/// Names are carried over to the letter or not at all.
fn exactly<T: AsRef<str>>(given: &str, checked: Result<T, domain::Invalid>) -> Result<T, domain::Invalid> {
    checked.and_then(
        |text| if text.as_ref() == given { Ok(text) } else { Err(domain::Invalid("must not begin or end with white space".into())) },
    )
}

impl Names {
    pub(super) fn new(vault: &Vault, tenant: TenantId) -> Self {
        Self { vault: vault.clone(), tenant }
    }

    fn id(&self, space: Uuid, kind: &'static str, name: &str) -> Uuid {
        let hidden = self.vault.claim(self.tenant, &ClaimName::personal(kind, name)).replace([':', '_'], "-");
        Uuid::new_v5(&space, hidden.as_bytes())
    }

    pub(super) fn pipeline(&self, key: &Key) -> PipelineId {
        PipelineId(self.id(self.tenant.0, "imported_pipeline", key.as_str()))
    }

    pub(super) fn item(&self, pipeline: PipelineId, case: &str) -> ItemId {
        ItemId(self.id(pipeline.0, "imported_case", case))
    }

    pub(super) fn stage_id(&self, pipeline: PipelineId, activity: &str) -> StageId {
        StageId(self.id(pipeline.0, "imported_activity", activity))
    }

    pub(super) fn stage(&self, pipeline: PipelineId, activity: &str) -> anyhow::Result<NewStage> {
        let (key, name) = stage_texts(activity)?;
        Ok(NewStage { key, name, is_terminal: false, color: None, wip_limit: None, stage_id: Some(self.stage_id(pipeline, activity)) })
    }

    /// The user that stands for a resource, and their address.
    pub(super) fn user(&self, resource: &str) -> anyhow::Result<(UserId, Email)> {
        let id = UserId(self.id(self.tenant.0, "imported_resource", resource));
        let email = Email::try_from(format!("{id}@import.invalid")).map_err(|error| anyhow!("{error}"))?;
        Ok((id, email))
    }

    /// The key of a case's event. The actor and the tenant are parts of every key besides.
    pub(super) fn key(&self, item: ItemId, event: u64) -> String {
        format!("import:{item}:{event}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_stages_are_readable_and_tell_like_names_apart() {
        let (key, name) = stage_texts("T02 Check confirmation of receipt").unwrap();
        assert!(key.as_str().starts_with("t02_check_confirmation_of_receipt_"), "{key}");
        assert_eq!(name.as_str(), "T02 Check confirmation of receipt");
        assert_ne!(stage_texts("A b").unwrap().0, stage_texts("A-b").unwrap().0);
        let long = "x".repeat(100);
        assert!(stage_texts(&long).unwrap().0.as_str().len() <= 50);
        assert!(stage_texts("検査").is_ok());
    }

    #[test]
    fn what_cannot_be_carried_over_to_the_letter_is_refused() {
        for bad in ["", " a", "a ", "a\nb"] {
            assert!(stage_texts(bad).is_err(), "{bad:?}");
            assert!(title(bad).is_err(), "{bad:?}");
        }
    }
}
