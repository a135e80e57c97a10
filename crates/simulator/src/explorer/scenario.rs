//! What is explored: orders, couriers, what may happen to them and how often.

use std::fmt;
use std::time::Duration;

use posthaste_model::{Channel, OnUnknown, OrderId, ParcelId, Priority, SenderId};
use posthaste_protocol::PartitionKeys;

/// The unit of time in explorations: leases, waits and deferrals last one unit, so that they end together and
/// states that differ only in idle time meet.
pub const UNIT_MS: i64 = 10_000;
/// When an exploration begins.
pub const START_MS: i64 = 1_700_000_000_000;
/// The epoch of every explored database.
pub const EPOCH: &str = "e";

macro_rules! budgets {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        /// How often each adversity may still happen. [`Budgets::UNLIMITED`] is never used up.
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
    /// The script ran and its reply was lost.
    lost;
    /// A request stays in flight and arrives a second time, at any later point; or its sender dies before it arrives.
    copies;
    /// The provider says "not now".
    later;
    /// The provider refuses permanently.
    refused;
    /// The provider throttles; the courier keeps the delivery and begins it again.
    throttled;
    /// A call whose outcome remains unknown.
    unknown;
    /// Certainly nothing was sent.
    not_sent;
    /// A courier slept between begin and send, noticed, and did not send.
    overslept;
    /// A courier slept between its last look at the clock and the send, and did send.
    zombies;
    /// A courier is asked to stop and hands its leases back.
    stops;
    /// An order is cancelled.
    cancels;
    /// All orders expire.
    expiries;
    /// A late receipt from the provider.
    receipts;
    /// A lease is renewed.
    renewals;
    /// An order moves to another time.
    moves;
}

/// Such as `crashes=2 copies=1`; adversities that never happen are left out.
impl fmt::Display for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.each().into_iter().filter(|(_, times)| *times > 0);
        let words: Vec<String> = each.map(|(name, times)| format!("{name}={times}")).collect();
        f.write_str(&words.join(" "))
    }
}

impl Budgets {
    /// A budget that is never used up.
    pub const UNLIMITED: u8 = u8::MAX;
    /// Nothing goes wrong.
    pub const NONE: Self = Self::all(0);
    /// Everything may go wrong, without limit.
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
    /// Its order id.
    pub order_id: OrderId,
    /// Deliveries of each channel, by the channel's index in [`Scenario::channels`].
    pub channels: Vec<(usize, u32)>,
    /// Whether its deliveries are in parcels of their own.
    pub big: bool,
    /// Its priority.
    pub priority: Priority,
    /// How unknowns are handled.
    pub on_unknown: OnUnknown,
    /// Time from acceptance until it is due; `None` for now.
    pub due_in: Option<Duration>,
    /// Whether it exists from the beginning.
    pub accepted: bool,
}

/// A parcel of the exploration. Elsewhere parcels are identified by their index in [`Scenario::parcels`].
#[derive(Clone, Debug)]
pub struct ParcelSpec {
    /// Index of its order.
    pub order: usize,
    /// Index of its channel.
    pub channel: usize,
    /// Its name in the indexes.
    pub parcel_id: ParcelId,
    /// The same as bytes.
    pub member_key: Vec<u8>,
    /// Its deliveries.
    pub deliveries: u32,
}

/// How a resolver decides about unknown deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// As the order asks; it checks what was repeated before.
    ByPolicy,
    /// As the order asks; whether the repeat is used up is left to the script.
    Trusting,
    /// It asks the provider, who knows: what was taken is sent, what never arrived is repeated.
    Asking,
}

/// A life longer than any sequence of single jumps.
pub const LONG_LIFE_MS: i64 = 1_000 * UNIT_MS;

/// A closed system to explore.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name in reports.
    pub name: String,
    /// Keys of its only partition.
    pub keys: PartitionKeys,
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
    /// How many deliveries a claim may begin at once: each of these values is tried.
    pub claim_begins: Vec<u32>,
    /// Whether reports may be settled before the other deliveries of the parcel are done.
    pub partial: bool,
    /// Whether deliveries are also begun one by one.
    pub single_begins: bool,
    /// The send window, in units.
    pub window_units: i64,
    /// Time from the due time of an order until it expires, in ms.
    pub life_ms: i64,
    /// How far `TIME` in a script runs ahead of the clock by which keys expire, in ms.
    pub lead_ms: i64,
    /// Whether deliveries get a token, and unknown ones are repeated under it.
    pub tokens: bool,
    /// How the channel's resolver decides.
    pub resolver: Resolver,
    /// Whether a caller comes with the epoch of another database.
    pub strangers: bool,
    /// Whether ended leases are blamed on the courier's parcel.
    pub blame: bool,
    /// Whether the rarer scripts take part: expire_parcels, repair_indexes, promote_due, purge_orders, receipts of any
    /// kind, parts, deliveries.
    pub wide: bool,
    /// Most parcels a courier holds at once.
    pub most_held: usize,
}

impl Scenario {
    /// Two couriers on one channel and one order of `deliveries` deliveries in one parcel; nothing goes wrong yet.
    ///
    /// # Panics
    /// Never: its names are valid.
    #[must_use]
    pub fn small(name: &str, on_unknown: OnUnknown, big: bool, deliveries: u32) -> Self {
        let order = OrderSpec {
            order_id: order_id(0),
            channels: vec![(0, deliveries)],
            big,
            priority: Priority::Bulk,
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
            for (channel, deliveries) in &order.channels {
                let most = if order.big { posthaste_model::PARCEL_DELIVERIES } else { *deliveries };
                let mut left = *deliveries;
                let mut number = 0;
                while left > 0 {
                    let parcel_id = ParcelId { order_id: order.order_id.clone(), number };
                    let member_key = parcel_id.to_string().into_bytes();
                    let deliveries = left.min(most);
                    parcels.push(ParcelSpec {
                        order: at,
                        channel: *channel,
                        parcel_id,
                        member_key,
                        deliveries,
                    });
                    left -= deliveries;
                    number += 1;
                }
            }
        }
        Self {
            name: name.to_owned(),
            keys: PartitionKeys::of_partition(0),
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

    /// The index of a parcel.
    #[must_use]
    pub fn parcel(&self, channel: usize, parcel_id: &ParcelId) -> Option<usize> {
        self.parcels.iter().position(|parcel| parcel.channel == channel && parcel.parcel_id == *parcel_id)
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

/// The order id of the order with this index.
///
/// # Panics
/// Never: the sender's name is valid.
#[must_use]
pub fn order_id(place: usize) -> OrderId {
    let sender: SenderId = "u".parse().unwrap_or_else(|_| unreachable!("a letter is a sender id"));
    OrderId::new(&sender, place as u64)
}
