//! Verifies the signature of Twilio's callbacks: an HMAC-SHA1 with the account's primary token over the URL that
//! Twilio called and the parameters that it sent, computed like Twilio's own validators. No request is trusted before
//! this check.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::account;
use crate::settings::BadSetting;

/// The query parameter with the digest of a body that is not a form.
const DIGEST: &str = "bodySHA256";

/// The signed content.
#[derive(Debug)]
pub(super) enum Sent<'a> {
    /// A form: all names and values, untrimmed, including empty and unknown ones.
    Form(&'a [(String, String)]),
    /// Anything else: the URL contains its digest.
    Other(&'a [u8]),
}

/// The signing key.
pub(super) struct Signature(SecretString);

impl Signature {
    /// The primary token, even if an API key is used for sending.
    pub(super) fn new(token: &SecretString) -> Result<Self, BadSetting> {
        if account::is_secret(token) {
            return Ok(Self(token.clone()));
        }
        let why = "is missing or malformed: it is required to verify receipts and replies";
        Err(BadSetting::new("twilio.auth_token", why))
    }

    /// Whether Twilio made this request: `given` is the signature of one of these spellings of its URL. Takes
    /// constant time.
    pub(super) fn proves(&self, urls: &[String], sent: &Sent<'_>, given: &str) -> bool {
        let Ok(given) = STANDARD.decode(given) else { return false };
        let mut proved = subtle::Choice::from(0);
        for url in urls {
            let text = signed(url, sent);
            let whole = match sent {
                Sent::Form(_) => subtle::Choice::from(1),
                Sent::Other(body) => has_digest(url, body),
            };
            proved |= whole & self.sign(&text).ct_eq(given.as_slice());
        }
        proved.into()
    }

    pub(super) fn sign(&self, text: &str) -> Vec<u8> {
        let Ok(mac) = Hmac::<Sha1>::new_from_slice(self.0.expose_secret().as_bytes()) else {
            // HMAC accepts keys of any length.
            return Vec::new();
        };
        mac.chain_update(text.as_bytes()).finalize().into_bytes().to_vec()
    }
}

/// The URL, then each distinct name in order, each followed by its distinct values in order.
pub(super) fn signed(url: &str, sent: &Sent<'_>) -> String {
    let mut text = url.to_owned();
    if let Sent::Form(parameters) = sent {
        let mut sorted: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, value) in *parameters {
            sorted.entry(name).or_default().insert(value);
        }
        for (name, values) in sorted {
            for value in values {
                text.push_str(name);
                text.push_str(value);
            }
        }
    }
    text
}

fn has_digest(url: &str, body: &[u8]) -> subtle::Choice {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let reported = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == DIGEST);
    let digest: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    match reported {
        Some((_, reported)) => digest.as_bytes().ct_eq(reported.to_ascii_lowercase().as_bytes()),
        None => subtle::Choice::from(0),
    }
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
