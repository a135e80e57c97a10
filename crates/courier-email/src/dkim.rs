//! DKIM signatures (RFC 6376) with Ed25519 keys (RFC 8463), relaxed canonicalization of header and body.
//!
//! Why no RSA, and why our own implementation:
//!
//! - RSA keys are rejected. The RSA signer that the mail libraries share has an unfixed timing weakness
//!   (RUSTSEC-2023-0071), and RSA takes thirty times as long as Ed25519. Relays commonly sign with RSA: if you need
//!   both, let the relay add its signature.
//! - The signer of lettre pulls in that RSA library in any case, and recurses once for every byte of the headers, so
//!   a long header from a caller would overflow the stack. Other libraries pull in a DNS resolver. DKIM without RSA,
//!   verification and DNS is no more than this file; the signature itself is made by ring.
//!
//! The time of a signature is the due time of the order: like Message-ID and Date, it is the same in every attempt.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::Ed25519KeyPair;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

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

/// The prefix of an Ed25519 key in PKCS#8, before the 32 bytes of its seed.
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A domain's signer.
#[derive(Debug)]
pub struct Signer {
    domain: String,
    selector: String,
    key: Ed25519KeyPair,
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
        let label = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if settings.selector.is_empty() || !settings.selector.split('.').all(|part| part.chars().all(label)) {
            return Err(BadSetting::new(
                "dkim.selector",
                "expected a name of letters, digits, - and _, as in mail-2024",
            ));
        }
        let key = read_key(&settings.key)?;
        Ok(Some(Self { domain, selector: settings.selector.clone(), key }))
    }

    /// The signature header of a message, with its line end, to be put in front of it. `at` is in seconds since 1970.
    #[must_use]
    pub fn sign(&self, message: &[u8], at: u64) -> String {
        let (headers, body) = split(message);
        let body_hash = STANDARD.encode(Sha256::digest(relaxed_body(body)));
        let (names, mut signed) = signed_headers(&headers);
        let tags = format!(
            "v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n\td={}; s={}; t={at};\r\n\th={};\r\n\tbh={body_hash};\r\n\tb=",
            self.domain,
            self.selector,
            names.chunks(4).map(|four| four.join(":")).collect::<Vec<_>>().join(":\r\n\t "),
        );
        signed.push_str("dkim-signature:");
        signed.push_str(&relaxed_value(&tags));
        // RFC 8463: the hash is signed, not the text.
        let signature = STANDARD.encode(self.key.sign(&Sha256::digest(signed.as_bytes())));
        let (first, second) = signature.split_at(signature.len() / 2);
        format!("DKIM-Signature: {tags}{first}\r\n\t {second}\r\n")
    }
}

/// Reads a key in PEM, or only its seed in base64.
fn read_key(key: &SecretString) -> Result<Ed25519KeyPair, BadSetting> {
    let refuse = |why: &str| BadSetting::new("dkim.key", why);
    let text = key.expose_secret().trim();
    if text.contains("BEGIN RSA") {
        return Err(refuse(
            "is an RSA key; create an Ed25519 one (openssl genpkey -algorithm ed25519), or let the relay sign",
        ));
    }
    let inside: String =
        text.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect::<Vec<_>>().concat();
    let bytes = STANDARD.decode(inside).map_err(|_| refuse("is not in PEM format"))?;
    let seed = match bytes.strip_prefix(&PKCS8) {
        Some(seed) => seed,
        None if bytes.len() == 32 => &bytes,
        None => return Err(refuse("is no Ed25519 key; create one with openssl genpkey -algorithm ed25519")),
    };
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| refuse("is not an Ed25519 key of 32 bytes"))
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
