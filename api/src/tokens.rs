//! Access tokens: JWTs signed with EdDSA (RFC 7519, RFC 8037), good for 15 minutes and for a session that is not
//! ended. Only this one algorithm and key is ever accepted, whatever a token says of itself.

use crate::clock;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use domain::identity::TokenHash;
use domain::{Moment, SessionId, UserId, WorkspaceId};
use event_store::MasterKey;
use moka::future::Cache;
use rand::RngCore;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use uuid::Uuid;
use zeroize::Zeroizing;

/// How long an access token is good, in seconds (`spec/limits.md`).
pub const ACCESS_SECONDS: i64 = 15 * 60;
/// Who issues.
const ISSUER: &str = "annals";
/// Ours have some 500 bytes; what is longer is not decoded.
const LONGEST: usize = 4096;
/// How long the process trusts what it has read of a session: the longest that a token goes on after another
/// process has ended its session. What this process ends, ends at once.
const SESSION_MEMORY: Duration = Duration::from_secs(5);

/// What an access token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Whose it is.
    pub user: UserId,
    /// The session it belongs to; none for one that an operator made.
    pub session: Option<SessionId>,
    /// Where the user works when the request names no workspace.
    pub workspace: Option<WorkspaceId>,
    /// Names the token.
    pub id: Uuid,
}

/// Why a token is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TokenError {
    /// It is no JWT of ours, or it was changed.
    #[error("the access token is not valid; sign in again")]
    Invalid,
    /// It was good once.
    #[error("the access token has expired; refresh it, or sign in again")]
    Expired,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    // RFC 7515, section 4.1.11: extensions that are critical and not understood must be refused.
    crit: Option<Value>,
}

#[derive(Deserialize)]
struct Payload {
    iss: String,
    sub: UserId,
    sid: Option<SessionId>,
    wid: Option<WorkspaceId>,
    exp: i64,
    jti: Uuid,
}

/// Issues and verifies access tokens, and remembers for a moment which sessions they may be used with.
#[derive(Clone)]
pub struct Tokens {
    signer: Arc<Signer>,
    sessions: Cache<SessionId, Option<UserId>>,
    /// Tokens whose signature was found to be ours, by their hash, with when they expire: a client sends the same one
    /// for a quarter of an hour.
    verified: Arc<quick_cache::sync::Cache<[u8; 32], (Claims, i64)>>,
    /// What this process has ended, for as long as a token of it can be good.
    ended: Cache<SessionId, ()>,
}

struct Signer {
    pair: Ed25519KeyPair,
    kid: String,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tokens({})", self.signer.kid)
    }
}

