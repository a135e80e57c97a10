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

/// The schema this program writes, and reads. It grows with every record or field an older program can't read.
pub const SCHEMA: u32 = 1;

/// The oldest schema of a program that may run beside this one: an older one is refused from the first start of this one on.
/// It grows when records of this program would be spoilt by an older one, not when they are merely left alone by it.
pub const OLDEST_SCHEMA: u32 = 1;
