//! All mutants and the systems in which they are hunted.

use posthaste_model::OnUnknown;

use super::super::scenario::{Budgets, Resolver, Scenario, UNIT_MS, ms};
use super::super::suite::{one_delivery, two_deliveries};
use super::Mutant;

const fn mutant(
    name: &'static str,
    [file, text, instead]: [&'static str; 3],
    hunted_in: fn() -> Scenario,
) -> Mutant {
    Mutant { name, file, text, instead, hunted_in, survives: None }
}

impl Mutant {
    const fn may_survive(self, why: &'static str) -> Self {
        Self { survives: Some(why), ..self }
    }
}

const HOLD: OnUnknown = OnUnknown::Hold;
const RETRY: OnUnknown = OnUnknown::Retry;
const ONE: Budgets = Budgets { crashes: 1, copies: 1, ..Budgets::NONE };

fn copies() -> Scenario {
    two_deliveries(HOLD, false, ONE)
}

fn in_parcels() -> Scenario {
    two_deliveries(HOLD, true, ONE)
}

fn throttled() -> Scenario {
    two_deliveries(HOLD, false, Budgets { crashes: 0, throttled: 1, ..ONE })
}

fn overslept() -> Scenario {
    two_deliveries(HOLD, false, Budgets { overslept: 1, ..ONE })
}

fn cancelled() -> Scenario {
    two_deliveries(RETRY, false, Budgets { cancels: 1, unknown: 1, ..Budgets::NONE })
}

fn expiring() -> Scenario {
    let s = two_deliveries(RETRY, false, Budgets { expiries: 1, unknown: 1, ..Budgets::NONE });
    Scenario { life_ms: UNIT_MS / 2, ..s }
}

fn short_life() -> Scenario {
    let s = two_deliveries(HOLD, false, Budgets { later: 1, ..Budgets::NONE });
    Scenario { life_ms: UNIT_MS / 2, ..s }
}

fn lost_replies() -> Scenario {
    two_deliveries(HOLD, false, Budgets { lost: 1, crashes: 0, ..ONE })
}

fn slow_sends() -> Scenario {
    let s = two_deliveries(RETRY, false, Budgets { crashes: 1, unknown: 1, ..Budgets::NONE });
    Scenario { window_units: 2, ..s }
}

fn trusting() -> Scenario {
    let s = two_deliveries(RETRY, false, Budgets { crashes: 2, ..Budgets::NONE });
    Scenario { resolver: Resolver::Trusting, ..s }
}

fn asking() -> Scenario {
    let s = one_delivery(HOLD, Budgets { crashes: 2, copies: 1, ..Budgets::NONE });
    Scenario { resolver: Resolver::Asking, ..s }
}

fn receipts() -> Scenario {
    two_deliveries(HOLD, false, Budgets { receipts: 1, ..ONE })
}

fn strangers() -> Scenario {
    Scenario { strangers: true, ..copies() }
}

fn single() -> Scenario {
    one_delivery(HOLD, Budgets { throttled: 1, ..ONE })
}

fn single_begun_at_once() -> Scenario {
    let s = one_delivery(HOLD, Budgets { cancels: 1, ..ONE });
    Scenario { claim_begins: vec![0, 1], ..s }
}

fn two_begun_at_once() -> Scenario {
    Scenario { claim_begins: vec![0, 2], ..cancelled() }
}

fn due() -> Scenario {
    let mut s = copies();
    s.orders[0].due_in = Some(ms(UNIT_MS));
    s
}

fn due_with_lead() -> Scenario {
    Scenario { lead_ms: 1, ..due() }
}

fn accepted_late() -> Scenario {
    let mut s = due();
    s.orders[0].accepted = false;
    s
}

fn moved() -> Scenario {
    let mut s = two_deliveries(HOLD, false, Budgets { moves: 2, copies: 1, ..Budgets::NONE });
    s.orders[0].due_in = Some(ms(UNIT_MS));
    s
}

fn renewed() -> Scenario {
    two_deliveries(HOLD, false, Budgets { renewals: 1, ..ONE })
}

/// Three deaths of one delivery are possible only where it may be repeated more than once: under a token.
fn blamed() -> Scenario {
    let s = two_deliveries(RETRY, false, Budgets { crashes: 3, ..Budgets::NONE });
    Scenario { blame: true, single_begins: true, tokens: true, ..s }
}

/// Every mutant.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "begin: the fence",
        ["begin", "  if not holds(leases[p], holder) then", "  if not leases[p] then"],
        copies,
    ),
    mutant(
        "begin: the end of the lease",
        ["begin", "elseif not ends[p] or tonumber(ends[p]) <= now then", "elseif not ends[p] then"],
        copies,
    ),
    mutant(
        "begin: the next attempt",
        ["begin", "if state == PENDING and (q + 1) % 256 == k then", "if state == PENDING then"],
        throttled,
    ),
    mutant(
        "begin: the attempt of a repeat",
        ["begin", "elseif state == SENDING and q == k then", "elseif state == SENDING then"],
        throttled,
    ),
    mutant("begin: cancelled", ["begin", "if order and order.cancelled then", "if false then"], cancelled),
    mutant(
        "begin: not_after",
        ["begin", "elseif order and now >= order.not_after then", "elseif false then"],
        expiring,
    ),
    mutant("begin: send_by in the lease", ["begin", "math.max(until_ms, send_by)", "until_ms"], slow_sends),
    mutant(
        "settle: the attempt",
        ["lib/outcome", "if k == q and ((state == SENDING", "if ((state == SENDING"],
        throttled,
    ),
    mutant(
        "settle: the holder of the lease",
        ["lib/outcome", "(state == SENDING and current)", "(state == SENDING)"],
        overslept,
    )
    .may_survive(
        "an attempt number is used once, so whoever names that of a sending delivery holds its lease",
    ),
    mutant(
        "settle: who may leave the lease",
        ["settle", "local current = holds(leases[p], holder)", "local current = leases[p]"],
        copies,
    ),
    mutant(
        "settle: a single delivery's lease",
        ["settle", "or not holds(record, holder) then", "then"],
        single,
    )
    .may_survive("as for the holder of the lease"),
    mutant(
        "settle: a single delivery's attempt",
        [
            "lib/single_delivery",
            "if s ~= DELIVERY_VERSION + SENDING or q ~= k then",
            "if s ~= DELIVERY_VERSION + SENDING then",
        ],
        single,
    )
    .may_survive("under one lease no other attempt follows one with a final report"),
    mutant(
        "settle: upkeep of the unresolved index",
        ["settle", "if parcel.unresolved ~= unresolved_before then", "if false then"],
        overslept,
    ),
    mutant(
        "settle: a late report makes a delivery ready",
        ["settle", "      back_to_ready(parcel, member)\n", ""],
        overslept,
    ),
    mutant("settle: evidence empties ready", ["settle", "      out_of_ready(parcel, member)\n", ""], || {
        two_deliveries(RETRY, false, Budgets { crashes: 0, ..ONE })
    }),
    mutant(
        "evidence: ranks only move up",
        ["lib/outcome", "  s = { [PENDING] = true,", "  s = { [DELIVERED] = true, [PENDING] = true,"],
        receipts,
    ),
    mutant(
        "evidence: the attempt was begun",
        ["lib/outcome", "return k ~= q and (q - k) % 256 < 128", "return k ~= q"],
        throttled,
    )
    .may_survive("an honest courier never reports an attempt that was never begun"),
    mutant(
        "reclaim: what was begun is unresolved",
        [
            "reclaim_leases",
            "put_delivery(parcel, i, SENDING, UNRESOLVED, q,",
            "put_delivery(parcel, i, SENDING, PENDING, q,",
        ],
        copies,
    ),
    mutant(
        "reclaim: deliveries on the wire",
        ["reclaim_leases", "if was_sending > 0 then", "if false then"],
        copies,
    ),
    mutant(
        "leave: what is sending stays leased",
        [
            "lib/unlease",
            "if parcel.sending > 0 then\n    return 'sending'",
            "if false then\n    return 'sending'",
        ],
        || two_deliveries(HOLD, false, Budgets { stops: 1, lost: 1, ..Budgets::NONE }),
    ),
    mutant(
        "leave: a wait never outlasts the order",
        ["lib/unlease", "math.min(at, order.not_after)))", "at))"],
        short_life,
    ),
    mutant(
        "leave: unresolved deliveries wait for send_by",
        ["lib/unlease", "> 0 and math.max(now, send_by or 0, known or 0)", "> 0 and now"],
        slow_sends,
    ),
    mutant(
        "leave: what is resolved leaves the index",
        ["lib/unlease", "unresolved_out[#unresolved_out + 1] = member", "local _ = member"],
        copies,
    ),
    mutant(
        "ended while waiting for a repeat is unknown",
        ["lib/deliveries", "local to = flags % TOKEN >= REPEATED and UNKNOWN or state", "local to = state"],
        cancelled,
    ),
    mutant(
        "counters of the order",
        ["lib/deliveries", "      count_move(parcel.order, from, to)\n", ""],
        in_parcels,
    ),
    mutant(
        "counters only when the state changes",
        ["lib/deliveries", "  if from ~= to then\n", "  if true then\n"],
        in_parcels,
    )
    .may_survive(
        "a delivery is never written in the state it had, and adding and subtracting one cancel out",
    ),
    mutant(
        "resolve: the attempt",
        ["resolve", "if state == UNRESOLVED and q == k then", "if state == UNRESOLVED then"],
        asking,
    ),
    mutant(
        "resolve: the one repeat",
        ["resolve", "if outcome == 'r' and repeated then", "if false then"],
        trusting,
    ),
    mutant(
        "claim_unresolved: only after send_by",
        ["claim_unresolved", "'-inf', now, 'LIMIT'", "'-inf', '+inf', 'LIMIT'"],
        slow_sends,
    ),
    mutant(
        "claim: an old number",
        ["claim", "  if number < last_number then\n    return answer('outdated')\n  end\n", ""],
        lost_replies,
    ),
    mutant(
        "claim: the number answered last",
        ["claim", "  if number == last_number then\n", "  if false then\n"],
        lost_replies,
    ),
    mutant(
        "claim: cancelled",
        ["claim", "if order.cancelled or now >= order.not_after then", "if now >= order.not_after then"],
        two_begun_at_once,
    ),
    mutant(
        "claim: a single delivery cancelled",
        ["claim", "elseif name == 'x' or name == 'f' then", "elseif name == 'f' then"],
        single_begun_at_once,
    ),
    mutant(
        "release: the fence",
        ["release", "if holds(leases[p], ARGV[4 + 2 * p]) then", "if leases[p] then"],
        || two_deliveries(HOLD, false, Budgets { stops: 1, copies: 1, ..Budgets::NONE }),
    ),
    mutant("open: the epoch", ["lib/prologue", "if epoch ~= ARGV[2] then", "if false then"], strangers),
    mutant(
        "promote: strictly past",
        ["lib/promote", "'-inf', '(' .. now_text, 'WITHSCORES'", "'-inf', now_text, 'WITHSCORES'"],
        due,
    )
    .may_survive("at that millisecond the bell still exists, and the next guard leaves the order alone"),
    mutant(
        "promote: not before the bell",
        ["lib/promote", "if there and now - due[i + 1] < PROMOTION_LAG then", "if false then"],
        due_with_lead,
    ),
    mutant("enqueue: the same order again", ["enqueue", "if known then\n", "if false then\n"], accepted_late),
    mutant(
        "receipt: pending deliveries leave ready",
        ["apply_receipt", "  out_of_ready(parcel, member)\n", ""],
        || two_deliveries(RETRY, false, Budgets { receipts: 2, crashes: 1, ..Budgets::NONE }),
    ),
    mutant(
        "reschedule: the revision",
        ["reschedule", "if revision ~= tonumber(ARGV[6]) then", "if false then"],
        moved,
    ),
    mutant(
        "reschedule: already started",
        ["reschedule", "if not due or r[4] or tonumber(due) <= now then", "if not due then"],
        moved,
    ),
    mutant(
        "renew: the fence",
        ["renew", "if not holds(leases[p], ARGV[3 + 2 * p]) or not ends[p] then", "if not ends[p] then"],
        renewed,
    ),
    mutant(
        "renew: the end of the lease",
        ["renew", "elseif tonumber(ends[p]) <= now then", "elseif false then"],
        renewed,
    ),
    mutant(
        "reclaim: blames what was alone on the wire",
        [
            "reclaim_leases",
            "if blame and was_sending > 0 and alone == '1' then",
            "if blame and was_sending > 0 then",
        ],
        blamed,
    ),
    mutant(
        "begin: a delivery that is no suspect makes it not alone",
        ["begin", "        if not is_suspect(delivery) then\n          alone = 0\n        end\n", ""],
        blamed,
    ),
    mutant(
        "reclaim: ended leases only",
        [
            "reclaim_leases",
            "redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT'",
            "redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', '+inf', 'LIMIT'",
        ],
        renewed,
    ),
];
