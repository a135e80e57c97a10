//! `posthaste order watch`, and the watching part of `send --watch` and `order retry --watch`.

mod bars;
mod waiting;

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt;
use futures::future::Either;
use posthaste_client::{ApiResponse, Client, Order, OrderEvent};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use self::bars::Bars;
use self::waiting::{absent, awaits_receipts};
use super::order_id::OrderIdArg;
use super::show;
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};
use crate::output::Format;
use crate::terminal::{plain, say};

const EXAMPLES: &str = "\
Examples:
  posthaste order watch teacher.1763676000000000000
  posthaste order watch teacher.1763676000000000000 --timeout 10m
  posthaste order watch teacher.1763676000000000000 --receipts --timeout 1h
  posthaste order watch teacher.1763676000000000000 -o ndjson | jq .order.counts

Without -o: progress bars and a table on a terminal, NDJSON in a pipe. With -o table, json or csv: the order as it ended.

Ctrl-C stops watching; the order continues.
";

/// Arguments of `posthaste order watch`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// The order.
    order: OrderIdArg,
    #[command(flatten)]
    until: Until,
}

/// How long an order is watched.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Until {
    /// Also wait for the delivery receipts of sent messages, on channels that have them. Not for e-mail: it reports bounces
    /// only. Receipts may never come: set --timeout.
    #[arg(long)]
    pub(crate) receipts: bool,
}

/// How often it is checked whether couriers run, while deliveries wait.
const COURIER_CHECK: Duration = Duration::from_secs(30);

/// Watches an order.
///
/// # Errors
/// Those of [`follow`].
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    follow(&client, args.order.as_str(), args.until, context).await
}

/// Watches an order until it finishes: progress bars for people; for programs one line of JSON per event, or with another
/// format the order at the end.
///
/// # Errors
/// Some deliveries failed, the timeout passed, Ctrl-C, or the queue rejects the request.
pub(crate) async fn follow(client: &Client, order_id: &str, until: Until, context: &Context) -> Result<()> {
    let format = context.format();
    let mut watcher = match format {
        None | Some(Format::Table) if context.terminal.is_watched() => Watcher::People(Bars::new()),
        None | Some(Format::Ndjson) => Watcher::Programs,
        Some(Format::Table | Format::Json | Format::Csv) => Watcher::AtTheEnd,
    };
    let prints_events = matches!(watcher, Watcher::Programs);
    let patience = context.patience()?;
    // Registered now, because the first events may arrive before a select has polled all of its branches.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let waited = async {
        match patience {
            Some(patience) => tokio::time::sleep(patience).await,
            None => std::future::pending().await,
        }
    };
    let id = plain(order_id);
    let order = tokio::select! {
        order = to_the_end(client, order_id, until, &mut watcher) => order?,
        () = waited => {
            watcher.leave();
            if until.receipts {
                let text = format!("order {id}: not finished, or some receipts have not come, after --timeout");
                return Err(Failure::new(Kind::StillRunning, text)
                    .remedy(format!("To see which:  posthaste order show {id}")));
            }
            return Err(Failure::new(Kind::StillRunning, format!("order {id} is still running after --timeout"))
                .remedy(format!("To keep watching: posthaste order watch {id}")));
        }
        _ = interrupt.recv() => {
            watcher.leave();
            return Err(Failure::new(Kind::Interrupted, "stopped watching; the order continues")
                .remedy(format!(
                    "To cancel it:      posthaste order cancel {id}\nTo keep watching:  posthaste order watch {id}"
                )));
        }
    };
    watcher.leave();
    if !prints_events {
        show::print(&order, context)?;
    }
    exit_result(&order.seen)
}

/// Whether a finished order counts as success for the user.
pub(super) fn exit_result(order: &Order) -> Result<()> {
    let not_reached = order.counts.unreached() + order.counts.cancelled;
    if not_reached == 0 && order.status != "finished_with_failures" {
        return Ok(());
    }
    let counts: Vec<String> = order
        .counts
        .by_status()
        .into_iter()
        .filter(|(status, count)| {
            *count > 0 && !matches!(*status, "delivered" | "sent" | "sending" | "pending")
        })
        .map(|(status, count)| format!("{count} {status}"))
        .collect();
    let text = format!("{} of {}: {}", not_reached, order.counts.total, counts.join(", "));
    Err(Failure::new(Kind::SomeFailed, text))
}

async fn to_the_end(
    client: &Client,
    order_id: &str,
    until: Until,
    watcher: &mut Watcher,
) -> Result<ApiResponse<Order>> {
    let mut events = pin!(if until.receipts {
        Either::Left(client.events_after_finish(order_id))
    } else {
        Either::Right(client.events(order_id))
    });
    let mut check = tokio::time::interval(COURIER_CHECK);
    let (mut away, mut named) = (false, Vec::new());
    let mut seen: Option<ApiResponse<Order>> = None;
    loop {
        let event = tokio::select! {
            biased;
            event = events.next() => event,
            _ = check.tick(), if seen.is_some() => {
                if let Some(order) = &seen {
                    for line in absent(client, &order.seen, &mut named).await {
                        watcher.warn(&line);
                    }
                }
                continue;
            }
        };
        let Some(event) = event else { break };
        let event = event?;
        watcher.tell(&event, away)?;
        away = matches!(event, OrderEvent::Away(_));
        let (order, ended) = match event {
            OrderEvent::Snapshot(order) => (order, false),
            OrderEvent::End(order) => (order, true),
            OrderEvent::Away(_) => continue,
        };
        if (ended || order.seen.is_final()) && !(until.receipts && awaits_receipts(&order.seen)) {
            // Without receipts the stream has a last event of its own.
            if ended || until.receipts {
                return Ok(order);
            }
        }
        seen = Some(order);
    }
    Err(Failure::new(Kind::Unreachable, "the connection ended before the order finished"))
}

/// Who reads the output.
enum Watcher {
    People(Bars),
    Programs,
    /// Nobody, until the order ends.
    AtTheEnd,
}

impl Watcher {
    fn tell(&mut self, event: &OrderEvent, was_away: bool) -> Result<()> {
        match self {
            Self::People(bars) => match event {
                OrderEvent::Snapshot(order) | OrderEvent::End(order) => bars.show(&order.seen),
                OrderEvent::Away(why) if !was_away => bars.say(&format!("reconnecting: {}", plain(why))),
                OrderEvent::Away(_) => {}
            },
            Self::Programs | Self::AtTheEnd => {
                if let OrderEvent::Away(why) = event {
                    if !was_away {
                        say(&format!("reconnecting: {}", plain(why)));
                    }
                    return Ok(());
                }
                if matches!(self, Self::AtTheEnd) {
                    return Ok(());
                }
                let mut out = io::stdout().lock();
                writeln!(out, "{}", line(event))?;
                out.flush()?;
            }
        }
        Ok(())
    }

    fn warn(&self, line: &str) {
        match self {
            Self::People(bars) => bars.say(line),
            Self::Programs | Self::AtTheEnd => say(line),
        }
    }

    /// Removes the bars.
    fn leave(&self) {
        if let Self::People(bars) = self {
            bars.clear();
        }
    }
}

/// The event as one line of NDJSON.
fn line(event: &OrderEvent) -> Value {
    match event {
        OrderEvent::Snapshot(order) => json!({"event": "snapshot", "order": order.raw}),
        OrderEvent::End(order) => json!({"event": "end", "order": order.raw}),
        OrderEvent::Away(why) => json!({"event": "away", "reason": why}),
    }
}