impl Tokens {
    /// Tokens under the key that derives from this master key: the same in every process.
    #[must_use]
    #[expect(clippy::expect_used, reason = "any 32 bytes are an Ed25519 seed (RFC 8032, section 5.1.5)")]
    pub fn new(master: &MasterKey) -> Self {
        let seed = master.derive("access tokens");
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).expect("32 bytes");
        let x = BASE64URL.encode(pair.public_key());
        // RFC 7638, section 3: the required members in this order, without spaces.
        let kid = BASE64URL.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)));
        Self {
            signer: Arc::new(Signer { pair, kid }),
            sessions: Cache::builder().max_capacity(100_000).time_to_live(SESSION_MEMORY).build(),
            verified: Arc::new(quick_cache::sync::Cache::new(20_000)),
            ended: Cache::builder().max_capacity(1_000_000).time_to_live(Duration::from_secs(ACCESS_SECONDS.unsigned_abs())).build(),
        }
    }

    /// A token for a user, good from `now` on for [`ACCESS_SECONDS`].
    #[must_use]
    pub fn issue(&self, user: UserId, session: Option<SessionId>, workspace: Option<WorkspaceId>, now: Moment) -> String {
        let iat = now.timestamp();
        let mut payload = json!({ "iss": ISSUER, "sub": user, "iat": iat, "exp": iat + ACCESS_SECONDS, "jti": clock::new_uuid() });
        if let Some(session) = session {
            payload["sid"] = json!(session);
        }
        if let Some(workspace) = workspace {
            payload["wid"] = json!(workspace);
        }
        self.sign(&json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.signer.kid }), &payload)
    }

    fn sign(&self, header: &Value, payload: &Value) -> String {
        let signed = format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(payload.to_string()));
        let signature = BASE64URL.encode(self.signer.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// What a token says, if it is ours and has not expired. Whether its session still lives is another question:
    /// [`Tokens::session_user`].
    ///
    /// # Errors
    /// It is not ours, or has expired.
    pub fn verify(&self, token: &str, now: Moment) -> Result<Claims, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::Invalid);
        }
        let hash = Sha256::digest(token).into();
        let (claims, expires) = match self.verified.get(&hash) {
            Some(verified) => verified,
            None => {
                let verified = self.read(token)?;
                self.verified.insert(hash, verified.clone());
                verified
            }
        };
        if now.timestamp() < expires { Ok(claims) } else { Err(TokenError::Expired) }
    }

    /// What a token of ours says, and when it expires.
    fn read(&self, token: &str) -> Result<(Claims, i64), TokenError> {
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Invalid)?;
        let (header, payload) = signed.split_once('.').ok_or(TokenError::Invalid)?;
        let header: Header = decode(header)?;
        if header.alg != "EdDSA" || header.kid != self.signer.kid || header.crit.is_some() {
            return Err(TokenError::Invalid);
        }
        let signature = BASE64URL.decode(signature).map_err(|_| TokenError::Invalid)?;
        let key = UnparsedPublicKey::new(&ED25519, self.signer.pair.public_key());
        key.verify(signed.as_bytes(), &signature).map_err(|_| TokenError::Invalid)?;
        let payload: Payload = decode(payload)?;
        if payload.iss != ISSUER {
            return Err(TokenError::Invalid);
        }
        Ok((Claims { user: payload.sub, session: payload.sid, workspace: payload.wid, id: payload.jti }, payload.exp))
    }

    /// The public key, as a JSON Web Key Set (RFC 7517, RFC 8037).
    #[must_use]
    pub fn jwks(&self) -> Value {
        let x = BASE64URL.encode(self.signer.pair.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.signer.kid, "use": "sig", "alg": "EdDSA" }] })
    }

    /// Whose a session is while it lives: as `look` says, or as it said within the last seconds; nobody's once this
    /// process has ended it.
    ///
    /// # Errors
    /// What `look` says, shared by all who waited for it.
    pub async fn session_user<E: Send + Sync + 'static>(
        &self,
        session: SessionId,
        look: impl Future<Output = Result<Option<UserId>, E>>,
    ) -> Result<Option<UserId>, Arc<E>> {
        let user = self.sessions.try_get_with(session, look).await?;
        // Asked afterwards: whoever began to look before the end must not be believed after it.
        Ok(if self.ended.contains_key(&session) { None } else { user })
    }

    /// A session is ended: its access tokens are good no more.
    pub async fn end_session(&self, session: SessionId) {
        self.ended.insert(session, ()).await;
        self.sessions.invalidate(&session).await;
    }
}

fn decode<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, TokenError> {
    let bytes = BASE64URL.decode(part).map_err(|_| TokenError::Invalid)?;
    serde_json::from_slice(&bytes).map_err(|_| TokenError::Invalid)
}

/// A refresh token: the session it belongs to, and 256 random bits of which only the hash is kept.
#[derive(Clone)]
pub struct RefreshToken {
    /// Where to look for the hash.
    pub session: SessionId,
    secret: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RefreshToken({}, not shown)", self.session)
    }
}

