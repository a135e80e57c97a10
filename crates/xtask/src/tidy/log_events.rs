//! Log lines of level info and above have exactly one event of the catalogue in `catalogue::log_events`, at its level, and
//! everything in the catalogue is logged by the programs it names.

use std::collections::{BTreeMap, BTreeSet};

use posthaste_catalogue::log_events::{LogEvent, LogLevel, Program, all};
use proc_macro2::TokenStream;

use self::lines::{Event, LogLine, log_lines};
use super::Finding;
use crate::workspace::File;

mod lines;

const CATALOGUE: &str = "crates/catalogue/src/log_events";
/// Crates that do not ship.
const NOT_SHIPPED: &[&str] = &["bench", "rig", "simulator", "xtask"];
/// Files whose events are values, with the files that name the events by constants of the module `redis`.
const BY_VALUE: &[(&str, &str)] = &[("crates/store/src/trouble/kept.rs", "crates/store/src/redis_state.rs")];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let catalogue: Vec<LogEvent> = all().copied().collect();
    found(files, &catalogue)
}

/// Where an event is logged.
#[derive(Debug, Default)]
struct Logged<'a> {
    level: Option<LogLevel>,
    crates: BTreeSet<&'a str>,
}

fn found(files: &[File], catalogue: &[LogEvent]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut logged: BTreeMap<String, Logged<'_>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is("rs")) {
        let Some(name) = shipped(&file.path) else { continue };
        // Invalid Rust is a finding of another rule.
        let Ok(tokens) = file.text.parse::<TokenStream>() else { continue };
        for LogLine { line, level, events } in log_lines(tokens) {
            let mut say = |text: String| findings.push(Finding::line(&file.path, line, text));
            let Some(level) = level else {
                say("use error!, warn! or info!: only their events are compared with the catalogue".into());
                continue;
            };
            let names = match &events[..] {
                [Event::Literal(name)] => vec![name.clone()],
                [Event::Value] => match named_by(files, &file.path) {
                    Some(names) => names,
                    None => {
                        say("the event must be a literal".into());
                        continue;
                    }
                },
                [] => {
                    say(format!(
                        "no event: begin with `event = \"area.what_happened\"` and add it to {CATALOGUE}"
                    ));
                    continue;
                }
                _ => {
                    say("more than one event".into());
                    continue;
                }
            };
            for event in names {
                match catalogue.iter().find(|known| known.name == event) {
                    None => say(format!("`{event}` is not in the catalogue: add it to {CATALOGUE}")),
                    Some(known) if !known.logged_by.iter().any(|by| programs(name).contains(by)) => {
                        say(format!("{CATALOGUE} does not say that `{event}` is logged by this program"));
                    }
                    Some(_) => {}
                }
                let seen = logged.entry(event).or_default();
                seen.level = seen.level.max(Some(level));
                seen.crates.insert(name);
            }
        }
    }
    for event in catalogue {
        findings.extend(differs(event, logged.get(event.name)).map(|text| Finding::new(CATALOGUE, text)));
    }
    findings
}

/// What is wrong with an entry of the catalogue.
fn differs(event: &LogEvent, logged: Option<&Logged<'_>>) -> Option<String> {
    let name = event.name;
    let Some(logged) = logged else { return Some(format!("nothing logs `{name}`: remove it")) };
    if let Some(level) = logged.level.filter(|level| *level != event.level) {
        let (kept, level) = (event.level.word(), level.word());
        return Some(format!("`{name}` is logged with level {level}, the catalogue says {kept}"));
    }
    let is_logged = |by: &&Program| logged.crates.iter().any(|one| programs(one).contains(by));
    let never = event.logged_by.iter().find(|by| !is_logged(by))?;
    Some(format!("`{name}`: nothing in {} logs it", never.word()))
}

/// The crate of a file with code of the product; `None` for tests and tools.
fn shipped(path: &str) -> Option<&str> {
    let (name, rest) = path.strip_prefix("crates/")?.split_once('/')?;
    let ships = rest.starts_with("src/") && !rest.ends_with("tests.rs") && !NOT_SHIPPED.contains(&name);
    ships.then_some(name)
}

/// The programs that contain a crate.
fn programs(name: &str) -> &'static [Program] {
    use Program::{Courier, Email, Queue, Sandbox, Sms, Telegram, Vk};
    match name {
        "queue" => &[Queue],
        "sandbox" => &[Sandbox],
        "courier-email" => &[Courier, Email],
        "courier-sms" => &[Courier, Sms],
        "courier-telegram" => &[Courier, Telegram],
        "courier-vk" => &[Courier, Vk],
        "store" => &[Queue, Courier],
        name if name.starts_with("courier") => &[Courier],
        _ => &[Queue, Courier, Sandbox],
    }
}

/// The names of the events of a file that logs values.
fn named_by(files: &[File], path: &str) -> Option<Vec<String>> {
    let (_, by) = BY_VALUE.iter().find(|(file, _)| *file == path)?;
    let text = &files.iter().find(|file| file.path == *by)?.text;
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    let constants =
        text.split("redis::").skip(1).map(|rest| rest.split(|c| !is_name(c)).next().unwrap_or_default());
    let names = constants.filter(|name| !name.is_empty());
    Some(names.map(|name| format!("redis.{}", name.to_ascii_lowercase())).collect())
}

#[cfg(test)]
mod tests;
