//! The systems that every test run explores completely, and larger ones for more time.
//!
//! In each of them two couriers work on one order. At any moment any of them may sleep as long as it likes, leases and
//! sends run out, no event is received, and reports are settled one by one or together. What else may happen, and how
//! often, is in its [`Budgets`].

use posthaste_model::OnUnknown;

use super::coverage::Window::{self, *};
use super::scenario::{Budgets, Resolver, Scenario, UNIT_MS, ms};

/// A system to explore, and the windows it covers.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its topic.
    pub group: &'static str,
    /// The system.
    pub scenario: Scenario,
    /// Windows that must be entered.
    pub windows: Vec<Window>,
}

/// How unknowns are handled, and whether the order is in parcels of its own.
type Kind = (OnUnknown, bool);

const FOUR: &[Kind] = &[HOLD_INLINE, HOLD_BIG, RETRY_INLINE, RETRY_BIG];
const TWO: &[Kind] = &[HOLD_BIG, RETRY_INLINE];
const HOLD: &[Kind] = &[HOLD_INLINE, HOLD_BIG];
const HOLD_INLINE: Kind = (OnUnknown::Hold, false);
const HOLD_BIG: Kind = (OnUnknown::Hold, true);
const RETRY_INLINE: Kind = (OnUnknown::Retry, false);
const RETRY_BIG: Kind = (OnUnknown::Retry, true);

/// Two couriers die.
const DEATHS: Budgets = Budgets { crashes: 2, ..Budgets::NONE };

/// The names of all groups explored in every test run.
pub const GROUPS: &[&str] = &[
    "accepted_late",
    "begun_one_by_one",
    "cancelled",
    "copied_and_asleep",
    "copied_and_refused",
    "copied_and_stopped",
    "copied_and_reported",
    "copied_and_unknown",
    "crashes",
    "late_copies",
    "lost_and_copied",
    "lost_and_refused",
    "lost_replies",
    "moved",
    "not_sent",
    "other_resolvers",
    "overslept",
    "poison",
    "receipts",
    "refused_for_good",
    "refused_for_later",
    "renewals",
    "slow_sends",
    "stops",
    "throttled",
    "time_over",
    "tokens",
    "unknowns",
    "zombies",
];

/// The cases of a group, explored completely in every test run.
#[must_use]
pub fn gate(group: &str) -> Vec<Case> {
    let Some(group) = GROUPS.iter().copied().find(|known| *known == group) else { return Vec::new() };
    if group.contains("_and_") { together(group) } else { alone(group) }
}

