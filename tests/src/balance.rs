//! The one checker of all scenarios. It joins three books: the orders accepted, the history in the server, and what the
//! transports wrote down, and names every fault it finds.

use std::collections::BTreeMap;

use posthaste_model::{Channel, Counters, Lane, Member, State, UnixMs};
use posthaste_store::{Accepted, OrderView, Outcomes, RowOutcome};

use crate::record::Record;
use crate::scene::Scene;

/// What the books say.
#[derive(Debug, Default)]
pub struct Balance {
    /// Rows by state, over all orders and channels.
    pub rows: BTreeMap<&'static str, u64>,
    /// Rows the provider took more than once: only after a send of unknown outcome that was repeated.
    pub duplicates: u64,
    /// Rows whose one repeat was spent.
    pub repeated: u64,
    /// Everything that must not be.
    pub faults: Vec<String>,
}

impl Balance {
    /// Rows in a state.
    #[must_use]
    pub fn count(&self, state: State) -> u64 {
        self.rows.get(state.word()).copied().unwrap_or(0)
    }
}

/// Whether every accepted order has ended; `Err` says which one has not.
///
/// # Errors
/// A text for people.
pub async fn all_ended(scene: &Scene) -> Result<(), String> {
    for accepted in &scene.accepted {
        let p = scene.store.partition_of(&accepted.suffix);
        match scene.store.load_order(p, &accepted.suffix).await {
            Ok(Some(order)) if order.finished.is_some() => {}
            Ok(Some(order)) => return Err(format!("{} is open: {:?}", accepted.suffix, order.counters)),
            Ok(None) => return Err(format!("{} has no history", accepted.suffix)),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// Joins the books. Every order must have ended.
///
/// # Errors
/// When a history can't be read.
pub async fn check(scene: &Scene, record: &Record) -> anyhow::Result<Balance> {
    let mut balance = Balance::default();
    for accepted in &scene.accepted {
        let p = scene.store.partition_of(&accepted.suffix);
        let Some(order) = scene.store.load_order(p, &accepted.suffix).await? else {
            balance.faults.push(format!("{}: no history", accepted.suffix));
            continue;
        };
        for channel in &accepted.channels {
            let counted =
                check_channel(scene, p, accepted, &order, &channel.channel, record, &mut balance).await?;
            let told = order.counters.iter().find(|(name, _)| *name == channel.channel).map(|(_, c)| *c);
            if told.is_none_or(|told| !same_rows(&told, &counted)) {
                balance.faults.push(format!(
                    "{} {}: counters {told:?}, rows {counted:?}",
                    accepted.suffix, channel.channel
                ));
            }
            if counted.accepted() != u64::from(channel.rows) {
                balance.faults.push(format!(
                    "{}: {} rows of {}",
                    accepted.suffix,
                    counted.accepted(),
                    channel.rows
                ));
            }
        }
    }
    check_indexes(scene, &mut balance)?;
    check_strangers(scene, record, &mut balance);
    Ok(balance)
}

fn same_rows(a: &Counters, b: &Counters) -> bool {
    State::ALL.iter().all(|state| a[*state] == b[*state])
}

async fn check_channel(
    scene: &Scene,
    p: u16,
    accepted: &Accepted,
    order: &OrderView,
    channel: &Channel,
    record: &Record,
    balance: &mut Balance,
) -> anyhow::Result<Counters> {
    let mut counted = Counters::default();
    for number in 0..order.head.parcels(channel) {
        let member = Member { suffix: accepted.suffix.clone(), number };
        let outcomes: Outcomes = match &order.inline {
            Some((_, outcomes)) => outcomes.clone(),
            None => scene.store.load_outcomes(p, channel, &member, &order.head, order.ended_unrung()).await?,
        };
        for (at, row) in outcomes.rows().enumerate() {
            counted[row.state] += 1;
            *balance.rows.entry(row.state.word()).or_default() += 1;
            let name = (accepted.suffix.to_string(), number, u16::try_from(at)?);
            if channel.as_str() == record_channel(accepted) {
                check_row(&name, &row, order.head.due, record, balance);
            }
        }
    }
    Ok(counted)
}

/// Records name rows without their channel, so only orders of one channel are joined row by row.
fn record_channel(accepted: &Accepted) -> &str {
    match accepted.channels.as_slice() {
        [one] => one.channel.as_str(),
        _ => "",
    }
}

fn check_row(
    name: &(String, u32, u16),
    row: &RowOutcome,
    due: UnixMs,
    record: &Record,
    balance: &mut Balance,
) {
    let taken = record.times_taken(name);
    let left = record.leaving.get(name).map_or(&[][..], Vec::as_slice);
    let mut fault = |what: String| balance.faults.push(format!("{name:?}: {what}; row {row:?}"));
    if row.state.is_open() {
        fault("is open".to_owned());
    }
    let arrived = matches!(row.state, State::Sent | State::Delivered);
    if arrived && taken == 0 {
        fault("is told as sent and was never taken".to_owned());
    }
    let never = matches!(row.state, State::Failed | State::Expired | State::Cancelled | State::Suppressed);
    if never && taken > 0 && !row.repeated {
        fault(format!("is told as {} and was taken {taken} times", row.state.word()));
    }
    if let Some(first) = left.iter().map(|sighting| sighting.at_us).min()
        && first < due.0 * 1_000
    {
        fault(format!("left {} µs early", due.0 * 1_000 - first));
    }
    for (at, sighting) in left.iter().enumerate() {
        if left[..at].iter().any(|earlier| earlier.attempt == sighting.attempt) {
            fault(format!("attempt {} left twice", sighting.attempt));
        }
    }
    // A second copy may only follow an unknown that was repeated, and only once.
    if taken > 1 + usize::from(row.repeated) {
        fault(format!("was taken {taken} times outside the window"));
    }
    balance.duplicates += u64::from(taken > 1);
    balance.repeated += u64::from(row.repeated);
}

/// When all has ended, no index names anything.
fn check_indexes(scene: &Scene, balance: &mut Balance) -> anyhow::Result<()> {
    let mut channels: Vec<&Channel> =
        scene.accepted.iter().flat_map(|a| a.channels.iter().map(|c| &c.channel)).collect();
    channels.sort();
    channels.dedup();
    let mut sets = vec!["due:{0}:urgent".to_owned(), "due:{0}:bulk".to_owned(), "staging:{0}".to_owned()];
    for channel in channels {
        for lane in [Lane::Urgent, Lane::Bulk] {
            sets.push(format!("ready:{{0}}:{channel}:{}", lane.as_str()));
        }
        for family in ["leased", "unresolved", "parked"] {
            sets.push(format!("{family}:{{0}}:{channel}"));
        }
    }
    for set in sets {
        let left = scene.server.command(&["ZCARD", &set])?.int().unwrap_or(-1);
        if left != 0 {
            balance.faults.push(format!("{set} still names {left}"));
        }
    }
    Ok(())
}

/// Nothing may have been sent that was never accepted.
fn check_strangers(scene: &Scene, record: &Record, balance: &mut Balance) {
    for (suffix, ..) in record.leaving.keys() {
        if !scene.accepted.iter().any(|accepted| accepted.suffix.as_str() == suffix) {
            balance.faults.push(format!("{suffix} was sent and never accepted"));
        }
    }
}
