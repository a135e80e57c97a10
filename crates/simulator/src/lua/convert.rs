//! Values between a world and Lua, exactly as the server converts them (RESP2).

use mlua::{IntoLua, Lua, LuaString, Table, Value as LuaValue};

use super::engine::ScriptRunError;
use crate::Value;
use crate::fake_redis::{Flavour, Reply, format_argument};

/// Deepest nesting of a returned table. A server stops at the end of its Lua stack, about 2,000 levels, and
/// sends what it has, which no caller could use.
const DEEPEST: usize = 1_000;

/// A command's answer, to be converted for the script.
pub(super) struct Pushed(pub(super) Reply);

impl IntoLua for Pushed {
    fn into_lua(self, lua: &Lua) -> mlua::Result<LuaValue> {
        to_lua(lua, self)
    }
}

/// Converts a command's answer for the script: nil is `false`, a status is `{ok = …}`.
pub(super) fn to_lua(lua: &Lua, reply: Pushed) -> mlua::Result<LuaValue> {
    Ok(match reply.0 {
        Reply::Nil => LuaValue::Boolean(false),
        Reply::Int(number) => LuaValue::Number(number as f64),
        Reply::Bytes(bytes) => LuaValue::String(lua.create_string(&bytes[..])?),
        Reply::Made(bytes) => LuaValue::String(lua.create_string(bytes)?),
        Reply::Status(text) => {
            let table = lua.create_table_with_capacity(0, 1)?;
            table.raw_set("ok", text)?;
            LuaValue::Table(table)
        }
        Reply::Array(items) => LuaValue::Table(lua.create_sequence_from(items.into_iter().map(Pushed))?),
    })
}

/// Field names that mark a returned table as something other than a list.
pub(super) struct Names {
    err: LuaString,
    ok: LuaString,
    double: LuaString,
    others: [LuaString; 4],
}

impl Names {
    pub(super) fn new(lua: &Lua) -> mlua::Result<Self> {
        Ok(Self {
            err: lua.create_string("err")?,
            ok: lua.create_string("ok")?,
            double: lua.create_string("double")?,
            others: [
                lua.create_string("map")?,
                lua.create_string("set")?,
                lua.create_string("big_number")?,
                lua.create_string("verbatim_string")?,
            ],
        })
    }

    /// Converts the value a script returned into the caller's reply: numbers are truncated to integers, `false`
    /// and `nil` are nil, `true` is 1, a list ends before its first `nil`.
    ///
    /// # Errors
    /// For a table that is nested too deeply or meant for RESP3.
    pub(super) fn to_value(&self, value: &LuaValue, flavour: Flavour) -> Result<Value, ScriptRunError> {
        self.nested(value, flavour, 0)
    }

    fn nested(&self, value: &LuaValue, flavour: Flavour, depth: usize) -> Result<Value, ScriptRunError> {
        match value {
            LuaValue::String(text) => Ok(Value::Bytes(text.as_bytes().to_vec())),
            LuaValue::Integer(number) => Ok(Value::Int(*number)),
            LuaValue::Number(number) => Ok(Value::Int(cut(*number))),
            LuaValue::Boolean(true) => Ok(Value::Int(1)),
            LuaValue::Table(table) => self.table(table, flavour, depth),
            _ => Ok(Value::Nil),
        }
    }

    fn table(&self, table: &Table, flavour: Flavour, depth: usize) -> Result<Value, ScriptRunError> {
        if depth == DEEPEST {
            return Err(ScriptRunError::TooDeep);
        }
        if let LuaValue::String(text) = table.raw_get(&self.err)? {
            return Ok(Value::Error(one_line(&text.as_bytes())));
        }
        if let LuaValue::String(text) = table.raw_get(&self.ok)? {
            return Ok(Value::Status(one_line(&text.as_bytes())));
        }
        let double = match table.raw_get(&self.double)? {
            LuaValue::Integer(number) => Some(number as f64),
            LuaValue::Number(number) => Some(number),
            _ => None,
        };
        if let Some(number) = double {
            return Ok(Value::Bytes(format_argument(number, flavour).into_bytes()));
        }
        for name in &self.others {
            if matches!(table.raw_get(name)?, LuaValue::Table(_) | LuaValue::String(_)) {
                return Err(ScriptRunError::Unmodelled(format!(
                    "a reply of kind {}",
                    name.to_string_lossy()
                )));
            }
        }
        let mut items = Vec::new();
        for at in 1.. {
            match table.raw_get(at)? {
                LuaValue::Nil => break,
                item => items.push(self.nested(&item, flavour, depth + 1)?),
            }
        }
        Ok(Value::Array(items))
    }

    /// The error reply for a raised table; `None` if it has no text.
    pub(super) fn raised_text(&self, table: &Table) -> mlua::Result<Option<String>> {
        Ok(match table.raw_get(&self.err)? {
            LuaValue::String(text) => Some(one_line(&text.as_bytes())),
            LuaValue::Integer(number) => Some(lua_text(number as f64)),
            LuaValue::Number(number) => Some(lua_text(number)),
            _ => None,
        })
    }
}

/// Text for a simple reply: like a C string, up to the first zero byte; line ends become spaces.
pub(super) fn one_line(text: &[u8]) -> String {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).replace(['\r', '\n'], " ")
}

/// The result of `redis.error_reply` for a text: the first word is the code if a second one follows, otherwise `ERR`
/// is prepended.
pub(super) fn error_text(text: &[u8]) -> Vec<u8> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let end = text.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    let text = &text[..end];
    if text.contains(&b' ') { text.to_vec() } else { [b"ERR ", text].concat() }
}

/// A number as an integer, as C casts it on x86-64: towards zero; the minimum for everything that does not fit.
pub(super) fn cut(number: f64) -> i64 {
    const END: f64 = 9_223_372_036_854_775_808.0;
    if (-END..END).contains(&number) { number as i64 } else { i64::MIN }
}

/// A number as Lua 5.1 itself formats it: 14 digits.
pub(super) fn lua_text(number: f64) -> String {
    crate::fake_redis::format_lua(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_as_on_x86() {
        for (number, whole) in [
            (3.99, 3),
            (-1.9, -1),
            (-0.0, 0),
            (1e300, i64::MIN),
            (f64::NAN, i64::MIN),
            (9_007_199_254_740_992.0, 9_007_199_254_740_992),
        ] {
            assert_eq!(cut(number), whole);
        }
    }

    #[test]
    fn error_texts_get_a_code() {
        for (text, expected) in [
            ("FOO", "ERR FOO"),
            ("FOO bar", "FOO bar"),
            ("-FOO bar", "FOO bar"),
            ("", "ERR "),
            ("-", "ERR "),
            ("A b\r\n", "A b"),
            ("A b\0c", "A b"),
        ] {
            assert_eq!(error_text(text.as_bytes()), expected.as_bytes());
        }
    }
}
