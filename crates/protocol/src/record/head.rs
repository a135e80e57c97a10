//! The packed head of a history, and its counters.

use posthaste_model::{Channel, Counters, OnUnknown, PARCEL_DELIVERIES, Priority, State, UnixMs};

use crate::reply_value::Malformed;

/// The head version this program writes.
pub const HEAD_VERSION: u8 = 1;
/// The oldest head version this program can read.
pub const HEAD_OLDEST: u8 = 1;
const FIXED: usize = 34;

/// The order data in a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Whether text, deliveries and outcomes are inside the history.
    pub inline: bool,
    /// Its priority.
    pub priority: Priority,
    /// What to do with unknown deliveries.
    pub on_unknown: OnUnknown,
    /// When it was accepted.
    pub accepted: UnixMs,
    /// When it is due.
    pub due: UnixMs,
    /// When it ends in any case.
    pub not_after: UnixMs,
    /// Digest of the request body.
    pub digest: [u8; 12],
    /// Number of deliveries per channel.
    pub channels: Vec<(Channel, u32)>,
}

fn u48(bytes: &[u8]) -> UnixMs {
    UnixMs(bytes.iter().fold(0, |n, b| n * 256 + u64::from(*b)))
}

impl Head {
    /// Reads a head.
    ///
    /// # Errors
    /// When it is too short, of another version, or names no channel.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let bad = Malformed::new("head");
        match bytes.first() {
            Some(version) if *version > HEAD_VERSION => return Err(Malformed::newer("head")),
            Some(version) if *version >= HEAD_OLDEST && bytes.len() > FIXED => {}
            _ => return Err(bad),
        }
        if !matches!(bytes[1], b'i' | b'p') {
            return Err(bad);
        }
        let priority = if bytes[2] == b'u' { Priority::Urgent } else { Priority::Bulk };
        let on_unknown = match bytes[3] {
            b'r' => OnUnknown::Retry,
            b'h' => OnUnknown::Hold,
            _ => OnUnknown::Default,
        };
        let mut digest = [0; 12];
        digest.copy_from_slice(&bytes[22..FIXED]);
        Ok(Self {
            inline: bytes[1] == b'i',
            priority,
            on_unknown,
            accepted: u48(&bytes[4..10]),
            due: u48(&bytes[10..16]),
            not_after: u48(&bytes[16..22]),
            digest,
            channels: decode_channels(&bytes[FIXED..]).ok_or(bad)?,
        })
    }

    /// Number of deliveries on a channel, 0 when it has none.
    #[must_use]
    pub fn deliveries(&self, channel: &Channel) -> u32 {
        self.channels.iter().find(|(name, _)| name == channel).map_or(0, |(_, deliveries)| *deliveries)
    }

    /// Number of parcels on a channel.
    #[must_use]
    pub fn parcels(&self, channel: &Channel) -> u32 {
        if self.inline {
            u32::from(self.deliveries(channel) > 0)
        } else {
            self.deliveries(channel).div_ceil(PARCEL_DELIVERIES)
        }
    }

    /// Number of deliveries in parcel `n` of a channel.
    #[must_use]
    pub fn parcel_deliveries(&self, channel: &Channel, n: u32) -> u32 {
        let deliveries = self.deliveries(channel);
        if self.inline {
            if n == 0 { deliveries } else { 0 }
        } else {
            deliveries.saturating_sub(n.saturating_mul(PARCEL_DELIVERIES)).min(PARCEL_DELIVERIES)
        }
    }
}

/// The channels of a head as enqueue takes them: length of the name, name, deliveries.
#[must_use]
pub fn encode_channels(channels: &[(Channel, u32)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (channel, deliveries) in channels {
        out.push(u8::try_from(channel.as_str().len()).unwrap_or(u8::MAX));
        out.extend_from_slice(channel.as_str().as_bytes());
        out.extend_from_slice(&deliveries.to_be_bytes());
    }
    out
}

fn decode_channels(mut bytes: &[u8]) -> Option<Vec<(Channel, u32)>> {
    let mut out = Vec::new();
    while let [length, rest @ ..] = bytes {
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let (deliveries, rest) = rest.split_first_chunk::<4>()?;
        out.push((std::str::from_utf8(name).ok()?.parse().ok()?, u32::from_be_bytes(*deliveries)));
        bytes = rest;
    }
    (!out.is_empty()).then_some(out)
}

/// Reads the counters of one channel: eleven numbers of 4 bytes.
///
/// # Errors
/// When the length is different.
pub fn decode_counters(bytes: &[u8]) -> Result<Counters, Malformed> {
    if bytes.len() != 44 {
        return Err(Malformed::new("counters"));
    }
    let mut counters = Counters::default();
    let number = |at: usize| {
        let mut four = [0; 4];
        four.copy_from_slice(&bytes[at * 4..at * 4 + 4]);
        u32::from_be_bytes(four)
    };
    for (at, state) in State::ALL.into_iter().enumerate() {
        counters[state] = number(at);
    }
    counters.no_contact = number(10);
    Ok(counters)
}
