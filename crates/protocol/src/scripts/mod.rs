//! The codec of every script: one file per script, named like its file in `lua/`.

use crate::script::Contract;

/// Connects a script's file to its codec.
macro_rules! contract {
    ($name:literal, drains: $drains:literal, keys: [$($key:literal),* $(,)?], args: [$($arg:literal),* $(,)?], codes: [$($code:literal),* $(,)?]) => {
        const SOURCE: &str = include_str!(concat!("../../../../lua/", $name, ".lua"));
        static TEXT: std::sync::LazyLock<$crate::script::ScriptText> =
            std::sync::LazyLock::new(|| $crate::script::ScriptText::assemble($name, SOURCE, $crate::scripts::PARTS));
        /// The contract the script's file declares.
        pub static CONTRACT: $crate::script::Contract = $crate::script::Contract {
            text: &TEXT,
            source: SOURCE,
            keys: &[$($key),*],
            args: &[$($arg),*],
            codes: &[$($code),*],
            drains: $drains,
        };
    };
}

/// The shared parts in `lua/lib`.
macro_rules! parts {
    ($($name:literal),* $(,)?) => {
        /// Name and text of every shared part.
        pub const PARTS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../../../lua/lib/", $name, ".lua")))),*];
    };
}

parts!(
    "binary",
    "prologue",
    "earliest",
    "bell",
    "ready",
    "reason",
    "order",
    "deliveries",
    "single_delivery",
    "lease",
    "token",
    "begin",
    "park",
    "content",
    "unlease",
    "outcome",
    "promote",
    "staging",
    "delete_parcels",
    "suppression",
    "consent"
);

/// Declares the script modules and the list of their contracts.
macro_rules! scripts {
    ($($(#[$doc:meta])* $module:ident),* $(,)?) => {
        $($(#[$doc])* pub mod $module;)*
        /// The contracts of all scripts.
        pub static ALL: &[&Contract] = &[$(&$module::CONTRACT),*];
    };
}

scripts!(
    /// Agrees on the key used to hash addresses.
    address_key,
    /// Applies a delivery receipt.
    apply_receipt,
    /// Marks deliveries as sending.
    begin,
    /// Binds an idempotency key to an order id.
    bind_idempotency_key,
    /// Stops what can still be stopped.
    cancel,
    /// Takes parcels under a lease.
    claim,
    /// Returns parcels with unresolved deliveries.
    claim_unresolved,
    /// Stores a new API key.
    create_key,
    /// Takes an address off a suppression list.
    delete_suppression,
    /// Accepts an order.
    enqueue,
    /// Ends deliveries that will never be claimed.
    expire_parcels,
    /// Ends an order that can't be read.
    fail_order,
    /// Ends the deliveries of a parked parcel.
    fail_parcel,
    /// Releases an idempotency key from its order id.
    free_idempotency_key,
    /// Stops all processes because the database went back.
    halt,
    /// Limits the rate of calls of an API key.
    limit_rate,
    /// Takes messages out of a quota.
    limit_sms,
    /// Lists, or ends, deliveries that may have been begun in a lost period.
    list_in_doubt,
    /// Counts what is due on a channel and not sent.
    measure_backlog,
    /// Returns the mark at which each run of the server began.
    open_server_run,
    /// Deletes a person's own opt-out.
    opt_in,
    /// Parks parcels that can't be read.
    park,
    /// Moves due orders to ready.
    promote_due,
    /// Removes old orders.
    purge_orders,
    /// Stores the order of a short name.
    put_alias,
    /// Takes back expired leases.
    reclaim_leases,
    /// Ends a halt.
    recover,
    /// The first call to a database.
    register_process,
    /// Gives leases back.
    release,
    /// Takes records off the list of parked ones.
    release_parked,
    /// Extends leases.
    renew,
    /// Puts lost parcels back into their index.
    repair_indexes,
    /// Stores what a courier says about itself.
    report_courier,
    /// Moves an order to another time.
    reschedule,
    /// Decides unresolved deliveries.
    resolve,
    /// Returns places in a sender's daily limit.
    return_daily_places,
    /// Revokes an API key.
    revoke_key,
    /// Lists orders whose indexes may need repair.
    scan_orders,
    /// Stores the outcomes of attempts.
    settle,
    /// Stores parcels of a big order.
    stage_parcels,
    /// Puts addresses on a suppression list.
    suppress,
    /// Takes a place in a sender's daily limit.
    take_daily_places,
    /// Records when an API key was last used.
    touch_key,
    /// Removes staged data that is no longer needed.
    unstage_parcels,
);

/// Names of parked records.
pub mod parked_name;
pub use parked_name::ParkedName;

/// References to parcels, and the codes scripts return for them.
pub mod parcel_code;
pub use parcel_code::{ParcelCode, ParcelRef};
