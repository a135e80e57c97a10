//! A failed delivery keeps the provider's code in place of its token, whichever script ends it; any other outcome leaves
//! the token where it is. And what a suppressed delivery says about its attempts.

use posthaste_model::{CodedReason, EnhancedStatus, OutcomeKind, ProviderCode, Reason, State};
use posthaste_protocol::record::DeliveryRecord;
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::settle::AttemptReport;

use crate::db::Db;
use crate::mutant::Mutant;
use crate::order::{Courier, Order, report};

/// How a delivery is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Settle,
    Resolve,
    Receipt,
}

/// Three parts of the message were sent.
const PARTS: u32 = 3;

fn codes() -> [ProviderCode; 5] {
    let smtp = |reply, class, subject, detail| {
        ProviderCode::of_smtp(Some(reply), EnhancedStatus::new(class, subject, detail))
    };
    [
        ProviderCode::NONE,
        ProviderCode::of_number(30_003),
        ProviderCode::of_number(901),
        smtp(554, 5, 7, 1),
        smtp(599, 5, 999, 999),
    ]
}

/// The delivery 0 of an order that ended this way, after a part of it was sent.
fn ended(db: &Db, order: &Order, way: Way, outcome: OutcomeKind, code: ProviderCode) -> DeliveryRecord {
    db.reset();
    order.accept(db);
    let courier = Courier::new(db, "c1");
    let parcel = courier.claim_one();
    courier.begun(&parcel, &[(0, 1)]);
    let part = AttemptReport { value: PARTS, ..report(0, 1, OutcomeKind::Part) };
    courier.settle(&parcel, false, &[part]);
    courier.begun(&parcel, &[(0, 2)]);
    let reason = CodedReason { reason: Reason::Rejected, code };
    let (keys, channel, parcel_id) = (&db.keys, &courier.channel, &order.parcel_id(0));
    match way {
        Way::Settle => {
            let value = code.packed();
            let reported = AttemptReport { reason: reason.reason, value, ..report(0, 2, outcome) };
            courier.settle(&parcel, false, &[reported]);
        }
        Way::Resolve => {
            courier.settle(&parcel, false, &[report(0, 2, OutcomeKind::Unknown)]);
            let decisions = &[(0, 2, Decision::Found(outcome, reason))];
            db.reply(&Resolve { keys, channel, parcel_id, decisions });
        }
        Way::Receipt => {
            let status = match outcome {
                OutcomeKind::Sent => ReceiptStatus::Sent,
                OutcomeKind::Delivered => ReceiptStatus::Delivered,
                _ => ReceiptStatus::Failed,
            };
            db.reply(&ApplyReceipt { keys, channel, parcel_id, delivery: 0, attempt: 2, status, reason });
        }
    }
    order.delivery(db, 0)
}

/// The table: for each layout (the short way of an order of one delivery among them), way, outcome and code.
fn table(db: &Db) -> Result<(), String> {
    for (big, deliveries) in [(false, 1), (false, 2), (true, 2)] {
        let order = Order::of_layout(big, "u1:5").deliveries(deliveries);
        for way in [Way::Settle, Way::Resolve, Way::Receipt] {
            for (outcome, state) in [
                (OutcomeKind::Sent, State::Sent),
                (OutcomeKind::Delivered, State::Delivered),
                (OutcomeKind::Failed, State::Failed),
            ] {
                for code in codes() {
                    let found = ended(db, &order, way, outcome, code);
                    let failed = state == State::Failed;
                    let kept = if failed { code } else { ProviderCode::NONE };
                    // A receipt that the message arrived leaves no token either.
                    let token = (!failed && way != Way::Receipt).then_some(PARTS);
                    let shown = (found.state, found.attempt, found.reason, found.code, found.token);
                    if shown != (state, 2, Reason::Rejected, kept, token) {
                        return Err(format!("{big} {deliveries} {way:?} {outcome:?} {code}: {found:?}"));
                    }
                    db.check_invariants();
                }
            }
        }
    }
    Ok(())
}

