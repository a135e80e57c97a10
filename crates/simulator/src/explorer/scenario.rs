//! What is explored: orders, couriers, what may happen to them and how often.

use std::fmt;
use std::time::Duration;

use posthaste_model::{Channel, Lane, Member, OnUnknown, SenderId, Suffix};
use posthaste_protocol::Keys;

/// The time everything here is measured in: leases, waits and put-offs last one unit, so that they end together and
/// states that differ only in idle time meet.
pub const UNIT_MS: i64 = 10_000;
/// When an exploration begins.
pub const START_MS: i64 = 1_700_000_000_000;
/// The epoch of every explored database.
pub const EPOCH: &str = "e";

macro_rules! budgets {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// How often each adversity may still happen. [`Budgets::UNLIMITED`] is never spent.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct Budgets {
            $($(#[$doc])* pub $name: u8,)*
        }

        impl Budgets {
            /// The names of all adversities.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name),)*];

            const fn all(times: u8) -> Self {
                Self { $($name: times,)* }
            }

            /// The budget of this name.
            pub fn named(&mut self, name: &str) -> Option<&mut u8> {
                match name {
                    $(stringify!($name) => Some(&mut self.$name),)*
                    _ => None,
                }
            }

            fn each(&self) -> Vec<(&'static str, u8)> {
                vec![$((stringify!($name), self.$name),)*]
            }
        }
    };
}

budgets! {
    /// A courier dies; another takes its place under a new id.
    crashes;
    /// The script ran and its reply never came.
    lost;
    /// A request stays on its way and arrives a second time, at any later point; or its sender dies before it arrives.
    copies;
    /// The provider says "not now".
    later;
    /// The provider refuses for good.
    refused;
    /// The provider throttles; the courier keeps the row and begins it again.
    throttled;
    /// A call whose outcome nobody learns.
    unknown;
    /// Nothing left, for sure.
    not_sent;
    /// A courier slept between begin and send, noticed, and did not send.
    overslept;
    /// A courier slept between its last look at the clock and the send, and did send.
    zombies;
    /// A courier is told to stop and hands its leases back.
    stops;
    /// An order is cancelled.
    cancels;
    /// The time of all orders is over.
    expiries;
    /// A late word of the provider.
    receipts;
    /// A lease is renewed.
    renewals;
    /// An order moves to another time.
    moves;
}

/// As `crashes=2 copies=1`; what never happens is left out.
impl fmt::Display for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.each().into_iter().filter(|(_, times)| *times > 0);
        let words: Vec<String> = each.map(|(name, times)| format!("{name}={times}")).collect();
        f.write_str(&words.join(" "))
    }
}

impl Budgets {
    /// A budget that is never spent.
    pub const UNLIMITED: u8 = u8::MAX;
    /// Nothing goes wrong.
    pub const NONE: Self = Self::all(0);
    /// Everything goes wrong, as often as it likes.
    pub const ALL: Self = Self::all(Self::UNLIMITED);

    /// Takes one from a budget, if there is one left.
    pub fn spend(budget: &mut u8) -> bool {
        match *budget {
            0 => false,
            Self::UNLIMITED => true,
            _ => {
                *budget -= 1;
                true
            }
        }
    }
}

/// An order of the exploration.
#[derive(Clone, Debug)]
pub struct OrderSpec {
    /// Its suffix.
    pub suffix: Suffix,
    /// Rows of each channel, by the channel's place in [`Scenario::channels`].
    pub channels: Vec<(usize, u32)>,
    /// Whether its rows are in parcels of their own.
    pub big: bool,
    /// Its lane.
    pub lane: Lane,
    /// What becomes of unknowns.
    pub on_unknown: OnUnknown,
    /// Time until it is due, from its acceptance; `None` for now.
    pub due_in: Option<Duration>,
    /// Whether it is there from the beginning.
    pub accepted: bool,
}

/// A parcel of the exploration. Elsewhere parcels are named by their place in [`Scenario::parcels`].
#[derive(Clone, Debug)]
pub struct ParcelSpec {
    /// Place of its order.
    pub order: usize,
    /// Place of its channel.
    pub channel: usize,
    /// Its name in the indexes.
    pub member: Member,
    /// The same as bytes.
    pub member_key: Vec<u8>,
    /// Its rows.
    pub rows: u32,
}

/// How a resolver decides about unknown rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// As the order says, and it looks at what was repeated before.
    ByPolicy,
    /// As the order says; whether a repeat is spent it leaves to the script.
    Trusting,
    /// It asks the provider, who knows: what was taken is sent, what never came is repeated.
    Asking,
}

