//! Runs the files of lua/ on an in-memory model of Redis, under a model checker.

pub mod explorer;
pub mod fake_redis;
pub mod lua;
mod scripts;
mod value;

pub use fake_redis::FakeRedis;
pub use lua::{ScriptError, ScriptProgram, ScriptRun, ScriptRunError};
pub use scripts::{Called, Scripts};
pub use value::Value;
