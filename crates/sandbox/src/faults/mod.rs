//! Faults on request: rules set in the settings or at run time, and magic addresses. Independent of the channel: a
//! rule names a stage of a conversation and what to do there, and a channel's fake provider checks at each stage.

mod answer;
mod fault;
mod magic;
mod rules;

pub use self::answer::RefusalAnswer;
pub use self::fault::{Action, AddressPattern, Fault, InvalidFault};
pub use self::magic::{MAGIC_NAMES, MagicName, MagicSettings};
pub use self::rules::FaultView;
pub(crate) use self::rules::{Decision, Faults, Occasion, Then};
