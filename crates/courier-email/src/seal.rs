//! Proof that something that comes back from outside was made here: an HMAC-SHA256, cut short where there is little room.
//! Keys can be followed by others: the first one seals, all of them are taken.

use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::settings::BadSetting;

/// A key has so many characters at least: 128 bits in hexadecimal digits.
const SHORTEST_KEY: usize = 32;
/// Keys at once at most.
const MOST_KEYS: usize = 8;

/// What a seal is for. One of one purpose is nothing for another one, though the keys be the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A return path.
    Bounce,
    /// A link to unsubscribe by.
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
pub(crate) struct Seals {
    purpose: Purpose,
    /// One at least.
    keys: Vec<Hmac<Sha256>>,
}

impl std::fmt::Debug for Seals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seals({:?}, {} keys)", self.purpose, self.keys.len())
    }
}

impl Seals {
    /// Keys as settings have them: the one that seals, and those before it, with white space or commas between.
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
            return Err(BadSetting::new(key.0, "expected one key; make it with openssl rand -hex 32"));
        }
        keys.extend(named(old)?);
        if keys.len() > MOST_KEYS {
            return Err(BadSetting::new(old.0, format!("{} keys at most", MOST_KEYS - 1)));
        }
        Ok(Self { purpose, keys })
    }

    /// The seal of these bytes.
    pub(crate) fn seal(&self, bytes: &[u8]) -> [u8; 32] {
        self.keys.first().map(|key| with(key, bytes).finalize().into_bytes().into()).unwrap_or_default()
    }

    /// Whether this is the beginning of the seal of these bytes. Takes the same time for every wrong one.
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
            format!("is too short to be a secret: {SHORTEST_KEY} characters at least (openssl rand -hex 32)");
        return Err(BadSetting::new(name, why));
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes())
        .map_err(|_| BadSetting::new(name, "can't be used as a key"))?;
    mac.update(purpose.word());
    Ok(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "00000000000000000000000000000000";
    const NEW: &str = "11111111111111111111111111111111";

    fn seals(purpose: Purpose, key: &str, old: &str) -> Result<Seals, BadSetting> {
        let (key, old) = (SecretString::from(key.to_owned()), SecretString::from(old.to_owned()));
        Seals::new(purpose, ("x.key", &key), ("x.old_keys", &old))
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
