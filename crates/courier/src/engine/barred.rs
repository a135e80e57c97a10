//! Who must not be sent anything: asked once for all rows a claim or a fetch brought, and told when a provider says so.

use std::collections::BTreeMap;
use std::time::Duration;

use posthaste_model::{Address, Channel, Reason};
use posthaste_store::{CallError, ClaimReply, Claimed, Source, Store, Suppress};
use tokio::time::sleep;

use crate::metrics::Meter;
use crate::office::of_attempt;
use crate::transport::{Envelope, Outcome};

/// Rows of a parcel whose address is on a list, and why.
pub(super) type Barred = BTreeMap<u16, Reason>;

/// Calls that got no answer are made again so often, and so much later.
const TRIES: usize = 3;
const REST: Duration = Duration::from_millis(100);

/// One question for all these rows: the sender of each, and where it goes.
pub(super) async fn look_up(
    store: &Store,
    channel: &Channel,
    asked: &[(&str, &Address)],
) -> Result<Vec<Option<Reason>>, CallError> {
    let mut tries = 1;
    loop {
        match store.suppressed(channel, asked).await {
            Err(error) if tries < TRIES && !matches!(error, CallError::Stop(_)) => {
                tracing::debug!(%error, "the suppression list could not be asked");
                sleep(REST).await;
                tries += 1;
            }
            ended => return ended,
        }
    }
}

/// The rows a claim brought, parcel by parcel; rows that are fetched later are looked up then.
pub(super) async fn of_claim(
    store: &Store,
    channel: &Channel,
    reply: &ClaimReply,
) -> Result<Vec<Barred>, CallError> {
    let ClaimReply::Taken(taken) = reply else { return Ok(Vec::new()) };
    let asked: Vec<_> = taken.parcels.iter().flat_map(rows).collect();
    let mut found = look_up(store, channel, &asked).await?.into_iter();
    Ok(taken.parcels.iter().map(|parcel| of_rows(found.by_ref().take(rows(parcel).count()))).collect())
}

fn rows(parcel: &Claimed) -> impl Iterator<Item = (&str, &Address)> {
    let inline = parcel.inline.iter().flat_map(|inline| &inline.rows);
    inline.map(|row| (parcel.member.suffix.sender(), &row.address))
}

/// What was found of the rows of one parcel, in their order.
pub(super) fn of_rows(found: impl Iterator<Item = Option<Reason>>) -> Barred {
    let numbered = (0..=u16::MAX).zip(found);
    numbered.filter_map(|(row, found)| found.map(|reason| (row, reason))).collect()
}

/// Puts on the list whom a provider wants left alone, before that is told in the history. Should it not succeed, the provider
/// will say it again.
pub(super) async fn tell(
    store: &Store,
    channel: &Channel,
    meter: &Meter,
    envelopes: &[Envelope],
    outcomes: &[Outcome],
) {
    let told: Vec<Suppress> = envelopes
        .iter()
        .zip(outcomes)
        .filter_map(|(envelope, outcome)| {
            let (reason, after) = match outcome {
                Outcome::Suppress(reason) => (*reason, 1),
                Outcome::Strike { reason, of } => (*reason, *of),
                _ => return None,
            };
            let address = envelope.to.address.clone();
            let notice = of_attempt(&envelope.id(), reason);
            Some(Suppress { sender: None, address, reason, source: Source::Provider, after, notice })
        })
        .collect();
    if told.is_empty() {
        return;
    }
    for _ in 0..TRIES {
        match store.suppress(channel, &told).await {
            Ok(_) => return meter.add("posthaste_suppressions_total", told.len() as u64),
            Err(error) => tracing::warn!(%channel, %error, "suppressions could not be stored"),
        }
        sleep(REST).await;
    }
    meter.alarm("suppression");
}