/// One adversity in a system, beside crashes.
fn alone(group: &'static str) -> Vec<Case> {
    let d = DEATHS;
    match group {
        "crashes" => {
            let crashed =
                [CrashHolding, CrashBegun, CrashTaken, ReclaimedReady, ReclaimedUnresolved, SendByOver];
            let slept = [SettlePartial, SettleOver, SettleUnresolved, BeginStale, BeginOver, ResolvedKnown];
            cases(group, FOUR, d, &[crashed, slept].concat())
        }
        "slow_sends" => {
            let slow = |s| Scenario { window_units: 2, ..s };
            shaped(cases(group, FOUR, d, &[SendByAhead, SendByOver]), slow)
        }
        "begun_one_by_one" => {
            let single = |s| Scenario { single_begins: true, claim_begins: vec![0, 1], ..s };
            shaped(cases(group, FOUR, d, &[SettlePartial, CrashBegun]), single)
        }
        "lost_replies" => {
            let requested = [ClaimReplyLost, SameClaimAgain, CrashAsking, BeginReplyLost, BeginRepeated];
            let reported = [SettleReplyLost, SettleKnown];
            cases(group, FOUR, Budgets { lost: 1, ..d }, &[&requested[..], &reported].concat())
        }
        "late_copies" => {
            let mut all = cases(group, FOUR, Budgets { copies: 1, ..d }, COPIES);
            let retried = [BeginFinal, SettleEvidence, CopySettleEvidence, CopyResolveStale];
            all[2..].iter_mut().for_each(|case| case.windows.extend(retried));
            all.extend(cases(group, &[HOLD_INLINE], Budgets { copies: 2, ..d }, COPIES));
            all
        }
        "refused_for_later" => cases(group, FOUR, Budgets { later: 1, ..d }, &[Waited]),
        "refused_for_good" => cases(group, FOUR, Budgets { refused: 1, ..d }, &[CrashReported]),
        "throttled" => cases(group, FOUR, Budgets { throttled: 1, ..d }, &[SettlePartial, CrashReported]),
        "unknowns" => cases(group, FOUR, Budgets { unknown: 1, ..d }, &[TakenUntold, LostUntold]),
        "not_sent" => cases(group, FOUR, Budgets { not_sent: 1, ..d }, &[CrashReported]),
        "overslept" => cases(group, FOUR, Budgets { overslept: 1, ..d }, &[Overslept]),
        "zombies" => cases(group, FOUR, Budgets { zombies: 1, ..d }, &[Zombie]),
        "stops" => cases(group, FOUR, Budgets { stops: 1, ..d }, &[Released]),
        "cancelled" => cases(group, FOUR, Budgets { cancels: 1, ..d }, &[Cancelled, BeginCancelled]),
        "time_over" => {
            let budgets = Budgets { expiries: 1, ..d };
            let mut all = cases(group, FOUR, budgets, &[Expired]);
            let short = |s| Scenario { life_ms: UNIT_MS / 2, ..s };
            all.extend(shaped(bare(group, TWO, budgets, &[Expired, BeginExpired]), short));
            all
        }
        "receipts" => {
            let windows = [ReceiptEarly, ReceiptUnresolved, ReceiptLate, ResolvedKnown];
            cases(group, FOUR, Budgets { receipts: 1, ..d }, &windows)
        }
        "renewals" => cases(group, FOUR, Budgets { renewals: 1, ..d }, &[Renewed, RenewRefused]),
        "moved" => {
            let budgets = Budgets { moves: 2, copies: 1, ..d };
            shaped(cases(group, HOLD, budgets, &[Moved, CopyMove, ClaimedAtDue, Unheard]), due)
        }
        "accepted_late" => {
            let late = |s| {
                let mut s = Scenario { lead_ms: 1, ..due(s) };
                s.orders[0].accepted = false;
                s
            };
            let budgets = Budgets { lost: 1, copies: 1, ..d };
            shaped(cases(group, HOLD, budgets, &[ClaimedAtDue, Unheard]), late)
        }
        "poison" => {
            let blamed = |s| Scenario { blame: true, ..s };
            shaped(cases(group, FOUR, d, &[Poison]), blamed)
        }
        "tokens" => {
            let tokens = |s| Scenario { tokens: true, ..s };
            let mut all = shaped(bare(group, FOUR, d, &[ResolvedRepeat]), tokens);
            let unknown = Budgets { unknown: 1, ..d };
            all.extend(shaped(bare(group, &[RETRY_INLINE], unknown, &[ResolvedRepeat, TakenUntold]), tokens));
            all
        }
        "other_resolvers" => {
            let budgets = Budgets { unknown: 1, ..d };
            let asking = |s| Scenario { resolver: Resolver::Asking, ..s };
            let trusting = |s| Scenario { resolver: Resolver::Trusting, ..s };
            let mut both = shaped(bare(group, HOLD, budgets, &[ResolvedRepeat, LostUntold]), asking);
            both.extend(shaped(bare(group, &[RETRY_INLINE], budgets, &[ResolvedSpent]), trusting));
            both
        }
        _ => Vec::new(),
    }
}

/// What a late second copy may meet.
const COPIES: &[Window] = &[
    Orphan,
    CopyClaimAgain,
    CopyClaimOld,
    CopyClaimTook,
    CopyBeginAgain,
    CopyBeginBegan,
    CopyBeginStale,
    CopyBeginOver,
    CopyBeginFinal,
    CopySettleKnown,
    CopySettleApplied,
    CopyResolveKnown,
];

/// Several adversities in one system, beside crashes.
fn together(group: &'static str) -> Vec<Case> {
    let copied = Budgets { copies: 1, ..DEATHS };
    let lost = Budgets { lost: 1, ..DEATHS };
    let all: Vec<(&[Kind], Budgets, &[Window])> = match group {
        "lost_and_copied" => {
            let three = &[HOLD_INLINE, HOLD_BIG, RETRY_INLINE];
            vec![(three, Budgets { lost: 1, ..copied }, &[ClaimReplyLost, Orphan, CopySettleKnown])]
        }
        "lost_and_refused" => vec![
            (HOLD, Budgets { later: 1, ..lost }, &[ClaimReplyLost, Waited]),
            (FOUR, Budgets { stops: 1, ..lost }, &[ReleasedSending, LeftSending]),
            (
                &[HOLD_INLINE],
                Budgets { later: 1, lost: 1, ..copied },
                &[ClaimReplyLost, Waited, CopySettleStale],
            ),
        ],
        "copied_and_refused" => vec![
            (HOLD, Budgets { later: 1, ..copied }, &[Waited, CopySettleStale]),
            (HOLD, Budgets { throttled: 1, ..copied }, &[CopyBeginOther, CopySettleStale]),
        ],
        "copied_and_asleep" => vec![
            (HOLD, Budgets { overslept: 1, ..copied }, &[Overslept, CopySettleStale]),
            (HOLD, Budgets { zombies: 1, ..copied }, &[Zombie, CopySettleKnown]),
        ],
        "copied_and_unknown" => {
            vec![(HOLD, Budgets { unknown: 1, ..copied }, &[TakenUntold, CopySettleApplied])]
        }
        "copied_and_reported" => {
            vec![(HOLD, Budgets { receipts: 1, ..copied }, &[ReceiptEarly, CopyBeginFinal])]
        }
        "copied_and_stopped" => vec![
            (HOLD, Budgets { stops: 1, ..copied }, &[CopyReleaseReady, CopyReleaseStale]),
            (HOLD, Budgets { renewals: 1, ..copied }, &[Renewed, CopyRenew]),
            (HOLD, Budgets { lost: 1, cancels: 1, ..copied }, &[Cancelled, CopyBeginEnded]),
            (&[RETRY_INLINE], Budgets { cancels: 1, ..copied }, &[EndedUnknown, CopyResolveStale]),
        ],
        _ => Vec::new(),
    };
    all.into_iter().flat_map(|(kinds, budgets, windows)| cases(group, kinds, budgets, windows)).collect()
}

