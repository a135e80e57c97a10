//! The one checker of all scenarios. It joins three sources: the accepted orders, the histories in the server, and the
//! records of the transports, and names every fault it finds.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt, stream};
use posthaste_model::{Channel, Counters, OnUnknown, ParcelId, Reason, State};
use posthaste_store::{AcceptedOrder, DeliveryRecord, DeliveryRecords, OrderRecord};

use crate::left;
use crate::record::{DeliveryName, Record, Sighting};
use crate::scene::{AT_ONCE, Scene};

/// The result of the check.
#[derive(Debug, Default)]
pub struct Balance {
    /// Deliveries by state, over all orders and channels.
    pub deliveries: BTreeMap<&'static str, u64>,
    /// Reasons of deliveries that were not sent.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Deliveries the provider took more than once: allowed only after an unknown send that was repeated.
    pub duplicates: u64,
    /// Deliveries whose one repeat was used.
    pub repeated: u64,
    /// Tries used, over all deliveries.
    pub tries: u64,
    /// How long after its due time the latest delivery first left, in ms.
    pub latest_ms: u64,
    /// Everything that must not happen.
    pub faults: Vec<String>,
}

impl Balance {
    /// Deliveries in a state.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        self.deliveries.get(state.word()).copied().unwrap_or(0)
    }

    /// Deliveries in all states.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.deliveries.values().sum()
    }

    /// All deliveries were sent, each once and without doubt.
    ///
    /// # Errors
    /// Describes any deviation.
    pub fn all_sent_once(&self) -> anyhow::Result<()> {
        self.all_sent_once_but(0)
    }

    /// All deliveries were sent, each once and without doubt, except this many that were cancelled.
    ///
    /// # Errors
    /// Describes any deviation.
    pub fn all_sent_once_but(&self, cancelled: u64) -> anyhow::Result<()> {
        let reported = (self.count(State::Sent), self.count(State::Cancelled));
        let clean =
            reported == (self.all() - cancelled, cancelled) && self.duplicates == 0 && self.repeated == 0;
        anyhow::ensure!(clean, "not all deliveries were sent once: {self:#?}");
        Ok(())
    }
}

/// Whether every accepted order has ended; `Err` says which one has not.
///
/// # Errors
/// A text for people.
pub async fn all_ended(scene: &Scene) -> Result<(), String> {
    loop {
        let from = scene.ended.load(Ordering::SeqCst);
        let some = &scene.accepted[from..scene.accepted.len().min(from + 4 * AT_ONCE)];
        if some.is_empty() {
            return Ok(());
        }
        let mut looks = stream::iter(some).map(|accepted| Box::pin(ended(scene, accepted))).buffered(AT_ONCE);
        while let Some(look) = looks.next().await {
            look.map_err(|open| open + &scene.indexes())?;
            scene.ended.fetch_add(1, Ordering::SeqCst);
        }
    }
}

async fn ended(scene: &Scene, accepted: &AcceptedOrder) -> Result<(), String> {
    let p = scene.store.partition_of(&accepted.order_id);
    match scene.store.load_order(p, &accepted.order_id).await {
        Ok(Some(order)) if order.finished.is_some() => Ok(()),
        Ok(Some(order)) => Err(format!("{} is open: {:?}", accepted.order_id, order.counters)),
        Ok(None) => Err(format!("{} has no history", accepted.order_id)),
        Err(error) => Err(error.to_string()),
    }
}

/// Joins the sources. Every order must have ended.
///
/// # Errors
/// When a history can't be read.
pub async fn check(scene: &Scene, record: &Record) -> anyhow::Result<Balance> {
    let mut balance = Balance::default();
    let all = &scene.accepted;
    let read = |accepted| Box::pin(read(scene, accepted));
    let orders: Vec<_> = stream::iter(all).map(read).buffered(AT_ONCE).try_collect().await?;
    for (accepted, found) in all.iter().zip(orders) {
        match found {
            Some((order, outcomes)) => check_order(accepted, &order, &outcomes, record, &mut balance),
            None => balance.faults.push(format!("{}: no history", accepted.order_id)),
        }
    }
    left::check(scene, &mut balance.faults)?;
    for name in record.leaving.keys() {
        if !all.iter().any(|accepted| accepted.order_id.as_str() == name.order_id) {
            balance.faults.push(format!("{} was sent and never accepted", name.order_id));
        }
    }
    Ok(balance)
}

/// Outcomes of an order, by channel and parcel.
type Parcels = Vec<(Channel, u32, DeliveryRecords)>;

async fn read(scene: &Scene, accepted: &AcceptedOrder) -> anyhow::Result<Option<(OrderRecord, Parcels)>> {
    let p = scene.store.partition_of(&accepted.order_id);
    let Some(order) = scene.store.load_order(p, &accepted.order_id).await? else { return Ok(None) };
    let mut parcels = Vec::new();
    for channel in accepted.channels.iter().map(|channel| &channel.channel) {
        for number in 0..order.head.parcels(channel) {
            let parcel_id = ParcelId { order_id: accepted.order_id.clone(), number };
            let outcomes = match &order.inline {
                Some((_, outcomes)) => outcomes.clone(),
                None => {
                    scene
                        .store
                        .load_outcomes(p, channel, &parcel_id, &order.head, order.ended_before_due())
                        .await?
                }
            };
            parcels.push((channel.clone(), number, outcomes));
        }
    }
    Ok(Some((order, parcels)))
}

