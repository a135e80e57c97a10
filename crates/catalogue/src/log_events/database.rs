//! Events about the database as a whole, its settings, and single records.

use super::{COURIERS, LogEvent, Program, SERVICES, error, info, warn};

const QUEUE: &[Program] = &[Program::Queue];

/// In the order of their names.
pub(super) const EVENTS: &[LogEvent] = &[
    error(
        SERVICES,
        "database.address_key_failed",
        "After a recovery, the key that hashes the addresses of suppression lists could not be read.",
        "The next call of this process that needs the lists reports why.",
        "Run `posthaste doctor`; give all processes the same redis.address_key, then restart this process.",
    ),
    error(
        COURIERS,
        "database.clock_jumped",
        "The clock of a server jumped by `jump_ms` milliseconds.",
        "This courier claims nothing for the length of a lease; then it continues.",
        "Check the time synchronization of the server's host: let NTP slew the clock instead of setting it.",
    ),
    info(
        QUEUE,
        "database.connected",
        "The queue is connected; `preflight` is the most serious finding about the servers.",
    ),
    error(
        SERVICES,
        "database.halted",
        "The database went back or was wiped: confirmed changes are lost. `why` says how much, as far as known.",
        "All processes have stopped sending, also after restarts; reports of what was sent are still stored.",
        "Run `posthaste doctor` to see what is lost, then decide with `posthaste recover --assume sent` or `unsent`.",
    ),
    error(
        SERVICES,
        "database.invalid_reply",
        "The database sent a reply that this program does not understand.",
        "The call failed; its effect is unknown. It is repeated where that is safe.",
        "Check that nothing else writes to this database and that all processes run the same version; then report it.",
    ),
    warn(
        SERVICES,
        "database.newer_version",
        "A newer version of Posthaste has run on this database.",
        "This process skips records that only the newer version can read.",
        "Upgrade this process too.",
    ),
    warn(
        SERVICES,
        "database.recovered",
        "An operator ended the halt of the database with `posthaste recover`.",
        "This process works again.",
        "Nothing: it ends `database.halted`.",
    ),
    error(
        SERVICES,
        "database.unusable",
        "The database is not the one this process may use: it was halted, wiped, replaced, or needs a newer version.",
        "This process refuses all calls from now on.",
        "Follow `why`: recover a halted database, give the process its own database again, or restart all processes to \
         use another one.",
    ),
    warn(
        SERVICES,
        "database.went_back",
        "The database lost its last changes, by about `seconds`, but nothing that was confirmed to a caller.",
        "Work goes on.",
        "Find out why the server failed over or restarted. `posthaste doctor` shows the loss afterwards, too.",
    ),
    warn(
        SERVICES,
        "index.entry_skipped",
        "An index holds an entry that Posthaste did not write.",
        "The entry is skipped.",
        "Check which other program writes to this database, and give it another one.",
    ),
    error(
        COURIERS,
        "index.repaired",
        "Parcels of an order were missing from their index.",
        "They have been put back and are sent, perhaps late.",
        "Check whether keys were deleted or evicted by hand, or a backup was restored; otherwise report it.",
    ),
    error(
        SERVICES,
        "preflight.refused",
        "A setting of a server would lose messages; `topic` and `finding` name it.",
        "The server is not used.",
        "Change the setting as `finding` says; `posthaste doctor` lists all findings.",
    ),
    info(
        SERVICES,
        "preflight.unverified",
        "A setting of a server could not be read, so it is not known to be right.",
    ),
    warn(
        SERVICES,
        "preflight.warned",
        "A setting of a server makes messages later or less safe than they could be.",
        "The server is used.",
        "Change the setting as `finding` says.",
    ),
    info(
        QUEUE,
        "record.failed",
        "An operator ended the parked deliveries of an order (`posthaste parked fail`).",
    ),
    warn(
        COURIERS,
        "record.newer_skipped",
        "Records of a later version were found; `order` names one.",
        "They were skipped, and nothing of them was begun.",
        "Run a courier of the newer version on this channel.",
    ),
    error(
        COURIERS,
        "record.parked",
        "A record of an order cannot be read and was set aside.",
        "Its deliveries wait for an operator; other orders are not affected.",
        "See `posthaste parked show` with the order; then `posthaste parked release` after a repair, or \
         `posthaste parked fail` to end it.",
    ),
    info(
        QUEUE,
        "record.released",
        "An operator returned parked records to work (`posthaste parked release`).",
    ),
    info(COURIERS, "upload.removed", "Data of an upload that was never completed was removed."),
];