/// Larger than what every test run explores; they may take very long.
#[must_use]
pub fn larger() -> Vec<Case> {
    let group = "larger";
    let d = DEATHS;
    let all = Budgets { lost: 1, copies: 1, later: 1, unknown: 1, ..d };
    let mut larger = [
        bare(group, &[RETRY_BIG], Budgets { copies: 1, lost: 1, ..d }, &[]),
        bare(group, &[RETRY_INLINE], Budgets { copies: 1, unknown: 1, ..d }, &[]),
        bare(group, &[RETRY_INLINE], Budgets { copies: 1, receipts: 1, ..d }, &[]),
        bare(group, FOUR, all, &[]),
        bare(group, &[RETRY_BIG], Budgets { copies: 2, lost: 2, crashes: 3, ..d }, &[]),
        bare(group, &[RETRY_INLINE], Budgets { overslept: 1, zombies: 1, copies: 1, ..d }, &[]),
        bare(group, &[RETRY_INLINE], Budgets { receipts: 2, cancels: 1, copies: 1, ..d }, &[]),
    ]
    .concat();
    larger.extend(FOUR.iter().map(|(policy, big)| {
        let scenario = deliveries(*policy, *big, 3, Budgets { copies: 1, ..d });
        Case { group, scenario, windows: Vec::new() }
    }));
    let crowd =
        |s: Scenario| Scenario { name: format!("three couriers, {}", s.name), couriers: vec![0; 3], ..s };
    larger.extend(shaped(bare(group, &[HOLD_INLINE], Budgets { copies: 1, ..d }, &[]), crowd));
    larger
}

/// A system for each kind of order, with the windows of its policy in addition to those given.
fn cases(group: &'static str, kinds: &[Kind], budgets: Budgets, windows: &[Window]) -> Vec<Case> {
    let mut cases = bare(group, kinds, budgets, windows);
    for (case, (policy, _)) in cases.iter_mut().zip(kinds) {
        let of_policy: &[Window] =
            if *policy == OnUnknown::Retry { &[ResolvedRetry, SecondSend] } else { &[ResolvedHold] };
        case.windows.extend(of_policy);
    }
    cases
}

fn bare(group: &'static str, kinds: &[Kind], budgets: Budgets, windows: &[Window]) -> Vec<Case> {
    let case = |(policy, big): &Kind| {
        let scenario = two_deliveries(*policy, *big, budgets);
        Case { group, scenario, windows: windows.to_vec() }
    };
    kinds.iter().map(case).collect()
}

/// The same cases with changed systems.
fn shaped(cases: Vec<Case>, shape: impl Fn(Scenario) -> Scenario) -> Vec<Case> {
    cases.into_iter().map(|case| Case { scenario: shape(case.scenario), ..case }).collect()
}

/// The order is due a while after its acceptance.
fn due(mut s: Scenario) -> Scenario {
    s.orders[0].due_in = Some(ms(UNIT_MS));
    s
}

/// Two couriers and one order of some deliveries in one parcel.
#[must_use]
pub fn deliveries(on_unknown: OnUnknown, big: bool, deliveries: u32, budgets: Budgets) -> Scenario {
    let policy = if on_unknown == OnUnknown::Retry { "retry" } else { "hold" };
    let layout = if big { "big" } else { "inline" };
    let s =
        Scenario::small(&format!("{policy} {layout} {deliveries} deliveries"), on_unknown, big, deliveries);
    Scenario { budgets, blame: false, single_begins: false, ..s }
}

/// Two couriers and one order of two deliveries in one parcel.
#[must_use]
pub fn two_deliveries(on_unknown: OnUnknown, big: bool, budgets: Budgets) -> Scenario {
    deliveries(on_unknown, big, 2, budgets)
}

/// Two couriers and one order of one delivery.
#[must_use]
pub fn one_delivery(on_unknown: OnUnknown, budgets: Budgets) -> Scenario {
    Scenario { single_begins: true, ..deliveries(on_unknown, false, 1, budgets) }
}
