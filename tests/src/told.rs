//! What scenarios ask for: couriers of a manner, and orders of a shape.

use std::time::Duration;

use posthaste_model::{Lane, OnUnknown};

/// Later than this no row leaves, though its bell was lost: far more than the time after which couriers look by themselves
/// (300 ms), and far less than [`Told::in_an_hour`] would cost.
pub const LATE_MS: u64 = 20_000;

/// How a courier is to be started; see `test-courier --help`.
#[derive(Debug, Clone)]
pub struct CourierOptions {
    /// Arguments besides server, channel and record.
    pub args: Vec<String>,
    /// The channel.
    pub channel: &'static str,
    /// Another address than the server's own, for a proxy.
    pub redis: Option<String>,
}

impl Default for CourierOptions {
    fn default() -> Self {
        Self { args: Vec::new(), channel: "email", redis: None }
    }
}

impl CourierOptions {
    /// Adds an option and its value.
    #[must_use]
    pub fn with(mut self, option: &str, value: impl ToString) -> Self {
        self.args.extend([format!("--{option}"), value.to_string()]);
        self
    }

    /// Serves another channel than e-mail.
    #[must_use]
    pub fn channel(mut self, channel: &'static str) -> Self {
        self.channel = channel;
        self
    }

    /// Reaches the server at this address.
    #[must_use]
    pub fn at(mut self, redis: String) -> Self {
        self.redis = Some(redis);
        self
    }
}

/// An order as scenarios tell it.
#[derive(Debug, Clone)]
pub struct Told {
    /// Rows on each channel.
    pub rows: Vec<(&'static str, u32)>,
    /// Due so many ms from now; `None` for now.
    pub due_in: Option<u64>,
    /// Its lane.
    pub lane: Lane,
    /// What becomes of unknowns.
    pub on_unknown: OnUnknown,
    /// Ends so long after it is due.
    pub span: Duration,
    /// The recipient with this index has this word in its id.
    pub poison: Option<(u32, &'static str)>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            rows: vec![("email", 1)],
            due_in: None,
            lane: Lane::Bulk,
            on_unknown: OnUnknown::Default,
            span: Duration::from_secs(3600),
            poison: None,
        }
    }
}

impl Told {
    /// One row, due in an hour: what a courier that hears nothing would sleep towards, did it not look by itself.
    #[must_use]
    pub fn in_an_hour() -> Self {
        Self::of(1).due_in(3_600_000)
    }

    /// An order for now of so many rows by e-mail.
    #[must_use]
    pub fn of(rows: u32) -> Self {
        Self { rows: vec![("email", rows)], ..Self::default() }
    }

    /// The same, with another fate of unknowns.
    #[must_use]
    pub fn on_unknown(mut self, on_unknown: OnUnknown) -> Self {
        self.on_unknown = on_unknown;
        self
    }

    /// The same, due so many ms from now.
    #[must_use]
    pub fn due_in(mut self, ms: u64) -> Self {
        self.due_in = Some(ms);
        self
    }
}
