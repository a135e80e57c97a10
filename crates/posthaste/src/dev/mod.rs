//! `posthaste dev`: runs everything on this computer as child processes of this executable: a private Redis, the queue, a
//! courier for each channel, and the sandbox, which receives what the couriers send. Nothing leaves the computer.

mod banner;
mod couriers;
mod dev_dir;
mod key;
mod parent_death;
mod parts;
mod ports;
mod server;
mod supervisor;

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::dev_dir::DevDir;
use self::ports::Ports;
use self::supervisor::Supervisor;
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

pub(crate) use parent_death::{Args as AsChildArgs, run as as_child};
pub(crate) use ports::{UsualPort, is_free, usual as usual_ports};
pub(crate) use server::find as find_server;

const EXAMPLES: &str = "\
Examples:
  posthaste dev                            all data is deleted when it stops
  posthaste dev --data ./posthaste-data    all data is kept in this folder
  posthaste dev --redis redis://127.0.0.1  use a Redis that is already running
  posthaste dev --port 0 --outbox-port 0 --smtp-port 0    use any free ports

While it runs, in another terminal:
  posthaste send --email anna@example.org --sms +12025550123 --telegram 1001 --vk 2001 --text \"Hello\" --watch
  posthaste outbox list
";

/// Arguments of `posthaste dev`.
#[derive(Debug, Clone, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Keep all data in this folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Use this Redis or Valkey instead of a private one. For a password, set POSTHASTE_REDIS__PASSWORD_FILE.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Port of the API; 0 means any free port.
    #[arg(long, value_name = "PORT", default_value_t = ports::API)]
    port: u16,
    /// Port of the outbox; 0 means any free port.
    #[arg(long, value_name = "PORT", default_value_t = ports::OUTBOX)]
    outbox_port: u16,
    #[command(flatten)]
    provider_ports: ports::ProviderPorts,
}

/// Runs until Ctrl-C.
///
/// # Errors
/// Something is missing or in use, or did not start. Everything that was started is stopped again.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let mut asked = Asked::new()?;
    let place = DevDir::open(args.data.as_deref())?;
    let ports = Ports::choose(args.port, args.outbox_port, &args.provider_ports)?;
    let mut crew = Supervisor::new(&place)?;
    let up = async {
        let parts = parts::all(&args, &place, &ports)?;
        crew.start(parts.server).await?;
        // Before all others, so that an unusable store is reported here, with its address.
        key::ready(&place, &parts.store).await?;
        // The sandbox starts before the couriers, so that they find their providers right away.
        crew.start_all(vec![parts.sandbox, parts.queue]).await?;
        crew.start_all(parts.couriers).await
    };
    let up = tokio::select! {
        up = up => up,
        () = asked.again() => Err(Failure::new(Kind::Interrupted, "stopped before everything had started")),
    };
    let note = match up.and_then(|()| place.announce(context.places(), &ports)) {
        Ok(note) => note,
        Err(failure) => {
            crew.stop(asked.again()).await;
            return Err(failure);
        }
    };
    banner::show(&place, &ports, args.redis.is_some())?;
    crew.watch(asked.again()).await;
    context.terminal.note("Stopping. Press Ctrl-C again to stop at once.");
    crew.stop(asked.again()).await;
    drop(note);
    match &args.data {
        Some(data) => context.terminal.note(&format!("Stopped. All data is in {}.", data.display())),
        None => context.terminal.note("Stopped."),
    }
    Ok(())
}

/// Requests to stop: Ctrl-C, SIGTERM from a service manager, or a closed terminal.
struct Asked {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Asked {
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
