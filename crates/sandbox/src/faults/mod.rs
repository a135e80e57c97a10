//! Faults on request: rules set by settings or at run time, and magic addresses. Made for any channel: a rule names a
//! stage of a conversation and what to do there, and a channel's stand-in asks at each stage.

mod answer;
mod fault;
mod magic;
mod rules;

pub use self::answer::Answer;
pub use self::fault::{Action, Fault, InvalidFault, Pattern};
pub use self::magic::{MAGIC_NAMES, MagicName, MagicSettings};
pub use self::rules::FaultView;
pub(crate) use self::rules::{Decision, Faults, Occasion, Then};
