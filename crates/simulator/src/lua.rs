//! Runs script texts in Lua 5.1 over a [`FakeRedis`](crate::FakeRedis), as the server's `EVALSHA` does.
//!
//! Each thread has one Lua state, created when first needed; a script is compiled once per thread. A script sees only
//! what our scripts may use: `redis.call`, `redis.pcall`, `redis.error_reply`, `redis.status_reply`, `redis.log`,
//! `redis.sha1hex`; `string`, `table` and `math` without functions that are random or load bytecode; `tonumber`,
//! `tostring`, `type`, `ipairs`, `pairs`, `next`, `select`, `unpack`, `error`, `assert`, `setmetatable`. Lua's own
//! `pcall` is missing: it could swallow the limits.
//!
//! Deliberate differences from a server: an error reply does not name the position in the script; `tostring` of a
//! table or function shows an address; the missing Lua functions are `nil` in their library; `string.rep`
//! reports wrong arguments with a text of its own, because its result is bounded here.

mod convert;
mod engine;
mod library;
mod sandbox;
mod script;

pub use engine::{INSTRUCTION_LIMIT, LogLine, MEMORY_LIMIT, ScriptRun, ScriptRunError};
pub use script::{ScriptError, ScriptProgram};
