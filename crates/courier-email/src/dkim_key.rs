//! Private keys for DKIM: RSA with 2048 to 4096 bits (RFC 8301), in PKCS#8 or PKCS#1, and Ed25519 (RFC 8463), in
//! PKCS#8 or as its seed. ring signs with both; it takes no shorter RSA keys.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::settings::BadSetting;

/// How to create a key, for messages.
const CREATE: &str = "create one with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048` or \
    `openssl genpkey -algorithm ed25519`";

/// The algorithm identifier of an RSA key (RFC 3279 2.3.1): rsaEncryption, NULL.
const RSA_IDENTIFIER: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// A private key.
#[derive(Debug)]
pub(crate) enum SigningKey {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

/// A signature failed: its result did not verify, so the hardware or the memory is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the DKIM signature failed")]
pub struct NotSigned;

impl SigningKey {
    /// Reads the key of a setting: PEM, or the same without its frame.
    pub(crate) fn read(setting: &'static str, key: &SecretString) -> Result<Self, BadSetting> {
        parse(key.expose_secret()).map_err(|why| BadSetting::new(setting, why))
    }

    /// Its name in the tag `a`.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "ed25519-sha256",
            Self::Rsa(_) => "rsa-sha256",
        }
    }

    /// Whether a signature takes long enough to hold up an async worker: RSA takes about a millisecond, Ed25519 a
    /// twentieth of that.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self, Self::Rsa(_))
    }

    /// The signature of a text.
    pub(crate) fn sign(&self, text: &[u8]) -> Result<Vec<u8>, NotSigned> {
        match self {
            // RFC 8463: the hash is signed, not the text.
            Self::Ed25519(key) => Ok(key.sign(&Sha256::digest(text)).as_ref().to_vec()),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature)
                    .map_err(|_| NotSigned)?;
                Ok(signature)
            }
        }
    }

    /// The text of the DNS record with the public key (RFC 6376 3.6.1, RFC 8463 4).
    pub(crate) fn record(&self) -> String {
        let (kind, public) = match self {
            Self::Ed25519(key) => ("ed25519", key.public_key().as_ref().to_vec()),
            Self::Rsa(key) => ("rsa", rsa_public_key(key.public_key().as_ref())),
        };
        format!("v=DKIM1; k={kind}; p={}", STANDARD.encode(public))
    }

    /// What it is, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Ed25519(_) => "Ed25519".to_owned(),
            Self::Rsa(key) => format!("RSA, {} bits", key.public().modulus_len() * 8),
        }
    }
}

/// A public key in the form that verifiers expect, SubjectPublicKeyInfo, from its PKCS#1 form.
fn rsa_public_key(key: &[u8]) -> Vec<u8> {
    let bits = element(0x03, &[&[0], key].concat());
    element(0x30, &[RSA_IDENTIFIER.as_slice(), &bits].concat())
}

/// An element of DER: tag, length, content of 256 to 65,535 bytes. The public key of 2048 bits has 270.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&[tag, 0x82, high, low], content].concat()
}

/// What is wrong with a key never contains any of it.
fn parse(text: &str) -> Result<SigningKey, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err(format!("is empty: give the private key in PEM, or name its file as key_file; {CREATE}"));
    }
    if text.contains("BEGIN ENCRYPTED") || text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err("is encrypted, and nobody is there to type the passphrase: decrypt it with \
            `openssl pkey -in KEY -out NEW` and keep the new file readable for the courier alone"
            .to_owned());
    }
    if text.contains("PUBLIC KEY-----") && !text.contains("PRIVATE KEY-----") {
        return Err("is a public key, which belongs into DNS: give the private key".to_owned());
    }
    if text.contains("-----BEGIN") {
        return match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
            Ok(PrivateKeyDer::Pkcs8(key)) => pkcs8(key.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(key)) => rsa(RsaKeyPair::from_der(key.secret_pkcs1_der())),
            Ok(_) => Err(neither()),
            Err(_) => Err(format!(
                "is damaged, or no private key: expected PEM that begins with \"BEGIN PRIVATE KEY\" (PKCS#8) or \
                 \"BEGIN RSA PRIVATE KEY\" (PKCS#1); {CREATE}"
            )),
        };
    }
    let bytes = STANDARD
        .decode(text.split_whitespace().collect::<String>())
        .map_err(|_| format!("is not in PEM format; {CREATE}"))?;
    match bytes.len() {
        32 => Ed25519KeyPair::from_seed_unchecked(&bytes).map(SigningKey::Ed25519).map_err(|_| neither()),
        _ => pkcs8(&bytes).or_else(|why| RsaKeyPair::from_der(&bytes).map_err(|_| why).map(boxed)),
    }
}

fn pkcs8(key: &[u8]) -> Result<SigningKey, String> {
    match Ed25519KeyPair::from_pkcs8_maybe_unchecked(key) {
        Ok(key) => Ok(SigningKey::Ed25519(key)),
        Err(_) => rsa(RsaKeyPair::from_pkcs8(key)),
    }
}

fn rsa(read: Result<RsaKeyPair, ring::error::KeyRejected>) -> Result<SigningKey, String> {
    read.map(boxed).map_err(|rejected| match rejected.to_string().as_str() {
        "TooSmall" => "is an RSA key of less than 2048 bits, which receivers treat as no signature (RFC 8301): create \
            a longer one with `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`, and publish its public \
            key under a new selector"
            .to_owned(),
        "TooLarge" => "is an RSA key of more than 4096 bits, which many receivers do not verify: create one with \
            `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048`"
            .to_owned(),
        "WrongAlgorithm" => neither(),
        "PrivateModulusLenNotMultipleOf512Bits" => {
            "is an RSA key of an unusual size: create one of 2048, 3072 or 4096 bits".to_owned()
        }
        _ => format!("is a damaged or unusual private key; {CREATE}"),
    })
}

fn boxed(key: RsaKeyPair) -> SigningKey {
    SigningKey::Rsa(Box::new(key))
}

fn neither() -> String {
    format!("is neither an RSA nor an Ed25519 key; {CREATE}")
}

#[cfg(test)]
#[path = "dkim_key_tests.rs"]
mod tests;
