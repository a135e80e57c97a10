//! Code, catalogue and documents name the same metrics: what is recorded is in the catalogue with its kind and labels, what is
//! in the catalogue is recorded, and no text mentions a metric that does not exist.

use std::collections::BTreeSet;

use posthaste_catalogue::metrics::{self, LabelValues, Metric};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

use super::Finding;
use crate::workspace::File;

const PREFIX: &str = "posthaste_";
const CATALOGUE: &str = "crates/catalogue/src/metrics.rs";
/// These contain names of metrics that no process records: the list itself, and tests of rules.
const NOT_SEARCHED: &[&str] = &["crates/catalogue/", "crates/xtask/"];
/// Old names are kept here.
const HISTORY: &str = "CHANGELOG.md";
/// Functions that set a label to the literal they are given: their name, the metric, the label.
const SETTERS: &[(&str, &str, &str)] =
    &[("alert", "posthaste_alerts_total", "type"), ("wake", "posthaste_wakeups_total", "source")];

/// Checks all code and documents.
pub(super) fn check(files: &[File], documents: &[File]) -> Vec<Finding> {
    let catalogue: Vec<&Metric> = metrics::all().collect();
    compare(&catalogue, files, documents)
}

fn compare(catalogue: &[&Metric], files: &[File], documents: &[File]) -> Vec<Finding> {
    let mut seen =
        Seen { catalogue, recorded: BTreeSet::new(), literals: BTreeSet::new(), findings: Vec::new() };
    let searched = |file: &&File| !NOT_SEARCHED.iter().any(|folder| file.path.starts_with(folder));
    for file in files.iter().filter(searched).filter(|file| is_of_a_process(file)) {
        // Another rule reports code that is not valid.
        if let Ok(tokens) = file.text.parse::<TokenStream>() {
            seen.look(file, tokens);
        }
    }
    let Seen { recorded, literals, mut findings, .. } = seen;
    for metric in catalogue {
        if !recorded.contains(metric.name) {
            findings.push(Finding::new(CATALOGUE, format!("no code records {}", metric.name)));
        }
        for label in metric.labels {
            let LabelValues::Fixed(values) = label.values else { continue };
            for (value, _) in values.iter().filter(|(value, _)| !literals.contains(*value)) {
                let text = format!("no code has the value `{value}` of {}{{{}}}", metric.name, label.key);
                findings.push(Finding::new(CATALOGUE, text));
            }
        }
    }
    let crates: BTreeSet<String> = files.iter().filter_map(crate_of).collect();
    let texts = files.iter().filter(searched).chain(documents.iter().filter(|file| file.path != HISTORY));
    for file in texts {
        for (at, line) in file.text.lines().enumerate() {
            for name in mentioned(line).filter(|name| !crates.contains(*name) && !is_known(catalogue, name)) {
                findings.push(Finding::line(
                    &file.path,
                    at + 1,
                    format!("{name} is not in the catalogue of metrics"),
                ));
            }
        }
    }
    findings
}

/// Whether a file is compiled into a process, and not only into tests.
fn is_of_a_process(file: &File) -> bool {
    file.is("rs")
        && file.path.starts_with("crates/")
        && file.path.contains("/src/")
        && !file.path.ends_with("tests.rs")
}

/// The crate of a file as code writes it.
fn crate_of(file: &File) -> Option<String> {
    let name = file.path.strip_prefix("crates/").unwrap_or(&file.path).split('/').next()?;
    Some(format!("{PREFIX}{}", name.replace('-', "_")))
}

/// The names in a line that begin with the prefix and are not paths of code.
fn mentioned(line: &str) -> impl Iterator<Item = &str> {
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    line.match_indices(PREFIX).filter_map(move |(at, _)| {
        let end = line[at..].find(|c| !is_name(c)).map_or(line.len(), |length| at + length);
        let name = &line[at..end];
        let begins = !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        (begins && name != PREFIX && !line[end..].starts_with("::")).then_some(name)
    })
}

/// Whether there is a metric of this name, or a histogram whose series has it.
fn is_known(catalogue: &[&Metric], name: &str) -> bool {
    let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    catalogue
        .iter()
        .any(|metric| metric.name == name || (metric.name == base && metric.kind.as_str() == "histogram"))
}

/// What has been found so far.
struct Seen<'a> {
    catalogue: &'a [&'a Metric],
    recorded: BTreeSet<String>,
    /// All string literals.
    literals: BTreeSet<String>,
    findings: Vec<Finding>,
}

