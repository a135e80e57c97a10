//! The server itself: TIME, PUBLISH.

use crate::world::argv::Argv;
use crate::world::command::{Access, Command, Keys};
use crate::world::event::Event;
use crate::world::reply::{Answer, Reply};
use crate::world::{Str, World};

pub(super) fn commands() -> Vec<Command> {
    vec![
        Command::of("time", 1, Access::Read, time).keyed(Keys::None),
        // Counts as a write: a script with the flag `no-writes` may not publish.
        Command::of("publish", 3, Access::Write, publish).keyed(Keys::None),
    ]
}

/// Seconds and microseconds, on the clock that runs on.
fn time(world: &mut World, _: &Argv) -> Answer {
    let micros = world.clock().running_micros();
    let (seconds, rest) = (micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000));
    Ok(Reply::Array(vec![
        Reply::Made(seconds.to_string().into_bytes()),
        Reply::Made(rest.to_string().into_bytes()),
    ]))
}

/// Records the message.
fn publish(world: &mut World, argv: &Argv) -> Answer {
    world.events.push(Event::Message { channel: Str::from(&argv[1]), payload: Str::from(&argv[2]) });
    Ok(Reply::Int(world.listeners.into()))
}
