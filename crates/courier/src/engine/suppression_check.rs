//! Suppressions: looked up once for all deliveries of a claim or a load, and stored when a provider reports them.

use std::collections::BTreeMap;
use std::time::Duration;

use posthaste_model::{Address, Channel, Reason};
use posthaste_store::{CallError, ClaimReply, ClaimedParcel, Store, Suppress, SuppressionSource};
use tokio::time::sleep;

use crate::metrics::Meter;
use crate::store_feedback::of_attempt;
use crate::transport::{Envelope, Outcome};

/// Deliveries of a parcel whose address is suppressed, with the reason.
pub(super) type SuppressedDeliveries = BTreeMap<u16, Reason>;

/// How often a failed call is tried, and the wait in between.
const TRIES: usize = 3;
const REST: Duration = Duration::from_millis(100);

/// Looks up all these deliveries (sender and address) in one call.
pub(super) async fn look_up(
    store: &Store,
    channel: &Channel,
    requested: &[(&str, &Address)],
) -> Result<Vec<Option<Reason>>, CallError> {
    let mut tries = 1;
    loop {
        match store.suppressed(channel, requested).await {
            Err(error) if tries < TRIES && !matches!(error, CallError::Fatal(_)) => {
                tracing::debug!(%error, "suppression lookup failed; retrying");
                sleep(REST).await;
                tries += 1;
            }
            ended => return ended,
        }
    }
}

/// Looks up the inline deliveries of a claim, parcel by parcel; the others are looked up when they are loaded.
pub(super) async fn of_claim(
    store: &Store,
    channel: &Channel,
    reply: &ClaimReply,
) -> Result<Vec<SuppressedDeliveries>, CallError> {
    let ClaimReply::Claimed(taken) = reply else { return Ok(Vec::new()) };
    let requested: Vec<_> = taken.parcels.iter().flat_map(deliveries).collect();
    let mut found = look_up(store, channel, &requested).await?.into_iter();
    Ok(taken
        .parcels
        .iter()
        .map(|parcel| of_deliveries(found.by_ref().take(deliveries(parcel).count())))
        .collect())
}

fn deliveries(parcel: &ClaimedParcel) -> impl Iterator<Item = (&str, &Address)> {
    let inline = parcel.inline.iter().flat_map(|inline| &inline.deliveries);
    inline.map(|delivery| (parcel.parcel_id.order_id.sender(), &delivery.address))
}

/// The suppressed deliveries of one parcel; `found` is in the order of its deliveries.
pub(super) fn of_deliveries(found: impl Iterator<Item = Option<Reason>>) -> SuppressedDeliveries {
    let numbered = (0..=u16::MAX).zip(found);
    numbered.filter_map(|(delivery, found)| found.map(|reason| (delivery, reason))).collect()
}

/// Stores the suppressions reported by a provider before the outcomes are settled. If that fails, the provider will
/// report them again at the next send.
pub(super) async fn tell(
    store: &Store,
    channel: &Channel,
    meter: &Meter,
    envelopes: &[Envelope],
    outcomes: &[Outcome],
) {
    let reported: Vec<Suppress> = envelopes
        .iter()
        .zip(outcomes)
        .filter_map(|(envelope, outcome)| {
            let (reason, after) = match outcome {
                Outcome::HardRefusal(why) => (why.reason, 1),
                Outcome::Strike { reason: why, of } => (why.reason, *of),
                _ => return None,
            };
            let address = envelope.to.address.clone();
            let notice = of_attempt(&envelope.id(), reason);
            Some(Suppress {
                sender: None,
                address,
                reason,
                source: SuppressionSource::Provider,
                after,
                notice,
            })
        })
        .collect();
    if reported.is_empty() {
        return;
    }
    for _ in 0..TRIES {
        match store.suppress(channel, &reported).await {
            Ok(_) => return meter.suppressed(reported.len() as u64),
            Err(error) => tracing::warn!(
                event = "suppression.not_stored",
                %channel,
                %error,
                "cannot store suppressions; retrying"
            ),
        }
        sleep(REST).await;
    }
    meter.alert("suppression_unavailable");
}
