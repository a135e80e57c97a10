//! Hashes: HGET, HMGET, HGETALL, HKEYS, HSET, HSETNX, HDEL, HLEN, HINCRBY, HEXISTS, HSTRLEN.

use super::int;
use crate::fake_redis::argv::Argv;
use crate::fake_redis::command::{Access, Command};
use crate::fake_redis::event::Class;
use crate::fake_redis::fault::CommandError;
use crate::fake_redis::number::parse_int;
use crate::fake_redis::reply::{Answer, Reply};
use crate::fake_redis::{FakeRedis, Hash, Str};

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::of("hget", 3, Access::Read, hget),
        Command::of("hmget", -3, Access::Read, hmget),
        Command::of("hgetall", 2, Access::Read, hgetall),
        Command::of("hkeys", 2, Access::Read, hkeys),
        Command::of("hset", -4, Access::Grow, hset),
        Command::of("hsetnx", 4, Access::Grow, hsetnx),
        Command::of("hdel", -3, Access::Write, hdel),
        Command::of("hlen", 2, Access::Read, hlen),
        Command::of("hincrby", 4, Access::Grow, hincrby),
        Command::of("hexists", 3, Access::Read, hexists),
        Command::of("hstrlen", 3, Access::Read, hstrlen),
    ]
}

fn hget(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let hash: Option<&Hash> = world.collection(&argv[1])?;
    Ok(Reply::maybe(hash.and_then(|hash| hash.get(&argv[2]))))
}

fn hmget(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let hash: Option<&Hash> = world.collection(&argv[1])?;
    let values = argv.words_from(2).map(|field| Reply::maybe(hash.and_then(|hash| hash.get(field))));
    Ok(Reply::Array(values.collect()))
}

fn hgetall(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let hash: Option<&Hash> = world.collection(&argv[1])?;
    let pairs = hash.into_iter().flat_map(Hash::iter);
    Ok(Reply::Array(
        pairs.flat_map(|(field, value)| [field, value]).map(|word| Reply::Bytes(Str::clone(word))).collect(),
    ))
}

fn hkeys(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let hash: Option<&Hash> = world.collection(&argv[1])?;
    let pairs = hash.into_iter().flat_map(Hash::iter);
    Ok(Reply::Array(pairs.map(|(field, _)| Reply::Bytes(Str::clone(field))).collect()))
}

fn hset(world: &mut FakeRedis, argv: &Argv) -> Answer {
    if !argv.len().is_multiple_of(2) {
        return Err(CommandError::ArgumentsOf("hset"));
    }
    let key = &argv[1];
    let hash: &mut Hash = world.collection_or_new(key)?;
    // One long word converts the whole hash before the first field is written.
    hash.make_room_for(argv.words_from(2).map(<[u8]>::len).max().unwrap_or(0));
    let new = argv.pairs_from(2).filter(|(field, value)| hash.set(field, value)).count();
    world.tell(Class::Hash, "hset", key);
    Ok(Reply::count(new))
}

fn hsetnx(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (key, field) = (&argv[1], &argv[2]);
    if world.collection::<Hash>(key)?.is_some_and(|hash| hash.get(field).is_some()) {
        return Ok(Reply::Int(0));
    }
    world.collection_or_new::<Hash>(key)?.set(field, &argv[3]);
    world.tell(Class::Hash, "hset", key);
    Ok(Reply::Int(1))
}

fn hdel(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let key = &argv[1];
    let Some(hash) = world.collection_mut::<Hash>(key)? else { return Ok(Reply::Int(0)) };
    let deleted = argv.words_from(2).filter(|field| hash.remove(field)).count();
    if deleted > 0 {
        let spent = world.remove_if_spent::<Hash>(key);
        world.tell(Class::Hash, "hdel", key);
        if spent {
            world.tell(Class::Generic, "del", key);
        }
    }
    Ok(Reply::count(deleted))
}

fn hlen(world: &mut FakeRedis, argv: &Argv) -> Answer {
    Ok(Reply::count(world.collection::<Hash>(&argv[1])?.map_or(0, Hash::len)))
}

fn hincrby(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let (key, field, increment) = (&argv[1], &argv[2], int(argv, 3)?);
    let old = match world.collection::<Hash>(key)?.and_then(|hash| hash.get(field)) {
        Some(value) => parse_int(value).ok_or(CommandError::FieldNotInteger)?,
        None => 0,
    };
    let new = old.checked_add(increment).ok_or(CommandError::Overflow)?;
    world.collection_or_new::<Hash>(key)?.set(field, new.to_string().as_bytes());
    world.tell(Class::Hash, "hincrby", key);
    Ok(Reply::Int(new))
}

fn hexists(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let hash: Option<&Hash> = world.collection(&argv[1])?;
    Ok(Reply::flag(hash.is_some_and(|hash| hash.get(&argv[2]).is_some())))
}

fn hstrlen(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let hash: Option<&Hash> = world.collection(&argv[1])?;
    Ok(Reply::count(hash.and_then(|hash| hash.get(&argv[2])).map_or(0, |value| value.len())))
}
