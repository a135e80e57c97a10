//! `posthaste dev`: everything on this computer as child processes of this executable, and nothing leaves it: a private
//! Redis, the queue, a courier for each channel, and the sandbox that takes what the couriers send.

mod couriers;
mod crew;
mod guide;
mod key;
mod parent;
mod parts;
mod place;
mod ports;
mod server;

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use self::crew::Crew;
use self::place::Place;
use self::ports::Ports;
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

pub(crate) use parent::{Args as AsChildArgs, run as as_child};
pub(crate) use ports::{is_free, usual as usual_ports};
pub(crate) use server::find as find_server;

const EXAMPLES: &str = "\
Examples:
  posthaste dev                            everything is gone when it stops
  posthaste dev --data ./posthaste-data    everything is kept there
  posthaste dev --redis redis://127.0.0.1  with a Redis that runs already
  posthaste dev --port 0 --outbox-port 0 --smtp-port 0    on any free ports

While it runs, in another terminal:
  posthaste send --email anna@example.org --sms +12025550123 --telegram 1001 --vk 2001 --text \"Hello\" --watch
  posthaste outbox list
";

/// Arguments of `posthaste dev`.
#[derive(Debug, Clone, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Keep everything in this folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Use this Redis or Valkey instead of a private one. A password belongs into POSTHASTE_REDIS__PASSWORD_FILE.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Port of the API; 0 is any free one.
    #[arg(long, value_name = "PORT", default_value_t = ports::API)]
    port: u16,
    /// Port of the outbox.
    #[arg(long, value_name = "PORT", default_value_t = ports::OUTBOX)]
    outbox_port: u16,
    /// Port of the SMTP server that takes what is sent.
    #[arg(long, value_name = "PORT", default_value_t = ports::SMTP)]
    smtp_port: u16,
}

/// Runs until Ctrl-C.
///
/// # Errors
/// Something is missing or taken, or did not come up; all that was started is stopped again.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let mut asked = Asked::new()?;
    let place = Place::open(args.data.as_deref())?;
    let ports = Ports::choose(args.port, args.outbox_port, args.smtp_port)?;
    let mut crew = Crew::new(&place)?;
    let up = async {
        let parts = parts::all(&args, &place, &ports)?;
        crew.start(parts.server).await?;
        // Before all others: a store that cannot be used is told here, by its name.
        key::ready(&place, &parts.store).await?;
        // The sandbox is there before the couriers, so that nothing waits for its provider at first.
        crew.start_all(vec![parts.sandbox, parts.queue]).await?;
        crew.start_all(parts.couriers).await
    };
    let up = tokio::select! {
        up = up => up,
        () = asked.again() => Err(Failure::new(Kind::Interrupted, "stopped before it was up")),
    };
    let note = match up.and_then(|()| place.announce(context.places(), &ports)) {
        Ok(note) => note,
        Err(failure) => {
            crew.stop(asked.again()).await;
            return Err(failure);
        }
    };
    guide::show(&place, &ports, args.redis.is_some())?;
    crew.watch(asked.again()).await;
    context.terminal.note("Stopping; once more to stop at once.");
    crew.stop(asked.again()).await;
    drop(note);
    match &args.data {
        Some(data) => context.terminal.note(&format!("Stopped. Everything is in {}.", data.display())),
        None => context.terminal.note("Stopped."),
    }
    Ok(())
}

/// Ctrl-C, a stop by a service manager, or the terminal closed.
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
