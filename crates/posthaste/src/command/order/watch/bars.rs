//! One bar per channel and a line of totals.

use std::collections::BTreeMap;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use posthaste_client::{DeliveryCounts, Order};

use crate::terminal::plain;

const BAR: &str = "{prefix:<10} {bar:30.cyan/dim} {pos:>7}/{len:<7} {msg}";

/// The bars of one order.
pub(super) struct Bars {
    all: MultiProgress,
    channels: BTreeMap<String, ProgressBar>,
    totals: ProgressBar,
    first: Option<(Instant, u64)>,
}

impl Bars {
    /// No bars yet.
    pub(super) fn new() -> Self {
        let all = MultiProgress::new();
        let totals = all.add(ProgressBar::new_spinner());
        totals.set_style(style("{msg}"));
        Self { all, channels: BTreeMap::new(), totals, first: None }
    }

    /// Shows the progress of the order.
    pub(super) fn show(&mut self, order: &Order) {
        for (channel, counts) in &order.channel_counts {
            if !self.channels.contains_key(channel) {
                let bar = self.all.insert_before(&self.totals, ProgressBar::new(counts.total));
                bar.set_style(style(BAR));
                bar.set_prefix(plain(channel));
                self.channels.insert(channel.clone(), bar);
            }
            if let Some(bar) = self.channels.get(channel) {
                bar.set_length(counts.total);
                bar.set_position(counts.settled());
                bar.set_message(outcomes(counts));
            }
        }
        let settled = order.counts.settled();
        let (begun, before) = *self.first.get_or_insert_with(|| (Instant::now(), settled));
        let seconds = begun.elapsed().as_secs_f64();
        let rate = if seconds < 0.5 { String::new() } else { rate(settled.saturating_sub(before), seconds) };
        let status = plain(&order.status.replace('_', " "));
        self.totals.set_message(format!("{status}: {}{rate}", totals(&order.counts)));
        self.totals.tick();
    }

    /// Prints a line above the bars.
    pub(super) fn say(&self, text: &str) {
        // This fails only if the terminal is gone, and then nobody reads it.
        let _ = self.all.println(text);
    }

    /// Removes the bars.
    pub(super) fn clear(&self) {
        // A bar that is only dropped would be drawn once more.
        self.channels.values().for_each(ProgressBar::finish_and_clear);
        self.totals.finish_and_clear();
        let _ = self.all.clear();
    }
}

/// Outcomes of the deliveries as signs next to a bar.
fn outcomes(counts: &DeliveryCounts) -> String {
    let signs = [
        // Accepted by the provider and reported as arrived are shown separately.
        ("✔ delivered", counts.delivered),
        ("✔ sent", counts.sent),
        ("✖", counts.failed + counts.suppressed + counts.expired),
        ("?", counts.unknown),
        ("cancelled", counts.cancelled),
    ];
    let shown = signs.into_iter().filter(|(_, count)| *count > 0);
    shown.map(|(sign, count)| format!("{sign} {count}")).collect::<Vec<_>>().join("  ")
}

/// Outcomes of the deliveries in words.
fn totals(counts: &DeliveryCounts) -> String {
    let shown = counts.by_status().into_iter().filter(|(_, count)| *count > 0);
    let words: Vec<String> = shown.map(|(status, count)| format!("{count} {status}")).collect();
    format!("{} of {} final ({})", counts.settled(), counts.total, words.join(", "))
}

fn rate(count: u64, seconds: f64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = count as f64 / seconds;
    format!(", {rate:.0}/s")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▉▊▋▌▍▎▏ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_show_outcomes_not_hand_offs() {
        let counts = DeliveryCounts {
            total: 10,
            pending: 2,
            sending: 1,
            sent: 4,
            delivered: 1,
            failed: 1,
            unknown: 1,
            ..DeliveryCounts::default()
        };
        assert_eq!(counts.settled(), 7);
        assert_eq!(outcomes(&counts), "✔ delivered 1  ✔ sent 4  ✖ 1  ? 1");
        assert_eq!(
            totals(&counts),
            "7 of 10 final (1 delivered, 4 sent, 1 failed, 1 unknown, 1 sending, 2 pending)"
        );
        assert_eq!(rate(300, 2.0), ", 150/s");
    }

    #[test]
    fn the_template_is_valid() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
