//! All metrics: name, kind, unit, meaning, labels. Names and labels are a public contract.
//!
//! Names follow the conventions of Prometheus: the prefix `posthaste_`, counters end in `_total`, a unit is a suffix.
//! `cargo xtask tidy` compares this list with the code that records the metrics.

mod courier;
mod email;
mod queue;
mod redis;

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its full name.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
    /// What its value is measured in.
    pub unit: MetricUnit,
    /// What it measures, in sentences.
    pub help: &'static str,
    /// When an operator should act, in sentences; empty if it is for information.
    pub act_when: &'static str,
    /// Its labels, each present in every series.
    pub labels: &'static [MetricLabel],
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, from 0 at the start of a process.
    Counter,
    /// Rises and falls.
    Gauge,
    /// A distribution in buckets.
    Histogram,
}

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricUnit {
    /// A number of the things that the name says.
    Count,
    /// 1 for yes, 0 for no.
    Flag,
    /// Seconds.
    Seconds,
}

/// A label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricLabel {
    /// Its key.
    pub key: &'static str,
    /// Its values.
    pub values: LabelValues,
}

/// The values of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelValues {
    /// These, each with its meaning. A meaning may be empty if the value says it.
    Fixed(&'static [(&'static str, &'static str)]),
    /// Others, described in words.
    Open(&'static str),
}

/// Metrics of one kind of process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricGroup {
    /// The heading.
    pub title: &'static str,
    /// Who exports them, in sentences.
    pub exported_by: &'static str,
    /// The metrics.
    pub metrics: &'static [Metric],
}

/// All metrics, by the process that exports them.
pub const GROUPS: &[MetricGroup] = &[queue::GROUP, courier::GROUP, email::GROUP, redis::GROUP];

/// All metrics.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    GROUPS.iter().flat_map(|group| group.metrics)
}

/// The metric with this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Metric> {
    all().find(|metric| metric.name == name)
}

impl Metric {
    /// The help text: what it measures and when to act.
    #[must_use]
    pub fn help_text(&self) -> String {
        [self.help, self.act_when].join(" ").trim_end().to_owned()
    }

    /// The label with this key.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&'static MetricLabel> {
        self.labels.iter().find(|label| label.key == key)
    }
}

impl MetricKind {
    /// Its name in the Prometheus text format.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

impl LabelValues {
    /// Whether a label may have this value.
    #[must_use]
    pub fn allows(&self, value: &str) -> bool {
        match self {
            Self::Fixed(values) => values.iter().any(|(known, _)| *known == value),
            Self::Open(_) => true,
        }
    }
}

/// A counter without a unit of its own.
const fn counter(
    name: &'static str,
    labels: &'static [MetricLabel],
    help: &'static str,
    act_when: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Counter, unit: MetricUnit::Count, help, act_when, labels }
}

/// A gauge.
const fn gauge(
    name: &'static str,
    unit: MetricUnit,
    labels: &'static [MetricLabel],
    help: &'static str,
    act_when: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Gauge, unit, help, act_when, labels }
}

/// A histogram of seconds.
const fn seconds(
    name: &'static str,
    labels: &'static [MetricLabel],
    help: &'static str,
    act_when: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Histogram, unit: MetricUnit::Seconds, help, act_when, labels }
}

/// A label with these values.
const fn fixed(key: &'static str, values: &'static [(&'static str, &'static str)]) -> MetricLabel {
    MetricLabel { key, values: LabelValues::Fixed(values) }
}

/// A label whose values are described in words.
const fn open(key: &'static str, values: &'static str) -> MetricLabel {
    MetricLabel { key, values: LabelValues::Open(values) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const ANY: &[MetricLabel] = &[open("a", "any")];
    const TWICE: &[MetricLabel] = &[open("a", "any"), open("a", "any")];
    const BOTH: &[MetricLabel] = &[fixed("b", &[("c", "")]), open("d", "any")];

    /// What is wrong with a metric by the conventions.
    fn defect(metric: &Metric) -> Option<&'static str> {
        let Metric { name, kind, unit, .. } = *metric;
        let snake =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte));
        let sentence = |text: &str| {
            text.ends_with('.') && text.starts_with(|c: char| c.is_ascii_uppercase() || c == '1')
        };
        let keys: BTreeSet<&str> = metric.labels.iter().map(|label| label.key).collect();
        [
            (!name.starts_with("posthaste_") || !snake(name), "prefix and case of the name"),
            (
                (kind == MetricKind::Counter) != name.ends_with("_total"),
                "a counter, and nothing else, ends in _total",
            ),
            (
                (unit == MetricUnit::Seconds) != name.ends_with("_seconds"),
                "seconds, and nothing else, end in _seconds",
            ),
            (!sentence(metric.help), "the help is a sentence"),
            (!metric.act_when.is_empty() && !sentence(metric.act_when), "when to act is a sentence"),
            (
                keys.len() != metric.labels.len() || keys.iter().any(|key| !snake(key) || *key == "le"),
                "labels",
            ),
        ]
        .into_iter()
        .find_map(|(wrong, what)| wrong.then_some(what))
    }

    #[test]
    fn every_metric_follows_the_conventions_and_has_a_name_of_its_own() {
        let mut names = BTreeSet::new();
        for metric in all() {
            assert_eq!(defect(metric), None, "{metric:?}");
            assert!(names.insert(metric.name), "{} is listed twice", metric.name);
            assert_eq!(find(metric.name), Some(metric));
        }
        assert!(names.len() > 50, "{names:?}");
    }

    #[test]
    fn defects_are_found() {
        let good = seconds("posthaste_wait_seconds", ANY, "How long.", "Act when long.");
        assert_eq!(defect(&good), None);
        for bad in [
            Metric { name: "wait_seconds", ..good },
            Metric { name: "posthaste_Wait_seconds", ..good },
            Metric { name: "posthaste_wait_total", unit: MetricUnit::Count, ..good },
            Metric { kind: MetricKind::Counter, ..good },
            Metric { name: "posthaste_wait", ..good },
            Metric { unit: MetricUnit::Count, ..good },
            Metric { help: "How long", ..good },
            Metric { act_when: "when long.", ..good },
            Metric { labels: TWICE, ..good },
        ] {
            assert!(defect(&bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn alert_rules_use_metrics_of_the_catalogue() {
        let rules = include_str!("../../../deploy/prometheus/posthaste.rules.yml");
        let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let named: BTreeSet<&str> = words.filter(|word| word.starts_with("posthaste_")).collect();
        assert!(named.len() >= 5, "{named:?}");
        for name in named {
            assert!(find(name).is_some(), "{name} is not a metric");
        }
    }

    #[test]
    fn a_help_text_says_what_it_is_and_when_to_act() {
        let metric = counter("posthaste_a_total", &[], "Letters.", "");
        assert_eq!(metric.help_text(), "Letters.");
        assert_eq!(Metric { act_when: "Act if any.", ..metric }.help_text(), "Letters. Act if any.");
    }

    #[test]
    fn fixed_values_allow_no_others() {
        let metric = counter("posthaste_a_total", BOTH, "A.", "");
        let allows =
            |key: &str, value: &str| metric.label(key).is_some_and(|label| label.values.allows(value));
        assert!(allows("b", "c") && allows("d", "x"));
        assert!(!allows("b", "x") && !allows("x", "x"));
    }
}
