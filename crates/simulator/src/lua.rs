//! Runs script texts in Lua 5.1 over a [`World`](crate::World), as the server's `EVALSHA` does.
//!
//! Each thread has one Lua state, made when it is first needed; a script is compiled once per thread. A script
//! sees what ours may use and nothing else: `redis.call`, `redis.pcall`, `redis.error_reply`,
//! `redis.status_reply`, `redis.log`, `redis.sha1hex`; `string`, `table` and `math` without what is random or
//! reads bytecode; `tonumber`, `tostring`, `type`, `ipairs`, `pairs`, `next`, `select`, `unpack`, `error`,
//! `assert`, `setmetatable`. Lua's own `pcall` is not there: it could swallow the limits.
//!
//! What differs from a server, knowingly: an error reply does not name the place in the script; `tostring` of a
//! table or function shows an address; the Lua functions left out are `nil` in their library; `string.rep`
//! complains about wrong arguments in its own words, because its result is bounded here.

mod convert;
mod engine;
mod library;
mod sandbox;
mod script;

pub use engine::{INSTRUCTION_LIMIT, LogLine, MEMORY_LIMIT, Run, RunError};
pub use script::{Script, ScriptError};
