//! The benchmark program. Every figure is printed beside the server's own limit from the same run, and is the median
//! of several runs; nothing here asserts anything.

mod channels;
mod courier;
mod drain;
mod enqueue;
mod figures;
mod http;
mod lateness;
mod limits;
mod mail;
mod memory;
mod nginx;
mod numbers;
mod orders;
mod peers;
mod provider;
mod service;
mod show;
mod sink;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use posthaste_ops::exit::{Exit, ExitFailure};
use posthaste_rig::servers::{Fsync, PrivateServer};

/// Measures Posthaste on a private server, beside that server's own limit
#[derive(Parser)]
#[command(version, about)]
struct Options {
    /// What to measure
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Time from the due time to the courier's transport, with many orders pending
    Lateness {
        /// Pending orders
        #[arg(long, default_value_t = 100_000)]
        pending: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Orders per second through the store: one by one, many at once, and one of a million deliveries
    Enqueue {
        /// Orders of one delivery
        #[arg(long, default_value_t = 50_000)]
        orders: u64,
        /// Deliveries of the big order
        #[arg(long, default_value_t = 1_000_000)]
        deliveries: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Messages per second into a transport that answers at once
    Drain {
        /// Orders of one delivery, and deliveries of the big order
        #[arg(long, default_value_t = 100_000)]
        messages: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Messages per second into a real HTTP provider. Needs the `posthaste` binary in the same folder, and nginx
    Provider(provider::Options),
    /// Memory of a pending order, of a delivery of a big order, and of an idle courier
    Memory {
        /// Pending orders
        #[arg(long, default_value_t = 100_000)]
        orders: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Orders per second over HTTP, one upload, and open trackers. Needs the `posthaste` binary in the same folder
    Http {
        /// Orders sent one by one; twice as many are sent in batches
        #[arg(long, default_value_t = 50_000)]
        orders: u64,
        /// Recipients of the upload
        #[arg(long, default_value_t = 1_000_000)]
        recipients: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Phone numbers per second a core, checked in dry runs. Needs the `posthaste` binary in the same folder
    Numbers {
        /// Dry runs of 10,000 recipients
        #[arg(long, default_value_t = 30)]
        orders: u64,
        #[command(flatten)]
        common: Common,
    },
    /// E-mails per second into the sandbox. Needs the `posthaste` binary in the same folder
    Mail {
        /// E-mails
        #[arg(long, default_value_t = 20_000)]
        messages: u64,
        #[command(flatten)]
        common: Common,
    },
    /// VK, Telegram and SMS into the sandbox's fake providers. Needs the `posthaste` binary in the same folder
    Channels {
        #[command(flatten)]
        common: Common,
    },
    /// BullMQ, Sidekiq, Celery and apalis beside Posthaste: real requests to the same nginx. Needs what `make
    /// bench-peers` installs, and the `posthaste` binary in the same folder
    Peers(peers::Options),
    /// Demo: one message to many people over all channels, on a private server, into transports that discard it
    Show {
        /// People
        #[arg(long, default_value_t = 10_000)]
        people: u32,
    },
    /// A courier as a separate process, used by the other commands
    #[command(hide = true)]
    Courier(courier::Options),
    /// A provider as a separate process, used by the other commands
    #[command(hide = true)]
    Sink(sink::Options),
}

/// Options of all measurements.
#[derive(clap::Args, Clone, Copy)]
struct Common {
    /// Number of runs; the median is printed
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Run the server without an append-only file
    #[arg(long)]
    no_aof: bool,
}

impl Common {
    fn server(self) -> anyhow::Result<PrivateServer> {
        let fsync = if self.no_aof { Fsync::Off } else { Fsync::EverySecond };
        Ok(PrivateServer::builder().fsync(fsync).start()?)
    }

    fn describe(self) -> &'static str {
        if self.no_aof { "no AOF" } else { "AOF everysec" }
    }
}

async fn work(what: What) -> anyhow::Result<()> {
    match what {
        What::Lateness { pending, common } => lateness::measure(pending, common).await,
        What::Enqueue { orders, deliveries, common } => enqueue::measure(orders, deliveries, common).await,
        What::Drain { messages, common } => drain::measure(messages, common).await,
        What::Provider(options) => provider::measure(options).await,
        What::Memory { orders, common } => memory::measure(orders, common).await,
        What::Http { orders, recipients, common } => http::measure(orders, recipients, common).await,
        What::Numbers { orders, common } => numbers::measure(orders, common).await,
        What::Mail { messages, common } => mail::measure(messages, common).await,
        What::Channels { common } => channels::measure(common).await,
        What::Peers(options) => peers::measure(options).await,
        What::Show { people } => show::run(people).await,
        What::Courier(options) => courier::run(options).await,
        What::Sink(options) => sink::run(options).await,
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    posthaste_ops::exit::run("posthaste-bench", || async {
        work(options.what).await.map(|()| Exit::Done).map_err(ExitFailure::software)
    })
}
