//! The protocol between the processes and Redis: key names, script texts, packed records, and for every script the codec of
//! its arguments and replies. No I/O: the store runs what this crate describes, and the simulator runs the same.

pub mod keys;
pub mod record;
pub mod script;
pub mod scripts;
pub mod value;

pub use keys::{Keys, partition_of};
pub use script::{Answer, Contract, Invocation, Refusal, Script, ScriptText};
pub use value::{Fields, Malformed, Value};

/// The schema this program writes, and reads.
pub const SCHEMA: u32 = 1;
