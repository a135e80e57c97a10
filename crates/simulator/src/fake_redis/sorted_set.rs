//! A sorted set: members by score, equal scores by bytes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::LazyLock;

use super::data::Str;

/// A set with more members than this leaves the compact form (`zset-max-listpack-entries`).
const COMPACT_MEMBERS: usize = 128;
/// A set leaves the compact form for a longer member, in bytes (`zset-max-listpack-value`).
const COMPACT_BYTES: usize = 64;

/// A score: a double other than NaN. Both zeros are the same score, though they may print differently.
#[derive(Clone, Copy, Debug)]
pub struct Score(f64);

impl Score {
    /// A score; `None` for NaN.
    #[must_use]
    pub fn new(score: f64) -> Option<Self> {
        (!score.is_nan()).then_some(Self(score))
    }

    /// The double.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl PartialEq for Score {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for Score {}
impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Score {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or(Ordering::Equal)
    }
}
impl Hash for Score {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64((self.0 + 0.0).to_bits());
    }
}

/// One bound of a score range, such as `5`, `(5`, `-inf` and `+inf`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// The score of the bound.
    pub score: Score,
    /// Whether the score itself is excluded.
    pub exclusive: bool,
}

/// Members with their scores, indexed by both.
#[derive(Clone, Debug, Default)]
pub struct SortedSet {
    scores: BTreeMap<Str, Score>,
    order: BTreeSet<Place>,
    /// Not in the compact form, which has no negative zero.
    large: bool,
}

impl PartialEq for SortedSet {
    fn eq(&self, other: &Self) -> bool {
        self.scores == other.scores
    }
}
impl Eq for SortedSet {}
impl Hash for SortedSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.scores.hash(state);
    }
}

/// The position of a member: by score, then by bytes.
type Place = (Score, Str);

static LOWEST_MEMBER: LazyLock<Str> = LazyLock::new(|| Str::from(&[][..]));

impl SortedSet {
    /// The score of a member.
    #[must_use]
    pub fn score(&self, parcel_id: &[u8]) -> Option<f64> {
        self.scores.get(parcel_id).map(|score| score.get())
    }

    /// Number of members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scores.len()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scores.is_empty()
    }

    /// Members and scores, lowest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Str, f64)> {
        self.order.iter().map(|(score, parcel_id)| (parcel_id, score.get()))
    }

    /// How many members precede this one.
    #[must_use]
    pub fn rank(&self, parcel_id: &[u8]) -> Option<usize> {
        let (name, score) = self.scores.get_key_value(parcel_id)?;
        Some(self.order.range(..(*score, Str::clone(name))).count())
    }

    /// Members with a score between two limits, lowest first.
    pub fn between(&self, low: Limit, high: Limit) -> impl DoubleEndedIterator<Item = (&Str, f64)> {
        let range = Self::bounds(low, high).map(|bounds| self.order.range(bounds));
        range.into_iter().flatten().map(|(score, parcel_id)| (parcel_id, score.get()))
    }

    /// Leaves the compact form if `more` members, or one of `bytes` bytes, do not fit in.
    pub(crate) fn make_room_for(&mut self, more: usize, bytes: usize) {
        self.large |= self.len() + more > COMPACT_MEMBERS || bytes > COMPACT_BYTES;
    }

    /// Writes a member's score.
    pub(crate) fn set(&mut self, parcel_id: &[u8], score: Score) {
        if !self.scores.contains_key(parcel_id) {
            self.make_room_for(1, parcel_id.len());
        }
        let score = if self.large { score } else { Score(score.0 + 0.0) };
        let name = match self.scores.get_key_value(parcel_id) {
            Some((name, old)) => {
                let name = Str::clone(name);
                self.order.remove(&(*old, Str::clone(&name)));
                name
            }
            None => Str::from(parcel_id),
        };
        self.scores.insert(Str::clone(&name), score);
        self.order.insert((score, name));
    }

    /// Removes a member; returns whether it existed.
    pub(crate) fn remove(&mut self, parcel_id: &[u8]) -> bool {
        match self.scores.remove_entry(parcel_id) {
            Some((name, score)) => self.order.remove(&(score, name)),
            None => false,
        }
    }

    /// Removes the member with the lowest score.
    pub(crate) fn pop_lowest(&mut self) -> Option<(Str, f64)> {
        let (score, parcel_id) = self.order.pop_first()?;
        self.scores.remove(&parcel_id);
        Some((parcel_id, score.get()))
    }

    /// The bounds of a range as positions between members; `None` if the range is empty.
    fn bounds(low: Limit, high: Limit) -> Option<(Bound<Place>, Bound<Place>)> {
        let before = |score| (Score(score), Str::clone(&LOWEST_MEMBER));
        let (low_score, high_score) = (low.score.get(), high.score.get());
        if low_score > high_score
            || (low_score == high_score && (low.exclusive || high.exclusive))
            || (low.exclusive && low_score == f64::INFINITY)
        {
            return None;
        }
        let start = if low.exclusive { low_score.next_up() } else { low_score };
        let end = match (high.exclusive, high_score) {
            (true, score) => Bound::Excluded(before(score)),
            (false, f64::INFINITY) => Bound::Unbounded,
            (false, score) => Bound::Excluded(before(score.next_up())),
        };
        let start = before(start);
        match &end {
            Bound::Excluded(end) if *end <= start => None,
            _ => Some((Bound::Included(start), end)),
        }
    }
}
