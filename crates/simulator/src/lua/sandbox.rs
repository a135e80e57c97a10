//! The environment visible to a script.

use super::engine::{MEMORY_LIMIT, ScriptRunError};
use super::library::Raised;
use mlua::{Function, Lua, LuaOptions, StdLib, Table, chunk::ChunkMode};

/// Builds the environment. Takes Lua's own globals, the `redis` table, the table that holds `KEYS` and `ARGV`,
/// the most bytes a string may have and the function to call when it would have more; returns the environment of
/// scripts. Scripts access it through an empty table that refuses writes, because the server's tables are
/// read-only.
const BUILD: &str = r#"
local lua, redis, inputs, longest, too_long = ...
local function refuse()
  lua.error('Attempt to modify a readonly table', 2)
end
local function sealed(inside)
  return lua.setmetatable({}, { __index = inside, __newindex = refuse, __metatable = false })
end
local function unknown(_, name)
  lua.error("Script attempted to access nonexistent global variable '" .. lua.tostring(name) .. "'", 2)
end
lua.string.dump = nil
local rep = lua.string.rep
function lua.string.rep(text, times, ...)
  if lua.type(text) == 'string' and lua.type(times) == 'number' and #text * times > longest then
    too_long()
  end
  return rep(text, times, ...)
end
lua.math.random = nil
lua.math.randomseed = nil
inputs.redis = sealed(redis)
inputs.string = sealed(lua.string)
inputs.table = sealed(lua.table)
inputs.math = sealed(lua.math)
local names = { 'tonumber', 'tostring', 'type', 'ipairs', 'pairs', 'next', 'select', 'unpack', 'error',
                'assert', 'setmetatable' }
for _, name in lua.ipairs(names) do
  inputs[name] = lua[name]
end
return sealed(lua.setmetatable(inputs, { __index = unknown }))
"#;

/// A Lua state with the environment of scripts.
pub(super) struct Sandbox {
    pub(super) lua: Lua,
    /// The globals of scripts.
    pub(super) environment: Table,
    /// Holds `KEYS` and `ARGV`, set before each run.
    pub(super) inputs: Table,
    /// Lua's own `pcall`, which scripts cannot reach: it returns a raised value unchanged.
    pub(super) pcall: Function,
}

impl Sandbox {
    /// Creates a state with only the three libraries, and the environment around `redis`.
    pub(super) fn new(redis: impl FnOnce(&Lua) -> mlua::Result<Table>) -> mlua::Result<Self> {
        let lua = Lua::new_with(StdLib::STRING | StdLib::TABLE | StdLib::MATH, LuaOptions::new())?;
        let inputs = lua.create_table()?;
        let too_long = lua.create_function(|_, ()| -> mlua::Result<()> {
            Err(mlua::Error::external(Raised::Defect(ScriptRunError::Memory)))
        })?;
        let build = lua.load(BUILD).set_mode(ChunkMode::Text).set_name("=sandbox");
        let environment = build.call((lua.globals(), redis(&lua)?, &inputs, MEMORY_LIMIT, too_long))?;
        let pcall = lua.globals().get("pcall")?;
        Ok(Self { lua, environment, inputs, pcall })
    }
}