/// A life that no sequence of single jumps outlasts.
pub const LONG_LIFE_MS: i64 = 1_000 * UNIT_MS;

/// A closed system to explore.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name in reports.
    pub name: String,
    /// Keys of its only partition.
    pub keys: Keys,
    /// All channels.
    pub channels: Vec<Channel>,
    /// All orders.
    pub orders: Vec<OrderSpec>,
    /// Their parcels.
    pub parcels: Vec<ParcelSpec>,
    /// The channel of each courier.
    pub couriers: Vec<usize>,
    /// What may go wrong.
    pub budgets: Budgets,
    /// How many rows a claim may begin at once: each of these is tried.
    pub claim_begins: Vec<u32>,
    /// Whether reports may be settled before the other rows of the parcel are done.
    pub partial: bool,
    /// Whether rows are begun one by one too.
    pub single_begins: bool,
    /// The send window, in units.
    pub window_units: i64,
    /// Time from the due time of an order until it expires, in ms.
    pub life_ms: i64,
    /// How far `TIME` in a script runs ahead of the clock by which keys expire, in ms.
    pub lead_ms: i64,
    /// Whether rows get a token, and unknown ones are repeated under it.
    pub tokens: bool,
    /// How the channel's resolver decides.
    pub resolver: Resolver,
    /// Whether somebody comes with the epoch of another database.
    pub strangers: bool,
    /// Whether lease ends are blamed on the courier.
    pub blame: bool,
    /// Whether the rarer verbs take part: close, audit, ring, retire, receipts of any kind, parts, deliveries.
    pub wide: bool,
    /// Parcels a courier holds at once.
    pub most_held: usize,
}

impl Scenario {
    /// Two couriers on one channel and one order of `rows` rows in one parcel; nothing goes wrong yet.
    ///
    /// # Panics
    /// Never: its names are names.
    #[must_use]
    pub fn small(name: &str, on_unknown: OnUnknown, big: bool, rows: u32) -> Self {
        let order = OrderSpec {
            suffix: suffix(0),
            channels: vec![(0, rows)],
            big,
            lane: Lane::Bulk,
            on_unknown,
            due_in: None,
            accepted: true,
        };
        Self::new(name, &["sms"], vec![order], vec![0, 0])
    }

    /// Orders on some channels, with a courier for each entry of `couriers`; nothing goes wrong yet.
    #[must_use]
    pub fn new(name: &str, channels: &[&str], orders: Vec<OrderSpec>, couriers: Vec<usize>) -> Self {
        let channels = channels.iter().filter_map(|name| name.parse().ok()).collect();
        let mut parcels = Vec::new();
        for (at, order) in orders.iter().enumerate() {
            for (channel, rows) in &order.channels {
                let most = if order.big { posthaste_model::PARCEL_ROWS } else { *rows };
                let mut left = *rows;
                let mut number = 0;
                while left > 0 {
                    let member = Member { suffix: order.suffix.clone(), number };
                    let member_key = member.to_string().into_bytes();
                    let rows = left.min(most);
                    parcels.push(ParcelSpec { order: at, channel: *channel, member, member_key, rows });
                    left -= rows;
                    number += 1;
                }
            }
        }
        Self {
            name: name.to_owned(),
            keys: Keys::of_partition(0),
            channels,
            orders,
            parcels,
            couriers,
            budgets: Budgets::NONE,
            claim_begins: vec![0],
            partial: true,
            single_begins: true,
            window_units: 1,
            life_ms: LONG_LIFE_MS,
            lead_ms: 0,
            tokens: false,
            resolver: Resolver::ByPolicy,
            strangers: false,
            blame: true,
            wide: false,
            most_held: 1,
        }
    }

    /// The place of a parcel.
    #[must_use]
    pub fn parcel(&self, channel: usize, member: &Member) -> Option<usize> {
        self.parcels.iter().position(|parcel| parcel.channel == channel && parcel.member == *member)
    }

    /// How long a send may take.
    #[must_use]
    pub fn window(&self) -> Duration {
        ms(self.window_units * UNIT_MS)
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = if self.budgets == Budgets::NONE { "" } else { " " };
        write!(f, "{}{of}{}", self.name, self.budgets)
    }
}

/// A span of some milliseconds.
#[must_use]
pub fn ms(span: i64) -> Duration {
    Duration::from_millis(u64::try_from(span).unwrap_or(0))
}

/// The suffix of the order at a place.
///
/// # Panics
/// Never: the sender's name is a name.
#[must_use]
pub fn suffix(place: usize) -> Suffix {
    let sender: SenderId = "u".parse().unwrap_or_else(|_| unreachable!("a letter is a sender id"));
    Suffix::new(&sender, place as u64)
}
