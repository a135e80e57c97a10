//! Strings: GET, SET, MGET, MSET, GETRANGE, SETRANGE, STRLEN, INCR, INCRBY, APPEND.

use std::sync::Arc;

use super::{int, slice};
use crate::fake_redis::argv::Argv;
use crate::fake_redis::command::{Access, Command, Keys};
use crate::fake_redis::event::Class;
use crate::fake_redis::fault::CommandError;
use crate::fake_redis::number::parse_int;
use crate::fake_redis::reply::{Answer, Reply};
use crate::fake_redis::{Data, FakeRedis, Str};

/// Longest string the server accepts (`proto-max-bulk-len`), in bytes.
const LONGEST: usize = 512 * 1024 * 1024;

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::of("get", 2, Access::Read, get),
        Command::of("set", -3, Access::Grow, set),
        Command::of("mget", -2, Access::Read, mget).keyed(Keys::All),
        Command::of("mset", -3, Access::Grow, mset).keyed(Keys::Alternate),
        Command::of("getrange", 4, Access::Read, getrange),
        Command::of("setrange", 4, Access::Grow, setrange),
        Command::of("strlen", 2, Access::Read, strlen),
        Command::of("incr", 2, Access::Grow, incr),
        Command::of("incrby", 3, Access::Grow, incrby),
        Command::of("append", 3, Access::Grow, append),
    ]
}

fn get(world: &mut FakeRedis, argv: &Argv) -> Answer {
    Ok(Reply::maybe(world.read_text(&argv[1])?))
}

/// The options of SET.
#[derive(Default)]
struct SetOptions {
    only_new: bool,
    only_existing: bool,
    keep_deadline: bool,
    /// Milliseconds from now (true) or since the epoch (false).
    deadline: Option<(bool, i64)>,
}

impl SetOptions {
    fn read(argv: &Argv) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let (mut at, mut deadline_word) = (3, None);
        while at < argv.len() {
            if argv.is(at, "nx") && !options.only_existing {
                options.only_new = true;
            } else if argv.is(at, "xx") && !options.only_new {
                options.only_existing = true;
            } else if argv.is(at, "keepttl") && deadline_word.is_none() {
                options.keep_deadline = true;
            } else if (argv.is(at, "px") || argv.is(at, "pxat"))
                && !options.keep_deadline
                && deadline_word.is_none_or(|(relative, _)| relative == argv.is(at, "px"))
                && at + 1 < argv.len()
            {
                // If the option is repeated, the last one counts.
                deadline_word = Some((argv.is(at, "px"), at + 1));
                at += 1;
            } else if ["get", "ex", "exat"].iter().any(|option| argv.is(at, option)) {
                return Err(CommandError::Unmodelled(format!("option {} of SET", argv[at].escape_ascii())));
            } else {
                return Err(CommandError::Syntax);
            }
            at += 1;
        }
        if let Some((relative, at)) = deadline_word {
            let ms = int(argv, at)?;
            if ms <= 0 {
                return Err(CommandError::InvalidExpire("set"));
            }
            options.deadline = Some((relative, ms));
        }
        Ok(options)
    }
}

fn set(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let options = SetOptions::read(argv)?;
    let deadline = match options.deadline {
        Some((true, ms)) => {
            Some(ms.checked_add(world.deadline_clock()).ok_or(CommandError::InvalidExpire("set"))?)
        }
        Some((false, ms)) => Some(ms),
        None => None,
    };
    let (key, value) = (&argv[1], &argv[2]);
    let found = world.read(key).is_some();
    if (options.only_new && found) || (options.only_existing && !found) {
        return Ok(Reply::Nil);
    }
    if let Some(at) = deadline
        && world.flavour().past_deadline_expires()
        && at <= world.deadline_clock()
    {
        if found {
            world.remove(key);
            world.tell(Class::Expired, "expired", key);
        }
        return Ok(Reply::OK);
    }
    let text = Data::Text(Str::from(value));
    let kept = if options.keep_deadline { world.entry(key).and_then(|entry| entry.expires_at) } else { None };
    world.put(key, text, deadline.or(kept));
    world.tell(Class::Text, "set", key);
    if deadline.is_some() {
        world.tell(Class::Generic, "expire", key);
    }
    Ok(Reply::OK)
}

