//! A fake VK API: its paths, field names, answers and limits, over plain HTTP. It accepts every valid message, or does
//! what a fault or a magic peer asks for.
//!
//! | method | what it does |
//! | --- | --- |
//! | `messages.send` | to `peer_id`, or to at most 100 `peer_ids` with a result for each; a `random_id` a peer had within the hour is dropped and answered with the same number |
//! | `execute` | a flat list of at most 25 such calls, `return [API.messages.send({…}), …];`: `false` for one that fails, with an entry in `execute_errors`. Other code is refused with 12, too many calls with 13 |
//! | `groups.getById`, `groups.getTokenPermissions` | return the community, and the permissions of its token |
//! | any other | error 3 |
//!
//! Parameters come as a form or in the query, never as JSON; `v` is always required. Requests per token and second are
//! limited; above the limit the answer is error 6. A message of more than 4,096 characters is too long (914).

mod call;
mod errors;
mod execute;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod magic;
mod memory;
mod send;
mod server;
mod settings;

pub use self::magic::MAGIC_PEERS;
pub use self::server::{FakeVk, VkServer};
pub use self::settings::Settings;
pub use crate::fake_provider::{
    Bounds, FakeServerError, InvalidMessageFault, JournalEntry, MOST_FAULTS, Magic, MessageAction,
    MessageFault, RequestFate,
};

#[cfg(test)]
mod tests;
