//! Prints a world, for the paths shown by a model checker.

use std::fmt;

use super::{Data, Entry, FakeRedis};

impl fmt::Debug for FakeRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = self.clock();
        write!(f, "FakeRedis at {}.{:03} ms", clock.ms(), clock.micros().rem_euclid(1000))?;
        if clock.lead_ms() != 0 {
            write!(f, " (TIME {:+} ms)", clock.lead_ms())?;
        }
        if self.is_memory_full() {
            f.write_str(" memory full")?;
        }
        f.write_str(" ")?;
        f.debug_map().entries(self.entries().map(|(key, entry)| (Plain(key), Shown(entry)))).finish()
    }
}

/// Bytes with everything unprintable escaped.
struct Plain<'a>(&'a [u8]);

impl fmt::Debug for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

struct Shown<'a>(&'a Entry);

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.data {
            Data::Text(text) => write!(f, "\"{}\"", text.escape_ascii())?,
            Data::Hash(hash) => {
                f.debug_map()
                    .entries(hash.iter().map(|(field, value)| (Plain(field), Plain(value))))
                    .finish()?;
            }
            Data::Sorted(sorted) => {
                f.debug_map()
                    .entries(sorted.iter().map(|(parcel_id, score)| (Plain(parcel_id), score)))
                    .finish()?;
            }
            Data::List(list) => f.debug_list().entries(list.iter().map(|item| Plain(item))).finish()?,
            Data::Set(set) => f.debug_set().entries(set.iter().map(|parcel_id| Plain(parcel_id))).finish()?,
        }
        match self.0.expires_at {
            Some(at) => write!(f, " until {at} ms"),
            None => Ok(()),
        }
    }
}
