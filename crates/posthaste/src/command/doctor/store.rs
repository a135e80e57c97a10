//! What the store behind the queue says of itself, and where its settings let SMS go.

use std::path::{Path, PathBuf};

use posthaste_store::Work;
use posthaste_store::preflight::Level;

use super::{Findings, Verdict};
use crate::failure::{Failure, Kind};

/// Where SMS may go, and how many: nothing here tells whether it is what was meant.
pub(super) fn sms_limits(config: &Path, findings: &mut Findings) {
    let args = posthaste_queue::Args { config: Some(config.to_owned()), ..Default::default() };
    // What is wrong with the file was told already.
    let Ok(loaded) = args.load(std::env::vars_os()) else { return };
    let (orders, limits) = (&loaded.settings.orders, &loaded.settings.sms_limits);
    let found = limits.to_string();
    match orders.sms_countries() {
        Some(countries) => {
            findings.say(Verdict::Good, "sms", format!("numbers of {countries} get messages; {found}"))
        }
        None => findings.note(
            "sms",
            format!("numbers of no country get messages; {found}"),
            "To send SMS, name the countries: orders.phone_countries = [\"RU\"]",
        ),
    }
}

/// Looks at the store behind the queue; nothing is written to it.
pub(super) async fn look(config: Option<PathBuf>, url: Option<&str>, findings: &mut Findings) {
    let settings = match crate::store::settings(config, url) {
        Ok(settings) => settings,
        Err(failure) => return findings.bad("store", &failure),
    };
    if !redis(&settings, findings).await {
        return;
    }
    match crate::store::inspect(settings).await {
        Ok((store, report)) => {
            for line in &report.lines {
                let verdict = match line.level {
                    Level::Ok => Verdict::Good,
                    Level::Unseen | Level::Warn => Verdict::Note,
                    Level::Refuse => Verdict::Bad,
                };
                findings.say(verdict, &format!("store {}", line.topic), line.text.clone());
            }
            database(&store, findings).await;
            store.disconnect().await;
        }
        Err(failure) => findings.bad("store", &failure),
    }
}

/// Whether the database is set up, and what it was.
async fn database(store: &posthaste_store::Store, findings: &mut Findings) {
    match store.stopped() {
        Some(why) => findings.bad("database", &Failure::refused(why.to_string())),
        None if store.epoch().is_empty() => {
            findings.note("database", "empty", "The first process of the installation sets it up.");
        }
        None => findings.say(Verdict::Good, "database", "set up, and nothing stopped it"),
    }
    match store.rollbacks().await {
        Ok(rollbacks) => {
            if let Some(latest) = rollbacks.first() {
                let before = match rollbacks.len() - 1 {
                    0 => String::new(),
                    1 => "; once before".to_owned(),
                    times => format!("; {times} times before"),
                };
                findings.note(
                    "database",
                    format!("{latest}{before}"),
                    "What was lost had been confirmed to nobody: its clients were told that the outcome is unknown. Look at why \
                     the server failed, and how far its replicas lag.",
                );
            }
        }
        Err(error) => {
            findings.note("database", "whether it went back before can't be told", error.to_string())
        }
    }
}

/// Looks what state each server is in, and says what to do about it. Whether it is worth going on.
async fn redis(settings: &posthaste_store::Settings, findings: &mut Findings) -> bool {
    let troubles = match posthaste_store::examine(settings).await {
        Ok(troubles) => troubles,
        Err(error) => {
            findings.bad("redis", &crate::store::failure(settings, error));
            return false;
        }
    };
    if troubles.is_empty() {
        let address = settings.address().unwrap_or_default();
        findings.say(Verdict::Good, "redis", format!("{address} answers, and takes writes"));
    }
    for trouble in &troubles {
        let failure = Failure::new(Kind::Unreachable, trouble.happened()).mend(format!(
            "{}\n{}",
            trouble.state.means(),
            trouble.state.remedy()
        ));
        findings.bad("redis", &failure);
    }
    troubles.iter().all(|trouble| !trouble.state.prevents(Work::Deliver))
}
