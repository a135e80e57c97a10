//! Sets: SADD, SREM, SISMEMBER, SCARD. SMEMBERS is left out: its order is not defined.

use crate::fake_redis::argv::Argv;
use crate::fake_redis::command::{Access, Command};
use crate::fake_redis::event::Class;
use crate::fake_redis::reply::{Answer, Reply};
use crate::fake_redis::{FakeRedis, Set, Str};

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::of("sadd", -3, Access::Grow, sadd),
        Command::of("srem", -3, Access::Write, srem),
        Command::of("sismember", 3, Access::Read, sismember),
        Command::of("scard", 2, Access::Read, scard),
    ]
}

fn sadd(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let set: &mut Set = world.collection_or_new(&argv[1])?;
    let added = argv.words_from(2).filter(|parcel_id| set.insert(Str::from(*parcel_id))).count();
    if added > 0 {
        world.tell(Class::Set, "sadd", &argv[1]);
    }
    Ok(Reply::count(added))
}

fn srem(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let key = &argv[1];
    let Some(set) = world.collection_mut::<Set>(key)? else { return Ok(Reply::Int(0)) };
    let removed = argv.words_from(2).filter(|parcel_id| set.remove(*parcel_id)).count();
    if removed > 0 {
        let spent = world.remove_if_spent::<Set>(key);
        world.tell(Class::Set, "srem", key);
        if spent {
            world.tell(Class::Generic, "del", key);
        }
    }
    Ok(Reply::count(removed))
}

fn sismember(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let set: Option<&Set> = world.collection(&argv[1])?;
    Ok(Reply::flag(set.is_some_and(|set| set.contains(&argv[2]))))
}

fn scard(world: &mut FakeRedis, argv: &Argv) -> Answer {
    Ok(Reply::count(world.collection::<Set>(&argv[1])?.map_or(0, Set::len)))
}
