//! One state of the explored system.

use std::sync::Arc;

use posthaste_model::Verdict;
use posthaste_protocol::scripts::resolve::Decision;

use super::command::Command;
use super::memo::Place;
use super::scenario::Budgets;
use super::view::View;
use super::windows::Window;
use crate::World;

/// Everything there is: the database, the memories of couriers, requests on their way, and what truly happened.
#[derive(Clone, Debug)]
pub struct State {
    /// The database with its clock.
    pub world: World,
    /// What the database says, decoded.
    pub view: Arc<View>,
    /// The couriers.
    pub couriers: Vec<Courier>,
    /// Per channel, what some courier's resolver is about to decide.
    pub resolvers: Vec<Option<Resolving>>,
    /// Requests that will arrive (again) at any later point. Sorted: their order means nothing.
    pub late: Vec<Command>,
    /// What truly happened, per parcel and row.
    pub truth: Vec<Vec<Truth>>,
    /// Orders that came, ended and were removed: nobody sends them again. Only where days pass.
    pub retired: Vec<bool>,
    /// Adversities that may still happen.
    pub left: Budgets,
    /// What was found to be wrong. Nothing follows it.
    pub fault: Option<Fault>,
    /// Tells this state from others; see the module about states that are one.
    pub fingerprint: u64,
    /// Windows entered by the last step. Not part of what makes two states one.
    pub entered: Vec<Window>,
    /// Where the database is remembered, if it is.
    pub place: Option<Arc<Place>>,
}

/// A broken property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which one.
    pub property: &'static str,
    /// How it is broken.
    pub text: String,
}

/// A courier process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Courier {
    /// Place of its channel.
    pub channel: usize,
    /// Which process in this place: one more after each crash or stop.
    pub life: u16,
    /// The number of its next claim.
    pub number: u64,
    /// A claim without an answer, with the rows it may begin: it is asked again under the same number.
    pub asking: Option<u32>,
    /// Parcels in its memory.
    pub held: Vec<Held>,
    /// It was told to stop.
    pub stopping: bool,
}

/// A parcel in a courier's memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// Its place.
    pub parcel: usize,
    /// Under which fence.
    pub fence: u64,
    /// Whether its rows are known; those of a big order are fetched after the claim.
    pub loaded: bool,
    /// What the courier thinks of each row.
    pub rows: Vec<Row>,
    /// After this moment nothing is begun under this lease, in ms of the server's clock, which here is everybody's.
    pub lease_until: i64,
    /// Nothing more of it is begun.
    pub closed: bool,
    /// The lease is gone.
    pub lost: bool,
    /// A settle without an answer: it is said again as it is.
    pub settling: Option<Said>,
}

/// What a courier thinks of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Row {
    /// Not to be sent by it.
    NotOurs,
    /// To be begun, after this last attempt.
    Waiting(u8),
    /// Begun under this attempt at this moment and not yet given to the provider.
    Begun(u8, i64),
    /// To be told.
    Report(Report),
    /// Told, and to be begun again under the same lease when that is confirmed.
    Again(u8),
}

/// A report on an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Report {
    /// Of which attempt.
    pub attempt: u8,
    /// What became of it.
    pub verdict: Verdict,
    /// Whether the courier keeps the row and begins it again.
    pub again: bool,
    /// A wait in ms, or the progress of a message in parts.
    pub value: u32,
}

/// A settle that was sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Said {
    /// (row, report), rows ascending.
    pub reports: Vec<(u16, Report)>,
    /// Whether the parcel is to leave its lease.
    pub leave: bool,
}

/// Decisions about to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolving {
    /// About which parcel.
    pub parcel: usize,
    /// (row, attempt, decision), rows ascending.
    pub decisions: Vec<(u16, u8, Decision)>,
}

/// What truly happened to a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// The attempts the provider took, in order.
    pub taken: Vec<u8>,
    /// It was once told as unknown.
    pub told_unknown: bool,
    /// When the last send begun must have ended.
    pub send_by: i64,
    /// How often bytes left after the sender had slept beyond its last look at the clock: a window of its own.
    pub sleeps: u8,
}

impl Held {
    /// Whether nothing of it is on the wire.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.rows.iter().any(|row| matches!(row, Row::Begun(..)))
    }

    /// Whether something is to be told.
    #[must_use]
    pub fn has_reports(&self) -> bool {
        self.rows.iter().any(|row| matches!(row, Row::Report(_)))
    }

    /// Whether its next settle may leave the lease.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let more = |row: &Row| match row {
            Row::Waiting(_) | Row::Again(_) => true,
            Row::Report(report) => report.again,
            _ => false,
        };
        !self.is_out() && (self.closed || !self.rows.iter().any(more))
    }

    /// Nothing more of it is begun.
    pub fn close(&mut self) {
        self.closed = true;
        for row in &mut self.rows {
            match row {
                Row::Waiting(_) | Row::Again(_) => *row = Row::NotOurs,
                Row::Report(report) => report.again = false,
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

impl Courier {
    /// A new process.
    #[must_use]
    pub fn new(channel: usize, life: u16) -> Self {
        Self { channel, life, number: 1, asking: None, held: Vec::new(), stopping: false }
    }

    /// Whether it has nothing in its memory that a crash would take.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.asking.is_none() && self.held.is_empty()
    }
}
