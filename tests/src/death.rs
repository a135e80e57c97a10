//! A courier that is killed by SIGKILL at one step of its work, and another that starts after it.

use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use posthaste_model::{OnUnknown, State};

use crate::{Balance, CourierOptions, OrderSpec, Record, Scene};

/// Deliveries a courier may have begun when it dies: as many as its concurrent calls, and as many that it had not
/// settled yet.
pub const MOST_BEGUN: u64 = 2 * CALLS;

/// Concurrent calls of a courier in the scenarios.
const CALLS: u64 = 16;

/// What is accepted before the courier starts that will die.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// One order of 700 deliveries, in two parcels; else 300 orders of one delivery.
    pub big: bool,
    /// How unknowns are handled.
    pub on_unknown: OnUnknown,
    /// The visit of the step at which it dies.
    pub nth: u64,
}

/// How it ended.
#[derive(Debug)]
pub struct Aftermath {
    /// The case.
    pub case: Case,
    /// The result of the check.
    pub balance: Balance,
    /// What left, and what was taken; courier 0 is the one that died.
    pub record: Record,
}

impl Aftermath {
    /// Deliveries in doubt after the death: repeated once, or held as unknown, as their order asks.
    #[must_use]
    pub fn in_doubt(&self) -> u64 {
        if self.case.on_unknown == OnUnknown::Retry {
            self.balance.repeated
        } else {
            self.balance.count(State::Unknown)
        }
    }

    /// This many deliveries were in doubt; repeated ones were sent after all, held ones stayed unknown, and no other
    /// was affected.
    ///
    /// # Errors
    /// Describes any deviation.
    pub fn expect_in_doubt(&self, deliveries: std::ops::RangeInclusive<u64>) -> anyhow::Result<()> {
        let (balance, doubt) = (&self.balance, self.in_doubt());
        ensure!(deliveries.contains(&doubt), "{doubt} deliveries in doubt, expected {deliveries:?}");
        let held = if self.case.on_unknown == OnUnknown::Retry { 0 } else { doubt };
        ensure!(balance.count(State::Unknown) == held, "{held} deliveries should have been held");
        ensure!(balance.count(State::Sent) == balance.all() - held, "the others should have been sent");
        ensure!(balance.duplicates <= doubt - held, "more duplicates than repeats");
        Ok(())
    }
}

/// Lets a courier die at a step: with small orders and with a big one, with unknowns repeated and held. The step
/// is the first of its kind, and with `late` also one in the middle of the work.
///
/// # Errors
/// When the sources do not balance, or `check` fails.
pub async fn at(
    step: &'static str,
    late: Option<u64>,
    check: impl Fn(&Aftermath) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut cases = Vec::new();
    for nth in std::iter::once(1).chain(late) {
        for big in [false, true] {
            for on_unknown in [OnUnknown::Retry, OnUnknown::Hold] {
                cases.push(Case { big, on_unknown, nth });
            }
        }
    }
    let ends = try_join_all(cases.into_iter().map(|case| Box::pin(dies(step, case)))).await?;
    for end in &ends {
        check(end).with_context(|| format!("killed at {step}, {:?}: {:#?}", end.case, end.balance))?;
    }
    Ok(())
}

async fn dies(step: &'static str, case: Case) -> anyhow::Result<Aftermath> {
    let mut scene = Scene::open().await?;
    let (orders, deliveries) = if case.big { (1, 700) } else { (300, 1) };
    scene.accept_all((0..orders).map(|_| OrderSpec::of(deliveries).on_unknown(case.on_unknown))).await?;
    let options = CourierOptions::default().with("send-window-ms", 1_500);
    // In the middle of the work others are on the wire as well.
    let options = if case.nth > 1 { options.with("misbehaviour", "slow:5") } else { options };
    let victim = scene.courier(&options.clone().with("kill-at", step).with("nth", case.nth))?;
    let status = victim.wait_exit()?;
    ensure!(status.signal() == Some(9), "it should have died at {step} but ended with {status}");
    let _successor = scene.courier(&options)?;
    let balance = scene.settle_up().await.with_context(|| format!("killed at {step}, {case:?}"))?;
    Ok(Aftermath { case, balance, record: scene.record()? })
}
