//! The example of RFC 8463 appendix A, signatures made by other programs, and canonicalization.

use ring::signature::{ED25519, UnparsedPublicKey};

use super::*;
use crate::settings::DkimSettings;

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

/// The signature of [`MESSAGE`] with [`RSA`] as we would sign it: the text as dkimpy 1.1.8 canonicalizes it, signed by
/// OpenSSL 3.0 (`openssl dgst -sha256 -sign`). A signature with RSASSA-PKCS1-v1_5 is always the same.
const OF_OPENSSL: &str = "H92ALW7L700iiUt0Rb3uxt8a5iD+LR5yVdHoabnt9pJ5fT1VotY42+d7Drq6UpCRcyPA26Nzfk5TYoY/4VZh2F/e\
oNXRZJCBDgda52DDKqBDX6hrzDJErMTbLLtrN2H2eKvXOdTwrmS3I2d7JCkzWPV/f8PG0fHf0S9ITxD5E6mgKWvNU928JIRkalHkj4+33gtKIOOeiX0J\
m3dIVkqOEUxFGPCRscqFMwP5kyEMrvEfWsA4ABvaHj3IpKEALMstsSNVbL8hOBCPNlPvnVx1+Xp2zgXwIwyt05NJoZh94MM6+jNwOfrMpcXgzb/8X1qW\
ZlJ40ifVenlZKd9ExaMSuw==";
/// The same with [`SEED`], signed by libsodium.
const OF_LIBSODIUM: &str =
    "vN2NNEfK15VgbHaLjoKjG/9fYxD0eXnQVAvPD1OAuTUzeOu8StmCds5zgQLN7zVs+HMBtsIVo0BXDnMicHpyBQ==";

const RSA: &str = include_str!("../tests/keys/rsa-2048-pkcs8.pem");
const SAME_RSA: &str = include_str!("../tests/keys/rsa-2048-pkcs1.pem");
const AT: u64 = 1_528_637_909;

fn settings(key: &str, second_key: &str) -> DkimSettings {
    let second = if second_key.is_empty() { "" } else { "brisbane" };
    DkimSettings {
        domain: "football.example.com".to_owned(),
        selector: if second_key.is_empty() { "brisbane" } else { "test" }.to_owned(),
        key: key.into(),
        second_selector: second.to_owned(),
        second_key: second_key.into(),
    }
}

fn signer(key: &str) -> Signer {
    Signer::new(&settings(key, "")).expect("settings").expect("a signer")
}

fn refused(settings: &DkimSettings) -> (&'static str, String) {
    let refused = Signer::new(settings).expect_err("settings that make no sense");
    (refused.key, refused.why)
}

/// The signature headers: their names and texts without line ends, and the signatures.
fn signatures(headers: &str) -> Vec<(String, String)> {
    let whole = headers.replace("\r\n\t", " ");
    let of = |line: &str| {
        let (before, signature) = line.rsplit_once("b=").expect("a signature");
        (before.to_owned(), signature.replace(' ', ""))
    };
    whole.lines().map(of).collect()
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
    let signature = signer(SEED).0.keys[0].1.sign(text.as_bytes()).expect("a signature");
    assert_eq!(STANDARD.encode(signature), SIGNATURE);
}

#[test]
fn what_we_sign_verifies_and_changes_are_found() {
    let header = signer(SEED).sign(MESSAGE.as_bytes(), AT).expect("a signature");
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
fn both_keys_sign_as_other_programs_do() {
    for rsa in [RSA, SAME_RSA] {
        let both = Signer::new(&settings(rsa, SEED)).expect("settings").expect("a signer");
        let headers = both.sign(MESSAGE.as_bytes(), AT).expect("signatures");
        assert!(headers.lines().all(|line| line.len() < 80), "{headers}");
        let [(rsa, of_rsa), (ed25519, of_ed25519)] = signatures(&headers).try_into().expect("two");
        assert!(
            rsa.starts_with("DKIM-Signature: v=1; a=rsa-sha256;") && rsa.contains(" s=test;"),
            "{headers}"
        );
        assert!(
            ed25519.starts_with("DKIM-Signature: v=1; a=ed25519-sha256;") && ed25519.contains(" s=brisbane;"),
            "{headers}"
        );
        assert_eq!((of_rsa.as_str(), of_ed25519.as_str()), (OF_OPENSSL, OF_LIBSODIUM));
        // Either alone, in either order: the same signatures.
        let swapped = Signer::new(&DkimSettings {
            selector: "brisbane".to_owned(),
            second_selector: "test".to_owned(),
            ..settings(SEED, SAME_RSA)
        });
        let swapped = swapped.expect("settings").expect("a signer").sign(MESSAGE.as_bytes(), AT);
        let swapped: Vec<String> =
            signatures(&swapped.expect("signatures")).into_iter().map(|(_, signature)| signature).collect();
        assert_eq!(swapped, [OF_LIBSODIUM, OF_OPENSSL]);
        let alone = signatures(&signer(SEED).sign(MESSAGE.as_bytes(), AT).expect("a signature"));
        assert_eq!(alone, [(ed25519, of_ed25519)]);
    }
}

#[test]
fn settings_of_two_keys_that_make_no_sense_are_refused_by_name() {
    let good = settings(RSA, SEED);
    let with = |change: &dyn Fn(&mut DkimSettings)| {
        let mut settings = settings(RSA, SEED);
        change(&mut settings);
        refused(&settings)
    };
    assert!(Signer::new(&good).expect("settings").is_some());
    let empty = || settings::DkimSettings { second_selector: String::new(), ..settings(RSA, SEED) };
    assert_eq!(refused(&empty()).0, "dkim.second_selector");
    for bad in ["a b", "a..b", ".", "я"] {
        assert_eq!(with(&|all| all.selector = bad.to_owned()).0, "dkim.selector", "{bad}");
        assert_eq!(with(&|all| all.second_selector = bad.to_owned()).0, "dkim.second_selector", "{bad}");
    }
    assert_eq!(with(&|all| all.domain = "a b".to_owned()).0, "dkim.domain");
    assert_eq!(with(&|all| all.second_key = "".into()).0, "dkim.second_key");
    let (key, why) = with(&|all| all.second_selector = "TEST".to_owned());
    assert!(key == "dkim.second_selector" && why.contains("a selector of its own"), "{why}");
    let (key, why) = with(&|all| all.second_key = SAME_RSA.into());
    assert!(key == "dkim.second_key" && why.contains("RSA, 2048 bits"), "{why}");
    let (key, why) = refused(&settings(SEED, SEED));
    assert!(key == "dkim.second_key" && why.contains("give an RSA key and an Ed25519 key"), "{why}");
    let off = DkimSettings { domain: String::new(), ..good };
    assert!(Signer::new(&off).expect("settings").is_none());
}

#[test]
fn the_records_to_publish_are_shown() {
    let both = Signer::new(&settings(RSA, SEED)).expect("settings").expect("a signer");
    // As `openssl rsa -pubout` writes it.
    let public: String = include_str!("../tests/keys/rsa-2048-public.pem")
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let at = |selector, kind, key: &str| {
        format!(
            "in DNS, publish the DKIM key ({kind}) as TXT record {selector}._domainkey.football.example.com: {key}"
        )
    };
    assert_eq!(
        both.records(),
        [
            at("test", "RSA, 2048 bits", &format!("v=DKIM1; k=rsa; p={public}")),
            at("brisbane", "Ed25519", &format!("v=DKIM1; k=ed25519; p={PUBLIC}")),
        ]
    );
}
