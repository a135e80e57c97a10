//! Signatures computed independently (by openssl, from the texts in Twilio's documentation), and invalid ones.

use proptest::prelude::*;

use super::*;

const TOKEN: &str = "1234567890abcdef";

fn key(token: &str) -> Signature {
    Signature(token.to_owned().into())
}

fn form(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn proves(token: &str, url: &str, pairs: &[(&str, &str)], given: &str) -> bool {
    key(token).proves(&[url.to_owned()], &Sent::Form(&form(pairs)), given)
}

const CALL: &[(&str, &str)] = &[
    ("CallSid", "CA1234567890ABCDE"),
    ("Caller", "+14158675309"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
];
const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

#[test]
fn the_example_of_the_documentation_passes() {
    // printf
    // 'https://mycompany.com/myapp.php?foo=1&bar=2CallSidCA1234567890ABCDECaller+14158675309Digits1234From+14158675309To+18005551212'
    // |
    //   openssl dgst -sha1 -hmac 12345 -binary | base64
    assert!(proves("12345", URL, CALL, "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
    let mut turned = CALL.to_vec();
    turned.reverse();
    assert!(proves("12345", URL, &turned, "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
}

#[test]
fn a_word_more_or_less_does_not_pass() {
    let given = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
    assert!(!proves("12346", URL, CALL, given));
    assert!(!proves("12345", "http://mycompany.com/myapp.php?foo=1&bar=2", CALL, given));
    assert!(!proves("12345", "https://mycompany.com/myapp.php?bar=2&foo=1", CALL, given));
    assert!(!proves("12345", "https://mycompany.com/myapp.php?foo=1&bar=2#", CALL, given));
    for at in 0..CALL.len() {
        let mut fewer = CALL.to_vec();
        fewer.remove(at);
        assert!(!proves("12345", URL, &fewer, given));
        let mut other = CALL.to_vec();
        other[at].1 = "0";
        assert!(!proves("12345", URL, &other, given));
    }
    let mut more = CALL.to_vec();
    more.push(("Zero", ""));
    assert!(!proves("12345", URL, &more, given));
    for given in ["", "=", "RSOYDt4T1cUTdK1PDd93/VVr8B8", "rSOYDt4T1cUTdK1PDd93/VVr8B8=", "AAAA", "ä"] {
        assert!(!proves("12345", URL, CALL, given), "{given}");
    }
}

#[test]
fn distinct_names_and_values_count_once_and_as_they_are() {
    let pairs =
        [("Z", "ы"), ("B", "a"), ("MediaUrl", "2"), ("B", " b "), ("A", ""), ("MediaUrl", "1"), ("B", "a")];
    // printf 'https://x.org/sAB b BaMediaUrl1MediaUrl2Zы' | openssl dgst -sha1 -hmac 1234567890abcdef -binary | base64
    assert!(proves(TOKEN, "https://x.org/s", &pairs, "3HBenUGQe2YhX2TM0gmYMgnAYQw="));
    let trimmed: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.trim())).collect();
    assert!(!proves(TOKEN, "https://x.org/s", &trimmed, "3HBenUGQe2YhX2TM0gmYMgnAYQw="));
}

#[test]
fn a_body_that_is_no_form_is_proved_by_its_digest() {
    let body = br#"{"MessageStatus":"delivered"}"#;
    let digest = "759495f9ac542db8884e5e51123fc61ace7f60ee6750990c37086dea317f5574";
    let (url, given) = (format!("https://x.org/s?bodySHA256={digest}"), "kHYE561uuKIbcUmxZ0w6foltkbA=");
    let proves = |url: &str, body: &[u8]| key(TOKEN).proves(&[url.to_owned()], &Sent::Other(body), given);
    assert!(proves(&url, body));
    assert!(!proves(&url, br#"{"MessageStatus":"failed"}"#));
    assert!(!proves("https://x.org/s", body));
    assert!(!proves(&format!("https://x.org/s?x=1&bodySHA256={digest}"), body));
    // A signature of a URL without the digest does not verify a body.
    let bare = "https://x.org/s".to_owned();
    let of_bare = STANDARD.encode(key(TOKEN).sign(&bare));
    assert!(!key(TOKEN).proves(&[bare], &Sent::Other(body), &of_bare));
}

#[test]
fn any_spelling_of_the_address_may_be_the_one() {
    let urls = ["https://mycompany.com:443/myapp.php?foo=1&bar=2".to_owned(), URL.to_owned()];
    assert!(key("12345").proves(&urls, &Sent::Form(&form(CALL)), "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
    assert!(!key("12345").proves(&urls[..1], &Sent::Form(&form(CALL)), "RSOYDt4T1cUTdK1PDd93/VVr8B8="));
}

proptest! {
    #[test]
    fn no_signature_passes_by_chance(given in ".{0,40}", name in ".{0,9}", value in ".{0,9}") {
        prop_assert!(!proves(TOKEN, URL, &[(&name, &value)], &given));
    }
}
