//! Ids of the recipients seen so far in an upload, as 128-bit hashes under a random key.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use sha2::{Digest, Sha256};

/// With many small tables, growing one needs little extra memory.
const SHARDS: usize = 64;

/// The set of ids.
#[derive(Debug)]
pub(crate) struct Ids {
    key: [u8; 16],
    shards: Vec<HashSet<u128, BuildHasherDefault<Low>>>,
}

/// The ids are already random hashes: hashing them again is not needed.
#[derive(Debug, Default)]
struct Low(u64);

impl Hasher for Low {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for (at, byte) in bytes.iter().take(8).enumerate() {
            self.0 ^= u64::from(*byte) << (8 * at);
        }
    }
}

impl Ids {
    /// An empty set; `key` is random, so that nobody can construct colliding ids.
    pub(crate) fn new(key: [u8; 16]) -> Self {
        Self { key, shards: vec![HashSet::default(); SHARDS] }
    }

    /// Adds an id; false if it was already there.
    pub(crate) fn insert(&mut self, id: &str) -> bool {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(id);
        let mut short = [0; 16];
        short.copy_from_slice(&hash.finalize()[..16]);
        self.shards[usize::from(short[15]) % SHARDS].insert(u128::from_le_bytes(short))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_new_once() {
        let mut ids = Ids::new([7; 16]);
        for round in 0..2 {
            for n in 0..20_000 {
                assert_eq!(ids.insert(&format!("r{n}")), round == 0, "{n}");
            }
        }
    }
}
