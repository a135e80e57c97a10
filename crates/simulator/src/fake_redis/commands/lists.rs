//! Lists: RPUSH, LPUSH, LPOP, LINDEX, LLEN, LRANGE, LREM, LTRIM, LSET.

use super::{count, int, slice};
use crate::fake_redis::argv::Argv;
use crate::fake_redis::command::{Access, Command};
use crate::fake_redis::event::Class;
use crate::fake_redis::fault::CommandError;
use crate::fake_redis::reply::{Answer, Reply};
use crate::fake_redis::{FakeRedis, List, Str};

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::of("rpush", -3, Access::Grow, rpush),
        Command::of("lpush", -3, Access::Grow, lpush),
        Command::of("lpop", -2, Access::Write, lpop),
        Command::of("lindex", 3, Access::Read, lindex),
        Command::of("llen", 2, Access::Read, llen),
        Command::of("lrange", 4, Access::Read, lrange),
        Command::of("lrem", 4, Access::Write, lrem),
        Command::of("ltrim", 4, Access::Write, ltrim),
        Command::of("lset", 4, Access::Grow, lset),
    ]
}

fn rpush(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let list: &mut List = world.collection_or_new(&argv[1])?;
    list.extend(argv.words_from(2).map(Str::from));
    let len = list.len();
    world.tell(Class::List, "rpush", &argv[1]);
    Ok(Reply::count(len))
}

fn lpush(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let list: &mut List = world.collection_or_new(&argv[1])?;
    for item in argv.words_from(2) {
        list.push_front(Str::from(item));
    }
    let len = list.len();
    world.tell(Class::List, "lpush", &argv[1]);
    Ok(Reply::count(len))
}

fn lpop(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let key = &argv[1];
    let most = match argv.len() {
        2 => None,
        3 => Some(count(argv, 2)?),
        _ => return Err(CommandError::ArgumentsOf("lpop")),
    };
    if world.collection::<List>(key)?.is_none() {
        return Ok(Reply::Nil);
    }
    if most == Some(0) {
        return Ok(Reply::Array(Vec::new()));
    }
    let Some(list) = world.collection_mut::<List>(key)? else { return Ok(Reply::Nil) };
    let end = most.unwrap_or(1).min(list.len());
    let mut popped: Vec<Reply> = list.drain(..end).map(Reply::Bytes).collect();
    changed(world, key, "lpop");
    Ok(if most.is_some() { Reply::Array(popped) } else { popped.pop().unwrap_or(Reply::Nil) })
}

/// Records what happened to a list, and `del` if it is empty now.
fn changed(world: &mut FakeRedis, key: &[u8], name: &'static str) {
    let spent = world.remove_if_spent::<List>(key);
    world.tell(Class::List, name, key);
    if spent {
        world.tell(Class::Generic, "del", key);
    }
}

/// The position of an index, which counts from the end if negative.
fn place(index: i64, len: usize) -> Option<usize> {
    match usize::try_from(index) {
        Ok(at) => (at < len).then_some(at),
        Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}

fn lindex(world: &mut FakeRedis, argv: &Argv) -> Answer {
    // A missing key is answered before the index is parsed.
    let Some(list) = world.collection::<List>(&argv[1])? else { return Ok(Reply::Nil) };
    let index = int(argv, 2)?;
    Ok(Reply::maybe(place(index, list.len()).and_then(|at| list.get(at))))
}

fn llen(world: &mut FakeRedis, argv: &Argv) -> Answer {
    Ok(Reply::count(world.collection::<List>(&argv[1])?.map_or(0, List::len)))
}

fn lrange(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (start, end) = (int(argv, 2)?, int(argv, 3)?);
    let Some(list) = world.collection::<List>(&argv[1])? else { return Ok(Reply::Array(Vec::new())) };
    let places = slice(start, end, list.len()).unwrap_or(0..0);
    Ok(Reply::Array(list.range(places).map(|item| Reply::Bytes(Str::clone(item))).collect()))
}

fn lrem(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (key, wanted, value) = (&argv[1], int(argv, 2)?, &argv[3]);
    if wanted == i64::MIN && world.flavour().wants_opposites() {
        return Err(CommandError::NoOpposite);
    }
    let Some(list) = world.collection_mut::<List>(key)? else { return Ok(Reply::Int(0)) };
    let most =
        if wanted == 0 { usize::MAX } else { usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX) };
    let mut removed = 0;
    let mut keep = |item: &Str| {
        let goes = removed < most && **item == *value;
        removed += usize::from(goes);
        !goes
    };
    if wanted < 0 {
        let mut kept: List = std::mem::take(list).into_iter().rev().filter(|item| keep(item)).collect();
        kept.make_contiguous().reverse();
        *list = kept;
    } else {
        list.retain(keep);
    }
    if removed > 0 {
        changed(world, key, "lrem");
    }
    Ok(Reply::count(removed))
}

fn ltrim(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (key, start, end) = (&argv[1], int(argv, 2)?, int(argv, 3)?);
    let Some(list) = world.collection_mut::<List>(key)? else { return Ok(Reply::OK) };
    let places = slice(start, end, list.len()).unwrap_or(0..0);
    list.truncate(places.end);
    list.drain(..places.start);
    changed(world, key, "ltrim");
    Ok(Reply::OK)
}

fn lset(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (key, value) = (&argv[1], &argv[3]);
    let Some(list) = world.collection_mut::<List>(key)? else { return Err(CommandError::NoSuchKey) };
    let index = int(argv, 2)?;
    let item =
        place(index, list.len()).and_then(|at| list.get_mut(at)).ok_or(CommandError::IndexOutOfRange)?;
    *item = Str::from(value);
    world.tell(Class::List, "lset", key);
    Ok(Reply::OK)
}
