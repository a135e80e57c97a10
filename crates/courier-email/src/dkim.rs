//! DKIM signatures (RFC 6376) with RSA keys (rsa-sha256, RFC 8301), Ed25519 keys (RFC 8463) or one of each; relaxed
//! canonicalization of header and body. A message signed with both has two headers, so that receivers which can't
//! verify Ed25519 use the other one.
//!
//! Why our own implementation: the signer of lettre brings an RSA library with an unfixed timing weakness
//! (RUSTSEC-2023-0071), and recurses once for every byte of the headers, so a long header from a caller would overflow
//! the stack. Other libraries bring a DNS resolver. DKIM without verification and DNS is no more than this file; the
//! signature itself is made by ring.
//!
//! The time of a signature is the due time of the order: like Message-ID and Date, it is the same in every attempt. Both
//! algorithms always make the same signature of the same text.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

pub use crate::dkim_key::NotSigned;
use crate::dkim_key::SigningKey;
use crate::mailbox::ascii_domain;
use crate::settings::{self, BadSetting};

/// Headers that are signed if present. From is signed once more than it occurs, so that no second one can be added.
const SIGNED: &[&str] = &[
    "from",
    "from",
    "reply-to",
    "to",
    "subject",
    "date",
    "message-id",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "auto-submitted",
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
];

/// The longest piece of a signature on one line.
const MOST_PIECE: usize = 72;

/// A domain's signer. Clones share the keys.
#[derive(Debug, Clone)]
pub struct Signer(Arc<Keys>);

#[derive(Debug)]
struct Keys {
    domain: String,
    /// Each with its selector; at least one.
    keys: Vec<(String, SigningKey)>,
}

impl Signer {
    /// The signer from these settings; `None` if signing is off.
    ///
    /// # Errors
    /// Names the setting to change.
    pub fn new(settings: &settings::DkimSettings) -> Result<Option<Self>, BadSetting> {
        if settings.domain.is_empty() {
            return Ok(None);
        }
        let domain = ascii_domain(&settings.domain)
            .map_err(|_| BadSetting::new("dkim.domain", "expected a domain, as in example.org"))?;
        let selector = selector("dkim.selector", &settings.selector)?;
        let mut keys = vec![(selector, SigningKey::read("dkim.key", &settings.key)?)];
        if settings.has_second() {
            let selector = self::selector("dkim.second_selector", &settings.second_selector)?;
            let key = SigningKey::read("dkim.second_key", &settings.second_key)?;
            for (first, other) in &keys {
                if first.eq_ignore_ascii_case(&selector) {
                    let why = "is the same as dkim.selector: each key needs a selector of its own";
                    return Err(BadSetting::new("dkim.second_selector", why));
                }
                if other.algorithm() == key.algorithm() {
                    let why = format!(
                        "is of the same kind as dkim.key ({}): give an RSA key and an Ed25519 key, or leave this one out",
                        key.describe()
                    );
                    return Err(BadSetting::new("dkim.second_key", why));
                }
            }
            keys.push((selector, key));
        }
        Ok(Some(Self(Arc::new(Keys { domain, keys }))))
    }

    /// Whether it takes long enough to hold up an async worker.
    pub(crate) fn is_slow(&self) -> bool {
        self.0.keys.iter().any(|(_, key)| key.is_slow())
    }

    /// The DNS records that verifiers need, one line each.
    pub(crate) fn records(&self) -> Vec<String> {
        let line = |(selector, key): &(String, SigningKey)| {
            let name = format!("{selector}._domainkey.{}", self.0.domain);
            format!(
                "in DNS, publish the DKIM key ({}) as TXT record {name}: {}",
                key.describe(),
                key.record()
            )
        };
        self.0.keys.iter().map(line).collect()
    }

