//! A stand-in for the API of VK: its paths, field names, answers and limits, on plain HTTP. It takes every message that is in
//! order, or does what a fault or a magic peer asks for.
//!
//! | method | what it does |
//! | --- | --- |
//! | `messages.send` | to `peer_id`, or to at most 100 `peer_ids` with a result for each; a `random_id` a peer had within the hour is dropped and answered with the same number |
//! | `execute` | a flat list of at most 25 such calls, `return [API.messages.send({…}), …];`: `false` for one that fails, with an entry in `execute_errors`. Other code is refused with 12, too many calls with 13 |
//! | `groups.getById`, `groups.getTokenPermissions` | tell the community, and what its token may do |
//! | any other | error 3 |
//!
//! Parameters come as a form or in the query, never as JSON; `v` is needed always. A token may ask so many times in a second, and
//! is told error 6 beyond it. A message is too long (914) beyond 4,096 characters.

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
pub use self::server::{Server, Vk};
pub use self::settings::Settings;
pub use crate::standin::{Action, Bounds, Fate, Fault, Invalid, MOST_FAULTS, Magic, Request, StartError};

#[cfg(test)]
mod tests;
