//! The codec of every script: one file a script, named as its file in `lua/`.

use crate::script::Contract;

/// Ties a script's file to its codec.
macro_rules! contract {
    ($name:literal, drains: $drains:literal, keys: [$($key:literal),* $(,)?], args: [$($arg:literal),* $(,)?], codes: [$($code:literal),* $(,)?]) => {
        const SOURCE: &str = include_str!(concat!("../../../../lua/", $name, ".lua"));
        static TEXT: std::sync::LazyLock<$crate::script::ScriptText> =
            std::sync::LazyLock::new(|| $crate::script::ScriptText::assemble($name, SOURCE, $crate::scripts::PARTS));
        /// What the script's file promises.
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
    "num",
    "open",
    "earliest",
    "bell",
    "ready",
    "reason",
    "order",
    "rows",
    "single",
    "lease",
    "token",
    "begin",
    "park",
    "content",
    "leave",
    "verdict",
    "ring",
    "staging",
    "drop",
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
    /// Agrees on the key of address hashes.
    address_key,
    /// Puts lost parcels back into their index.
    audit,
    /// Marks rows as sending.
    begin,
    /// Ties an idempotency key to a suffix.
    bind,
    /// Stops what can be stopped.
    cancel,
    /// Takes parcels under a lease.
    claim,
    /// Ends what nobody will come for.
    close,
    /// Keeps a new API key.
    create_key,
    /// Names, or ends, what may have been begun in a span that was lost.
    doubt,
    /// Accepts an order.
    enqueue,
    /// Ends an order that can't be read.
    fail_order,
    /// Ends the rows of a parked parcel.
    fail_parcel,
    /// Stops everybody because the database went back.
    halt,
    /// Names parcels with unresolved rows.
    inquire,
    /// Takes an address off a suppression list.
    lift,
    /// Tells at which mark each run of the server began.
    open_run,
    /// Lifts a person's own opt-out.
    opt_in,
    /// Takes parcels out of the way that can't be read.
    park,
    /// Names orders to audit.
    patrol,
    /// Takes messages out of what may be sent.
    quota,
    /// Lets calls of an API key through.
    rate,
    /// A late word from outside.
    receipt,
    /// Ends a halt.
    recover,
    /// The first word to a database.
    register,
    /// Hands leases back.
    release,
    /// Writes down the order of a short name.
    remember,
    /// Prolongs leases.
    renew,
    /// Moves an order to another time.
    reschedule,
    /// Takes a place in the day's limit.
    reserve,
    /// Decides unresolved rows.
    resolve,
    /// Removes old orders.
    retire,
    /// Ends an API key.
    revoke_key,
    /// Moves due orders to ready.
    ring,
    /// Reports what became of attempts.
    settle,
    /// Stores parcels of a big order.
    stage,
    /// Puts addresses on a suppression list.
    suppress,
    /// Takes back leases that are over.
    sweep,
    /// Notes when an API key was last used.
    touch_key,
    /// Takes an idempotency key off its suffix.
    unbind,
    /// Takes what was parked off its list.
    unpark,
    /// Gives places in the day's limit back.
    unreserve,
    /// Removes what was staged in vain.
    unstage,
);

/// What can't be read.
pub mod unread;
pub use unread::ParkedName;

/// Which rows a call names, and the codes of whole parcels.
pub mod parcel_code;
pub use parcel_code::{ParcelCode, ParcelRef};
