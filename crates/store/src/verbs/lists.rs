//! Small queries: channels, the server's clock, days to purge; and ringing the partition's own bell.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use posthaste_model::{Channel, OrderId, UnixMs};
use posthaste_protocol::{Malformed, ReplyFields, ReplyValue};

use super::order_summary::head;
use crate::command::{self, text};
use crate::error::{CallError, InvalidReply};
use crate::store::Store;

const DAY_MS: u64 = 86_400_000;
/// Most days checked by one call of [`Store::days_to_retire`].
const DAYS_AT_ONCE: u64 = 1_000;

/// Counts and logs a foreign entry in an index, which is skipped.
pub(super) fn passed_over(partition: u16, index: &'static str, what: &'static str) {
    metrics::counter!("posthaste_redis_entries_skipped_total", "index" => index).increment(1);
    tracing::warn!(
        event = "index.entry_skipped",
        partition,
        index,
        why = what,
        "skipped what an index cannot hold"
    );
}

fn fault(malformed: Malformed) -> CallError {
    CallError::InvalidReply(InvalidReply::Malformed(malformed))
}

impl Store {
    /// The channels that orders or couriers named, and when a courier was last seen; 0 means never.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn channels(&self, p: u16) -> Result<Vec<(Channel, UnixMs)>, CallError> {
        Ok(self.channel_records(p).await?.0)
    }

    /// For each channel whose courier has reported it: whether delivery receipts arrive after the provider has taken
    /// a message (delivered, or returned). Where none arrive, `sent` is the last known state. The latest report of a
    /// courier counts.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn receipts(&self) -> Result<BTreeMap<Channel, bool>, CallError> {
        // Couriers report it to every partition.
        Ok(self.channel_records(self.first_there()).await?.1)
    }

    /// Channels by name with the time a courier was last seen, and what couriers reported about receipts.
    async fn channel_records(
        &self,
        p: u16,
    ) -> Result<(Vec<(Channel, UnixMs)>, BTreeMap<Channel, bool>), CallError> {
        let at = self.0.partition(p)?;
        let reader = self.0.reader().await?;
        let flat = reader.ask("HGETALL", vec![text(at.keys.channels())], at.slot).await;
        let flat = match flat.map_err(CallError::of_record) {
            Err(error) if error.unreadable().is_some() => {
                passed_over(
                    p,
                    "channels",
                    "the list of channels has another Redis type; it is treated as empty",
                );
                ReplyValue::Nil
            }
            flat => flat?,
        };
        let mut flat = flat.array("channels").map_err(fault)?.into_iter();
        let (mut channels, mut receipts) = (Vec::new(), BTreeMap::new());
        while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
            let name = name.text("channel").unwrap_or_default();
            let (channel, what) = name.split_once(':').unwrap_or((&name, ""));
            let Ok(channel) = channel.parse::<Channel>() else {
                passed_over(
                    p,
                    "channels",
                    "an entry in the list of channels is not a channel name; it is skipped",
                );
                continue;
            };
            match what {
                "" => channels.push((channel, UnixMs(value.u64("seen").unwrap_or(0)))),
                "receipts" => {
                    if let Ok(said) = value.u64("receipts") {
                        receipts.insert(channel, said == 1);
                    }
                }
                // A field of a newer program.
                _ => {}
            }
        }
        channels.sort();
        Ok((channels, receipts))
    }

    /// The server's clock; in a cluster, the clock of a server that can be reached.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn server_time(&self) -> Result<UnixMs, CallError> {
        self.time_of(self.first_there()).await
    }

    /// The first partition that can be reached.
    fn first_there(&self) -> u16 {
        (0..self.partitions()).find(|p| self.can_ask(*p)).unwrap_or(0)
    }

    /// The clock of a partition's server.
    pub(crate) async fn time_of(&self, p: u16) -> Result<UnixMs, CallError> {
        let slot = self.0.partition(p)?.slot;
        let reply = self.0.reader().await?.ask("TIME", Vec::new(), slot).await?;
        let mut fields = ReplyFields::new(reply.array("time").map_err(fault)?);
        let (seconds, micros) = (fields.u64("time").map_err(fault)?, fields.u64("time").map_err(fault)?);
        Ok(UnixMs(seconds.saturating_mul(1_000) + micros / 1_000))
    }

    /// Days (since 1970, oldest first) whose finished orders may be removed, given the retention. Checks from the day
    /// of the oldest order on, 1,000 days at most.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn days_to_retire(&self, p: u16, retention_days: u32) -> Result<Vec<u64>, CallError> {
        let now = self.time_of(p).await?;
        let at = self.0.partition(p)?;
        let reader = &self.0.reader().await?;
        let oldest = reader.ask("LRANGE", vec![text(at.keys.orders()), 0.into(), 9.into()], at.slot).await?;
        let oldest = oldest.array("oldest orders").map_err(fault)?;
        if oldest.is_empty() {
            return Ok(Vec::new());
        }
        // Lists are in order of acceptance; the first orders may already be gone.
        let mut first = (now.0 / DAY_MS).saturating_sub(u64::from(retention_days) + DAYS_AT_ONCE);
        for order_id in oldest {
            // Foreign names and unreadable records give no date: try the next entry.
            let Some(order_id) = order_id.text("order id").ok().and_then(|name| name.parse::<OrderId>().ok())
            else {
                continue;
            };
            match head(reader, at, &order_id).await {
                Ok(Some(head)) => {
                    first = first.max(head.accepted.0 / DAY_MS);
                    break;
                }
                Ok(None) => {}
                Err(error) if error.unreadable().is_some() => {}
                Err(error) => return Err(error),
            }
        }
        // The day and the retention after it must be over, as `purge_orders` counts.
        let end = (now.0 / DAY_MS).saturating_sub(u64::from(retention_days)).min(first + DAYS_AT_ONCE);
        let days: Vec<u64> = (first..end).collect();
        let requested =
            days.iter().map(|day| reader.ask("EXISTS", vec![text(at.keys.retire(*day))], at.slot));
        let there = try_join_all(requested).await?;
        Ok(days
            .into_iter()
            .zip(there)
            .filter(|(_, there)| matches!(there, ReplyValue::Int(1)))
            .map(|(day, _)| day)
            .collect())
    }

    /// Rings the bell of a partition: all listeners hear it, including this process. It has no effect on any order.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn ring_own_bell(&self, p: u16) -> Result<(), CallError> {
        let at = self.0.partition(p)?;
        self.0.guard.check()?;
        // One connection, so that the four commands arrive in order.
        let worker = self.0.worker_at(at.slot).await?;
        let key = at.keys.bell();
        // As in the scripts: Redis announces the first pair, Valkey the second; each announces exactly one. The four
        // are written one after another on one connection.
        let set_past = vec![text(key.clone()), 0.into(), "PXAT".into(), 1.into()];
        let commands = [
            ("SET", set_past),
            ("EXISTS", vec![text(key.clone())]),
            ("SET", vec![text(key.clone()), 0.into()]),
            ("PEXPIREAT", vec![text(key), 1.into()]),
        ];
        try_join_all(commands.into_iter().map(|(name, args)| command::ask(&worker.client, name, args)))
            .await
            .map(drop)
    }
}
