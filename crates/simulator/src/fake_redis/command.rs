//! The table of commands: names, numbers of arguments, access, and which words are keys.

use std::sync::LazyLock;

use super::FakeRedis;
use super::argv::Argv;
use super::commands;
use super::fault::CommandError;
use super::reply::Answer;

/// What a command may do to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only reads.
    Read,
    /// Writes, and never needs much more memory (no `denyoom` on the server).
    Write,
    /// Writes, and may need memory (`denyoom`).
    Grow,
}

/// Which words of a command are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// None.
    None,
    /// The first argument.
    First,
    /// Every argument.
    All,
    /// Every other argument, from the first.
    Alternate,
}

/// One command.
pub(crate) struct Command {
    /// In lower case.
    pub(crate) name: &'static str,
    /// Words including the name: exactly this many, or at least as many if negative.
    pub(crate) arity: i32,
    /// What it may do.
    pub(crate) access: Access,
    /// Which words are keys.
    pub(crate) keys: Keys,
    /// Its implementation.
    pub(crate) action: fn(&mut FakeRedis, &Argv) -> Answer,
}

impl Command {
    /// A command whose only key is its first argument.
    pub(crate) const fn of(
        name: &'static str,
        arity: i32,
        access: Access,
        action: fn(&mut FakeRedis, &Argv) -> Answer,
    ) -> Self {
        Self { name, arity, access, keys: Keys::First, action }
    }

    /// The same command with other keys.
    pub(crate) const fn keyed(self, keys: Keys) -> Self {
        Self { keys, ..self }
    }

    /// Runs the command.
    pub(crate) fn run(&self, world: &mut FakeRedis, argv: &Argv) -> Answer {
        (self.action)(world, argv)
    }

    /// The keys among the words.
    pub(crate) fn keys_of<'a>(&self, argv: &'a Argv) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (most, step) = match self.keys {
            Keys::None => (0, 1),
            Keys::First => (1, 1),
            Keys::All => (usize::MAX, 1),
            Keys::Alternate => (usize::MAX, 2),
        };
        argv.words_from(1).step_by(step).take(most)
    }
}

static TABLE: LazyLock<Vec<Command>> = LazyLock::new(|| {
    let mut table = commands::all();
    table.sort_unstable_by_key(|command| command.name);
    table
});

/// Finds the command that the first word names, and checks the number of words.
///
/// # Errors
/// [`CommandError::NoCommand`], [`CommandError::Arity`], or [`CommandError::Unmodelled`] for a name that is not in the table.
pub(crate) fn command_named(argv: &Argv) -> Result<&'static Command, CommandError> {
    if argv.is_empty() {
        return Err(CommandError::NoCommand);
    }
    let word = &argv[0];
    let unknown = || CommandError::Unmodelled(format!("command {}", word.escape_ascii()));
    let mut buffer = [0; 24];
    let name = buffer.get_mut(..word.len()).ok_or_else(unknown)?;
    name.copy_from_slice(word);
    name.make_ascii_lowercase();
    let name = &*name;
    let found = TABLE.binary_search_by(|command| command.name.as_bytes().cmp(name)).map_err(|_| unknown())?;
    let command = &TABLE[found];
    let words = i32::try_from(argv.len()).unwrap_or(i32::MAX);
    let fits = if command.arity < 0 { words >= -command.arity } else { words == command.arity };
    if fits { Ok(command) } else { Err(CommandError::Arity) }
}

/// The part of a key that decides its slot in a cluster: the text between the first `{` and the next `}`,
/// or the whole key if there is none.
#[must_use]
pub fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let rest = &key[open + 1..];
    match rest.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(close) => &rest[..close],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_in_any_case_and_counted() {
        assert_eq!(command_named(&Argv::of(&["gEt", "k"])).map(|command| command.name), Ok("get"));
        assert_eq!(command_named(&Argv::of(&["get"])).err(), Some(CommandError::Arity));
        assert_eq!(command_named(&Argv::of::<&str>(&[])).err(), Some(CommandError::NoCommand));
        assert!(matches!(command_named(&Argv::of(&["flushall"])), Err(CommandError::Unmodelled(_))));
        assert!(matches!(command_named(&Argv::of(&["x".repeat(100)])), Err(CommandError::Unmodelled(_))));
    }

    #[test]
    fn every_name_is_there_once() {
        assert!(TABLE.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn the_tag_decides_the_slot() {
        for (key, expected) in [
            ("due:{3}:bulk", "3"),
            ("plain", "plain"),
            ("a{}b{c}", "a{}b{c}"),
            ("a{b", "a{b"),
            ("{a}{b}", "a"),
        ] {
            assert_eq!(tag(key.as_bytes()), expected.as_bytes());
        }
    }
}
