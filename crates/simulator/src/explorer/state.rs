//! One state of the explored system.

use std::sync::Arc;

use posthaste_model::OutcomeKind;
use posthaste_protocol::scripts::resolve::Decision;

use super::call_cache::CachedDatabase;
use super::command::ScriptRequest;
use super::coverage::Window;
use super::scenario::Budgets;
use super::view::DatabaseView;
use crate::FakeRedis;

/// Everything: the database, the memories of couriers, requests in flight, and what truly happened.
#[derive(Clone, Debug)]
pub struct ExplorerState {
    /// The database with its clock.
    pub world: FakeRedis,
    /// The content of the database, decoded.
    pub view: Arc<DatabaseView>,
    /// The couriers.
    pub couriers: Vec<ModelCourier>,
    /// Per channel, what some courier's resolver is about to decide.
    pub resolvers: Vec<Option<Resolving>>,
    /// Requests that will arrive (again) at any later point. Sorted: their order means nothing.
    pub late: Vec<ScriptRequest>,
    /// What truly happened, per parcel and delivery.
    pub truth: Vec<Vec<Truth>>,
    /// Orders that were accepted, ended and were purged: they are never sent again. Only where days pass.
    pub retired: Vec<bool>,
    /// Adversities that may still happen.
    pub left: Budgets,
    /// The first violation. No state follows it.
    pub fault: Option<BrokenProperty>,
    /// Identifies this state; see the module about equal states.
    pub fingerprint: u64,
    /// Windows entered by the last step. Not part of what makes two states equal.
    pub entered: Vec<Window>,
    /// The cache entry of the database, if there is one.
    pub place: Option<Arc<CachedDatabase>>,
}

/// A broken property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenProperty {
    /// Which one.
    pub property: &'static str,
    /// How it is violated.
    pub text: String,
}

/// A courier process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelCourier {
    /// Index of its channel.
    pub channel: usize,
    /// Number of this process at its index: one more after each crash or stop.
    pub life: u16,
    /// The number of its next claim.
    pub number: u64,
    /// A claim without an answer, with the deliveries it may begin: it is repeated under the same number.
    pub asking: Option<u32>,
    /// Parcels in its memory.
    pub held: Vec<HeldParcel>,
    /// It was asked to stop.
    pub stopping: bool,
}

/// A parcel in a courier's memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeldParcel {
    /// Its index.
    pub parcel: usize,
    /// The fence of its lease.
    pub fence: u64,
    /// Whether its deliveries are known; those of a big order are fetched after the claim.
    pub loaded: bool,
    /// What the courier knows of each delivery.
    pub deliveries: Vec<CourierDelivery>,
    /// After this moment nothing is begun under this lease, in ms of the server's clock, which here everybody shares.
    pub lease_until: i64,
    /// Nothing more of it is begun.
    pub closed: bool,
    /// The lease is lost.
    pub lost: bool,
    /// A settle without an answer: it is repeated unchanged.
    pub settling: Option<SentSettle>,
}

/// What a courier knows of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CourierDelivery {
    /// Must not be sent by it.
    NotOurs,
    /// To be begun, after this last attempt.
    Waiting(u8),
    /// Begun under this attempt at this time and not yet given to the provider.
    Begun(u8, i64),
    /// To be settled.
    Report(PendingReport),
    /// Settled, and to be begun again under the same lease once that is confirmed.
    Again(u8),
}

/// A report on an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PendingReport {
    /// Of which attempt.
    pub attempt: u8,
    /// The outcome.
    pub outcome: OutcomeKind,
    /// Whether the courier keeps the delivery and begins it again.
    pub again: bool,
    /// A wait in ms, or the progress of a message in parts.
    pub value: u32,
}

/// A settle that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SentSettle {
    /// (delivery, report), deliveries ascending.
    pub reports: Vec<(u16, PendingReport)>,
    /// Whether the parcel is to leave its lease.
    pub leave: bool,
}

/// Decisions about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolving {
    /// The parcel.
    pub parcel: usize,
    /// (delivery, attempt, decision), deliveries ascending.
    pub decisions: Vec<(u16, u8, Decision)>,
}

/// What truly happened to a delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// The attempts the provider took, in order.
    pub taken: Vec<u8>,
    /// It was once reported as unknown.
    pub reported_unknown: bool,
    /// When the last send begun must have ended.
    pub send_by: i64,
    /// How often bytes left after the sender had slept past its last look at the clock: a window of its own.
    pub sleeps: u8,
}

impl HeldParcel {
    /// Whether nothing of it is on the wire.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.deliveries.iter().any(|delivery| matches!(delivery, CourierDelivery::Begun(..)))
    }

    /// Whether there is something to report.
    #[must_use]
    pub fn has_reports(&self) -> bool {
        self.deliveries.iter().any(|delivery| matches!(delivery, CourierDelivery::Report(_)))
    }

    /// Whether its next settle may leave the lease.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let more = |delivery: &CourierDelivery| match delivery {
            CourierDelivery::Waiting(_) | CourierDelivery::Again(_) => true,
            CourierDelivery::Report(report) => report.again,
            _ => false,
        };
        !self.is_out() && (self.closed || !self.deliveries.iter().any(more))
    }

    /// Nothing more of it is begun.
    pub fn close(&mut self) {
        self.closed = true;
        for delivery in &mut self.deliveries {
            match delivery {
                CourierDelivery::Waiting(_) | CourierDelivery::Again(_) => {
                    *delivery = CourierDelivery::NotOurs
                }
                CourierDelivery::Report(report) => report.again = false,
                _ => {}
            }
        }
    }

    /// Whether a lost parcel may be forgotten.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.is_out() && !self.has_reports() && self.settling.is_none()
    }
}

impl ModelCourier {
    /// A new process.
    #[must_use]
    pub fn new(channel: usize, life: u16) -> Self {
        Self { channel, life, number: 1, asking: None, held: Vec::new(), stopping: false }
    }

    /// Whether its memory holds nothing that a crash would lose.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.asking.is_none() && self.held.is_empty()
    }
}
