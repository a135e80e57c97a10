//! The state of the store behind the queue, and to which countries its settings allow SMS.

use std::path::{Path, PathBuf};

use posthaste_store::Work;
use posthaste_store::preflight::Severity;

use super::findings::{FindingLevel, Findings};
use crate::failure::{Failure, Kind};

/// Reports the countries SMS may go to and the limits, for the operator to compare with what was intended.
pub(super) fn sms_limits(config: &Path, findings: &mut Findings) {
    let args = posthaste_queue::Args { config: Some(config.to_owned()), ..Default::default() };
    // Errors in the file have been reported already.
    let Ok(loaded) = args.load(std::env::vars_os()) else { return };
    let (orders, limits) = (&loaded.settings.orders, &loaded.settings.sms_limits);
    let found = limits.to_string();
    match orders.sms_countries() {
        Some(countries) => findings.say(
            FindingLevel::Good,
            "sms",
            format!("SMS are sent to numbers of {countries}; {found}"),
        ),
        None => findings.note(
            "sms",
            format!("SMS are sent to no country; {found}"),
            "To send SMS, name the countries: orders.phone_countries = [\"RU\"]",
        ),
    }
}

/// Checks the store behind the queue. Nothing is written to it.
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
                let level = match line.level {
                    Severity::Ok => FindingLevel::Good,
                    Severity::Unseen | Severity::Warn => FindingLevel::Note,
                    Severity::Refuse => FindingLevel::Bad,
                };
                findings.say(level, &format!("store {}", line.topic), line.text.clone());
            }
            database(&store, findings).await;
            store.disconnect().await;
        }
        Err(failure) => findings.bad("store", &failure),
    }
}

/// Reports whether the database is set up, whether it is halted, and past rollbacks.
async fn database(store: &posthaste_store::Store, findings: &mut Findings) {
    match store.stopped() {
        Some(why) => findings.bad("database", &Failure::refused(why.to_string())),
        None if store.epoch().is_empty() => {
            findings.note(
                "database",
                "empty",
                "The first process of the installation sets it up when it starts.",
            );
        }
        None => findings.say(FindingLevel::Good, "database", "set up, not halted"),
    }
    match store.rollbacks().await {
        Ok(rollbacks) => {
            if let Some(latest) = rollbacks.first() {
                let before = match rollbacks.len() - 1 {
                    0 => String::new(),
                    1 => "; once before that".to_owned(),
                    times => format!("; {times} times before that"),
                };
                findings.note(
                    "database",
                    format!("{latest}{before}"),
                    "No confirmed data was lost: the clients of lost requests were told that the outcome is unknown. Find out \
                     why the server failed, and how far its replicas lag.",
                );
            }
        }
        Err(error) => findings.note("database", "can't tell whether it went back before", error.to_string()),
    }
}

/// Reports the state of each server and what to do about it. Returns whether further checks make sense.
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
        findings.say(FindingLevel::Good, "redis", format!("{address} responds and accepts writes"));
    }
    for trouble in &troubles {
        let failure = Failure::new(Kind::Unreachable, trouble.happened()).remedy(format!(
            "{}\n{}",
            trouble.state.means(),
            trouble.state.remedy()
        ));
        findings.bad("redis", &failure);
    }
    troubles.iter().all(|trouble| !trouble.state.prevents(Work::Deliver))
}
