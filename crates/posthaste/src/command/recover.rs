//! `posthaste recover`: going on after the database went back (a failover without its last changes, an older copy put back) or
//! was wiped. All processes are stopped then, and an operator says what is taken for true of the messages in doubt.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::{Span, Timestamp};
use posthaste_model::{Channel, Suffix, UnixMs};
use posthaste_store::{Assume, HaltCause, Recovery};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Failure, Kind, Result};
use crate::moment;
use crate::output::{Column, Format};

const EXAMPLES: &str = "\
Examples:
  posthaste recover --assume sent --config queue.toml       what may have gone out is not sent again
  posthaste recover --assume unsent --config queue.toml     it is sent, perhaps for the second time
  posthaste recover --assume sent --since \"2026-11-30 02:15\" --redis redis://10.0.0.5:6379
";

/// Orders listed; all are counted.
const MOST: usize = 10_000;

/// Arguments of `posthaste recover`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// What is taken for true of messages that may have been sent in the time that is lost: `sent` tells them as unknown and
    /// never sends them again, `unsent` sends them, and some people may get them twice. There is no default.
    #[arg(long, value_enum, value_name = "WHAT")]
    assume: Assumed,
    /// Leave out what had been waiting since before this time: right only when nothing was late then. Also goes on when no
    /// process was there to notice that an older copy was put back: the time of that copy.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// The queue's settings file, for its section `redis`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where the store is. A password belongs into POSTHASTE_REDIS__PASSWORD_FILE.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
}

/// See `--assume`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Assumed {
    /// What may have been sent was: it is not sent again.
    Sent,
    /// What may have been sent was not: it is sent.
    Unsent,
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Line {
    order_id: String,
    channel: Option<String>,
    deliveries: Option<u64>,
    state: &'static str,
    accepted_at: Option<String>,
}

/// Recovers, and lists what is in doubt and what is lost.
///
/// # Errors
/// The store cannot be used, or does not answer; what was not recovered stays stopped.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let since = args.since.as_deref().map(read_since).transpose()?;
    let settings = crate::store::settings(args.config, args.redis.as_deref())?;
    let (store, _) = crate::store::inspect(settings).await?;
    let assume = match args.assume {
        Assumed::Sent => Assume::Sent,
        Assumed::Unsent => Assume::Unsent,
    };
    let mut doubts = Doubts::default();
    let recovered = store
        .recover(assume, since, |found| doubts.add(found.order, found.channel, u64::from(found.rows)))
        .await;
    store.disconnect().await;
    let recovery = recovered.map_err(|error| {
        Failure::new(Kind::Unreachable, "not recovered; what was not is still stopped")
            .because(error)
            .mend("Give the same command again: it goes on where this one ended.")
    })?;
    tell(args.assume, &recovery, doubts, context)
}

/// Rows in doubt by order and channel.
#[derive(Default)]
struct Doubts {
    orders: BTreeMap<(Suffix, Channel), u64>,
    rows: u64,
    more: u64,
}

impl Doubts {
    fn add(&mut self, order: Suffix, channel: Channel, rows: u64) {
        self.rows += rows;
        let full = self.orders.len() >= MOST;
        match self.orders.get_mut(&(order.clone(), channel.clone())) {
            Some(known) => *known += rows,
            None if full => self.more += rows,
            None => {
                self.orders.insert((order, channel), rows);
            }
        }
    }
}

fn tell(assumed: Assumed, recovery: &Recovery, doubts: Doubts, context: &Context) -> Result<()> {
    let Some(halt) = &recovery.halt else {
        context.terminal.note("Nothing to recover: nothing has stopped the database.");
        return context.output(Format::Table).list::<Line>(&COLUMNS, &[]);
    };
    let state = match assumed {
        Assumed::Sent => "unknown, not sent again",
        Assumed::Unsent => "sent, perhaps again",
    };
    let orders = doubts.orders.into_iter().map(|((order, channel), rows)| Line {
        order_id: order.order_id(),
        channel: Some(channel.to_string()),
        deliveries: Some(rows),
        state,
        accepted_at: None,
    });
    let lost = recovery.lost.iter().take(MOST).map(|(order, accepted)| Line {
        order_id: order.order_id(),
        channel: None,
        deliveries: None,
        state: "lost",
        accepted_at: time(*accepted),
    });
    let lines: Vec<Line> = orders.chain(lost).collect();
    context.output(Format::Table).list(&COLUMNS, &lines)?;
    let what = match (halt.cause, halt.span()) {
        (Some(HaltCause::Wiped), _) => {
            "The database was wiped: its orders, API keys and suppression lists are gone".to_owned()
        }
        (_, Some(span)) => {
            format!("The database went back by about {} s", span.as_millis().div_ceil(1_000).max(1))
        }
        (_, None) => "The database went back".to_owned(),
    };
    let more = match doubts.more {
        0 => String::new(),
        more => format!(" ({more} of them in orders not listed)"),
    };
    context.terminal.note(&format!(
        "{what}. Deliveries in doubt: {}{more}, {state}. Accepted orders lost: {}{}. All processes go on by themselves.",
        doubts.rows,
        recovery.lost.len(),
        if recovery.lost.is_empty() { "" } else { "; tell their senders" },
    ));
    Ok(())
}

const COLUMNS: [Column<Line>; 5] = [
    Column { title: "Order", cell: |line, _| line.order_id.clone() },
    Column { title: "Channel", cell: |line, _| line.channel.clone().unwrap_or_default() },
    Column {
        title: "Deliveries",
        cell: |line, _| line.deliveries.map(|n| n.to_string()).unwrap_or_default(),
    },
    Column { title: "State", cell: |line, _| line.state.to_owned() },
    Column { title: "Accepted", cell: |line, reader| reader.moment(line.accepted_at.as_deref()) },
];

fn time(at: UnixMs) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
    Some(at.to_string())
}

/// A moment in the past; `-2h` is two hours ago.
fn read_since(text: &str) -> Result<UnixMs> {
    let now = moment::now();
    let refuse = |why: String| Failure::usage(format!("--since: {why}"));
    let at = match text.strip_prefix('-') {
        Some(span) => {
            let span: Span = span.trim().parse().map_err(|_| refuse("write it as -2h30m".to_owned()))?;
            now.checked_sub(span).map_err(|_| refuse("it is too long ago".to_owned()))?.timestamp()
        }
        None => moment::read(text, &now).map_err(refuse)?,
    };
    if at > now.timestamp() {
        return Err(refuse("it must lie in the past; write the date as well".to_owned()));
    }
    Ok(UnixMs(u64::try_from(at.as_millisecond()).unwrap_or(0)))
}