impl RefreshToken {
    /// A new one for a session.
    #[must_use]
    pub fn random(session: SessionId) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rand::rngs::OsRng.fill_bytes(secret.as_mut());
        Self { session, secret }
    }

    /// As the client keeps it: 64 characters of base64url.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut bytes = Zeroizing::new([0; 48]);
        bytes[..16].copy_from_slice(self.session.0.as_bytes());
        bytes[16..].copy_from_slice(self.secret.as_ref());
        BASE64URL.encode(bytes.as_ref())
    }

    /// Reads what a client sent; nothing if it is none of ours.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 {
            return None;
        }
        let bytes = Zeroizing::new(BASE64URL.decode(text).ok()?);
        let (session, rest) = bytes.split_first_chunk::<16>()?;
        let secret = Zeroizing::new(<[u8; 32]>::try_from(rest).ok()?);
        Some(Self { session: SessionId(Uuid::from_bytes(*session)), secret })
    }

    /// What events keep of it.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a SHA-256 has 64 lower-case hex digits")]
    pub fn hash(&self) -> TokenHash {
        TokenHash::try_from(hex::encode(Sha256::digest(self.secret.as_ref()))).expect("64 digits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn tokens() -> Tokens {
        Tokens::new(&MasterKey::new([7; 32]))
    }

    fn now() -> Moment {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn ids() -> (UserId, SessionId, WorkspaceId) {
        (UserId(Uuid::from_u128(1)), SessionId(Uuid::from_u128(2)), WorkspaceId(Uuid::from_u128(3)))
    }

    #[test]
    fn a_token_says_who_until_it_expires() {
        let (user, session, workspace) = ids();
        let token = tokens().issue(user, Some(session), Some(workspace), now());
        let claims = tokens().verify(&token, now() + TimeDelta::seconds(ACCESS_SECONDS - 1)).unwrap();
        assert_eq!((claims.user, claims.session, claims.workspace), (user, Some(session), Some(workspace)));
        assert_eq!(tokens().verify(&token, now() + TimeDelta::seconds(ACCESS_SECONDS)), Err(TokenError::Expired));
        let bare = tokens().issue(user, None, None, now());
        let claims = tokens().verify(&bare, now()).unwrap();
        assert_eq!((claims.session, claims.workspace), (None, None));
    }

    #[test]
    fn whoever_holds_the_jwks_can_verify_a_token() {
        let token = tokens().issue(ids().0, None, None, now());
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let jwks = tokens().jwks();
        let key = BASE64URL.decode(jwks["keys"][0]["x"].as_str().unwrap()).unwrap();
        UnparsedPublicKey::new(&ED25519, key).verify(signed.as_bytes(), &BASE64URL.decode(signature).unwrap()).unwrap();
        let header: Value = decode(token.split('.').next().unwrap()).unwrap();
        assert_eq!(header["kid"], jwks["keys"][0]["kid"]);
    }

    #[test]
    fn another_algorithm_key_issuer_or_shape_is_refused() {
        let ours = tokens();
        let payload = json!({ "iss": ISSUER, "sub": ids().0, "iat": 0, "exp": now().timestamp() + 60, "jti": Uuid::nil() });
        let header = json!({ "alg": "EdDSA", "kid": ours.signer.kid });
        assert!(ours.verify(&ours.sign(&header, &payload), now()).is_ok());

        let with = |value: &Value, key: &str, new: Value| {
            let mut value = value.clone();
            value[key] = new;
            value
        };
        let bad = [
            (with(&header, "alg", json!("none")), payload.clone()),
            (with(&header, "alg", json!("HS256")), payload.clone()),
            (with(&header, "kid", json!("another")), payload.clone()),
            (with(&header, "crit", json!(["b64"])), payload.clone()),
            (header.clone(), with(&payload, "iss", json!("another"))),
            (header.clone(), with(&payload, "exp", json!("9999999999"))),
            (header.clone(), with(&payload, "exp", Value::Null)),
            (header.clone(), with(&payload, "sub", json!("ada"))),
        ];
        for (header, payload) in bad {
            assert_eq!(ours.verify(&ours.sign(&header, &payload), now()), Err(TokenError::Invalid), "{header} {payload}");
        }
        let foreign = Tokens::new(&MasterKey::new([8; 32]));
        assert_eq!(ours.verify(&foreign.sign(&header, &payload), now()), Err(TokenError::Invalid), "our kid, their key");
    }

    #[test]
    fn a_token_changed_anywhere_is_refused() {
        let token = tokens().issue(ids().0, Some(ids().1), None, now());
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(tokens().verify(std::str::from_utf8(&changed).unwrap(), now()).is_err(), "at {at}");
        }
        for bad in
            ["", ".", "..", "a.b", "a.b.c", &format!("{token}."), &format!("{token}.x"), &token[..token.len() - 1], &"a".repeat(5000)]
        {
            assert_eq!(tokens().verify(bad, now()), Err(TokenError::Invalid), "{bad}");
        }
    }

    #[tokio::test]
    async fn what_is_ended_here_is_ended_at_once_even_for_those_who_looked_before() {
        let tokens = tokens();
        let (user, session, _) = ids();
        let look = |answer| async move { Ok::<_, ()>(answer) };
        assert_eq!(tokens.session_user(session, look(Some(user))).await, Ok(Some(user)));
        assert_eq!(tokens.session_user(session, look(None)).await, Ok(Some(user)), "remembered for a moment");
        let late = tokens.session_user(SessionId(Uuid::from_u128(9)), async {
            tokens.end_session(SessionId(Uuid::from_u128(9))).await;
            Ok::<_, ()>(Some(user))
        });
        assert_eq!(late.await, Ok(None));
        tokens.end_session(session).await;
        assert_eq!(tokens.session_user(session, look(Some(user))).await, Ok(None));
    }

    #[test]
    fn a_refresh_token_finds_its_session_and_only_its_hash_is_kept() {
        let token = RefreshToken::random(ids().1);
        let text = token.to_text();
        let read = RefreshToken::parse(&text).unwrap();
        assert_eq!((text.len(), read.session, read.hash()), (64, ids().1, token.hash()));
        assert!(!format!("{token:?}").contains(&text[22..]));
        assert_ne!(RefreshToken::random(ids().1).hash(), token.hash());
        for bad in ["", "x", &text[1..], &text.replace(&text[..1], "="), &"ü".repeat(32)] {
            assert!(RefreshToken::parse(bad).is_none(), "{bad}");
        }
    }
}
