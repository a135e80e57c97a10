//! The example of RFC 8463 appendix A, and canonicalization.

use ring::signature::{ED25519, UnparsedPublicKey};

use super::*;

const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";

/// The message of RFC 8463 A.3 without its signatures.
const MESSAGE: &str = "From: Joe SixPack <joe@football.example.com>\r\n\
To: Suzie Q <suzie@shopping.example.net>\r\n\
Subject: Is dinner ready?\r\n\
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)\r\n\
Message-ID: <20030712040037.46341.5F8J@football.example.com>\r\n\
\r\n\
Hi.\r\n\
\r\n\
We lost the game.  Are you hungry yet?\r\n\
\r\n\
Joe.\r\n";

/// The signature header of RFC 8463 A.3, up to `b=`.
const TAGS: &str = " v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n \
q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n \
bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b=";
const SIGNATURE: &str =
    "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==";

fn signer(key: &str) -> Result<Option<Signer>, BadSetting> {
    Signer::new(&settings::DkimSettings {
        domain: "football.example.com".to_owned(),
        selector: "brisbane".to_owned(),
        key: key.into(),
    })
}

fn verifies(signed: &str, signature: &str) -> bool {
    let public = STANDARD.decode(PUBLIC).expect("the key");
    let signature = STANDARD.decode(signature).expect("a signature");
    UnparsedPublicKey::new(&ED25519, public).verify(&Sha256::digest(signed.as_bytes()), &signature).is_ok()
}

#[test]
fn the_example_of_the_standard_has_these_hashes_and_this_signature() {
    let (headers, body) = split(MESSAGE.as_bytes());
    let hash = STANDARD.encode(Sha256::digest(relaxed_body(body)));
    assert_eq!(hash, "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=");
    let mut text = String::new();
    for name in ["from", "to", "subject", "date", "message-id"] {
        let (_, value) = headers.iter().find(|(known, _)| known == name).expect(name);
        text.push_str(&format!("{name}:{}\r\n", relaxed_value(value)));
    }
    text.push_str(&format!("dkim-signature:{}", relaxed_value(TAGS)));
    assert!(verifies(&text, SIGNATURE));
    // Ed25519 is deterministic, so our signature is the same.
    let key = signer(SEED).expect("a key").expect("a signer").key;
    assert_eq!(STANDARD.encode(key.sign(&Sha256::digest(text.as_bytes()))), SIGNATURE);
}

#[test]
fn what_we_sign_verifies_and_changes_are_found() {
    let header = signer(SEED).expect("a key").expect("a signer").sign(MESSAGE.as_bytes(), 1_528_637_909);
    assert!(header.lines().all(|line| line.len() < 80), "{header}");
    let value = header.trim_end().strip_prefix("DKIM-Signature:").expect("the header");
    let (before, signature) = value.rsplit_once("b=").expect("a signature");
    let signature: String = signature.split_whitespace().collect();
    let (headers, _) = split(MESSAGE.as_bytes());
    let check = |headers: &[(String, String)]| {
        let (_, mut text) = signed_headers(headers);
        text.push_str(&format!("dkim-signature:{}", relaxed_value(&format!("{before}b="))));
        verifies(&text, &signature)
    };
    assert!(check(&headers));
    let mut second_from = headers.clone();
    second_from.push(("from".to_owned(), " x@y.zz".to_owned()));
    assert!(!check(&second_from));
    let mut subject = headers;
    subject[2].1.push('!');
    assert!(!check(&subject));
}

#[test]
fn bodies_are_canonical() {
    for (body, canonical) in [
        ("", ""),
        ("\r\n", ""),
        ("\r\n\r\n", ""),
        ("  \r\n\t\r\n", ""),
        ("a", "a\r\n"),
        ("a\r\n\r\n\r\n", "a\r\n"),
        (" C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"),
        ("\r\na", "\r\na\r\n"),
    ] {
        assert_eq!(String::from_utf8_lossy(&relaxed_body(body.as_bytes())), canonical, "{body:?}");
    }
}

#[test]
fn keys_are_read_as_openssl_writes_them() {
    let seed = STANDARD.decode(SEED).expect("a seed");
    let pem = STANDARD.encode([PKCS8.as_slice(), &seed].concat());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----\n");
    assert!(signer(&pem).expect("a key").is_some());
    for bad in
        ["", "not base64!", "AAAA", "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"]
    {
        let refused = signer(bad).expect_err(bad);
        assert_eq!(refused.key, "dkim.key");
    }
    assert!(signer("-----BEGIN RSA PRIVATE KEY-----").expect_err("RSA").why.contains("Ed25519"));
}
