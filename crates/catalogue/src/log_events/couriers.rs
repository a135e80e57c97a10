//! Events about couriers at work, whatever their channel.

use super::{COURIERS, LogEvent, error, info, warn};

/// In the order of their names.
pub(super) const EVENTS: &[LogEvent] = &[
    error(
        COURIERS,
        "courier.call_panicked",
        "A call inside the courier panicked; `call` names it.",
        "The courier goes on; the call counts as failed.",
        "This is a bug: report it with the line `process.panicked` before it.",
    ),
    warn(
        COURIERS,
        "courier.calls_cut_off",
        "The courier was stopped while calls to the provider were running.",
        "The outcome of their messages is unknown; order or settings decide whether they are repeated.",
        "Give couriers more time to stop: raise stop.drain_for and the time limit of the service manager.",
    ),
    info(
        COURIERS,
        "courier.draining",
        "The courier claims nothing new, releases what is not begun, and finishes its calls.",
    ),
    error(
        COURIERS,
        "courier.feedback_failed",
        "The courier cannot receive what comes in beside answers (receipts, bounces, opt-outs).",
        "The courier stops: without it, the channel would report less than it promises.",
        "Follow `why`: usually a port that is taken or not allowed.",
    ),
    info(COURIERS, "courier.resumed", "The database was recovered, and the courier works again."),
    error(
        COURIERS,
        "courier.sending_stopped",
        "The courier begins nothing more because of the database.",
        "What is on the wire is finished and reported.",
        "See the line `database.halted` or `database.unusable` beside it.",
    ),
    info(COURIERS, "courier.started", "The courier is running."),
    info(COURIERS, "courier.stopped", "The courier has ended all its work."),
    error(
        COURIERS,
        "courier.task_panicked",
        "A task of the courier panicked; `task` names it.",
        "The task is restarted.",
        "This is a bug: report it with the line `process.panicked` before it.",
    ),
    error(
        COURIERS,
        "delivery.poisoned",
        "Three couriers died while sending the same message alone.",
        "It fails, or is held as unknown if it may have been sent, with the reason `poison`; the others go on.",
        "Look for the crashes in the logs of the couriers (out of memory, killed, panicked) and report them.",
    ),
    warn(
        COURIERS,
        "lease.lost",
        "The courier did not renew the lease of a parcel in time.",
        "Other couriers send the rest of the parcel; nothing is sent twice because of it.",
        "Nothing if it is rare. If it repeats, look for pauses of the host (CPU, swap, a suspended machine) and a slow \
         database, or raise courier.lease.",
    ),
    error(
        COURIERS,
        "lease.reclaim_failed",
        "Expired leases of a partition could not be reclaimed, because the database sent an invalid reply.",
        "What crashed couriers held is late; it is tried again.",
        "As for `database.invalid_reply`.",
    ),
    warn(
        COURIERS,
        "suppression.lookup_failed",
        "It could not be read which addresses get no messages.",
        "Nothing is sent to them meanwhile: the lease was released, and the parcel is tried again.",
        "See the lines about the database (`redis.…`); partition 0 holds the lists.",
    ),
    warn(
        COURIERS,
        "suppression.not_stored",
        "An address that the provider reported as unusable could not be put on the suppression list.",
        "It is tried again for a while; then this address gets a message again, and the provider reports it again.",
        "See the lines about the database (`redis.…`); partition 0 holds the lists.",
    ),
];
