//! Consistency tokens: positions of logs that a client has seen, so that it never reads behind its own writes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::TenantId;

/// The most logs a token names.
const MOST: usize = 20;

/// The positions of a token. A client passes it on and does not look inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Consistency(Vec<(TenantId, i64)>);

impl Consistency {
    /// The token of one position.
    pub(crate) fn at(tenant: TenantId, position: i64) -> Self {
        Self(vec![(tenant, position)])
    }

    /// Reads a token; nothing where it is none of ours.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let json = URL_SAFE_NO_PAD.decode(text.trim()).ok()?;
        let pairs: Vec<(TenantId, i64)> = serde_json::from_slice(&json).ok()?;
        (pairs.len() <= MOST && pairs.iter().all(|(_, position)| *position >= 0)).then_some(Self(pairs))
    }

    pub(crate) fn encode(&self) -> String {
        serde_json::to_vec(&self.0).map(|json| URL_SAFE_NO_PAD.encode(json)).unwrap_or_default()
    }

    /// How far a log was seen. A stranger's pair is only asked for by those who may read the log.
    pub(crate) fn position(&self, tenant: TenantId) -> Option<i64> {
        self.0.iter().filter(|(known, _)| *known == tenant).map(|(_, position)| *position).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_token_says_what_was_put_in_and_rubbish_is_none() {
        let (mine, other) = (TenantId(Uuid::from_u128(1)), TenantId(Uuid::from_u128(2)));
        let token = Consistency::at(mine, 17);
        assert_eq!(Consistency::decode(&token.encode()), Some(token.clone()));
        assert_eq!((token.position(mine), token.position(other)), (Some(17), None));
        for rubbish in ["", "x", "e30", "W10x"] {
            assert_eq!(Consistency::decode(rubbish), None, "{rubbish}");
        }
    }
}
