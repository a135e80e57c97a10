//! `posthaste dev`: runs everything on this computer as child processes of this executable: a private Redis, the queue, a
//! courier for each channel, and the sandbox, which receives what the couriers send. Nothing leaves the computer.

mod args;
mod banner;
mod couriers;
mod dev_dir;
mod key;
mod parent_death;
mod parts;
mod ports;
mod server;
mod supervisor;

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::dev_dir::DevDir;
use self::ports::Ports;
use self::supervisor::Supervisor;
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

pub(crate) use args::Args;
pub(crate) use parent_death::{Args as AsChildArgs, run as as_child};
pub(crate) use ports::{UsualPort, is_free, usual as usual_ports};
pub(crate) use server::find as find_server;

/// Runs until Ctrl-C.
///
/// # Errors
/// Something is missing or in use, or did not start. Everything that was started is stopped again.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let mut requested = StopSignals::new()?;
    let place = DevDir::open(args.data.as_deref())?;
    let ports = Ports::choose(args.port, args.outbox_port, &args.provider_ports)?;
    let mut supervisor = Supervisor::new(&place)?;
    let up = async {
        let parts = parts::all(&args, &place, &ports)?;
        supervisor.start(parts.server).await?;
        // Before all others, so that an unusable store is reported here, with its address.
        key::ready(&place, &parts.store).await?;
        // The sandbox starts before the couriers, so that they find their providers right away.
        supervisor.start_all(vec![parts.sandbox, parts.queue]).await?;
        supervisor.start_all(parts.couriers).await
    };
    let up = tokio::select! {
        up = up => up,
        () = requested.again() => Err(Failure::new(Kind::Interrupted, "stopped before everything had started")),
    };
    let note = match up.and_then(|()| place.announce(context.places(), &ports)) {
        Ok(note) => note,
        Err(failure) => {
            supervisor.stop(requested.again()).await;
            return Err(failure);
        }
    };
    banner::show(&place, &ports, args.redis.is_some())?;
    supervisor.watch(requested.again()).await;
    context.terminal.note("Stopping. Press Ctrl-C again to stop at once.");
    supervisor.stop(requested.again()).await;
    drop(note);
    match &args.data {
        Some(data) => context.terminal.note(&format!("Stopped. All data is in {}.", data.display())),
        None => context.terminal.note("Stopped."),
    }
    Ok(())
}

/// Requests to stop: Ctrl-C, SIGTERM from a service manager, or a closed terminal.
struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl StopSignals {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    async fn again(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}
