//! `docs/metrics.md`, made from the catalogue of metrics.

use std::fmt::Write;

use posthaste_catalogue::metrics::{GROUPS, LabelValues, Metric, MetricGroup, MetricLabel};

const HEAD: &str = "\
# Metrics

<!-- Made by `cargo run -p posthaste-xtask -- pages` from crates/catalogue/src/metrics. Edit the catalogue, not this page. -->

Every process serves its metrics in the Prometheus text format at `/metrics` of its admin port. No label contains an
address, a text, a name or a token. Names follow the conventions of Prometheus: counters end in `_total` and start at 0
with the process; a unit is the end of the name; gauges without a unit count things, or are 1 for yes and 0 for no.
A series appears when the process first records it.

On Linux, each process also exports `process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_threads`,
`process_open_fds` and `process_max_fds`.
";

/// The page.
pub(super) fn text() -> String {
    page(GROUPS)
}

fn page(groups: &[MetricGroup]) -> String {
    let mut page = HEAD.to_owned();
    for group in groups {
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {}\n\n{}\n", group.title, group.exported_by);
        page.push_str(
            "\n| metric | kind | labels | what it says | when to act |\n| --- | --- | --- | --- | --- |\n",
        );
        for metric in group.metrics {
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{}`", label.key)).collect();
            let (kind, labels) = (metric.kind.as_str(), labels.join(", "));
            let _ = writeln!(
                page,
                "| `{}` | {kind} | {labels} | {} | {} |",
                metric.name,
                cell(metric.help),
                cell(metric.act_when)
            );
        }
        let labels = distinct(group.metrics);
        if !labels.is_empty() {
            page.push_str("\n| label | of | values |\n| --- | --- | --- |\n");
        }
        for label in labels {
            let of: Vec<&str> = group
                .metrics
                .iter()
                .filter(|metric| metric.labels.contains(label))
                .map(|metric| metric.name)
                .collect();
            let of = match of.len() {
                n if n > 3 && n == group.metrics.len() => "all".to_owned(),
                n if n > 3 => "all that have it".to_owned(),
                _ => of.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
            };
            let _ = writeln!(page, "| `{}` | {of} | {} |", label.key, values(label));
        }
    }
    page
}

/// The labels of these metrics, each once, in their order.
fn distinct(metrics: &[Metric]) -> Vec<&MetricLabel> {
    let mut distinct: Vec<&MetricLabel> = Vec::new();
    for label in metrics.iter().flat_map(|metric| metric.labels) {
        if !distinct.contains(&label) {
            distinct.push(label);
        }
    }
    distinct
}

fn values(label: &MetricLabel) -> String {
    match label.values {
        LabelValues::Open(text) => cell(text),
        LabelValues::Fixed(values) => {
            let values = values.iter().map(|(value, meaning)| match *meaning {
                "" => format!("`{value}`"),
                meaning => format!("`{value}`: {}", cell(meaning)),
            });
            values.collect::<Vec<_>>().join("<br>")
        }
    }
}

/// A text in a table: names of metrics as code, no character that ends the cell.
fn cell(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let name = word.trim_end_matches(['.', ',', ':', ';']);
        match name.starts_with("posthaste_") {
            true => format!("`{name}`{}", &word[name.len()..]),
            false => word.replace('|', "\\|"),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use posthaste_catalogue::metrics::{self, MetricKind, MetricUnit};

    use super::*;

    const CHANNEL: MetricLabel = MetricLabel { key: "channel", values: LabelValues::Open("a | b") };
    const STATE: MetricLabel =
        MetricLabel { key: "state", values: LabelValues::Fixed(&[("on", "it works"), ("off", "")]) };
    const GROUP: MetricGroup = MetricGroup {
        title: "Lamps",
        exported_by: "Exported by lamps.",
        metrics: &[Metric {
            name: "posthaste_lamps",
            kind: MetricKind::Gauge,
            unit: MetricUnit::Count,
            help: "Lamps.",
            act_when: "See posthaste_lights.",
            labels: &[CHANNEL, STATE],
        }],
    };

    #[test]
    fn a_group_becomes_a_table_of_metrics_and_one_of_labels() {
        let page = page(&[GROUP]);
        let tables = page.split_once("## Lamps\n").expect("the heading").1;
        let expected = "
Exported by lamps.

| metric | kind | labels | what it says | when to act |
| --- | --- | --- | --- | --- |
| `posthaste_lamps` | gauge | `channel`, `state` | Lamps. | See `posthaste_lights`. |

| label | of | values |
| --- | --- | --- |
| `channel` | `posthaste_lamps` | a \\| b |
| `state` | `posthaste_lamps` | `on`: it works<br>`off` |
";
        assert_eq!(tables, expected);
    }

    #[test]
    fn every_metric_is_on_the_page() {
        let page = text();
        for metric in metrics::all() {
            assert!(
                page.contains(&format!("\n| `{}` | {} |", metric.name, metric.kind.as_str())),
                "{}",
                metric.name
            );
        }
    }
}
