//! Secrets, and the keys of data subjects. Each is sealed under the master key before it leaves the process,
//! and is durable before the append that needs it.

use crate::keys::{hmac, hmac_hex};
use crate::seal::{self, Cipher};
use crate::{MasterKey, StoreError};
use domain::{ClaimName, Sealable, TenantId};
use quick_cache::sync::Cache;
use rand::RngCore;
use serde_json::Value;
use sqlx::PgPool;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;
use zeroize::Zeroizing;

/// How long the process trusts a subject's key it has seen: the longest that a key destroyed by another
/// process can go on opening here.
const KEY_MEMORY: Duration = Duration::from_secs(60);

/// The cipher of a subject; none once the key is destroyed.
type SubjectCipher = Option<Arc<Cipher>>;

/// The vault of one database, through a pool that may enter it.
#[derive(Clone)]
pub struct Vault {
    pool: PgPool,
    wrap: Arc<Cipher>,
    secrets: Arc<Cipher>,
    claims: Arc<Zeroizing<[u8; 32]>>,
    fingerprints: Arc<Zeroizing<[u8; 32]>>,
    /// With the time until which each is trusted.
    subjects: Arc<Cache<(TenantId, Uuid), (Instant, SubjectCipher)>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(not shown)")
    }
}

/// Ciphers of the subjects of one piece of work.
pub(crate) struct Ciphers {
    tenant: TenantId,
    /// In order of the subjects.
    subjects: Vec<(Uuid, SubjectCipher)>,
}

impl Vault {
    /// The vault behind this pool.
    #[must_use]
    pub fn new(pool: PgPool, master: &MasterKey) -> Self {
        Self {
            pool,
            wrap: Arc::new(Cipher::new(&master.derive("subject keys"))),
            secrets: Arc::new(Cipher::new(&master.derive("secrets"))),
            claims: Arc::new(master.derive("claims")),
            fingerprints: Arc::new(master.derive("fingerprints")),
            subjects: Arc::new(Cache::new(100_000)),
        }
    }

    /// The same vault through another pool.
    #[must_use]
    pub fn through(&self, pool: PgPool) -> Self {
        Self { pool, ..self.clone() }
    }

    /// Keeps a secret; durable when this returns.
    ///
    /// # Errors
    /// The database, or a reference that is taken.
    pub async fn put_secret(&self, tenant: TenantId, secret_ref: Uuid, secret: &[u8]) -> Result<(), StoreError> {
        let sealed = self.secrets.seal(&seal::context(tenant, secret_ref), secret);
        sqlx::query!("select vault.put_secret($1, $2, $3)", tenant.0, secret_ref, sealed).execute(&self.pool).await?;
        Ok(())
    }

    /// Reads a secret; nothing where there is none.
    ///
    /// # Errors
    /// The database, or a master key that is not the one it was sealed under.
    pub async fn secret(&self, tenant: TenantId, secret_ref: Uuid) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let sealed = sqlx::query_scalar!("select vault.secret($1, $2)", tenant.0, secret_ref).fetch_one(&self.pool).await?;
        sealed
            .map(|sealed| {
                let open = self.secrets.open(&seal::context(tenant, secret_ref), &sealed);
                open.map(Zeroizing::new).ok_or(StoreError::Sealed { tenant: tenant.to_string() })
            })
            .transpose()
    }

    /// Forgets a secret.
    ///
    /// # Errors
    /// The database.
    pub async fn drop_secret(&self, tenant: TenantId, secret_ref: Uuid) -> Result<(), StoreError> {
        sqlx::query!("select vault.drop_secret($1, $2)", tenant.0, secret_ref).execute(&self.pool).await?;
        Ok(())
    }

    /// How a claim is named in the database: `kind:value`, personal values as HMAC-SHA256 under a key of their own.
    #[must_use]
    pub fn claim(&self, tenant: TenantId, name: &ClaimName) -> String {
        if name.personal {
            format!("{}:{}", name.kind, hmac_hex(&self.claims, &[tenant.0.as_bytes(), name.kind.as_bytes(), name.value.as_bytes()]))
        } else {
            format!("{}:{}", name.kind, name.value)
        }
    }

    /// What tells a keyed command from another: an HMAC, since commands hold what people have written.
    pub(crate) fn fingerprint(&self, parts: &[&[u8]]) -> Vec<u8> {
        hmac(&self.fingerprints, parts)
    }

    /// The ciphers of these subjects, made where there are none yet if `make` is set.
    pub(crate) async fn ciphers(&self, tenant: TenantId, wanted: &[Uuid], make: bool) -> Result<Ciphers, StoreError> {
        let mut ciphers = Ciphers { tenant, subjects: Vec::with_capacity(wanted.len()) };
        let mut missing: Vec<Uuid> = Vec::new();
        let now = Instant::now();
        for subject in wanted {
            let known = self.subjects.get(&(tenant, *subject)).filter(|(until, _)| now < *until);
            match known.map(|(_, cipher)| cipher) {
                Some(cipher) => ciphers.subjects.push((*subject, cipher)),
                None if missing.contains(subject) => {}
                None => missing.push(*subject),
            }
        }
        if missing.is_empty() {
            ciphers.subjects.sort_unstable_by_key(|(subject, _)| *subject);
            return Ok(ciphers);
        }
        let offered: Vec<Option<Vec<u8>>> = missing.iter().map(|subject| make.then(|| self.new_key(tenant, *subject))).collect();
        let tenants = vec![tenant.0; missing.len()];
        let rows = sqlx::query!(
            r#"select subject as "subject!", sealed from vault.subject_keys($1, $2, $3)"#,
            &tenants,
            &missing,
            &offered as &[Option<Vec<u8>>]
        )
        .fetch_all(&self.pool)
        .await?;
        for row in rows {
            let cipher = match row.sealed {
                None => None,
                Some(sealed) => {
                    let key = self.wrap.open(&seal::context(tenant, row.subject), &sealed).map(Zeroizing::new);
                    let key = key.as_ref().and_then(|key| <&[u8; 32]>::try_from(key.as_slice()).ok());
                    Some(Arc::new(Cipher::new(key.ok_or(StoreError::Sealed { tenant: tenant.to_string() })?)))
                }
            };
            self.subjects.insert((tenant, row.subject), (now + KEY_MEMORY, cipher.clone()));
            ciphers.subjects.push((row.subject, cipher));
        }
        ciphers.subjects.sort_unstable_by_key(|(subject, _)| *subject);
        Ok(ciphers)
    }

    fn new_key(&self, tenant: TenantId, subject: Uuid) -> Vec<u8> {
        let mut key = Zeroizing::new([0; 32]);
        rand::rngs::OsRng.fill_bytes(key.as_mut());
        self.wrap.seal(&seal::context(tenant, subject), key.as_ref())
    }

    /// Opens the personal data of stored payloads of one tenant.
    pub(crate) async fn open(&self, tenant: TenantId, payloads: &mut [&mut Value]) -> Result<(), StoreError> {
        let mut subjects = Vec::new();
        payloads.iter().for_each(|payload| seal::subjects(payload, &mut subjects));
        if subjects.is_empty() {
            return Ok(());
        }
        let ciphers = self.ciphers(tenant, &subjects, false).await?;
        payloads.iter_mut().try_for_each(|payload| ciphers.open(payload))
    }
}

