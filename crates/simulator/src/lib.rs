//! Runs the files of lua/ on an in-memory model of Redis, under a model checker.

pub mod explorer;
pub mod lua;
mod scripts;
mod value;
pub mod world;

pub use lua::{Run, RunError, Script, ScriptError};
pub use scripts::{Called, Scripts};
pub use value::Value;
pub use world::World;
