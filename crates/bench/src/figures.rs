//! Figures of several runs: median, minimum, maximum; printed as a table.

use std::collections::BTreeMap;

/// Figures by name, in the order of their first run.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    names: Vec<String>,
    runs: BTreeMap<String, Vec<f64>>,
}

impl Figures {
    /// One run's value of a figure; its name holds its unit.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        if !self.names.contains(&name) {
            self.names.push(name.clone());
        }
        self.runs.entry(name).or_default().push(value);
    }

    /// Prints the table.
    #[expect(clippy::print_stdout, reason = "figures are what this program is for")]
    pub(crate) fn print(&self, title: &str) {
        println!("\n### {title}\n");
        println!("| figure | median | min | max | runs |");
        println!("| --- | --- | --- | --- | --- |");
        for name in &self.names {
            let mut values = self.runs.get(name).cloned().unwrap_or_default();
            values.sort_by(f64::total_cmp);
            if let (Some(min), Some(max)) = (values.first(), values.last()) {
                let median = values[values.len() / 2];
                println!(
                    "| {name} | {} | {} | {} | {} |",
                    show(median),
                    show(*min),
                    show(*max),
                    values.len()
                );
            }
        }
    }
}

/// A value as the tables show it.
pub(crate) fn show(value: f64) -> String {
    if value.abs() >= 1_000.0 {
        let digits = format!("{value:.0}");
        let mut out = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                out.push(',');
            }
            out.push(digit);
        }
        out
    } else {
        format!("{value:.2}")
    }
}

/// The value below which this share of the sorted values lies.
pub(crate) fn quantile(sorted: &[i64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
    #[expect(clippy::cast_precision_loss, reason = "microseconds, far below 2^52")]
    sorted.get(at).map_or(0.0, |v| *v as f64)
}

/// Rate per second.
pub(crate) fn per_second(n: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let n = n as f64;
    n / seconds
}