impl Ciphers {
    fn cipher(&self, subject: Uuid) -> Result<&SubjectCipher, StoreError> {
        // A subject without a key was never sealed here: that is not the same as a destroyed one.
        let place = self.subjects.binary_search_by_key(&subject, |(subject, _)| *subject);
        place.map(|n| &self.subjects[n].1).map_err(|_| StoreError::Sealed { tenant: self.tenant.to_string() })
    }

    /// Seals the open personal data of a payload. A subject whose key is destroyed takes no new data.
    pub(crate) fn seal(&self, payload: &mut Value) -> Result<(), StoreError> {
        seal::seal_all(payload, |subject, bytes| self.seal_bytes(subject, bytes))
    }

    pub(crate) fn seal_bytes(&self, subject: Uuid, bytes: &[u8]) -> Result<String, StoreError> {
        let cipher = self.cipher(subject)?.as_ref();
        let cipher = cipher.ok_or_else(|| {
            StoreError::data(format!("data of {subject}"), "the key of this person is erased; nothing more can be said of them")
        })?;
        Ok(seal::to_text(&cipher.seal(&seal::context(self.tenant, subject), bytes)))
    }

    fn open(&self, payload: &mut Value) -> Result<(), StoreError> {
        seal::open_all(payload, |subject, text| match self.open_bytes(subject, text)? {
            None => Ok(None),
            Some(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| StoreError::data("sealed value", error)),
        })
    }

    fn open_bytes(&self, subject: Uuid, text: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(cipher) = self.cipher(subject)? else { return Ok(None) };
        let open = seal::from_text(text).and_then(|sealed| cipher.open(&seal::context(self.tenant, subject), &sealed));
        open.map(Some).ok_or(StoreError::Sealed { tenant: self.tenant.to_string() })
    }

    /// Seals a value of an aggregate's state, for the cache.
    pub(crate) fn seal_slot(&self, slot: &mut dyn Sealable) -> Result<(), StoreError> {
        let mut failed = None;
        slot.seal(&mut |subject, bytes| {
            self.seal_bytes(subject, bytes).unwrap_or_else(|error| {
                failed = Some(error);
                String::new()
            })
        })
        .map_err(|error| StoreError::data("sealed value", error))?;
        failed.map_or(Ok(()), Err)
    }

    /// Opens a value of an aggregate's state, for a decision.
    pub(crate) fn open_slot(&self, slot: &mut dyn Sealable) -> Result<(), StoreError> {
        let mut failed = None;
        let opened = slot.unseal(&mut |subject, text| {
            self.open_bytes(subject, text).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        failed.map_or(Ok(()), Err)?;
        opened.map_err(|error| StoreError::data("sealed value", error))
    }
}
