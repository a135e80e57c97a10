//! Options of scenarios: how couriers behave, and the shape of orders.

use std::time::Duration;

use posthaste_model::{OnUnknown, Priority};

/// No delivery may leave later than this, even if its bell was lost: far more than the poll interval of couriers
/// (300 ms), and far less than [`OrderSpec::in_an_hour`] would cost.
pub const LATE_MS: u64 = 20_000;

/// How to start a courier; see `test-courier --help`.
#[derive(Debug, Clone)]
pub struct CourierOptions {
    /// Arguments besides server, channel and record.
    pub args: Vec<String>,
    /// The channel.
    pub channel: &'static str,
    /// An address other than the server's own, for a proxy.
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

/// An order as a scenario specifies it.
#[derive(Debug, Clone)]
pub struct OrderSpec {
    /// Deliveries on each channel.
    pub deliveries: Vec<(&'static str, u32)>,
    /// Due in this many ms; `None` for now.
    pub due_in: Option<u64>,
    /// Its priority.
    pub priority: Priority,
    /// How unknowns are handled.
    pub on_unknown: OnUnknown,
    /// Expires this long after it is due.
    pub span: Duration,
    /// The recipient with this index has this word in its id.
    pub poison: Option<(u32, &'static str)>,
}

impl Default for OrderSpec {
    fn default() -> Self {
        Self {
            deliveries: vec![("email", 1)],
            due_in: None,
            priority: Priority::Bulk,
            on_unknown: OnUnknown::Default,
            span: Duration::from_secs(3600),
            poison: None,
        }
    }
}

impl OrderSpec {
    /// One delivery, due in an hour: how long a courier without notifications would sleep if it did not poll.
    #[must_use]
    pub fn in_an_hour() -> Self {
        Self::of(1).due_in(3_600_000)
    }

    /// An order for now with this many deliveries by e-mail.
    #[must_use]
    pub fn of(deliveries: u32) -> Self {
        Self { deliveries: vec![("email", deliveries)], ..Self::default() }
    }

    /// The same, with another way to handle unknowns.
    #[must_use]
    pub fn on_unknown(mut self, on_unknown: OnUnknown) -> Self {
        self.on_unknown = on_unknown;
        self
    }

    /// The same, due in this many ms.
    #[must_use]
    pub fn due_in(mut self, ms: u64) -> Self {
        self.due_in = Some(ms);
        self
    }
}
