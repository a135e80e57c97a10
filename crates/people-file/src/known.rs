//! Finds rows of one file that are about the same person. Ids and addresses are kept as hashes, about 60 bytes each.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};

use crate::Person;

/// The result for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowMatch {
    /// A new person.
    New,
    /// The same person, or the same addresses, as the row on this line.
    Merged(u64),
    /// The row is ambiguous; the text says why.
    Refused(&'static str),
}

/// An id that occurred before with other addresses.
pub const OTHER_ADDRESSES: &str =
    "same id as an earlier row, but different addresses; --merge-ids uses the first row of each id";
/// An id that was generated for another row.
pub(crate) const MADE_UP: &str =
    "this id was generated for an earlier recipient without one; change it, or give that recipient an id";

/// The rows so far.
pub struct Known {
    merge_ids: bool,
    keys: [RandomState; 2],
    ids: HashMap<u128, Seen>,
    addresses: HashMap<u128, u64>,
}

struct Seen {
    line: u64,
    contacts: u128,
    made_up: bool,
}

impl Known {
    /// No rows yet. With `merge_ids`, rows with the same id are one person, whatever their addresses.
    pub fn new(merge_ids: bool) -> Self {
        let keys = [RandomState::new(), RandomState::new()];
        Self { merge_ids, keys, ids: HashMap::new(), addresses: HashMap::new() }
    }

    /// Reserves an id that is already in use.
    pub fn reserve(&mut self, id: &str) {
        let seen = Seen { line: 0, contacts: 0, made_up: true };
        self.ids.insert(self.hash(id), seen);
    }

    /// Looks up the person of the row on this line. A person without an id gets a unique one. `used` are the addresses that
    /// messages are sent to.
    pub fn look(&mut self, line: u64, person: &mut Person, used: &[String]) -> RowMatch {
        let used: Vec<u128> = used.iter().map(|address| self.hash(address)).collect();
        if person.has_own_id {
            let contacts = self.hash(&person.contacts_key());
            match self.ids.entry(hash(&self.keys, &person.id)) {
                Entry::Vacant(free) => {
                    free.insert(Seen { line, contacts, made_up: false });
                }
                Entry::Occupied(seen) if seen.get().made_up => return RowMatch::Refused(MADE_UP),
                Entry::Occupied(seen) if self.merge_ids || seen.get().contacts == contacts => {
                    return RowMatch::Merged(seen.get().line);
                }
                Entry::Occupied(_) => return RowMatch::Refused(OTHER_ADDRESSES),
            }
        }
        let before: Option<Vec<u64>> = used.iter().map(|key| self.addresses.get(key).copied()).collect();
        if let Some(&first) = before.as_deref().and_then(<[u64]>::first) {
            return RowMatch::Merged(first);
        }
        for key in used {
            self.addresses.entry(key).or_insert(line);
        }
        if !person.has_own_id {
            let made = person.id.clone();
            let mut next = 2;
            while self.ids.contains_key(&self.hash(&person.id)) {
                person.id = format!("{made}-{next}");
                next += 1;
            }
            let seen = Seen { line, contacts: 0, made_up: true };
            self.ids.insert(self.hash(&person.id), seen);
        }
        RowMatch::New
    }

    fn hash(&self, text: &str) -> u128 {
        hash(&self.keys, text)
    }
}

fn hash(keys: &[RandomState; 2], text: &str) -> u128 {
    u128::from(keys[0].hash_one(text)) << 64 | u128::from(keys[1].hash_one(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Field;

    fn look(known: &mut Known, line: u64, id: &str, email: &str) -> (RowMatch, String) {
        let mut person = Person::new(format!("line-{line}"));
        person.take(Field::Id, id).expect("taken");
        person.take(Field::Address(&posthaste_model::channels::EMAIL), email).expect("taken");
        let used = person.used(&[], false);
        (known.look(line, &mut person, &used), person.id)
    }

    #[test]
    fn one_id_with_other_addresses_is_refused_without_merge_ids() {
        for merge in [false, true] {
            let mut known = Known::new(merge);
            assert_eq!(look(&mut known, 2, "101", "a@x.org").0, RowMatch::New);
            assert_eq!(look(&mut known, 3, "101", "a@X.ORG").0, RowMatch::Merged(2));
            assert_eq!(look(&mut known, 3, "101", "A@x.org").0, RowMatch::Merged(2));
            let other = if merge { RowMatch::Merged(2) } else { RowMatch::Refused(OTHER_ADDRESSES) };
            assert_eq!(look(&mut known, 4, "101", "b@x.org").0, other);
            assert_eq!(look(&mut known, 5, "102", "b@x.org").0, RowMatch::New);
            assert_eq!(look(&mut known, 6, "", "b@x.org").0, RowMatch::Merged(5));
        }
    }

    #[test]
    fn generated_ids_are_unique() {
        let mut known = Known::new(false);
        known.reserve("given-1");
        assert_eq!(look(&mut known, 2, "line-3", "a@x.org"), (RowMatch::New, "line-3".to_owned()));
        assert_eq!(look(&mut known, 3, "", "b@x.org"), (RowMatch::New, "line-3-2".to_owned()));
        assert_eq!(look(&mut known, 4, "", "c@x.org"), (RowMatch::New, "line-4".to_owned()));
        assert_eq!(look(&mut known, 5, "line-4", "d@x.org").0, RowMatch::Refused(MADE_UP));
        assert_eq!(look(&mut known, 6, "given-1", "e@x.org").0, RowMatch::Refused(MADE_UP));
    }
}
