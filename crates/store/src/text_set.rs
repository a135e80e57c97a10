//! The texts seen so far (addresses of an order, ids of its recipients), as 96-bit hashes under a random key of the
//! set: 15 to 30 bytes per text, so that a million of them stay below 32 MB, and nobody can provoke a collision.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use sha2::{Digest, Sha256};

/// Growing one of many small tables needs little extra memory.
const SHARDS: usize = 64;

/// A set of texts that keeps none of them.
#[derive(Debug)]
pub struct TextSet {
    key: [u8; 16],
    shards: Vec<HashSet<[u8; 12], BuildHasherDefault<AsIs>>>,
}

/// The entries are random already: hashing them again is not needed.
#[derive(Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 ^= u64::from_le_bytes(*first);
        }
    }

    /// All entries have the same length.
    fn write_usize(&mut self, _: usize) {}
}

impl TextSet {
    /// An empty set; `key` is random, so that nobody can find texts with the same hash.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self { key, shards: vec![HashSet::default(); SHARDS] }
    }

    /// Adds a text given in parts, none of which contains a NUL; false if it was already there.
    pub fn insert(&mut self, parts: &[&str]) -> bool {
        let mut hash = Sha256::new();
        hash.update(self.key);
        for part in parts {
            hash.update(part);
            hash.update([0]);
        }
        let hash = hash.finalize();
        let mut entry = [0; 12];
        entry.copy_from_slice(&hash[..12]);
        self.shards[usize::from(hash[12]) % SHARDS].insert(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_new_once_per_channel() {
        let mut seen = TextSet::new(rand::random());
        for round in 0..2 {
            for n in 0..20_000 {
                assert_eq!(seen.insert(&["email", &format!("{n}@example.org")]), round == 0, "{n}");
            }
        }
        assert!(seen.insert(&["sms", "1@example.org"]));
        let places: usize = seen.shards.iter().map(HashSet::capacity).sum();
        assert!(places < 40_000, "{places}");
    }
}
