//! Keys as OpenSSL writes them, and what is said of others.

use super::*;

const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
/// The prefix of an Ed25519 key in PKCS#8, before the 32 bytes of its seed.
const PKCS8: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

const RSA: &str = include_str!("../tests/keys/rsa-2048-pkcs8.pem");
const RSA_PKCS1: &str = include_str!("../tests/keys/rsa-2048-pkcs1.pem");
const RSA_1024: &str = include_str!("../tests/keys/rsa-1024-pkcs8.pem");
const RSA_ENCRYPTED: &str = include_str!("../tests/keys/rsa-2048-encrypted.pem");
const RSA_PUBLIC: &str = include_str!("../tests/keys/rsa-2048-public.pem");
const EC: &str = include_str!("../tests/keys/ec-p256-pkcs8.pem");

fn ed25519() -> String {
    let seed = STANDARD.decode(SEED).expect("a seed");
    let pem = STANDARD.encode([PKCS8.as_slice(), &seed].concat());
    format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n")
}

/// The base64 of a PEM.
fn inside(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

#[test]
fn keys_are_read_as_openssl_writes_them() {
    for (key, is) in [
        (ed25519(), "Ed25519"),
        (ed25519().replace('\n', "\r\n"), "Ed25519"),
        (inside(&ed25519()), "Ed25519"),
        (SEED.to_owned(), "Ed25519"),
        (format!("  {SEED}\n"), "Ed25519"),
        (RSA.to_owned(), "RSA, 2048 bits"),
        (RSA_PKCS1.to_owned(), "RSA, 2048 bits"),
        (RSA.replace('\n', "\r\n"), "RSA, 2048 bits"),
        (inside(RSA), "RSA, 2048 bits"),
        (inside(RSA_PKCS1), "RSA, 2048 bits"),
        (format!("# the key of 2026\n{RSA_PUBLIC}{RSA}"), "RSA, 2048 bits"),
    ] {
        let read = SigningKey::read("dkim.key", &key.as_str().into());
        assert_eq!(read.map(|key| key.describe()).as_deref(), Ok(is), "{key}");
    }
}

#[test]
fn what_is_no_key_for_this_is_refused_with_what_to_do() {
    let half = &RSA[..RSA.len() / 2];
    let one_line_short: String =
        RSA.lines().take(8).chain(RSA.lines().skip(9)).collect::<Vec<_>>().join("\n");
    for (key, says) in [
        ("", "is empty"),
        ("not base64!", "is not in PEM format"),
        ("AAAA", "is a damaged or unusual private key"),
        (RSA_1024, "less than 2048 bits"),
        (&inside(RSA_1024), "less than 2048 bits"),
        (RSA_ENCRYPTED, "openssl pkey -in KEY -out NEW"),
        (RSA_PUBLIC, "is a public key"),
        (EC, "is neither an RSA nor an Ed25519 key"),
        (half, "is damaged"),
        (&one_line_short, "is a damaged or unusual private key"),
        ("-----BEGIN RSA PRIVATE KEY-----", "is damaged"),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----", "is a damaged or unusual"),
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----", "is a damaged or unusual"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----",
            "is encrypted",
        ),
    ] {
        let refused = SigningKey::read("dkim.second_key", &key.into()).expect_err(says);
        assert_eq!(refused.key, "dkim.second_key");
        assert!(refused.why.contains(says), "{says}: {}", refused.why);
        assert!(
            refused.why.contains("openssl") || refused.why.contains("give the private key"),
            "{}",
            refused.why
        );
        // Nothing of the key is shown.
        assert!(
            key.len() < 20 || key.lines().skip(1).all(|line| line.len() < 20 || !refused.why.contains(line))
        );
    }
}