fn check_order(
    accepted: &AcceptedOrder,
    order: &OrderRecord,
    parcels: &Parcels,
    record: &Record,
    balance: &mut Balance,
) {
    let order_id = accepted.order_id.to_string();
    if order.finished.is_none() {
        balance.faults.push(format!("{order_id} has not ended"));
    }
    for reported in &accepted.channels {
        let mut counted = Counters::default();
        for (channel, parcel, outcomes) in parcels.iter().filter(|(channel, ..)| *channel == reported.channel)
        {
            let mut deliveries = Counters::default();
            for (delivery, at) in outcomes.deliveries().zip(0..) {
                deliveries[delivery.state] += 1;
                let channel = channel.to_string();
                let name =
                    DeliveryName { order_id: order_id.clone(), channel, parcel: *parcel, delivery: at };
                check_delivery(&name, &delivery, order, record, balance);
            }
            let open: u32 =
                State::ALL.iter().filter(|state| state.is_open()).map(|state| deliveries[*state]).sum();
            let (pending, sending, unresolved) = outcomes.counts();
            if u32::from(pending) + u32::from(sending) + u32::from(unresolved) != open {
                balance.faults.push(format!("{order_id} {channel} {parcel}: counts of the parcel are wrong"));
            }
            State::ALL.iter().for_each(|state| counted[*state] += deliveries[*state]);
        }
        let shown = order.counters.iter().find(|(name, _)| *name == reported.channel).map(|(_, c)| *c);
        if shown.is_none_or(|shown| State::ALL.iter().any(|state| shown[*state] != counted[*state])) {
            balance
                .faults
                .push(format!("{order_id} {}: counters {shown:?}, deliveries {counted:?}", reported.channel));
        }
        if counted.accepted() != u64::from(reported.deliveries) {
            balance.faults.push(format!(
                "{order_id}: {} deliveries of {}",
                counted.accepted(),
                reported.deliveries
            ));
        }
    }
}

fn check_delivery(
    name: &DeliveryName,
    delivery: &DeliveryRecord,
    order: &OrderRecord,
    record: &Record,
    balance: &mut Balance,
) {
    let taken = record.times_taken(name);
    let left = record.leaving.get(name).map_or(&[][..], Vec::as_slice);
    *balance.deliveries.entry(delivery.state.word()).or_default() += 1;
    balance.duplicates += u64::from(taken > 1);
    balance.repeated += u64::from(delivery.repeated);
    balance.tries += u64::from(delivery.tries);
    if let Some(first) = left.first() {
        let late = (first.at_us / 1_000).saturating_sub(order.head.due.0);
        balance.latest_ms = balance.latest_ms.max(late);
    }
    if !matches!(delivery.state, State::Sent | State::Delivered) {
        *balance.reasons.entry(delivery.reason.word()).or_default() += 1;
    }

    let mut fault =
        |what: String| balance.faults.push(format!("{name:?}: {what}; delivery {delivery:?}; left {left:?}"));
    match delivery.state {
        state if state.is_open() => fault("is open".to_owned()),
        State::Sent | State::Delivered if taken == 0 => {
            fault("is shown as sent and was never taken".to_owned());
        }
        State::Failed | State::Expired | State::Cancelled | State::Suppressed if taken > 0 => {
            fault(format!("is shown as {} and was taken {taken} times", delivery.state.word()));
        }
        State::Expired | State::Cancelled if !left.is_empty() => {
            fault(format!("is shown as {} and left", delivery.state.word()));
        }
        // Unknown is a valid end only when nothing more may be done about it.
        State::Unknown
            if order.head.on_unknown == OnUnknown::Retry
                && !delivery.repeated
                && delivery.reason != Reason::RetriesExhausted =>
        {
            fault("was held, but its order asks for a repeat".to_owned());
        }
        _ => {}
    }
    if delivery.repeated && order.head.on_unknown == OnUnknown::Hold {
        fault("was repeated, but its order asks to hold".to_owned());
    }
    if let Some(first) = left.first()
        && first.at_us < order.head.due.0 * 1_000
    {
        fault(format!("left {} µs early", order.head.due.0 * 1_000 - first.at_us));
    }
    check_attempts(delivery, left, taken, &mut fault);
}

fn check_attempts(
    delivery: &DeliveryRecord,
    left: &[Sighting],
    taken: usize,
    fault: &mut impl FnMut(String),
) {
    // What leaves under an older attempt than the last one leaves under an expired lease.
    if left.windows(2).any(|two| two[0].attempt >= two[1].attempt) {
        fault("left again under an attempt that was over".to_owned());
    }
    if left.iter().any(|sighting| sighting.attempt > delivery.attempt) {
        fault("left under an attempt that was never begun".to_owned());
    }
    // A second copy may only follow an unknown that was repeated, and only once.
    if taken > 1 + usize::from(delivery.repeated) {
        fault(format!("was taken {taken} times outside the window"));
    }
}