    /// The signature headers of a message, with their line ends, to be put in front of it. `at` is in seconds since
    /// 1970.
    ///
    /// # Errors
    /// [`NotSigned`]: the message must not leave now.
    pub fn sign(&self, message: &[u8], at: u64) -> Result<String, NotSigned> {
        let (headers, body) = split(message);
        let body_hash = STANDARD.encode(Sha256::digest(relaxed_body(body)));
        let (names, signed) = signed_headers(&headers);
        let names = names.chunks(4).map(|four| four.join(":")).collect::<Vec<_>>().join(":\r\n\t ");
        let mut out = String::new();
        for (selector, key) in &self.0.keys {
            let tags = format!(
                "v=1; a={}; c=relaxed/relaxed;\r\n\td={}; s={selector}; t={at};\r\n\th={names};\r\n\tbh={body_hash};\r\n\tb=",
                key.algorithm(),
                self.0.domain,
            );
            let text = format!("{signed}dkim-signature:{}", relaxed_value(&tags));
            let signature = STANDARD.encode(key.sign(text.as_bytes())?);
            out.push_str("DKIM-Signature: ");
            out.push_str(&tags);
            out.push_str(&folded(&signature));
            out.push_str("\r\n");
        }
        Ok(out)
    }
}

fn selector(key: &'static str, selector: &str) -> Result<String, BadSetting> {
    let label = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if selector.is_empty() || !selector.split('.').all(|part| !part.is_empty() && part.chars().all(label)) {
        return Err(BadSetting::new(key, "expected a name of letters, digits, - and _, as in mail-2024"));
    }
    Ok(selector.to_owned())
}

/// A signature on lines of its own.
fn folded(signature: &str) -> String {
    let mut out = String::with_capacity(signature.len() + signature.len() / 16);
    for (at, letter) in signature.chars().enumerate() {
        if at > 0 && at % MOST_PIECE == 0 {
            out.push_str("\r\n\t ");
        }
        out.push(letter);
    }
    out
}

/// Headers as name and value (still folded), in their order, and the body.
fn split(message: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let end = message.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = match end {
        Some(at) => (&message[..at], &message[at + 4..]),
        None => (message, &message[..0]),
    };
    let mut headers: Vec<(String, String)> = Vec::new();
    for line in String::from_utf8_lossy(head).split("\r\n") {
        match (line.starts_with([' ', '\t']), headers.last_mut(), line.split_once(':')) {
            (true, Some((_, value)), _) => {
                value.push_str("\r\n");
                value.push_str(line);
            }
            (false, _, Some((name, value))) => {
                headers.push((name.trim_end().to_ascii_lowercase(), value.to_owned()));
            }
            _ => {}
        }
    }
    (headers, body)
}

/// The signed names, and the canonical text of their headers. If a name occurs several times, the last header comes
/// first.
fn signed_headers(headers: &[(String, String)]) -> (Vec<&'static str>, String) {
    let (mut names, mut text) = (Vec::new(), String::new());
    for (at, name) in SIGNED.iter().enumerate() {
        let before = SIGNED[..at].iter().filter(|other| other == &name).count();
        let found = headers.iter().rev().filter(|(known, _)| known == name).nth(before);
        if let Some((_, value)) = found {
            text.push_str(&format!("{name}:{}\r\n", relaxed_value(value)));
        }
        // A name listed more often than it occurs is signed as absent.
        if found.is_some() || *name == "from" {
            names.push(*name);
        }
    }
    (names, text)
}

/// RFC 6376 3.4.2: unfolded, runs of white space reduced to one space, none at either end.
fn relaxed_value(value: &str) -> String {
    value.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// RFC 6376 3.4.4: runs of white space reduced to one space, none at the end of a line, no empty lines at the end.
fn relaxed_body(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + 2);
    let mut ends = 0;
    for line in body.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
        let kept = line.len() - line.iter().rev().take_while(|byte| is_space(byte)).count();
        let line = &line[..kept];
        if !line.is_empty() {
            out.extend(b"\r\n".repeat(ends));
            ends = 0;
            for (at, byte) in line.iter().enumerate() {
                match (is_space(byte), at > 0 && is_space(&line[at - 1])) {
                    (true, true) => {}
                    (true, false) => out.push(b' '),
                    (false, _) => out.push(*byte),
                }
            }
        }
        ends += 1;
    }
    if !out.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
#[path = "dkim_tests.rs"]
mod tests;
