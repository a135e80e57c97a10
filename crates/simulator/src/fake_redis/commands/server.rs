//! The server itself: TIME, INFO, PUBLISH.

use crate::fake_redis::argv::Argv;
use crate::fake_redis::command::{Access, Command, Keys};
use crate::fake_redis::event::Event;
use crate::fake_redis::fault::CommandError;
use crate::fake_redis::reply::{Answer, Reply};
use crate::fake_redis::{FakeRedis, Str};

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::of("time", 1, Access::Read, time).keyed(Keys::None),
        Command::of("info", -1, Access::Read, info).keyed(Keys::None),
        // Counts as a write: a script with the flag `no-writes` may not publish.
        Command::of("publish", 3, Access::Write, publish).keyed(Keys::None),
    ]
}

/// Seconds and microseconds, on the running clock.
fn time(world: &mut FakeRedis, _: &Argv) -> Answer {
    let micros = world.clock().running_micros();
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    Ok(Reply::Array(vec![
        Reply::Made(seconds.to_string().into_bytes()),
        Reply::Made(rest.to_string().into_bytes()),
    ]))
}

/// Only the run of the server.
fn info(world: &mut FakeRedis, argv: &Argv) -> Answer {
    if argv.len() != 2 || !argv[1].eq_ignore_ascii_case(b"server") {
        return Err(CommandError::Unmodelled("sections of INFO".to_owned()));
    }
    // Ids of consecutive runs have nothing in common.
    let id = world.run.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Ok(Reply::Made(format!("# Server\r\nrun_id:{id:016x}{:024x}\r\n", world.run).into_bytes()))
}

/// Records the message.
fn publish(world: &mut FakeRedis, argv: &Argv) -> Answer {
    world.events.push(Event::Message { channel: Str::from(&argv[1]), payload: Str::from(&argv[2]) });
    Ok(Reply::Int(world.listeners.into()))
}
