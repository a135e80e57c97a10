//! Return paths are read back as they were made, whatever relays did to them, and can't be forged.

use proptest::prelude::*;
use secrecy::SecretString;

use super::*;
use crate::hmac_tag::Purpose;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

fn paths(pattern: &str, key: &str, old: &str) -> Result<ReturnPaths, BadSetting> {
    let (key, old) = (SecretString::from(key.to_owned()), SecretString::from(old.to_owned()));
    let seals = HmacTags::new(Purpose::Bounce, ("bounces.key", &key), ("bounces.old_keys", &old))?;
    ReturnPaths::new(pattern, seals)
}

fn usual() -> ReturnPaths {
    paths("bounces+{}@example.org", SECRET, "").expect("a form")
}

fn attempt(order: &str, parcel: u32, delivery: u16, attempt: u8) -> AttemptId {
    AttemptId { order_id: order.parse().expect("an order"), parcel, delivery, attempt }
}

/// What is read from a return path of this attempt.
fn named(id: &AttemptId, name: Option<String>) -> AttemptInPath {
    let AttemptId { order_id, parcel, delivery, attempt } = id.clone();
    match name {
        None => AttemptInPath::Attempt(id.clone()),
        Some(name) => {
            assert!(is_named(&order_id, &name));
            AttemptInPath::Short { name, parcel, delivery, attempt }
        }
    }
}

#[test]
fn what_fits_stands_in_the_address_and_the_rest_has_a_short_name() {
    let paths = usual();
    for (sender, parcel, fits) in [
        ("u", 0, true),
        ("office", 3_999, true),
        ("Office_of-2026_ab", 127, true),
        ("0123456789abcdef", 3_999, true),
        ("0123456789abcdef0", 3_999, false),
        ("0123456789abcdef0123", 127, true),
        ("0123456789abcdef01234", 0, false),
        ("0b5cbbd0-1f0c-4d27-a9d6-5d0f43bcbd1c", 0, false),
    ] {
        let id = attempt(&format!("{sender}:1700000000000000001"), parcel, 499, 15);
        let made = paths.of(&id).expect("a return path");
        assert_eq!(made.name.is_none(), fits, "{sender}");
        assert!(mailbox::address(made.address.as_ref()).is_ok());
        let local = made.address.user();
        assert!(local.len() <= 64 && *local == local.to_ascii_lowercase(), "{local}");
        assert_eq!(paths.read(made.address.as_ref()), Some(named(&id, made.name)));
    }
}

#[test]
fn an_order_whose_number_is_written_unusually_has_a_short_name() {
    let made = usual().of(&attempt("u:007", 0, 0, 1)).expect("a return path");
    assert!(made.name.is_some());
    assert!(!is_named(&"u:7".parse().expect("an order"), &made.name.expect("a name")));
}

#[test]
fn addresses_go_by_their_form_and_their_key() {
    let id = attempt("u1:1700000000000000001", 3, 4, 5);
    let made = usual().of(&id).expect("a return path").address;
    let rotated = paths("bounces+{}@example.org", OTHER, SECRET).expect("a form");
    assert_eq!(
        rotated.read(made.as_ref()),
        Some(AttemptInPath::Attempt(id.clone())),
        "an old key is accepted"
    );
    assert_ne!(rotated.of(&id).expect("a return path").address, made, "but signs no more");
    for other in [
        paths("bounces+{}@example.org", OTHER, ""),
        paths("bounce+{}@example.org", SECRET, ""),
        paths("bounces+{}@example.com", SECRET, ""),
        paths("{}@example.org", SECRET, ""),
    ] {
        assert_eq!(other.expect("a form").read(made.as_ref()), None);
    }
    for text in ["", "@", "bounces+@example.org", "bounces@example.org", "bounces+aaaa@example.org"] {
        assert_eq!(usual().read(text), None, "{text}");
    }
}

#[test]
fn forms_without_room_or_sense_are_refused() {
    for pattern in
        ["{}@example.org", "b-{}@bounces.example.org", "Bounces+{}.x@Example.org", "b={}@пример.рф"]
    {
        assert!(paths(pattern, SECRET, "").is_ok(), "{pattern}");
    }
    for pattern in [
        "bounces@example.org",
        "bounces+{}",
        "bounces+{}{}@example.org",
        "bounces+{x}@example.org",
        "bounces@{}.example.org",
        "b+{}@localhost",
        "b +{}@example.org",
        "b\r\n{}@example.org",
        "-{}@example.org",
        "return-path-of-what-bounces+{}@example.org",
    ] {
        assert_eq!(paths(pattern, SECRET, "").expect_err(pattern).key, "bounces.address");
    }
}

prop_compose! {
    fn any_attempt()(
        sender in "[A-Za-z0-9_-]{1,64}",
        ns in any::<u64>(),
        parcel in any::<u32>(),
        delivery in any::<u16>(),
        number in any::<u8>(),
    ) -> AttemptId {
        attempt(&format!("{sender}:{ns}"), parcel, delivery, number)
    }
}

proptest! {
    #[test]
    fn every_attempt_is_read_back_whatever_a_relay_made_of_its_letters(id in any_attempt(), upper: bool) {
        for pattern in ["bounces+{}@example.org", "{}@b.example.org", "twenty-letters-long+{}@example.org"] {
            let paths = paths(pattern, SECRET, "").expect("a form");
            let made = paths.of(&id).expect("a return path");
            let address: &str = made.address.as_ref();
            prop_assert!(made.address.user().len() <= 64);
            let address = if upper { address.to_ascii_uppercase() } else { address.to_owned() };
            prop_assert_eq!(paths.read(&address), Some(named(&id, made.name)));
        }
    }

    #[test]
    fn nothing_that_was_changed_is_read(id in any_attempt(), at in any::<prop::sample::Index>(), by in 1..32_u8) {
        let paths = usual();
        let made = paths.of(&id).expect("a return path").address;
        let local = made.user().strip_prefix("bounces+").expect("its beginning").to_owned();
        let letters = b"abcdefghijklmnopqrstuvwxyz234567";
        let at = at.index(local.len());
        let mut changed = local.clone().into_bytes();
        let old = letters.iter().position(|letter| *letter == changed[at]).expect("a letter");
        changed[at] = letters[(old + usize::from(by)) % 32];
        let changed = String::from_utf8(changed).expect("letters");
        let cut = local[..at].to_owned();
        for forged in [changed, cut, format!("{local}a"), format!("a{local}"), format!("{local}{local}")] {
            let address = format!("bounces+{forged}@example.org");
            prop_assert_eq!(paths.read(&address), None);
        }
    }

    #[test]
    fn no_address_is_too_strange_to_be_looked_at(address in "\\PC*", inside in "[a-zA-Z2-7]{0,60}", at in any::<Vec<u8>>()) {
        let paths = usual();
        prop_assert_eq!(paths.read(&address), None);
        prop_assert_eq!(paths.read(&format!("bounces+{inside}@example.org")), None);
        // Arbitrary bytes under a valid tag cause no panic either.
        let _ = paths.read(&format!("bounces+{}@example.org", paths.written(at.into_iter().take(28).collect())));
    }
}
