//! The addresses that an order has named so far, as 128-bit hashes under a random key of the set: 20 to 30 bytes per
//! address, so that a million of them stay below 32 MB, and nobody can provoke a collision.

use posthaste_model::{Address, Channel};
use sha2::{Digest, Sha256};

/// Growing one of many small tables needs little extra memory.
const SHARDS: usize = 64;
const FIRST_PLACES: usize = 8;

/// The set. An empty place is 0.
#[derive(Debug)]
pub(super) struct AddressSet {
    key: [u8; 16],
    shards: Vec<Shard>,
}

#[derive(Debug, Default)]
struct Shard {
    places: Vec<u128>,
    count: usize,
}

impl AddressSet {
    pub(super) fn new() -> Self {
        Self { key: rand::random(), shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    /// Adds an address of a channel; false when it was already there.
    pub(super) fn insert(&mut self, channel: &Channel, address: &Address) -> bool {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(channel.as_str());
        hash.update([0]);
        hash.update(address.expose());
        let mut short = [0; 16];
        short.copy_from_slice(&hash.finalize()[..16]);
        let hash = u128::from_be_bytes(short).max(1);
        self.shards[usize::from(short[0]) % SHARDS].insert(hash)
    }
}

impl Shard {
    fn insert(&mut self, hash: u128) -> bool {
        if (self.count + 1) * 5 > self.places.len() * 4 {
            self.grow();
        }
        let at = place_of(&self.places, hash);
        let fresh = self.places[at] == 0;
        if fresh {
            self.places[at] = hash;
            self.count += 1;
        }
        fresh
    }

    /// Grows by half, so that at most half of it is empty.
    fn grow(&mut self) {
        let size = (self.places.len() + self.places.len() / 2).max(FIRST_PLACES);
        let before = std::mem::replace(&mut self.places, vec![0; size]);
        for hash in before.into_iter().filter(|hash| *hash != 0) {
            let at = place_of(&self.places, hash);
            self.places[at] = hash;
        }
    }
}

/// The place of the hash, or the free place for it; there always is one.
fn place_of(places: &[u128], hash: u128) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the low half is as random as the high one")]
    let low = hash as u64;
    let first = usize::try_from((u128::from(low) * places.len() as u128) >> 64).unwrap_or(0);
    let mut at = first;
    while places[at] != 0 && places[at] != hash {
        at = (at + 1) % places.len();
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_new_once_per_channel() {
        let mut seen = AddressSet::new();
        let [email, sms]: [Channel; 2] = ["email".parse().unwrap(), "sms".parse().unwrap()];
        for round in 0..2 {
            for n in 0..20_000 {
                let address = Address::new(format!("{n}@example.org"));
                assert_eq!(seen.insert(&email, &address), round == 0, "{n}");
            }
        }
        assert!(seen.insert(&sms, &Address::new("1@example.org")));
        let places: usize = seen.shards.iter().map(|shard| shard.places.len()).sum();
        assert!(places < 40_000, "{places}");
    }
}
