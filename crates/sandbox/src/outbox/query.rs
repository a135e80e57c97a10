//! Which attempts are requested.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Deserialize;

use super::problem::Problem;
use crate::faults::AddressPattern;
use crate::record::{Attempt, Ending};

/// Most attempts on one page.
const MOST: usize = 500;

/// The filter of a list or a count.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Wanted {
    /// The channel.
    pub(super) channel: Option<String>,
    /// A recipient; `*` matches any characters.
    pub(super) to: Option<AddressPattern>,
    /// The order, as the message's header names it.
    pub(super) order: Option<String>,
    /// How it ended; selects all attempts that ended like this, accepted or not.
    pub(super) ending: Option<Ending>,
    /// Also attempts whose message was not accepted.
    pub(super) all: bool,
    /// Only attempts older than this id.
    pub(super) cursor: Option<u64>,
    /// How many, 1 to 500.
    pub(super) limit: Option<usize>,
}

impl Wanted {
    /// Whether an attempt matches the filter.
    pub(super) fn fits(&self, attempt: &Attempt) -> bool {
        let ending = match self.ending {
            Some(ending) => attempt.outcome.ending == ending,
            None => self.all || attempt.is_message(),
        };
        let to =
            |pattern: &AddressPattern| attempt.recipients.iter().any(|to| pattern.fits(to.address.expose()));
        ending
            && self.channel.as_ref().is_none_or(|channel| attempt.channel.as_str() == channel)
            && self.order.as_ref().is_none_or(|order| attempt.order.as_ref() == Some(order))
            && self.to.as_ref().is_none_or(to)
    }

    /// The page: ids below this, and how many.
    pub(super) fn page(&self, usual: usize) -> (u64, usize) {
        (self.cursor.unwrap_or(u64::MAX), self.limit.unwrap_or(usual))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(wanted) = Query::<Self>::from_request_parts(parts, state).await.map_err(|_| {
            Problem::invalid(
                "invalid filter; use channel, to, order, ending (accepted, taken, refused, cut, left), all=true, \
                 cursor (a number) and limit (a number)",
            )
        })?;
        if wanted.limit.is_some_and(|limit| !(1..=MOST).contains(&limit)) {
            return Err(Problem::invalid("limit must be a number from 1 to 500"));
        }
        if wanted.to.as_ref().is_some_and(AddressPattern::is_long) {
            return Err(Problem::invalid("to must be at most 512 bytes"));
        }
        Ok(wanted)
    }
}
