//! `posthaste recover`: resumes work after the database went back (a failover without the last changes, a restored older
//! copy) or was wiped. All processes are halted then, and an operator decides what to assume about the messages in doubt.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::{Span, Timestamp};
use posthaste_model::{Channel, OrderId, UnixMs};
use posthaste_store::{Assume, HaltCause, Recovery};
use serde::Serialize;

use crate::context::Context;
use crate::failure::{Failure, Kind, Result};
use crate::moment;
use crate::output::{Column, Format};

const EXAMPLES: &str = "\
Examples:
  posthaste recover --assume sent --config queue.toml       never send again what may have been sent
  posthaste recover --assume unsent --config queue.toml     send it, perhaps for the second time
  posthaste recover --assume sent --since \"2026-11-30 02:15\" --redis redis://10.0.0.5:6379
";

/// At most this many orders are listed; all are counted.
const MOST: usize = 10_000;

/// Arguments of `posthaste recover`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// What to assume about messages that may have been sent in the lost time: `sent` reports them as unknown and never sends
    /// them again; `unsent` sends them, and some people may get them twice. There is no default.
    #[arg(long, value_enum, value_name = "WHAT")]
    assume: Assumed,
    /// Exclude messages that were ready to be sent before this time; correct only if there was no backlog then. Also needed
    /// if an older copy was restored while no process was running to notice it: give the time of that copy.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// The queue's settings file; its section `redis` is used.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address of Redis. For a password, set POSTHASTE_REDIS__PASSWORD_FILE.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
}

/// See `--assume`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Assumed {
    /// They were sent: do not send them again.
    Sent,
    /// They were not sent: send them.
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

/// Recovers the database and lists what is in doubt and what is lost.
///
/// # Errors
/// The store cannot be used or does not respond; partitions that were not recovered stay halted.
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
        .recover(assume, since, |found| doubts.add(found.order, found.channel, u64::from(found.deliveries)))
        .await;
    store.disconnect().await;
    let recovery = recovered.map_err(|error| {
        Failure::new(Kind::Unreachable, "recovery is incomplete; the rest of the database is still halted")
            .because(error)
            .remedy("Run the same command again: it continues where this one stopped.")
    })?;
    tell(args.assume, &recovery, doubts, context)
}

/// Deliveries in doubt by order and channel.
#[derive(Default)]
struct Doubts {
    orders: BTreeMap<(OrderId, Channel), u64>,
    deliveries: u64,
    more: u64,
}

impl Doubts {
    fn add(&mut self, order: OrderId, channel: Channel, deliveries: u64) {
        self.deliveries += deliveries;
        let full = self.orders.len() >= MOST;
        match self.orders.get_mut(&(order.clone(), channel.clone())) {
            Some(known) => *known += deliveries,
            None if full => self.more += deliveries,
            None => {
                self.orders.insert((order, channel), deliveries);
            }
        }
    }
}

fn tell(assumed: Assumed, recovery: &Recovery, doubts: Doubts, context: &Context) -> Result<()> {
    let Some(halt) = &recovery.halt else {
        context.terminal.note("Nothing to recover: the database is not halted.");
        return context.output(Format::Table).list::<Line>(&COLUMNS, &[]);
    };
    let state = match assumed {
        Assumed::Sent => "unknown, not sent again",
        Assumed::Unsent => "sent, perhaps again",
    };
    let orders = doubts.orders.into_iter().map(|((order, channel), deliveries)| Line {
        order_id: order.wire_id(),
        channel: Some(channel.to_string()),
        deliveries: Some(deliveries),
        state,
        accepted_at: None,
    });
    let lost = recovery.lost.iter().take(MOST).map(|(order, accepted)| Line {
        order_id: order.wire_id(),
        channel: None,
        deliveries: None,
        state: "lost",
        accepted_at: time(*accepted),
    });
    let lines: Vec<Line> = orders.chain(lost).collect();
    context.output(Format::Table).list(&COLUMNS, &lines)?;
    let what = match (halt.cause, halt.span()) {
        (Some(HaltCause::Wiped), _) => {
            "The database was wiped: its orders, API keys and suppression lists are lost".to_owned()
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
        "{what}. Deliveries in doubt: {}{more}, {state}. Accepted orders lost: {}{}. All processes resume by themselves.",
        doubts.deliveries,
        recovery.lost.len(),
        if recovery.lost.is_empty() { "" } else { "; inform their senders" },
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

/// Parses a time in the past; `-2h` means two hours ago.
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
        return Err(refuse("must be in the past; write the date as well".to_owned()));
    }
    Ok(UnixMs(u64::try_from(at.as_millisecond()).unwrap_or(0)))
}
