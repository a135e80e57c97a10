//! What a script can see.

use mlua::{Function, Lua, LuaOptions, StdLib, Table, chunk::ChunkMode};

/// Builds the environment. Gets Lua's own globals, the `redis` table and the table that holds `KEYS` and
/// `ARGV`; answers the environment of scripts. Everything in it is read through an empty table that refuses
/// writes, as the server's tables are read-only.
const BUILD: &str = r#"
local lua, redis, inputs = ...
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
lua.math.random = nil
lua.math.randomseed = nil
inputs.redis = sealed(redis)
inputs.string = sealed(lua.string)
inputs.table = sealed(lua.table)
inputs.math = sealed(lua.math)
local names = { 'tonumber', 'tostring', 'type', 'ipairs', 'pairs', 'next', 'select', 'unpack', 'error', 'assert',
                'setmetatable' }
for _, name in lua.ipairs(names) do
  inputs[name] = lua[name]
end
return sealed(lua.setmetatable(inputs, { __index = unknown }))
"#;

/// A Lua state with the environment of scripts.
pub(super) struct Sandbox {
    pub(super) lua: Lua,
    /// What scripts see as their globals.
    pub(super) environment: Table,
    /// Where `KEYS` and `ARGV` are put before each run.
    pub(super) inputs: Table,
    /// Lua's own `pcall`, which scripts cannot reach: it hands over a raised value as it is.
    pub(super) pcall: Function,
}

impl Sandbox {
    /// Makes a state with nothing but the three libraries, and the environment around `redis`.
    pub(super) fn new(redis: impl FnOnce(&Lua) -> mlua::Result<Table>) -> mlua::Result<Self> {
        let lua = Lua::new_with(StdLib::STRING | StdLib::TABLE | StdLib::MATH, LuaOptions::new())?;
        let inputs = lua.create_table()?;
        let build = lua.load(BUILD).set_mode(ChunkMode::Text).set_name("=sandbox");
        let environment = build.call((lua.globals(), redis(&lua)?, &inputs))?;
        let pcall = lua.globals().get("pcall")?;
        Ok(Self { lua, environment, inputs, pcall })
    }
}
