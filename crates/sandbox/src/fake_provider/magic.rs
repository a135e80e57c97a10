//! Magic recipients, for the tables of the providers and the outbox page.

use serde::Serialize;

/// A magic recipient and what it does, for documentation.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct Magic {
    /// The chat, peer or number.
    pub name: &'static str,
    /// What happens.
    pub does: &'static str,
}

impl Magic {
    pub(crate) const fn new(name: &'static str, does: &'static str) -> Self {
        Self { name, does }
    }
}
