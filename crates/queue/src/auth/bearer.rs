//! The API key as sent: `ph_<12 of a-z 0-9>_<43 of base64url>`.

use std::fmt;

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use posthaste_store::{KeyId, SecretHash};
use sha2::{Digest, Sha256};

use crate::problem::{Code, Problem};

const PREFIX: &str = "ph_";
const ID: usize = 12;
/// 32 bytes in base64 without padding.
const SECRET: usize = 43;

/// The secret part of a key. Never printed.
#[derive(Clone)]
pub struct Secret(String);

/// A key as a client sends it.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// Its public part.
    pub id: KeyId,
    /// Its secret part.
    pub secret: Secret,
}

impl Secret {
    /// A secret of 256 random bits.
    #[must_use]
    pub fn from_bits(bits: [u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(bits))
    }

    /// The hash that is stored.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::new(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}

impl Bearer {
    /// The key of a request; `None` unless there is exactly one key and it is well formed.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut all = headers.get_all(header::AUTHORIZATION).iter();
        let (only, None) = (all.next()?, all.next()) else { return None };
        let (scheme, key) = only.to_str().ok()?.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") { Self::read(key.trim()) } else { None }
    }

    /// Parses `ph_<id>_<secret>`.
    #[must_use]
    pub fn read(key: &str) -> Option<Self> {
        let rest = key.strip_prefix(PREFIX)?;
        let (id, secret) = (rest.get(..ID)?, rest.get(ID..)?.strip_prefix('_')?);
        let sound = secret.len() == SECRET
            && secret.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !sound {
            return None;
        }
        Some(Self { id: id.parse().ok()?, secret: Secret(secret.to_owned()) })
    }

    /// The whole key, to be shown once to its owner.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}_{}", self.id, self.secret.0)
    }
}

/// The same response for a missing, unknown, wrong, expired or revoked key.
pub(crate) fn unauthorized() -> Problem {
    Problem::new(Code::Unauthorized, "send one valid key as Authorization: Bearer ph_…")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn key() -> String {
        let secret = Secret::from_bits([7; 32]);
        Bearer { id: "abcdefghij01".parse().unwrap(), secret }.expose()
    }

    #[test]
    fn a_key_is_read_back_and_not_printed() {
        let read = Bearer::read(&key()).unwrap();
        assert_eq!(read.id.as_str(), "abcdefghij01");
        assert!(read.secret.hash().same(&Secret::from_bits([7; 32]).hash()));
        assert!(!read.secret.hash().same(&Secret::from_bits([8; 32]).hash()));
        assert!(!format!("{read:?}").contains("Bwc"), "{read:?}");
    }

    #[test]
    fn only_one_well_formed_key_counts() {
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            Bearer::of(&headers).is_some()
        };
        let good = format!("Bearer {}", key());
        assert!(read(&[&good]) && read(&[&good.replace("Bearer", "bearer")]));
        assert!(!read(&[]) && !read(&[&good, &good]));
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Basic abc",
            "Bearer ph_x_y",
            &good[..good.len() - 1],
            &format!("{good}A"),
        ] {
            assert!(!read(&[bad]), "{bad}");
        }
    }
}
