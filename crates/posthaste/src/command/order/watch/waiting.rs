//! What a watched order waits for: couriers that do not run, and delivery receipts.

use posthaste_client::{Client, Order};

use crate::terminal::plain;

/// Reports bounces only: what arrives is never confirmed.
const BOUNCES_ONLY: &str = "email";

/// Whether a delivery receipt may still come for a sent message.
pub(super) fn awaits_receipts(order: &Order) -> bool {
    order.sent_on(true).into_iter().any(|channel| channel != BOUNCES_ONLY)
}

/// A line for each channel whose deliveries wait and that has no running courier. `named` are channels already named.
/// If the queue does not say which couriers run, there are none: the watch goes on without them.
pub(super) async fn absent(client: &Client, order: &Order, named: &mut Vec<String>) -> Vec<String> {
    let waiting = order.channel_counts.iter().filter(|(_, counts)| counts.pending > 0);
    let waiting: Vec<_> = waiting.filter(|(channel, _)| !named.contains(channel)).collect();
    // A scheduled order needs no courier yet.
    if waiting.is_empty() || order.status == "scheduled" {
        return Vec::new();
    }
    let Ok(page) = client.couriers().await else { return Vec::new() };
    let is_online = |channel: &str| {
        page.items.iter().any(|courier| courier.seen.channel == channel && courier.seen.online)
    };
    let mut lines = Vec::new();
    for (channel, counts) in waiting {
        if !is_online(channel) {
            named.push(channel.clone());
            lines.push(line(channel, counts.pending));
        }
    }
    lines
}

fn line(channel: &str, count: u64) -> String {
    let channel = plain(channel);
    let wait = if count == 1 { "1 delivery waits".to_owned() } else { format!("{count} deliveries wait") };
    format!("no courier is running for {channel}: {wait}. Start one:  posthaste courier {channel}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(channel: &str, sent: u64, receipts: Option<bool>) -> Order {
        serde_json::from_value(json!({"id": "dev.17", "status": "finished", "counts": {"total": 2, "sent": sent},
            "channel_counts": {channel: {"total": 2, "sent": sent}}, "delivery_receipts": {channel: receipts}}))
        .expect("an order")
    }

    #[test]
    fn receipts_are_awaited_where_they_come() {
        for (channel, sent, receipts, awaited) in [
            ("sms", 1, Some(true), true),
            ("sms", 0, Some(true), false),
            ("telegram", 1, Some(false), false),
            ("sms", 1, None, false),
            ("email", 1, Some(true), false),
        ] {
            assert_eq!(
                awaits_receipts(&order(channel, sent, receipts)),
                awaited,
                "{channel} {sent} {receipts:?}"
            );
        }
    }

    #[test]
    fn a_line_counts_in_words() {
        assert!(line("sms", 1).contains("for sms: 1 delivery waits"));
        assert!(line("vk", 3).contains("3 deliveries wait. Start one:  posthaste courier vk"));
    }
}
