//! The `redis` table.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Lua, MultiValue, Table, Value as LuaValue};
use thiserror::Error;

use super::convert::{self, Pushed};
use super::engine::{LogLine, ScriptRunError, Session};
use super::script::sha1_hex;
use crate::fake_redis::{
    Access, Argv, CommandError, FakeRedis, Flavour, command_named, format_argument, tag,
};

/// The most log lines per run.
const LOG_LIMIT: usize = 1_000;

/// Why one of our functions ends a run.
#[derive(Clone, Debug, Error)]
pub(super) enum Raised {
    /// A refusal, returned to the caller as an error reply.
    #[error("{0}")]
    Refused(CommandError),
    /// A refusal with another text.
    #[error("{0}")]
    Said(String),
    /// Something that no server would answer.
    #[error(transparent)]
    Defect(#[from] ScriptRunError),
}

impl From<CommandError> for Raised {
    fn from(fault: CommandError) -> Self {
        match fault {
            CommandError::Unmodelled(what) => Raised::Defect(ScriptRunError::Unmodelled(what)),
            fault => Raised::Refused(fault),
        }
    }
}

/// Builds the table over a session that the caller fills before each run.
pub(super) fn redis(lua: &Lua, session: &Rc<RefCell<Session>>) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    let calling = Rc::clone(session);
    redis.set(
        "call",
        lua.create_function(move |lua, words: MultiValue| {
            let reply = call(&calling, &words).map_err(mlua::Error::external)?;
            convert::to_lua(lua, reply)
        })?,
    )?;
    let calling = Rc::clone(session);
    redis.set(
        "pcall",
        lua.create_function(move |lua, words: MultiValue| match call(&calling, &words) {
            Ok(reply) => convert::to_lua(lua, reply),
            Err(Raised::Refused(fault)) => {
                let reply = lua.create_table_with_capacity(0, 1)?;
                reply.raw_set("err", fault.said_by(flavour(&calling)))?;
                Ok(LuaValue::Table(reply))
            }
            Err(other) => Err(mlua::Error::external(other)),
        })?,
    )?;
    redis.set(
        "error_reply",
        lua.create_function(|lua, words: MultiValue| {
            let text = match words.as_slices() {
                ([LuaValue::String(text)], []) => convert::error_text(&text.as_bytes()),
                _ => b"ERR wrong number or type of arguments".to_vec(),
            };
            let reply = lua.create_table_with_capacity(0, 1)?;
            reply.raw_set("err", lua.create_string(text)?)?;
            Ok(reply)
        })?,
    )?;
    redis.set(
        "status_reply",
        lua.create_function(|lua, words: MultiValue| {
            let reply = lua.create_table_with_capacity(0, 1)?;
            match words.as_slices() {
                ([LuaValue::String(text)], []) => reply.raw_set("ok", text)?,
                _ => reply.raw_set("err", "ERR wrong number or type of arguments")?,
            }
            Ok(reply)
        })?,
    )?;
    redis.set(
        "sha1hex",
        lua.create_function(|_, words: MultiValue| match words.as_slices() {
            ([word], []) => Ok(sha1_hex(&word_bytes(word).unwrap_or_default())),
            _ => Err(said("wrong number of arguments")),
        })?,
    )?;
    let logging = Rc::clone(session);
    redis.set(
        "log",
        lua.create_function(move |_, words: MultiValue| {
            let mut session = logging.borrow_mut();
            let line = log_line(&words, session.world.flavour())?;
            if session.log.len() < LOG_LIMIT {
                session.log.push(line);
            }
            Ok(())
        })?,
    )?;
    for (name, level) in [("LOG_DEBUG", 0), ("LOG_VERBOSE", 1), ("LOG_NOTICE", 2), ("LOG_WARNING", 3)] {
        redis.set(name, level)?;
    }
    Ok(redis)
}

fn call(session: &RefCell<Session>, words: &MultiValue) -> Result<Pushed, Raised> {
    session.borrow_mut().call(words)
}

fn flavour(session: &RefCell<Session>) -> Flavour {
    session.borrow_mut().world.flavour()
}

fn said(text: &str) -> mlua::Error {
    mlua::Error::external(Raised::Said(format!("ERR {text}")))
}

fn log_line(words: &MultiValue, flavour: Flavour) -> mlua::Result<LogLine> {
    if words.len() < 2 {
        return Err(said(match flavour {
            Flavour::Valkey81 => "server.log() requires two arguments or more.",
            _ => "redis.log() requires two arguments or more.",
        }));
    }
    let level = match words.front() {
        Some(LuaValue::Integer(level)) => *level,
        Some(LuaValue::Number(level)) => convert::cut(*level),
        _ => return Err(said("First argument must be a number (log level).")),
    };
    if !(0..=3).contains(&level) {
        return Err(said(match flavour {
            Flavour::Redis70 => "Invalid debug level.",
            _ => "Invalid log level.",
        }));
    }
    let words: Vec<Vec<u8>> = words.iter().skip(1).filter_map(word_bytes).collect();
    Ok(LogLine { level, text: words.join(&b' ') })
}

/// A string, or a number as Lua itself formats it.
fn word_bytes(word: &LuaValue) -> Option<Vec<u8>> {
    match word {
        LuaValue::String(text) => Some(text.as_bytes().to_vec()),
        LuaValue::Integer(number) => Some(convert::lua_text(*number as f64).into_bytes()),
        LuaValue::Number(number) => Some(convert::lua_text(*number).into_bytes()),
        _ => None,
    }
}

impl Session {
    /// Runs one command for a script.
    fn call(&mut self, words: &MultiValue) -> Result<Pushed, Raised> {
        self.calls += 1;
        gather(&mut self.argv, words, &self.world)?;
        let command = command_named(&self.argv)?;
        if command.access != Access::Read {
            if self.flags.no_writes {
                return Err(Raised::Refused(CommandError::ReadOnly));
            }
            // A script without a first line may finish what it has begun.
            let closed = self.world.is_memory_full() && !self.flags.declared && !self.wrote;
            if closed && command.access == Access::Grow {
                return Err(Raised::Refused(CommandError::Full));
            }
            self.wrote = true;
        }
        if let Some(slot) = &self.slot
            && let Some(key) = command.keys_of(&self.argv).find(|key| tag(key) != slot)
        {
            return Err(ScriptRunError::OtherSlot(key.escape_ascii().to_string()).into());
        }
        Ok(Pushed(command.run(&mut self.world, &self.argv)?))
    }
}

/// Writes the arguments of a call into the buffer, numbers as the server writes them.
fn gather(argv: &mut Argv, words: &MultiValue, world: &FakeRedis) -> Result<(), CommandError> {
    argv.clear();
    for word in words {
        match word {
            LuaValue::String(text) => argv.push(&text.as_bytes()),
            LuaValue::Integer(number) => push_number(argv, *number as f64, world),
            LuaValue::Number(number) => push_number(argv, *number, world),
            _ => return Err(CommandError::NotAString),
        }
    }
    Ok(())
}

fn push_number(argv: &mut Argv, number: f64, world: &FakeRedis) {
    argv.push(format_argument(number, world.flavour()).as_bytes());
}
