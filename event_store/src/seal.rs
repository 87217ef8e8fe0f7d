//! Sealing and opening: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce, as base64 of nonce,
//! ciphertext and tag.

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use domain::TenantId;
use rand::RngCore;
use serde_json::{Map, Value, json};
use uuid::Uuid;

const NONCE: usize = 12;

/// One key, ready for use.
pub(crate) struct Cipher(Aes256Gcm);

impl Cipher {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(Aes256Gcm::new(key.into()))
    }

    /// Seals bytes that can only be opened in the same context.
    pub(crate) fn seal(&self, context: &[u8], open: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        rand::thread_rng().fill_bytes(&mut nonce);
        let mut sealed = nonce.to_vec();
        // Fails only for 64 GiB and more, far beyond what an event may hold.
        let encrypted = self.0.encrypt(Nonce::from_slice(&nonce), Payload { msg: open, aad: context });
        debug_assert!(encrypted.is_ok());
        sealed.extend(encrypted.unwrap_or_default());
        sealed
    }

    /// Opens what was sealed in this context; nothing if it was not, or has been changed.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, encrypted) = sealed.split_at_checked(NONCE)?;
        self.0.decrypt(Nonce::from_slice(nonce), Payload { msg: encrypted, aad: context }).ok()
    }
}

/// What sealed personal data is bound to: nothing that an upcaster could move.
pub(crate) fn context(tenant: TenantId, subject: Uuid) -> [u8; 32] {
    let mut context = [0; 32];
    context[..16].copy_from_slice(tenant.0.as_bytes());
    context[16..].copy_from_slice(subject.as_bytes());
    context
}

pub(crate) fn to_text(sealed: &[u8]) -> String {
    STANDARD_NO_PAD.encode(sealed)
}

pub(crate) fn from_text(text: &str) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).ok()
}

/// A value as [`domain::Personal`] writes it, if it is one: its tag, its subject and what it holds.
fn personal(value: &Value) -> Option<(&'static str, Uuid, &Map<String, Value>)> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    let (tag, inner) = ["$personal", "$sealed", "$erased"].into_iter().find_map(|tag| Some((tag, object.get(tag)?.as_object()?)))?;
    Some((tag, inner.get("subject")?.as_str()?.parse().ok()?, inner))
}

/// The subjects of all personal data in a payload.
pub(crate) fn subjects(value: &Value, found: &mut Vec<Uuid>) {
    if let Some((_, subject, _)) = personal(value) {
        found.push(subject);
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| subjects(item, found)),
        Value::Object(map) => map.values().for_each(|item| subjects(item, found)),
        _ => {}
    }
}

/// Replaces every piece of personal data that `change` has something for.
fn replace<E>(
    value: &mut Value,
    change: &mut impl FnMut(&'static str, Uuid, &Map<String, Value>) -> Result<Option<Value>, E>,
) -> Result<(), E> {
    if let Some((tag, subject, inner)) = personal(value) {
        if let Some(changed) = change(tag, subject, inner)? {
            *value = changed;
        }
        return Ok(());
    }
    match value {
        Value::Array(items) => items.iter_mut().try_for_each(|item| replace(item, change)),
        Value::Object(map) => map.values_mut().try_for_each(|item| replace(item, change)),
        _ => Ok(()),
    }
}

/// Seals all open personal data of a payload. `seal` takes the subject and the bytes.
pub(crate) fn seal_all<E>(value: &mut Value, mut seal: impl FnMut(Uuid, &[u8]) -> Result<String, E>) -> Result<(), E> {
    replace(value, &mut |tag, subject, inner| {
        if tag != "$personal" {
            return Ok(None);
        }
        let text = seal(subject, inner.get("value").unwrap_or(&Value::Null).to_string().as_bytes())?;
        Ok(Some(json!({"$sealed": {"subject": subject, "text": text}})))
    })
}

/// Opens all sealed personal data of a payload. `open` answers `None` where the subject's key is destroyed.
pub(crate) fn open_all<E>(value: &mut Value, mut open: impl FnMut(Uuid, &str) -> Result<Option<Value>, E>) -> Result<(), E> {
    replace(value, &mut |tag, subject, inner| {
        let Some(text) = inner.get("text").and_then(Value::as_str).filter(|_| tag == "$sealed") else { return Ok(None) };
        Ok(Some(match open(subject, text)? {
            Some(value) => json!({"$personal": {"subject": subject, "value": value}}),
            None => json!({"$erased": {"subject": subject}}),
        }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_only_under_its_key_and_in_its_context() {
        let cipher = Cipher::new(&[1; 32]);
        let sealed = cipher.seal(b"here", b"Ada");
        assert_eq!(cipher.open(b"here", &sealed).as_deref(), Some(&b"Ada"[..]));
        assert_eq!(cipher.open(b"there", &sealed), None);
        assert_eq!(Cipher::new(&[2; 32]).open(b"here", &sealed), None);
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(cipher.open(b"here", &changed), None);
        assert_eq!(cipher.open(b"here", b"short"), None);
        assert_ne!(cipher.seal(b"here", b"Ada"), sealed, "a nonce is never used twice");
    }

    #[test]
    fn personal_data_is_found_wherever_it_stands() {
        let subject = Uuid::from_u128(7);
        let mut payload = json!({"a": [{"$personal": {"subject": subject, "value": {"x": 1}}}], "b": "clear"});
        let mut found = vec![];
        subjects(&payload, &mut found);
        assert_eq!(found, [subject]);
        let original = payload.clone();
        seal_all(&mut payload, |_, bytes| Ok::<_, ()>(String::from_utf8_lossy(bytes).into_owned())).unwrap();
        assert!(payload.to_string().contains("$sealed"));
        open_all(&mut payload, |_, text| Ok::<_, ()>(serde_json::from_str(text).ok())).unwrap();
        assert_eq!(payload, original);
        seal_all(&mut payload, |_, _| Ok::<_, ()>("x".to_owned())).unwrap();
        open_all(&mut payload, |_, _| Ok::<_, ()>(None)).unwrap();
        assert_eq!(payload["a"][0], json!({"$erased": {"subject": subject}}));
    }
}