impl Seen<'_> {
    fn look(&mut self, file: &File, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            if is_test(&tokens[at..]) {
                at += tokens[at..].iter().position(is_end).map_or(tokens.len(), |length| length + 1);
                continue;
            }
            match token {
                TokenTree::Ident(word) => match &tokens[at + 1..] {
                    [TokenTree::Punct(not), TokenTree::Group(group), ..] if not.as_char() == '!' => {
                        let kind = word.to_string();
                        if matches!(kind.as_str(), "counter" | "gauge" | "histogram") {
                            self.recording(file, &kind, group);
                        }
                    }
                    [TokenTree::Group(group), ..] => self.call(file, &word.to_string(), group),
                    _ => {}
                },
                TokenTree::Literal(_) => self.literals.extend(literal(token)),
                TokenTree::Group(group) => self.look(file, group.stream()),
                TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }

    /// `counter!("name", "key" => value, …)`.
    fn recording(&mut self, file: &File, kind: &str, group: &Group) {
        let line = group.span_open().start().line;
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        let mut arguments = tokens.split(|token| matches!(token, TokenTree::Punct(p) if p.as_char() == ','));
        let name = arguments.next().and_then(|name| if let [name] = name { literal(name) } else { None });
        let labels: Option<Vec<(String, Option<String>)>> =
            arguments.filter(|argument| !argument.is_empty()).map(label).collect();
        let text = match (name, labels) {
            (None, _) => "write the name of the metric as a literal, so that it can be checked".to_owned(),
            (_, None) => "write labels as `\"key\" => value`, so that they can be checked".to_owned(),
            (Some(name), Some(labels)) => {
                let defect = self.defect(kind, &name, &labels);
                self.recorded.insert(name);
                let Some(defect) = defect else { return };
                defect
            }
        };
        self.findings.push(Finding::line(&file.path, line, text));
    }

    fn defect(&self, kind: &str, name: &str, labels: &[(String, Option<String>)]) -> Option<String> {
        let Some(metric) = self.catalogue.iter().find(|metric| metric.name == name) else {
            return Some(format!("{name} is not in the catalogue of metrics"));
        };
        if metric.kind.as_str() != kind {
            return Some(format!("{name} is a {} in the catalogue of metrics", metric.kind.as_str()));
        }
        let keys: BTreeSet<&str> = labels.iter().map(|(key, _)| key.as_str()).collect();
        let listed: BTreeSet<&str> = metric.labels.iter().map(|label| label.key).collect();
        if keys != listed {
            return Some(format!(
                "{name} has the labels {listed:?} in the catalogue of metrics, and {keys:?} here"
            ));
        }
        labels.iter().find_map(|(key, value)| self.unlisted(name, key, value.as_deref()?))
    }

    /// What to say about a value that the catalogue does not list.
    fn unlisted(&self, name: &str, key: &str, value: &str) -> Option<String> {
        let metric = self.catalogue.iter().find(|metric| metric.name == name)?;
        let label = metric.label(key)?;
        (!label.values.allows(value))
            .then(|| format!("the catalogue does not list `{value}` of {name}{{{key}}}"))
    }

    /// A call of a function that may set a label.
    fn call(&mut self, file: &File, function: &str, group: &Group) {
        let Some((_, name, key)) = SETTERS.iter().find(|(setter, ..)| *setter == function) else { return };
        if group.delimiter() != Delimiter::Parenthesis {
            return;
        }
        let mut values = Vec::new();
        collect(group.stream(), &mut values);
        let line = group.span_open().start().line;
        let found: Vec<String> = values.iter().filter_map(|value| self.unlisted(name, key, value)).collect();
        self.findings.extend(found.into_iter().map(|text| Finding::line(&file.path, line, text)));
    }
}

/// All literals in these tokens.
fn collect(tokens: TokenStream, values: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect(group.stream(), values),
            token => values.extend(literal(&token)),
        }
    }
}

