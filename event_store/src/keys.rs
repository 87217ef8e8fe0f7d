//! The master key, and everything that derives from it.

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use rand::RngCore;
use sha2::Sha256;
use std::io::Write;
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// Why there is no master key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The file is not there, or cannot be read or written.
    #[error("master key {path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Others can read it.
    #[error("master key {path}: others may read it (mode {mode:o}); run: chmod 600 {path}")]
    Open {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is not 64 hexadecimal digits.
    #[error("master key {path}: must be 64 hexadecimal digits (32 bytes); make one with: openssl rand -hex 32")]
    Shape {
        /// Which file.
        path: PathBuf,
    },
}

/// Thirty-two bytes on which subject keys, secrets, claims of personal names, sign-in tokens and the passwords
/// of the program's database roles hang. Lost, all personal data is lost.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(not shown)")
    }
}

impl MasterKey {
    /// A key of these bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads the key from a file that only its owner may read.
    ///
    /// # Errors
    /// No such file, a file others may read, or one without 64 hexadecimal digits.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let file = |error| KeyError::File { path: path.to_owned(), error };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(path).map_err(file)?.permissions().mode() & 0o777;
            if mode & 0o077 != 0 {
                return Err(KeyError::Open { path: path.to_owned(), mode });
            }
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(file)?);
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.trim(), &mut bytes).map_err(|_| KeyError::Shape { path: path.to_owned() })?;
        Ok(Self::new(bytes))
    }

    /// Reads the key, or makes one where there is none yet: for the embedded cluster only.
    ///
    /// # Errors
    /// As [`MasterKey::read`].
    pub fn read_or_make(path: &Path) -> Result<Self, KeyError> {
        let file = |error| KeyError::File { path: path.to_owned(), error };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(mut made) => {
                let mut bytes = Zeroizing::new([0; 32]);
                rand::rngs::OsRng.fill_bytes(bytes.as_mut());
                let text = Zeroizing::new(hex::encode(bytes.as_ref()));
                made.write_all(text.as_bytes()).and_then(|()| made.sync_all()).map_err(file)?;
                Ok(Self(bytes))
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Self::read(path),
            Err(error) => Err(file(error)),
        }
    }

    /// A key for one purpose: HKDF-SHA256 (RFC 5869) with the purpose as its info.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut key = Zeroizing::new([0; 32]);
        // Expansion fails only beyond 255 blocks; this is one. The zero key would open nothing.
        let expanded = Hkdf::<Sha256>::new(Some(b"annals"), self.0.as_ref()).expand(purpose.as_bytes(), key.as_mut());
        debug_assert!(expanded.is_ok());
        key
    }

    /// Tells this key from another without giving it away.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(&self.derive("fingerprint")[..8])
    }

    /// A seal under which a text can lie where others may write: HMAC-SHA256 (RFC 2104) with a key of this purpose, in
    /// hexadecimal.
    #[must_use]
    pub fn seal(&self, purpose: &str, text: &[u8]) -> String {
        hmac_hex(&self.derive(purpose), &[text])
    }

    /// The password of a database role.
    #[must_use]
    pub fn role_password(&self, role: &str) -> String {
        hex::encode(self.derive(&format!("database role {role}")).as_ref())
    }
}

/// HMAC-SHA256 (RFC 2104), in hexadecimal.
pub(crate) fn hmac_hex(key: &[u8; 32], parts: &[&[u8]]) -> String {
    hex::encode(hmac(key, parts))
}

/// HMAC-SHA256 (RFC 2104) of parts, each led by its length so that no two lists of parts agree.
pub(crate) fn hmac(key: &[u8; 32], parts: &[&[u8]]) -> Vec<u8> {
    // A key of any length is taken (RFC 2104, section 2); the empty one stands in for the impossible refusal.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_have_keys_of_their_own() {
        let master = MasterKey::new([7; 32]);
        assert_ne!(master.derive("a"), master.derive("b"));
        assert_eq!(master.derive("a"), master.derive("a"));
        assert_ne!(*master.derive("a"), [0; 32]);
    }

    #[test]
    fn a_key_that_others_may_read_is_refused_and_a_made_one_is_kept() {
        let dir = std::env::temp_dir().join(format!("annals-key-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("master.key");
        let made = MasterKey::read_or_make(&path).unwrap();
        assert_eq!(MasterKey::read_or_make(&path).unwrap().0, made.0);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            assert!(matches!(MasterKey::read(&path), Err(KeyError::Open { mode: 0o644, .. })));
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
