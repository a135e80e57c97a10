//! The one checker of all scenarios. It joins three books: the orders accepted, the history in the server, and what the
//! transports wrote down, and names every fault it finds.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use futures::{StreamExt, TryStreamExt, stream};
use posthaste_model::{Channel, Counters, Member, OnUnknown, Reason, State};
use posthaste_store::{Accepted, OrderView, Outcomes, RowOutcome};

use crate::left;
use crate::record::{Record, RowName, Sighting};
use crate::scene::{AT_ONCE, Scene};

/// What the books say.
#[derive(Debug, Default)]
pub struct Balance {
    /// Rows by state, over all orders and channels.
    pub rows: BTreeMap<&'static str, u64>,
    /// Why rows that were not sent ended so.
    pub reasons: BTreeMap<&'static str, u64>,
    /// Rows the provider took more than once: only after a send of unknown outcome that was repeated.
    pub duplicates: u64,
    /// Rows whose one repeat was spent.
    pub repeated: u64,
    /// Tries spent, over all rows.
    pub tries: u64,
    /// How long after its due time the latest row left first, in ms.
    pub latest_ms: u64,
    /// Everything that must not be.
    pub faults: Vec<String>,
}

impl Balance {
    /// Rows in a state.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        self.rows.get(state.word()).copied().unwrap_or(0)
    }

    /// Rows in all states.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.rows.values().sum()
    }

    /// All rows were sent, each once and without a doubt.
    ///
    /// # Errors
    /// Says what is otherwise.
    pub fn all_sent_once(&self) -> anyhow::Result<()> {
        self.all_sent_once_but(0)
    }

    /// All rows were sent, each once and without a doubt, but so many that were cancelled.
    ///
    /// # Errors
    /// Says what is otherwise.
    pub fn all_sent_once_but(&self, cancelled: u64) -> anyhow::Result<()> {
        let told = (self.count(State::Sent), self.count(State::Cancelled));
        let clean = told == (self.all() - cancelled, cancelled) && self.duplicates == 0 && self.repeated == 0;
        anyhow::ensure!(clean, "not all rows were sent once: {self:#?}");
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

async fn ended(scene: &Scene, accepted: &Accepted) -> Result<(), String> {
    let p = scene.store.partition_of(&accepted.suffix);
    match scene.store.load_order(p, &accepted.suffix).await {
        Ok(Some(order)) if order.finished.is_some() => Ok(()),
        Ok(Some(order)) => Err(format!("{} is open: {:?}", accepted.suffix, order.counters)),
        Ok(None) => Err(format!("{} has no history", accepted.suffix)),
        Err(error) => Err(error.to_string()),
    }
}

/// Joins the books. Every order must have ended.
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
            None => balance.faults.push(format!("{}: no history", accepted.suffix)),
        }
    }
    left::check(scene, &mut balance.faults)?;
    for name in record.leaving.keys() {
        if !all.iter().any(|accepted| accepted.suffix.as_str() == name.suffix) {
            balance.faults.push(format!("{} was sent and never accepted", name.suffix));
        }
    }
    Ok(balance)
}

/// Outcomes of an order, by channel and parcel.
type Parcels = Vec<(Channel, u32, Outcomes)>;

async fn read(scene: &Scene, accepted: &Accepted) -> anyhow::Result<Option<(OrderView, Parcels)>> {
    let p = scene.store.partition_of(&accepted.suffix);
    let Some(order) = scene.store.load_order(p, &accepted.suffix).await? else { return Ok(None) };
    let mut parcels = Vec::new();
    for channel in accepted.channels.iter().map(|channel| &channel.channel) {
        for number in 0..order.head.parcels(channel) {
            let member = Member { suffix: accepted.suffix.clone(), number };
            let outcomes = match &order.inline {
                Some((_, outcomes)) => outcomes.clone(),
                None => {
                    scene.store.load_outcomes(p, channel, &member, &order.head, order.ended_unrung()).await?
                }
            };
            parcels.push((channel.clone(), number, outcomes));
        }
    }
    Ok(Some((order, parcels)))
}

