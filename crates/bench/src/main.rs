//! The benchmark program. Every figure stands beside the server's own limit, measured in the same run, and is the median of
//! several; nothing here asserts anything.

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
mod orders;
mod service;
mod show;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use posthaste_ops::exit::{Exit, Failure};
use posthaste_rig::servers::{Fsync, PrivateServer};

/// Measures Posthaste on a private server, beside that server's own limit.
#[derive(Parser)]
#[command(version, about)]
struct Options {
    /// What to measure.
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// From the due time to the courier's transport, with many orders pending.
    Lateness {
        /// Orders pending meanwhile.
        #[arg(long, default_value_t = 100_000)]
        pending: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Orders a second through the store: one by one, many at once, and one of a million rows.
    Enqueue {
        /// Orders of one row.
        #[arg(long, default_value_t = 50_000)]
        orders: u64,
        /// Rows of the big order.
        #[arg(long, default_value_t = 1_000_000)]
        rows: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Messages a second into a transport that answers at once.
    Drain {
        /// Orders of one row, and rows of the big order.
        #[arg(long, default_value_t = 100_000)]
        messages: u32,
        #[command(flatten)]
        common: Common,
    },
    /// Bytes of a pending order, of a row of a big one, and of a courier at rest.
    Memory {
        /// Orders pending.
        #[arg(long, default_value_t = 100_000)]
        orders: u64,
        #[command(flatten)]
        common: Common,
    },
    /// Orders a second over HTTP, one upload, and open trackers. Needs the program `posthaste` beside this one.
    Http {
        /// Orders sent one by one; twice as many go in batches.
        #[arg(long, default_value_t = 50_000)]
        orders: u64,
        /// Recipients of the upload.
        #[arg(long, default_value_t = 1_000_000)]
        recipients: u64,
        #[command(flatten)]
        common: Common,
    },
    /// E-mails a second into the sandbox. Needs the program `posthaste` beside this one.
    Mail {
        /// E-mails.
        #[arg(long, default_value_t = 20_000)]
        messages: u64,
        #[command(flatten)]
        common: Common,
    },
    /// VK, Telegram and SMS into the sandbox's stand-ins. Needs the program `posthaste` beside this one.
    Channels {
        #[command(flatten)]
        common: Common,
    },
    /// One message to many people over four channels, on a private server, into transports that keep nothing.
    Show {
        /// People.
        #[arg(long, default_value_t = 10_000)]
        people: u32,
    },
    /// A courier as a process of its own, for the others.
    #[command(hide = true)]
    Courier(courier::Options),
}

/// What all measurements share.
#[derive(clap::Args, Clone, Copy)]
struct Common {
    /// Runs; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Without an append-only file.
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
        What::Enqueue { orders, rows, common } => enqueue::measure(orders, rows, common).await,
        What::Drain { messages, common } => drain::measure(messages, common).await,
        What::Memory { orders, common } => memory::measure(orders, common).await,
        What::Http { orders, recipients, common } => http::measure(orders, recipients, common).await,
        What::Mail { messages, common } => mail::measure(messages, common).await,
        What::Channels { common } => channels::measure(common).await,
        What::Show { people } => show::run(people).await,
        What::Courier(options) => courier::run(options).await,
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    posthaste_ops::exit::run("posthaste-bench", || async {
        work(options.what).await.map(|()| Exit::Done).map_err(Failure::software)
    })
}