#[test]
fn a_failed_delivery_keeps_the_code_and_any_other_its_token() {
    let db = Db::start();
    table(&db).unwrap();
    let short = "local kept = sub(o, 15, 18)\n  if to == FAILED then";
    let general = "local kept = sub(delivery, 9, 12)\n  if to == FAILED then";
    let receipt = "to == FAILED and p32(tonumber(ARGV[9])) or '\\0\\0\\0\\0'";
    let flags = "put_delivery(parcel, i, state, to, q, flags % TOKEN,";
    for (script, guard, instead) in [
        ("settle", short, "local kept = sub(o, 15, 18)\n  if true then"),
        ("settle", short, "local kept = sub(o, 15, 18)\n  if false then"),
        ("settle", general, "local kept = sub(delivery, 9, 12)\n  if true then"),
        ("settle", general, "local kept = sub(delivery, 9, 12)\n  if false then"),
        ("settle", "flags, kept = flags % TOKEN, code", "kept = code"),
        ("resolve", "  if to == FAILED then", "  if true then"),
        ("resolve", "  if to == FAILED then", "  if false then"),
        ("resolve", "flags, kept = flags % TOKEN, code", "kept = code"),
        ("apply_receipt", receipt, "'\\0\\0\\0\\0'"),
        ("apply_receipt", receipt, "p32(tonumber(ARGV[9]))"),
        ("apply_receipt", flags, "put_delivery(parcel, i, state, to, q, flags,"),
    ] {
        let mutant = Mutant { script: Some(script), guard, instead };
        if instead.starts_with("p32") {
            // Nobody reads the bytes of a delivery that arrived: the record itself shows the difference.
            let bytes = |db: &Db| {
                let order = Order::inline("u1:5");
                ended(db, &order, Way::Receipt, OutcomeKind::Delivered, ProviderCode::of_number(9));
                let o = db.raw(&["HGET", &db.keys.history(&order.order_id), "o"]).bytes().map(<[u8]>::to_vec);
                o.map(|o| o[14..].to_vec())
            };
            assert_eq!(bytes(&db), Some(vec![0; 4]));
            assert_ne!(mutant.under(|| bytes(&db)), Some(vec![0; 4]), "undetected: {mutant:?}");
            continue;
        }
        assert!(mutant.under(|| table(&db)).is_err(), "undetected: {mutant:?}");
    }
}

#[test]
fn a_repeated_report_changes_no_code_and_a_receipt_that_it_arrived_removes_it() {
    let db = Db::start();
    for big in [false, true] {
        let order = Order::of_layout(big, "u1:5").deliveries(2);
        let code = ProviderCode::of_number(30_005);
        ended(&db, &order, Way::Receipt, OutcomeKind::Failed, code);
        let courier = Courier::new(&db, "c1");
        let (keys, channel, parcel_id) = (&db.keys, &courier.channel, &order.parcel_id(0));
        let receipt = |status, code| {
            let reason = CodedReason { reason: Reason::Undelivered, code };
            db.reply(&ApplyReceipt { keys, channel, parcel_id, delivery: 0, attempt: 2, status, reason });
            order.delivery(&db, 0)
        };
        let again = receipt(ReceiptStatus::Failed, ProviderCode::of_number(30_008));
        assert_eq!((again.state, again.reason, again.code), (State::Failed, Reason::Rejected, code));
        let arrived = receipt(ReceiptStatus::Delivered, ProviderCode::NONE);
        assert_eq!((arrived.state, arrived.code), (State::Delivered, ProviderCode::NONE));
        db.check_invariants();
    }
}

#[test]
fn a_suppressed_delivery_tells_the_attempts_before_the_one_that_was_not_made() {
    let db = Db::start();
    for big in [false, true] {
        for (earlier, made) in [(None, 0), (Some(OutcomeKind::Retry), 1)] {
            db.reset();
            let order = Order::of_layout(big, "u1:5").deliveries(2);
            order.accept(&db);
            let courier = Courier::new(&db, "c1");
            let parcel = courier.claim_one();
            let last = 1 + made;
            for (attempt, outcome) in (1..).zip(earlier.into_iter().chain([OutcomeKind::Suppressed])) {
                courier.begun(&parcel, &[(0, attempt)]);
                courier.settle(&parcel, false, &[report(0, attempt, outcome)]);
            }
            let found = order.delivery(&db, 0);
            let shown = (found.state, found.attempt, found.attempts_made());
            assert_eq!(shown, (State::Suppressed, last, made));
            // The number of the attempt stays: a late report about it is recognised.
            courier.settle(&parcel, false, &[report(0, last, OutcomeKind::Suppressed)]);
            assert_eq!(order.delivery(&db, 0), found);
            db.check_invariants();
        }
    }
}
