//! `posthaste order watch`, and the watching part of `send --watch` and `order retry --watch`.

mod bars;

use std::io::{self, Write};
use std::pin::pin;

use futures::StreamExt;
use posthaste_client::{Client, Order, OrderEvent};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use self::bars::Bars;
use super::order_id::OrderIdArg;
use super::show;
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};
use crate::output::{Format, Reader};
use crate::terminal::{plain, say};

const EXAMPLES: &str = "\
Examples:
  posthaste order watch teacher.1763676000000000000
  posthaste order watch teacher.1763676000000000000 --timeout 10m
  posthaste order watch teacher.1763676000000000000 -o ndjson | jq .order.counts

Ctrl-C stops watching; the order continues.
";

/// Arguments of `posthaste order watch`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// The order.
    order: OrderIdArg,
}

/// Watches an order.
///
/// # Errors
/// Those of [`follow`].
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    follow(&client, args.order.as_str(), context).await
}

/// Watches an order until it finishes: progress bars for people, one line of JSON per event for programs.
///
/// # Errors
/// Some deliveries failed, the timeout passed, Ctrl-C, or the queue rejects the request.
pub(crate) async fn follow(client: &Client, order_id: &str, context: &Context) -> Result<()> {
    let people = context.terminal.is_watched() && matches!(context.format(), None | Some(Format::Table));
    let mut watcher: Watcher = if people { Watcher::People(Bars::new()) } else { Watcher::Programs };
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
        order = to_the_end(client, order_id, &mut watcher) => order?,
        () = waited => {
            watcher.leave();
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
    if people {
        let now = crate::moment::now();
        let mut text = Vec::new();
        show::write_order(&mut text, &Reader::People(&now), &order)?;
        io::stdout().lock().write_all(&text)?;
        show::hints(&order, context);
    }
    exit_result(&order)
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

async fn to_the_end(client: &Client, order_id: &str, watcher: &mut Watcher) -> Result<Order> {
    let mut events = pin!(client.events(order_id));
    let mut away = false;
    while let Some(event) = events.next().await {
        let event = event?;
        watcher.tell(&event, away)?;
        away = matches!(event, OrderEvent::Away(_));
        if let OrderEvent::End(order) = event {
            return Ok(order.seen);
        }
    }
    Err(Failure::new(Kind::Unreachable, "the connection ended before the order finished"))
}

/// Who reads the output.
enum Watcher {
    People(Bars),
    Programs,
}

impl Watcher {
    fn tell(&mut self, event: &OrderEvent, was_away: bool) -> Result<()> {
        match self {
            Self::People(bars) => match event {
                OrderEvent::Snapshot(order) | OrderEvent::End(order) => bars.show(&order.seen),
                OrderEvent::Away(why) if !was_away => bars.say(&format!("reconnecting: {}", plain(why))),
                OrderEvent::Away(_) => {}
            },
            Self::Programs => {
                if let OrderEvent::Away(why) = event {
                    if !was_away {
                        say(&format!("reconnecting: {}", plain(why)));
                    }
                    return Ok(());
                }
                let mut out = io::stdout().lock();
                writeln!(out, "{}", line(event))?;
                out.flush()?;
            }
        }
        Ok(())
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
