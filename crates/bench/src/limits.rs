//! The server's own limits, for comparison: plain commands over the same kind of socket.

use std::time::{Duration, Instant};

use posthaste_rig::servers::PrivateServer;

use crate::figures::{Figures, per_second};

const SPAN: Duration = Duration::from_millis(700);

/// SETs of 400 bytes per second: one by one, and 100 in flight; calls of an empty script, 100 in flight.
pub(crate) fn measure(server: &PrivateServer, figures: &mut Figures) -> anyhow::Result<()> {
    let value = "x".repeat(400);
    let mut connection = server.connect()?;
    let sha = connection.command(&["SCRIPT", "LOAD", "return 1"])?.text().unwrap_or_default().to_owned();

    let (start, mut n) = (Instant::now(), 0);
    while start.elapsed() < SPAN {
        connection.command(&["SET", "limit", &value])?;
        n += 1;
    }
    figures
        .add("limit: SET of 400 bytes, one by one, per second", per_second(n, start.elapsed().as_secs_f64()));

    for (name, command) in [
        ("limit: SET of 400 bytes, 100 in flight, per second", vec!["SET", "limit", value.as_str()]),
        ("limit: empty script, 100 in flight, per second", vec!["EVALSHA", sha.as_str(), "0"]),
    ] {
        let (start, mut n) = (Instant::now(), 0);
        while start.elapsed() < SPAN {
            for _ in 0..100 {
                connection.send(&command)?;
            }
            for _ in 0..100 {
                connection.receive()?;
            }
            n += 100;
        }
        figures.add(name, per_second(n, start.elapsed().as_secs_f64()));
    }
    connection.command(&["DEL", "limit"])?;
    Ok(())
}
