//! Keys of any type: EXISTS, DEL, UNLINK, TYPE, PEXPIREAT, PTTL.

use super::int;
use crate::fake_redis::argv::Argv;
use crate::fake_redis::command::{Access, Command, Keys};
use crate::fake_redis::event::Class;
use crate::fake_redis::fault::CommandError;
use crate::fake_redis::reply::{Answer, Reply};
use crate::fake_redis::{Data, FakeRedis};

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::of("exists", -2, Access::Read, exists).keyed(Keys::All),
        Command::of("del", -2, Access::Write, delete).keyed(Keys::All),
        Command::of("unlink", -2, Access::Write, delete).keyed(Keys::All),
        Command::of("type", 2, Access::Read, type_of),
        Command::of("pexpireat", -3, Access::Write, pexpireat),
        Command::of("pttl", 2, Access::Read, pttl),
    ]
}

fn exists(world: &mut FakeRedis, argv: &Argv) -> Answer {
    Ok(Reply::count(argv.words_from(1).filter(|key| world.read(key).is_some()).count()))
}

fn delete(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let mut deleted = 0;
    for key in argv.words_from(1) {
        if world.read(key).is_some() {
            world.remove(key);
            world.tell(Class::Generic, "del", key);
            deleted += 1;
        }
    }
    Ok(Reply::Int(deleted))
}

fn type_of(world: &mut FakeRedis, argv: &Argv) -> Answer {
    Ok(Reply::Status(world.read(&argv[1]).map_or("none", Data::type_name)))
}

fn pexpireat(world: &mut FakeRedis, argv: &Argv) -> Answer {
    if argv.len() > 3 {
        return Err(CommandError::Unmodelled("options of PEXPIREAT".to_owned()));
    }
    let (key, at) = (&argv[1], int(argv, 2)?);
    if world.read(key).is_none() {
        return Ok(Reply::Int(0));
    }
    if at <= world.deadline_clock() {
        world.remove(key);
        if world.flavour().past_deadline_expires() {
            world.tell(Class::Expired, "expired", key);
        } else {
            world.tell(Class::Generic, "del", key);
        }
    } else {
        world.set_deadline(key, at);
        world.tell(Class::Generic, "expire", key);
    }
    Ok(Reply::Int(1))
}

fn pttl(world: &mut FakeRedis, argv: &Argv) -> Answer {
    let key = &argv[1];
    if world.read(key).is_none() {
        return Ok(Reply::Int(-2));
    }
    let deadline = world.entry(key).and_then(|entry| entry.expires_at);
    Ok(Reply::Int(deadline.map_or(-1, |at| at.saturating_sub(world.deadline_clock()).max(0))))
}