/// The text of a string literal.
fn literal(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    let text = literal.to_string();
    Some(text.strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

/// Key of a label, and its value if it is a literal.
fn label(argument: &[TokenTree]) -> Option<(String, Option<String>)> {
    match argument {
        [key, TokenTree::Punct(first), TokenTree::Punct(second), value @ ..]
            if first.as_char() == '=' && second.as_char() == '>' =>
        {
            let value = if let [value] = value { literal(value) } else { None };
            Some((literal(key)?, value))
        }
        _ => None,
    }
}

/// Whether an item that is only compiled for tests begins here.
fn is_test(tokens: &[TokenTree]) -> bool {
    match tokens {
        [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] => {
            let text: String = attribute.stream().to_string().split_whitespace().collect();
            hash.as_char() == '#' && text == "cfg(test)"
        }
        _ => false,
    }
}

/// Whether an item ends here.
fn is_end(token: &TokenTree) -> bool {
    match token {
        TokenTree::Punct(punct) => punct.as_char() == ';',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use posthaste_catalogue::metrics::{MetricKind, MetricLabel, MetricUnit};

    use super::*;

    const CHANNEL: MetricLabel = MetricLabel { key: "channel", values: LabelValues::Open("any") };
    const TYPE: MetricLabel =
        MetricLabel { key: "type", values: LabelValues::Fixed(&[("panic", ""), ("clock", "")]) };
    const ALERTS: Metric = Metric {
        name: "posthaste_alerts_total",
        kind: MetricKind::Counter,
        unit: MetricUnit::Count,
        help: "Alerts.",
        act_when: "",
        labels: &[CHANNEL, TYPE],
    };
    const WAIT: Metric = Metric {
        name: "posthaste_wait_seconds",
        kind: MetricKind::Histogram,
        unit: MetricUnit::Seconds,
        labels: &[],
        ..ALERTS
    };
    /// Code that records both metrics, with all values.
    const GOOD: &str = "fn a(c: String, t: &'static str) {\n\
                        counter!(\"posthaste_alerts_total\", \"channel\" => c, \"type\" => t,).increment(1);\n\
                        metrics::histogram!(\"posthaste_wait_seconds\").record(1.0);\n\
                        alert(&c, \"panic\");\nself.meter.alert(if x { \"clock\" } else { \"panic\" });\n}\n";

    fn found(code: &str, page: (&str, &str)) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files =
            [file("crates/courier-sms/src/a.rs", code), file("crates/xtask/src/b.rs", "\"posthaste_x\"")];
        let mut findings = compare(&[&ALERTS, &WAIT], &files, &[file(page.0, page.1)]);
        findings.sort();
        findings.into_iter().map(|finding| format!("{} {}", finding.place, finding.text)).collect()
    }

    #[test]
    fn what_agrees_passes() {
        assert_eq!(found(GOOD, ("README.md", "")), [""; 0]);
        for more in [
            "use posthaste_model::State;",
            "const FILTER: &str = \"posthaste_courier_sms=debug\";",
            "#[cfg(test)] mod tests { fn a() { counter!(\"b_total\", &labels); } }",
            "#[cfg(test)] mod tests;",
            "// posthaste_wait_seconds_bucket and posthaste_alerts_total\n",
        ] {
            assert_eq!(found(&format!("{GOOD}{more}"), ("README.md", "")), [""; 0], "{more}");
        }
    }

    #[test]
    fn a_difference_of_name_kind_labels_or_values_is_found() {
        for (more, expected) in [
            ("counter!(\"posthaste_b_total\");", "posthaste_b_total is not in the catalogue of metrics"),
            ("gauge!(\"posthaste_wait_seconds\");", "posthaste_wait_seconds is a histogram in the catalogue"),
            (
                "histogram!(\"posthaste_wait_seconds\", \"a\" => b);",
                "in the catalogue of metrics, and {\"a\"} here",
            ),
            ("counter!(\"posthaste_alerts_total\", \"channel\" => c);", "and {\"channel\"} here"),
            ("counter!(\"posthaste_alerts_total\", &labels);", "write labels as `\"key\" => value`"),
            ("counter!(NAME);", "write the name of the metric as a literal"),
            (
                "counter!(\"posthaste_alerts_total\", \"channel\" => c, \"type\" => \"fire\");",
                "the catalogue does not list `fire` of posthaste_alerts_total{type}",
            ),
            ("meter.alert(\"fire\");", "the catalogue does not list `fire` of posthaste_alerts_total{type}"),
            ("#[cfg(test)] mod b {} fn c() { gauge!(NAME); }", "write the name of the metric as a literal"),
        ] {
            let found = found(&format!("{GOOD}{more}"), ("README.md", ""));
            assert!(found.iter().any(|text| text.contains(expected)), "{more}: {found:?}");
            assert!(found.iter().all(|text| text.starts_with("crates/courier-sms/src/a.rs:7 ")), "{found:?}");
        }
    }

    #[test]
    fn what_no_code_records_is_found() {
        let found =
            found(&GOOD.replace("posthaste_wait_seconds", "other").replace("clock", "panic"), ("a.md", ""));
        assert_eq!(
            found[..2],
            [
                "crates/catalogue/src/metrics.rs no code has the value `clock` of posthaste_alerts_total{type}",
                "crates/catalogue/src/metrics.rs no code records posthaste_wait_seconds"
            ]
        );
    }

    #[test]
    fn a_metric_that_does_not_exist_is_found_in_texts() {
        let old =
            "see\n`posthaste_waits_seconds_count` and posthaste_alerts_total_count, not xposthaste_waits";
        let expected = |path: &str| {
            ["posthaste_alerts_total_count", "posthaste_waits_seconds_count"]
                .map(|name| format!("{path} {name} is not in the catalogue of metrics"))
        };
        assert_eq!(found(GOOD, ("docs/a.md", old)), expected("docs/a.md:2"));
        assert_eq!(found(&format!("{GOOD}// posthaste_x"), ("a.md", "")).len(), 1);
        assert_eq!(found(GOOD, (HISTORY, old)), [""; 0]);
    }
}
