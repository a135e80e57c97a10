//! Why a command is refused, with the server's own error texts.

use thiserror::Error;

use super::flavour::Flavour;

/// The refusal of a command. `Display` is the text of the error reply, code first, as Redis sends it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CommandError {
    /// The key holds another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// An argument or the stored string is not a 64-bit integer.
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    /// The smallest 64-bit integer, where a count may be negative but must be negatable.
    #[error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")]
    NoOpposite,
    /// A count is negative or not a number.
    #[error("ERR value is out of range, must be positive")]
    NotPositive,
    /// A score is not a number.
    #[error("ERR value is not a valid float")]
    NotFloat,
    /// A bound of a score range is not a number.
    #[error("ERR min or max is not a float")]
    NotLimit,
    /// The sum does not fit into 64 bits.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
    /// The field to increment does not hold an integer.
    #[error("ERR hash value is not an integer")]
    FieldNotInteger,
    /// A negative offset.
    #[error("ERR offset is out of range")]
    OffsetOutOfRange,
    /// The string would grow over 512 MB.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    TooLong,
    /// Invalid options.
    #[error("ERR syntax error")]
    Syntax,
    /// `LIMIT` without `BYSCORE`.
    #[error("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")]
    LimitWithoutScores,
    /// `XX` and `NX` together.
    #[error("ERR XX and NX options at the same time are not compatible")]
    ExistingAndNew,
    /// `GT`, `LT` and `NX` together.
    #[error("ERR GT, LT, and/or NX options at the same time are not compatible")]
    GreaterLessNew,
    /// The key must exist.
    #[error("ERR no such key")]
    NoSuchKey,
    /// No element at this index.
    #[error("ERR index out of range")]
    IndexOutOfRange,
    /// A deadline of zero or less, or one beyond 64 bits.
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    /// Found by the command itself, such as an odd number of fields and values.
    #[error("ERR wrong number of arguments for '{0}' command")]
    ArgumentsOf(&'static str),
    /// Found before the command ran.
    #[error("ERR Wrong number of args calling Redis command from script")]
    Arity,
    /// No argument at all.
    #[error("ERR Please specify at least one argument for this redis lib call")]
    NoCommand,
    /// A table, boolean or nil as argument.
    #[error("ERR Lua redis lib command arguments must be strings or integers")]
    NotAString,
    /// A write in a script with the flag `no-writes`.
    #[error("ERR Write commands are not allowed from read-only scripts.")]
    ReadOnly,
    /// Memory is full, and the script (or the command, in a script without a first line) may not continue then.
    #[error("OOM command not allowed when used memory > 'maxmemory'.")]
    Full,
    /// Not an error of a server: this model does not support the command or option. A run that meets it fails.
    #[error("UNMODELLED {0}")]
    Unmodelled(String),
}

impl CommandError {
    /// The text of the error reply, as this kind of server sends it: Valkey does not call itself Redis.
    #[must_use]
    pub fn said_by(&self, flavour: Flavour) -> String {
        let text = match (flavour, self) {
            (Flavour::Valkey81, CommandError::Arity) => {
                "ERR Wrong number of args calling command from script"
            }
            (Flavour::Valkey81, CommandError::NoCommand) => {
                "ERR Please specify at least one argument for this call"
            }
            (Flavour::Valkey81, CommandError::NotAString) => {
                "ERR Command arguments must be strings or integers"
            }
            (_, other) => return other.to_string(),
        };
        text.to_owned()
    }
}