fn check_order(
    accepted: &Accepted,
    order: &OrderView,
    parcels: &Parcels,
    record: &Record,
    balance: &mut Balance,
) {
    let suffix = accepted.suffix.to_string();
    if order.finished.is_none() {
        balance.faults.push(format!("{suffix} has not ended"));
    }
    for told in &accepted.channels {
        let mut counted = Counters::default();
        for (channel, parcel, outcomes) in parcels.iter().filter(|(channel, ..)| *channel == told.channel) {
            let mut rows = Counters::default();
            for (row, at) in outcomes.rows().zip(0..) {
                rows[row.state] += 1;
                let channel = channel.to_string();
                let name = RowName { suffix: suffix.clone(), channel, parcel: *parcel, row: at };
                check_row(&name, &row, order, record, balance);
            }
            let open: u32 = State::ALL.iter().filter(|state| state.is_open()).map(|state| rows[*state]).sum();
            let (pending, sending, unresolved) = outcomes.counts();
            if u32::from(pending) + u32::from(sending) + u32::from(unresolved) != open {
                balance.faults.push(format!("{suffix} {channel} {parcel}: counts of the parcel are off"));
            }
            State::ALL.iter().for_each(|state| counted[*state] += rows[*state]);
        }
        let shown = order.counters.iter().find(|(name, _)| *name == told.channel).map(|(_, c)| *c);
        if shown.is_none_or(|shown| State::ALL.iter().any(|state| shown[*state] != counted[*state])) {
            balance.faults.push(format!("{suffix} {}: counters {shown:?}, rows {counted:?}", told.channel));
        }
        if counted.accepted() != u64::from(told.rows) {
            balance.faults.push(format!("{suffix}: {} rows of {}", counted.accepted(), told.rows));
        }
    }
}

fn check_row(name: &RowName, row: &RowOutcome, order: &OrderView, record: &Record, balance: &mut Balance) {
    let taken = record.times_taken(name);
    let left = record.leaving.get(name).map_or(&[][..], Vec::as_slice);
    *balance.rows.entry(row.state.word()).or_default() += 1;
    balance.duplicates += u64::from(taken > 1);
    balance.repeated += u64::from(row.repeated);
    balance.tries += u64::from(row.tries);
    if let Some(first) = left.first() {
        let late = (first.at_us / 1_000).saturating_sub(order.head.due.0);
        balance.latest_ms = balance.latest_ms.max(late);
    }
    if !matches!(row.state, State::Sent | State::Delivered) {
        *balance.reasons.entry(row.reason.word()).or_default() += 1;
    }

    let mut fault =
        |what: String| balance.faults.push(format!("{name:?}: {what}; row {row:?}; left {left:?}"));
    match row.state {
        state if state.is_open() => fault("is open".to_owned()),
        State::Sent | State::Delivered if taken == 0 => {
            fault("is told as sent and was never taken".to_owned());
        }
        State::Failed | State::Expired | State::Cancelled | State::Suppressed if taken > 0 => {
            fault(format!("is told as {} and was taken {taken} times", row.state.word()));
        }
        State::Expired | State::Cancelled if !left.is_empty() => {
            fault(format!("is told as {} and left", row.state.word()));
        }
        // Unknown is told only when nothing more may be done about it.
        State::Unknown
            if order.head.on_unknown == OnUnknown::Retry
                && !row.repeated
                && row.reason != Reason::TriesSpent =>
        {
            fault("was held, and its order asks for a repeat".to_owned());
        }
        _ => {}
    }
    if row.repeated && order.head.on_unknown == OnUnknown::Hold {
        fault("was repeated, and its order asks to hold".to_owned());
    }
    if let Some(first) = left.first()
        && first.at_us < order.head.due.0 * 1_000
    {
        fault(format!("left {} µs early", order.head.due.0 * 1_000 - first.at_us));
    }
    check_attempts(row, left, taken, &mut fault);
}

fn check_attempts(row: &RowOutcome, left: &[Sighting], taken: usize, fault: &mut impl FnMut(String)) {
    // What leaves under an older attempt than the last one leaves under a lease that is gone.
    if left.windows(2).any(|two| two[0].attempt >= two[1].attempt) {
        fault("left again under an attempt that was over".to_owned());
    }
    if left.iter().any(|sighting| sighting.attempt > row.attempt) {
        fault("left under an attempt that was never begun".to_owned());
    }
    // A second copy may only follow an unknown that was repeated, and only once.
    if taken > 1 + usize::from(row.repeated) {
        fault(format!("was taken {taken} times outside the window"));
    }
}
