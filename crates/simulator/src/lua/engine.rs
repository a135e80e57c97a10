//! One Lua state per thread, and the execution of a script in it.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Function, HookTriggers, Value as LuaValue, VmState, chunk::ChunkMode};
use thiserror::Error;

use super::convert::{Names, lua_text, one_line};
use super::library::{self, Raised};
use super::sandbox::Sandbox;
use super::script::{Flags, ScriptError, ScriptProgram};
use crate::Value;
use crate::fake_redis::{Argv, CommandError, Event, FakeRedis, Flavour, tag};

/// The most Lua instructions per run (counted in thousands).
pub const INSTRUCTION_LIMIT: u64 = 5_000_000;
/// The most bytes that a thread's Lua state may hold (checked at the same interval; for `string.rep` at
/// once).
pub const MEMORY_LIMIT: usize = 64 * 1024 * 1024;
/// How often the limits are checked, in instructions. A limit inside Lua's allocator would be exact, but it
/// turns every call from Rust into Lua into a protected call and costs a third of the speed.
const INSTRUCTION_STEP: u32 = 1_000;
/// The most compiled scripts kept per thread.
const SCRIPTS_KEPT: usize = 512;

/// The result of a run, apart from the changes to the world.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptRun {
    /// The caller's reply.
    pub reply: Value,
    /// The events for subscribers, in order.
    pub events: Vec<Event>,
    /// What the script wrote to the server's log.
    pub log: Vec<LogLine>,
    /// How many commands it called.
    pub calls: u32,
    /// Whether it called one that writes.
    pub wrote: bool,
}

/// A line of the server's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// 0 debug, 1 verbose, 2 notice, 3 warning.
    pub level: i64,
    /// The words, joined by spaces.
    pub text: Vec<u8>,
}

/// Why a run has no reply: a defect of the script or a gap in this model, never the behaviour of the system.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ScriptRunError {
    /// More than [`INSTRUCTION_LIMIT`] instructions.
    #[error("the script ran for more than {INSTRUCTION_LIMIT} instructions")]
    Instructions,
    /// More than [`MEMORY_LIMIT`] bytes.
    #[error("the script needs more than {MEMORY_LIMIT} bytes")]
    Memory,
    /// A command, option or kind of reply that this model does not support.
    #[error("this model of Redis does not support {0}")]
    Unmodelled(String),
    /// A key outside the slot of `KEYS[1]`; see [`ScriptProgram::in_one_slot`].
    #[error("the script touches a key in another slot: {0}")]
    OtherSlot(String),
    /// A reply nested too deeply to be sent.
    #[error("the script returns a table that is nested too deeply")]
    TooDeep,
    /// `error({…})` without a text in `err`. It crashes real servers (seen on Redis 7.0.15 and 8.0.2 and on
    /// Valkey 8.1.1).
    #[error("the script raises a table without err, which crashes the server")]
    RaisedTable,
    /// Lua itself failed.
    #[error("Lua failed: {0}")]
    Lua(String),
}

impl From<mlua::Error> for ScriptRunError {
    fn from(error: mlua::Error) -> Self {
        match error {
            mlua::Error::MemoryError(_) => ScriptRunError::Memory,
            other => ScriptRunError::Lua(other.to_string()),
        }
    }
}

/// State of a run that the functions of the `redis` table use.
#[derive(Default)]
pub(super) struct Session {
    pub(super) world: FakeRedis,
    pub(super) argv: Argv,
    pub(super) flags: Flags,
    /// The tag that every key must have, if the script is restricted to one slot.
    pub(super) slot: Option<Vec<u8>>,
    pub(super) log: Vec<LogLine>,
    pub(super) calls: u32,
    pub(super) wrote: bool,
}

struct Engine {
    sandbox: Sandbox,
    names: Names,
    session: Rc<RefCell<Session>>,
    instructions: Rc<Cell<u64>>,
    compiled: HashMap<u64, Function>,
}

