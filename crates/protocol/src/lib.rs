//! The protocol between the processes and Redis: key names, script texts, packed records, and the codec of every
//! script's arguments and replies. No I/O: the store runs what this crate describes, and so does the simulator.

pub mod keys;
pub mod record;
pub mod reply_value;
pub mod script;
pub mod scripts;

pub use keys::{PartitionKeys, partition_of};
pub use reply_value::{Malformed, ReplyFields, ReplyValue};
pub use script::{Contract, Invocation, Refusal, ScriptAnswer, ScriptCall, ScriptText};

/// The schema this program reads and writes. It grows with every record or field that an older program can't read.
pub const SCHEMA: u32 = 2;

/// The oldest schema of a program that may run beside this one. Older programs are refused from the first start of
/// this one on. It grows only when an older program would corrupt records of this one, not when it merely leaves them
/// alone.
pub const OLDEST_SCHEMA: u32 = 1;
