//! Signs return paths and links with an HMAC-SHA256, so that those coming in from outside are known to be made here;
//! the tag is truncated where space is limited. Keys can be rotated: the first one signs, all of them verify.

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::settings::BadSetting;

/// Minimum length of a key: 128 bits in hexadecimal digits.
const SHORTEST_KEY: usize = 32;
/// Maximum number of keys.
const MOST_KEYS: usize = 8;

/// What a tag is for. A tag for one purpose is not valid for another one, even under the same key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A return path.
    Bounce,
    /// An unsubscribe link.
    Unsubscribe,
}

impl Purpose {
    fn word(self) -> &'static [u8] {
        match self {
            Self::Bounce => b"posthaste bounce\n",
            Self::Unsubscribe => b"posthaste unsubscribe\n",
        }
    }
}

/// The keys.
pub(crate) struct HmacTags {
    purpose: Purpose,
    /// One at least.
    keys: Vec<Hmac<Sha256>>,
}

impl std::fmt::Debug for HmacTags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seals({:?}, {} keys)", self.purpose, self.keys.len())
    }
}

impl HmacTags {
    /// Keys from the settings: the one that signs, and the former ones, separated by white space or commas.
    pub(crate) fn new(
        purpose: Purpose,
        key: (&'static str, &SecretString),
        old: (&'static str, &SecretString),
    ) -> Result<Self, BadSetting> {
        let named = |(name, text): (&'static str, &SecretString)| {
            let words = text.expose_secret().split(|c: char| c.is_whitespace() || c == ',');
            let keys: Result<Vec<_>, _> =
                words.filter(|word| !word.is_empty()).map(|word| read(name, purpose, word)).collect();
            keys
        };
        let mut keys = named(key)?;
        if keys.len() != 1 {
            return Err(BadSetting::new(key.0, "expected one key; create it with openssl rand -hex 32"));
        }
        keys.extend(named(old)?);
        if keys.len() > MOST_KEYS {
            return Err(BadSetting::new(old.0, format!("must have at most {} keys", MOST_KEYS - 1)));
        }
        Ok(Self { purpose, keys })
    }

    /// The tag of these bytes.
    pub(crate) fn seal(&self, bytes: &[u8]) -> [u8; 32] {
        self.keys.first().map(|key| with(key, bytes).finalize().into_bytes().into()).unwrap_or_default()
    }

    /// Whether this is the beginning of the tag of these bytes. Takes constant time.
    pub(crate) fn fits(&self, bytes: &[u8], seal: &[u8]) -> bool {
        self.keys.iter().any(|key| with(key, bytes).verify_truncated_left(seal).is_ok())
    }
}

fn with(key: &Hmac<Sha256>, bytes: &[u8]) -> Hmac<Sha256> {
    let mut mac = key.clone();
    mac.update(bytes);
    mac
}

fn read(name: &'static str, purpose: Purpose, key: &str) -> Result<Hmac<Sha256>, BadSetting> {
    if key.len() < SHORTEST_KEY {
        let why =
            format!("must have at least {SHORTEST_KEY} characters; create it with openssl rand -hex 32");
        return Err(BadSetting::new(name, why));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map_err(|_| BadSetting::new(name, "is not a valid key; create one with openssl rand -hex 32"))?;
    mac.update(purpose.word());
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "00000000000000000000000000000000";
    const NEW: &str = "11111111111111111111111111111111";

    fn seals(purpose: Purpose, key: &str, old: &str) -> Result<HmacTags, BadSetting> {
        let (key, old) = (SecretString::from(key.to_owned()), SecretString::from(old.to_owned()));
        HmacTags::new(purpose, ("x.key", &key), ("x.old_keys", &old))
    }

    #[test]
    fn a_seal_is_taken_under_its_own_and_later_keys_and_for_its_purpose() {
        let old = seals(Purpose::Bounce, OLD, "").expect("a key");
        let new = seals(Purpose::Bounce, NEW, &format!("{OLD},\n{}", NEW.replace('1', "2"))).expect("keys");
        let elsewhere = seals(Purpose::Unsubscribe, OLD, "").expect("a key");
        let seal = old.seal(b"x");
        for length in [7, 16, 32] {
            assert!(old.fits(b"x", &seal[..length]) && new.fits(b"x", &seal[..length]));
            assert!(!old.fits(b"y", &seal[..length]) && !elsewhere.fits(b"x", &seal[..length]));
        }
        assert!(!old.fits(b"x", &new.seal(b"x")[..7]), "a key that is not known yet");
        assert!(!old.fits(b"x", &[]), "nothing is no seal");
    }

    #[test]
    fn keys_anybody_could_guess_are_refused_without_being_shown() {
        for (key, old, named) in [
            ("", "", "x.key"),
            ("short", "", "x.key"),
            (&format!("{OLD} {NEW}"), "", "x.key"),
            (NEW, "short", "x.old_keys"),
        ] {
            let refused = seals(Purpose::Bounce, key, old).expect_err("a bad key");
            assert_eq!(refused.key, named);
            assert!(!refused.why.contains("short\"") && !refused.why.contains(OLD));
        }
        let shown = format!("{:?}", seals(Purpose::Bounce, NEW, OLD).expect("keys"));
        assert_eq!(shown, "Seals(Bounce, 2 keys)");
    }
}