thread_local! {
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

/// Compiles a script on this thread, if needed.
pub(super) fn compile(script: &ScriptProgram) -> Result<(), ScriptError> {
    with_engine(|engine| engine.function(script).map(|_| ()))?.map_err(|error| match error {
        mlua::Error::SyntaxError { message, .. } => ScriptError::Syntax(message),
        other => ScriptError::Run(other.into()),
    })
}

/// Runs a script on this thread.
pub(super) fn run<K: AsRef<[u8]>, A: AsRef<[u8]>>(
    script: &ScriptProgram,
    world: &mut FakeRedis,
    keys: &[K],
    args: &[A],
) -> Result<ScriptRun, ScriptRunError> {
    let run = with_engine(|engine| engine.run(script, world, keys, args))?;
    if matches!(run, Err(ScriptRunError::Memory | ScriptRunError::Lua(_))) {
        // This state may be broken: create a new one next time.
        ENGINE.with_borrow_mut(|engine| *engine = None);
    }
    run
}

fn with_engine<T>(work: impl FnOnce(&mut Engine) -> T) -> Result<T, ScriptRunError> {
    ENGINE.with_borrow_mut(|slot| {
        let engine = match slot {
            Some(engine) => engine,
            None => slot.insert(Engine::new()?),
        };
        Ok(work(engine))
    })
}

impl Engine {
    fn new() -> mlua::Result<Self> {
        let session = Rc::new(RefCell::new(Session::default()));
        let sandbox = Sandbox::new(|lua| library::redis(lua, &session))?;
        let instructions = Rc::new(Cell::new(0));
        let counted = Rc::clone(&instructions);
        let triggers = HookTriggers::new().every_nth_instruction(INSTRUCTION_STEP);
        sandbox.lua.set_hook(triggers, move |lua, _| {
            counted.set(counted.get() + u64::from(INSTRUCTION_STEP));
            if counted.get() > INSTRUCTION_LIMIT {
                return Err(mlua::Error::external(Raised::Defect(ScriptRunError::Instructions)));
            }
            if lua.used_memory() > MEMORY_LIMIT {
                return Err(mlua::Error::external(Raised::Defect(ScriptRunError::Memory)));
            }
            Ok(VmState::Continue)
        })?;
        let names = Names::new(&sandbox.lua)?;
        Ok(Self { sandbox, names, session, instructions, compiled: HashMap::new() })
    }

    /// The compiled form of a script.
    fn function(&mut self, script: &ScriptProgram) -> mlua::Result<Function> {
        if let Some(function) = self.compiled.get(&script.serial()) {
            return Ok(function.clone());
        }
        let chunk = self.sandbox.lua.load(script.body()).set_mode(ChunkMode::Text);
        let chunk = chunk.set_name("@user_script").set_environment(self.sandbox.environment.clone());
        let function = chunk.into_function()?;
        if self.compiled.len() >= SCRIPTS_KEPT {
            self.compiled.clear();
            // Otherwise garbage would count towards the memory of later scripts.
            self.sandbox.lua.gc_collect()?;
        }
        self.compiled.insert(script.serial(), function.clone());
        Ok(function)
    }

    fn run<K: AsRef<[u8]>, A: AsRef<[u8]>>(
        &mut self,
        script: &ScriptProgram,
        world: &mut FakeRedis,
        keys: &[K],
        args: &[A],
    ) -> Result<ScriptRun, ScriptRunError> {
        let flags = script.flags();
        if world.is_memory_full() && flags.declared && !flags.allow_oom && !flags.no_writes {
            return Ok(ScriptRun::refused(CommandError::Full.said_by(world.flavour())));
        }
        let function = self.function(script)?;
        let lua = &self.sandbox.lua;
        let words = |bytes: &[u8]| lua.create_string(bytes);
        let keys_table = sequence(lua, keys, words)?;
        let args_table = sequence(lua, args, words)?;
        self.sandbox.inputs.raw_set("KEYS", keys_table)?;
        self.sandbox.inputs.raw_set("ARGV", args_table)?;
        self.instructions.set(0);

        let earlier = world.take_events();
        let flavour = world.flavour();
        {
            let mut session = self.session.borrow_mut();
            session.flags = flags;
            session.slot = script
                .is_held_to_one_slot()
                .then(|| keys.first().map(|key| tag(key.as_ref()).to_vec()).unwrap_or_default());
            (session.calls, session.wrote) = (0, false);
            std::mem::swap(world, &mut session.world);
        }
        let ended = self.sandbox.pcall.call::<(bool, LuaValue)>(function);
        let (calls, wrote, log) = {
            let mut session = self.session.borrow_mut();
            std::mem::swap(world, &mut session.world);
            (session.calls, session.wrote, std::mem::take(&mut session.log))
        };
        let events = world.take_events();
        world.put_back_events(earlier);
        let reply = match ended? {
            (true, value) => self.names.to_value(&value, flavour)?,
            (false, raised) => Value::Error(self.raised(&raised, flavour)?),
        };
        Ok(ScriptRun { reply, events, log, calls, wrote })
    }

    /// The error reply for what a script raised.
    fn raised(&self, raised: &LuaValue, flavour: Flavour) -> Result<String, ScriptRunError> {
        Ok(match raised {
            LuaValue::Table(table) => self.names.raised_text(table)?.ok_or(ScriptRunError::RaisedTable)?,
            LuaValue::String(text) if *text == "not enough memory" => return Err(ScriptRunError::Memory),
            LuaValue::String(text) => one_line(&[b"ERR ", &text.as_bytes()[..]].concat()),
            LuaValue::Nil => "ERR nil".to_owned(),
            LuaValue::Boolean(flag) => format!("ERR {flag}"),
            LuaValue::Integer(number) => format!("ERR {}", lua_text(*number as f64)),
            LuaValue::Number(number) => format!("ERR {}", lua_text(*number)),
            LuaValue::Error(error) => match error.downcast_ref::<Raised>() {
                Some(Raised::Defect(defect)) => return Err(defect.clone()),
                Some(Raised::Refused(fault)) => fault.said_by(flavour),
                Some(Raised::Said(text)) => text.clone(),
                None => return Err((**error).clone().into()),
            },
            other => format!("ERR {}: 0x0", other.type_name()),
        })
    }
}

impl ScriptRun {
    fn refused(text: String) -> Self {
        ScriptRun { reply: Value::Error(text), events: Vec::new(), log: Vec::new(), calls: 0, wrote: false }
    }
}

fn sequence<W: AsRef<[u8]>>(
    lua: &mlua::Lua,
    words: &[W],
    string: impl Fn(&[u8]) -> mlua::Result<mlua::LuaString>,
) -> mlua::Result<mlua::Table> {
    let table = lua.create_table_with_capacity(words.len(), 0)?;
    for word in words {
        table.raw_push(string(word.as_ref())?)?;
    }
    Ok(table)
}
