//! The catalogue of log events: every line of level info and above that a process of the product writes has a field `event`
//! with one of these names. `docs/events.md` is made of it by `cargo xtask pages`; `xtask tidy` compares page, catalogue and
//! code. Programs that read logs rely on the names: a name keeps its meaning.

mod channels;
mod couriers;
mod database;
mod processes;
mod queue;
pub mod redis;

/// What a log line reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogEvent {
    /// The value of the field `event`: an area and what happened, as in `courier.stopped`.
    pub name: &'static str,
    /// The most serious level at which it is logged.
    pub level: LogLevel,
    /// The programs that log it.
    pub logged_by: &'static [Program],
    /// What happened, as a sentence.
    pub happened: &'static str,
    /// What follows from it, as sentences; empty if nothing does.
    pub meaning: &'static str,
    /// What an operator does about it, as sentences; empty if there is nothing to do.
    pub remedy: &'static str,
}

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something happened that is part of normal operation.
    Info,
    /// Something is late or needs attention soon.
    Warn,
    /// Messages or an installation need an operator.
    Error,
}

impl LogLevel {
    /// The name of the level, as in the macros of `tracing`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A program that logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// The queue service.
    Queue,
    /// The courier of any channel.
    Courier,
    /// The e-mail courier.
    Email,
    /// The SMS courier.
    Sms,
    /// The Telegram courier.
    Telegram,
    /// The VK courier.
    Vk,
    /// The sandbox.
    Sandbox,
}

impl Program {
    /// What people call it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Courier => "couriers",
            Self::Email => "e-mail courier",
            Self::Sms => "SMS courier",
            Self::Telegram => "Telegram courier",
            Self::Vk => "VK courier",
            Self::Sandbox => "sandbox",
        }
    }
}

/// Events with one subject.
#[derive(Debug, Clone, Copy)]
pub struct EventGroup {
    /// The heading.
    pub title: &'static str,
    /// By name.
    pub events: &'static [LogEvent],
}

/// The whole catalogue. Each name occurs once.
pub const GROUPS: &[EventGroup] = &[
    EventGroup { title: "Redis and Valkey servers", events: redis::EVENTS },
    EventGroup { title: "The database and its records", events: database::EVENTS },
    EventGroup { title: "Couriers", events: couriers::EVENTS },
    EventGroup { title: "Channels and providers", events: channels::EVENTS },
    EventGroup { title: "The queue", events: queue::EVENTS },
    EventGroup { title: "Every process, and the sandbox", events: processes::EVENTS },
];

/// All events.
pub fn all() -> impl Iterator<Item = &'static LogEvent> {
    GROUPS.iter().flat_map(|group| group.events)
}

const SERVICES: &[Program] = &[Program::Queue, Program::Courier];
const PROCESSES: &[Program] = &[Program::Queue, Program::Courier, Program::Sandbox];
const COURIERS: &[Program] = &[Program::Courier];

const fn error(
    logged_by: &'static [Program],
    name: &'static str,
    happened: &'static str,
    meaning: &'static str,
    remedy: &'static str,
) -> LogEvent {
    LogEvent { level: LogLevel::Error, ..warn(logged_by, name, happened, meaning, remedy) }
}

const fn warn(
    logged_by: &'static [Program],
    name: &'static str,
    happened: &'static str,
    meaning: &'static str,
    remedy: &'static str,
) -> LogEvent {
    LogEvent { name, level: LogLevel::Warn, logged_by, happened, meaning, remedy }
}

/// For information: there is nothing to do.
const fn info(logged_by: &'static [Program], name: &'static str, happened: &'static str) -> LogEvent {
    LogEvent { level: LogLevel::Info, ..warn(logged_by, name, happened, "", "") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_an_area_and_what_happened_and_occur_once() {
        let is_word = |word: &str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let mut names: Vec<&str> = all().map(|event| event.name).collect();
        for name in &names {
            let parts = name.split_once('.');
            assert!(parts.is_some_and(|(area, what)| is_word(area) && is_word(what)), "{name}");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn groups_are_ordered_by_name() {
        for group in GROUPS {
            assert!(group.events.is_sorted_by_key(|event| event.name), "{}", group.title);
        }
    }

    #[test]
    fn whoever_reads_a_warning_learns_what_it_means_and_what_to_do() {
        for event in all() {
            let name = event.name;
            assert!(!event.happened.is_empty() && !event.logged_by.is_empty(), "{name}");
            assert!(event.level == LogLevel::Info || !event.remedy.is_empty(), "{name}");
            for text in [event.happened, event.meaning, event.remedy] {
                assert!(text.is_empty() || text.ends_with('.'), "sentences: {name}");
                assert!(!text.contains(['|', '\n']) && !text.contains("  "), "one cell of a table: {name}");
            }
        }
    }
}
