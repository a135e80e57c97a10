//! The outcomes of a parcel: 6 bytes of counts, then 12 bytes per delivery. `lua/lib/deliveries.lua` documents the
//! layout.

use std::time::Duration;

use posthaste_model::{Counters, ProviderCode, Reason, State, UnixMs};

use crate::reply_value::Malformed;

/// Bytes before the deliveries.
pub const COUNTS: usize = 6;
/// Bytes of a delivery.
pub const DELIVERY: usize = 12;
const DELIVERY_VERSION: u8 = 1;
const REPEATED: u8 = 16;
const TOKEN: u8 = 32;

/// The record of one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryRecord {
    /// Its state.
    pub state: State,
    /// The last attempt begun; grows by one at each begin and wraps at 256. 0: never begun.
    pub attempt: u8,
    /// Tries spent, at most 15.
    pub tries: u8,
    /// Whether the one repeat after an unknown is spent.
    pub repeated: bool,
    /// The reason.
    pub reason: Reason,
    /// The provider's code, if it failed and the provider gave one.
    pub code: ProviderCode,
    /// When it last changed (for an unknown delivery: when it was begun), to the second, never before the due time.
    pub changed: UnixMs,
    /// A token, or the progress of a message in parts.
    pub token: Option<u32>,
    /// A pending delivery must not be begun before this moment.
    pub not_before: Option<UnixMs>,
}

impl DeliveryRecord {
    /// How many attempts were made. The last attempt of a suppressed delivery was begun, but ended at the suppression
    /// list: nothing was sent.
    #[must_use]
    pub fn attempts_made(&self) -> u8 {
        if self.state == State::Suppressed { self.attempt.saturating_sub(1) } else { self.attempt }
    }
}

/// The outcomes of one parcel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRecords {
    bytes: Vec<u8>,
    due: UnixMs,
}

impl DeliveryRecords {
    /// Reads a record of `deliveries` deliveries of an order due at `due`; without a record every delivery is
    /// pending.
    ///
    /// # Errors
    /// When the record has another length or version.
    pub fn decode(record: Option<&[u8]>, deliveries: u32, due: UnixMs) -> Result<Self, Malformed> {
        let deliveries = deliveries as usize;
        let bytes = match record {
            Some(bytes) => bytes.to_vec(),
            None => {
                let mut bytes = vec![0; COUNTS + deliveries * DELIVERY];
                let count = u16::try_from(deliveries).map_err(|_| Malformed::new("outcomes"))?;
                bytes[..2].copy_from_slice(&count.to_be_bytes());
                for at in 0..deliveries {
                    bytes[COUNTS + at * DELIVERY] = DELIVERY_VERSION << 4;
                }
                bytes
            }
        };
        if bytes.len() == COUNTS + deliveries * DELIVERY
            && bytes[COUNTS..].chunks(DELIVERY).any(|delivery| delivery[0] >> 4 > DELIVERY_VERSION)
        {
            return Err(Malformed::newer("outcomes"));
        }
        let sound = bytes.len() == COUNTS + deliveries * DELIVERY
            && bytes[COUNTS..]
                .chunks(DELIVERY)
                .all(|delivery| delivery[0] >> 4 == DELIVERY_VERSION && delivery[0] & 15 < 10);
        let outcomes = Self { bytes, due };
        // If the counts did not match its deliveries, a parcel would never end.
        if sound && outcomes.counts() == outcomes.open_deliveries() {
            Ok(outcomes)
        } else {
            Err(Malformed::new("outcomes"))
        }
    }

    /// Counts the pending, sending and unresolved deliveries.
    fn open_deliveries(&self) -> (u16, u16, u16) {
        let count = |state: State| {
            let deliveries =
                self.bytes[COUNTS..].chunks(DELIVERY).filter(|delivery| delivery[0] & 15 == state as u8);
            u16::try_from(deliveries.count()).unwrap_or(u16::MAX)
        };
        (count(State::Pending), count(State::Sending), count(State::Unresolved))
    }

    /// The outcomes of `deliveries` deliveries of an order that was cancelled before it was due at `due`: they have
    /// no record.
    ///
    /// # Errors
    /// When there are more deliveries than a record holds.
    pub fn all_cancelled(deliveries: u32, due: UnixMs) -> Result<Self, Malformed> {
        let mut outcomes = Self::decode(None, deliveries, due)?;
        outcomes.bytes[..COUNTS].fill(0);
        for delivery in outcomes.bytes[COUNTS..].chunks_mut(DELIVERY) {
            delivery[0] = (DELIVERY_VERSION << 4) | State::Cancelled as u8;
            delivery[3..5].copy_from_slice(&Reason::Cancelled.code().to_be_bytes());
        }
        Ok(outcomes)
    }

    /// Number of deliveries.
    #[must_use]
    pub fn len(&self) -> usize {
        (self.bytes.len() - COUNTS) / DELIVERY
    }

    /// Whether there is no delivery.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The stored counts of pending, sending and unresolved deliveries.
    #[must_use]
    pub fn counts(&self) -> (u16, u16, u16) {
        let number = |at: usize| u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]]);
        (number(0), number(2), number(4))
    }

    /// The delivery `i`, or `None` beyond the last.
    #[must_use]
    pub fn delivery(&self, i: usize) -> Option<DeliveryRecord> {
        let delivery = self.bytes.get(COUNTS + i * DELIVERY..COUNTS + (i + 1) * DELIVERY)?;
        let state = State::from_number(delivery[0] & 15)?;
        let seconds = u64::from(u32::from_be_bytes([0, delivery[5], delivery[6], delivery[7]]));
        let value = u32::from_be_bytes([delivery[8], delivery[9], delivery[10], delivery[11]]);
        let token = delivery[2] & TOKEN != 0;
        let changed = self.due.after(Duration::from_secs(seconds));
        let not_before = match state {
            State::Pending if token => Some(changed),
            State::Pending if value > 0 => Some(UnixMs(self.due.0 + u64::from(value) * 10)),
            _ => None,
        };
        let code = if state == State::Failed && !token { value } else { 0 };
        Some(DeliveryRecord {
            state,
            attempt: delivery[1],
            tries: delivery[2] & 15,
            repeated: delivery[2] & REPEATED != 0,
            reason: Reason::from_code(u16::from_be_bytes([delivery[3], delivery[4]])),
            code: ProviderCode::from_packed(code),
            changed,
            token: token.then_some(value),
            not_before,
        })
    }

    /// All deliveries in order.
    pub fn deliveries(&self) -> impl Iterator<Item = DeliveryRecord> + '_ {
        (0..self.len()).filter_map(|i| self.delivery(i))
    }

    /// Number of deliveries by state.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for delivery in self.deliveries() {
            counters[delivery.state] += 1;
        }
        counters
    }
}
