//! `report_courier`: stores what a courier says about itself.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Channel, CourierId, UnixMs};

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("report_courier", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "courier_states:{p}", "courier_ends:{p}"],
    args: ["request id", "epoch", "channel", "courier id", "number of the report, growing",
        "state, or empty: the courier has ended", "ms until the state may end by itself, 0: not known",
        "ms for which the report holds", "why, in words"],
    codes: ["ok", "outdated", "wrong_epoch"]);

/// What a courier does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CourierState {
    /// It sends what is due.
    Working,
    /// The provider asked the whole channel to wait.
    Paused,
    /// The provider keeps failing: the circuit breaker is open, or tries one call at a time.
    Resting,
    /// An operator must fix something first.
    Stopped,
}

impl CourierState {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Working, Self::Paused, Self::Resting, Self::Stopped];

    /// The stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Paused => "paused",
            Self::Resting => "resting",
            Self::Stopped => "stopped",
        }
    }
}

/// Stores a report. The state of a courier that does not report again is forgotten when the report no longer holds.
#[derive(Debug, Clone)]
pub struct ReportCourier<'a> {
    /// Keys of the partition that stores all reports.
    pub keys: &'a PartitionKeys,
    /// The channel.
    pub channel: &'a Channel,
    /// The courier.
    pub courier: &'a CourierId,
    /// Number of the report: higher than that of the courier's former one.
    pub number: u64,
    /// The state; `None` removes the courier.
    pub state: Option<CourierState>,
    /// How long until the state may end by itself.
    pub ends_in: Option<Duration>,
    /// For how long the report holds.
    pub holds: Duration,
    /// Why it is in this state; empty if there is nothing to say. No address, no secret.
    pub why: &'a str,
}

impl ScriptCall for ReportCourier<'_> {
    /// Since when the courier is in this state; `None`: the report is outdated.
    type Reply = Option<UnixMs>;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        let k = self.keys;
        vec![k.epoch(), k.fence(), k.courier_states(), k.courier_ends()]
    }

    fn args(&self) -> Vec<Bytes> {
        vec![
            arg_text(self.channel.as_str()),
            arg_text(self.courier.as_str()),
            arg(self.number),
            arg_text(self.state.map_or("", CourierState::word)),
            arg(self.ends_in.map_or(0, |wait| wait.as_millis())),
            arg(self.holds.as_millis()),
            arg_text(self.why),
        ]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Option<UnixMs>, Malformed> {
        match code {
            "ok" => Ok(Some(UnixMs(f.u64("since")?))),
            "outdated" => Ok(None),
            _ => Err(Malformed::new("code of report_courier")),
        }
    }
}

/// A stored report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CourierReport {
    /// The channel.
    pub channel: Channel,
    /// The id of the courier.
    pub courier: String,
    /// What it does.
    pub state: CourierState,
    /// Since when.
    pub since: UnixMs,
    /// When it reported this last.
    pub seen: UnixMs,
    /// Until when the report holds.
    pub holds: UnixMs,
    /// When the state may end by itself.
    pub ends: Option<UnixMs>,
    /// Why; empty if there is nothing to say.
    pub why: String,
}

impl CourierReport {
    /// Reads a field of `courier_states:{p}`; `None` if it is not one that this program can read.
    #[must_use]
    pub fn read(field: &str, value: &str) -> Option<Self> {
        let (channel, courier) = field.split_once(':')?;
        let mut words = value.splitn(7, ' ').skip(1);
        let state = words.next()?;
        let mut moment = || words.next()?.parse().ok().map(UnixMs);
        let (since, seen, holds, ends) = (moment()?, moment()?, moment()?, moment()?);
        Some(Self {
            channel: channel.parse().ok()?,
            courier: courier.to_owned(),
            state: CourierState::ALL.into_iter().find(|known| known.word() == state)?,
            since,
            seen,
            holds,
            ends: (ends.0 > 0).then_some(ends),
            why: words.next()?.to_owned(),
        })
    }
}