fn mget(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let values = argv.words_from(1).map(|key| match world.read(key) {
        Some(Data::Text(text)) => Reply::Bytes(Str::clone(text)),
        _ => Reply::Nil,
    });
    Ok(Reply::Array(values.collect()))
}

fn mset(world: &mut FakeRedis, argv: &Argv) -> Answer {
    if argv.len().is_multiple_of(2) {
        return Err(CommandError::ArgumentsOf("mset"));
    }
    for (key, value) in argv.pairs_from(1) {
        world.expire_if_due(key);
        world.put(key, Data::Text(Str::from(value)), None);
        world.tell(Class::Text, "set", key);
    }
    Ok(Reply::OK)
}

fn getrange(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (start, end) = (int(argv, 2)?, int(argv, 3)?);
    let text = world.read_text(&argv[1])?.map_or(&[][..], |text| text);
    if start < 0 && end < 0 && start > end {
        return Ok(Reply::Made(Vec::new()));
    }
    // Unlike in a list, an end before the start counts as the start.
    let end = if end < 0 { end.saturating_add(text.len() as i64).max(0) } else { end };
    let part = slice(start, end, text.len()).map_or(&[][..], |range| &text[range]);
    Ok(Reply::Made(part.to_vec()))
}

fn setrange(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (key, offset, value) = (&argv[1], int(argv, 2)?, &argv[3]);
    let offset = usize::try_from(offset).map_err(|_| CommandError::OffsetOutOfRange)?;
    let old = world.read_text(key)?;
    let old_len = old.map_or(0, |text| text.len());
    if value.is_empty() {
        return Ok(Reply::count(old_len));
    }
    let end = offset.checked_add(value.len()).filter(|end| *end <= LONGEST).ok_or(CommandError::TooLong)?;
    if end <= old_len {
        overwrite(world, key, offset..end, value);
    } else {
        let mut text = old.map_or_else(Vec::new, |text| text.to_vec());
        text.resize(end, 0);
        text[offset..].copy_from_slice(value);
        world.put_text(key, Str::from(text));
    }
    world.tell(Class::Text, "setrange", key);
    Ok(Reply::count(end.max(old_len)))
}

/// Writes inside a stored string, in place if it is not shared.
fn overwrite(world: &mut FakeRedis, key: &[u8], range: std::ops::Range<usize>, value: &[u8]) {
    let entry = Arc::make_mut(&mut world.keys).get_mut(key);
    if let Some(Data::Text(text)) = entry.map(|entry| &mut entry.data) {
        Arc::make_mut(text)[range].copy_from_slice(value);
    }
}

fn strlen(world: &mut FakeRedis, argv: &Argv) -> Answer {
    Ok(Reply::count(world.read_text(&argv[1])?.map_or(0, |text| text.len())))
}

fn incr(world: &mut FakeRedis, argv: &Argv) -> Answer {
    add(world, &argv[1], 1)
}

fn incrby(world: &mut FakeRedis, argv: &Argv) -> Answer {
    add(world, &argv[1], int(argv, 2)?)
}

fn add(world: &mut FakeRedis, key: &[u8], increment: i64) -> Answer {
    let old = match world.read_text(key)? {
        Some(text) => parse_int(text).ok_or(CommandError::NotInteger)?,
        None => 0,
    };
    let new = old.checked_add(increment).ok_or(CommandError::Overflow)?;
    world.put_text(key, Str::from(new.to_string().as_bytes()));
    world.tell(Class::Text, "incrby", key);
    Ok(Reply::Int(new))
}

fn append(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (key, value) = (&argv[1], &argv[2]);
    let old = world.read_text(key)?.map_or(&[][..], |text| text);
    let len = old.len().saturating_add(value.len());
    if len > LONGEST {
        return Err(CommandError::TooLong);
    }
    let text = [old, value].concat();
    world.put_text(key, Str::from(text));
    world.tell(Class::Text, "append", key);
    Ok(Reply::count(len))
}
