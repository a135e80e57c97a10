//! `docs/events.md`: what each log event means, and what to do about it.

use std::fmt::Write;

use posthaste_catalogue::log_events::{EventGroup, GROUPS, LogEvent, Program};

const HEAD: &str = "\
# Log events

<!-- Made from crates/catalogue/src/log_events by `cargo run -p posthaste-xtask -- pages`. Edit it there. -->

Every log line of level info, warn or error has a field `event` with one of these names; lines of level debug and trace may
have none. The names are stable; the messages beside them may change. With `log.format = \"json\"` a line is one object, so
`jq 'select(.event == \"channel.stopped\")'` finds an event. Other fields name the channel, order, partition or server
(`node`), and the cause (`why` or `error`); none contains an address, a text or a secret.

- **error**: messages, or the installation, need an operator.
- **warn**: something is late, or needs attention soon.
- **info**: normal operation.

States of a server (`redis.away` and others with the field `phase`) have a line when they begin, one every 30 s while they
last, and one of level info when they are over. These lines also contain the meaning and the remedy. \"couriers\" are the
couriers of all channels.
";

/// The page.
pub(super) fn text() -> String {
    page(GROUPS)
}

fn page(groups: &[EventGroup]) -> String {
    let mut page = HEAD.to_owned();
    for group in groups {
        let (title, events) = (group.title, group.events.iter().filter(|event| !event.remedy.is_empty()));
        let _ = write!(page, "\n## {title}\n\n");
        page.push_str("| event | level | logged by | what it means | what to do |\n");
        page.push_str("| --- | --- | --- | --- | --- |\n");
        for event in events {
            let _ = writeln!(
                page,
                "| `{}` | {} | {} | {} | {} |",
                event.name,
                event.level.word(),
                logged_by(event),
                means(event),
                event.remedy
            );
        }
    }
    page.push_str("\n## For information\n\nNothing is to be done about these.\n\n");
    page.push_str("| event | logged by | what it means |\n| --- | --- | --- |\n");
    for event in groups.iter().flat_map(|group| group.events).filter(|event| event.remedy.is_empty()) {
        let _ = writeln!(page, "| `{}` | {} | {} |", event.name, logged_by(event), means(event));
    }
    page
}

fn logged_by(event: &LogEvent) -> String {
    let words: Vec<&str> = event.logged_by.iter().copied().map(Program::word).collect();
    words.join(", ")
}

fn means(event: &LogEvent) -> String {
    format!("{} {}", event.happened, event.meaning).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use posthaste_catalogue::log_events::LogLevel;

    use super::*;

    const EVENTS: &[LogEvent] = &[
        LogEvent {
            name: "a.broke",
            level: LogLevel::Error,
            logged_by: &[Program::Queue, Program::Sms],
            happened: "It broke.",
            meaning: "Nothing works.",
            remedy: "Repair it.",
        },
        LogEvent {
            name: "a.began",
            level: LogLevel::Info,
            logged_by: &[Program::Vk],
            happened: "It began.",
            meaning: "",
            remedy: "",
        },
    ];

    #[test]
    fn what_asks_for_an_operator_comes_before_what_only_informs() {
        let page = page(&[EventGroup { title: "Parts", events: EVENTS }]);
        let rows: Vec<&str> =
            page.lines().filter(|line| line.starts_with("| `") || line.starts_with("## ")).collect();
        assert_eq!(
            rows,
            [
                "## Parts",
                "| `a.broke` | error | queue, SMS courier | It broke. Nothing works. | Repair it. |",
                "## For information",
                "| `a.began` | VK courier | It began. |",
            ]
        );
    }
}
