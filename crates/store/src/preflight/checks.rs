//! The checks of one server.

use fred::clients::Client;
use fred::types::Value as Arg;
use posthaste_model::Durability;

use super::report::{PreflightReport, Severity};
use crate::command::{self, Info};
use crate::error::{CallError, InvalidReply};
use crate::retryable::Retryable;

const EVENTS: &str = "notify-keyspace-events";
const COVERAGE: &str = "cluster-require-full-coverage";
const NEEDED_FLAGS: &str = "KEhx";
/// What `A` stands for.
const ALL_FLAGS: &str = "g$lshzxetd";

/// How a write is confirmed to be as safe as requested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Confirm {
    /// The reply itself is the confirmation.
    Reply,
    /// `WAIT`: this many replicas have it.
    Replicas(u8),
    /// `WAITAOF`: it is on the server's disk, and on the disk of this many replicas.
    Disk(u8),
}

/// Checks one server, and corrects its notification setting if allowed; returns its run id and how to confirm writes
/// on it.
pub(super) async fn look_at(
    client: &Client,
    durability: Durability,
    may_set: bool,
    report: &mut PreflightReport,
) -> Result<(String, Confirm), CallError> {
    let info = command::info(client, &["server", "replication", "persistence", "memory"]).await?;
    let waits_for_disk = version(&info, report);
    role(&info, report);
    memory(client, &info, report).await?;
    events(client, may_set, report).await?;
    coverage(client, report).await?;
    let disk = disk(client, &info, report).await?;
    let confirm = confirm(durability, &disk, waits_for_disk, &info, report);
    Ok((info.get("run_id").unwrap_or_default().to_owned(), confirm))
}

/// A setting, or `None` when this user may not read it or the server does not have it.
async fn seen(client: &Client, name: &'static str) -> Result<Option<String>, CallError> {
    match command::setting(client, name).await {
        Ok(value) => Ok(value),
        Err(error) if is_refused(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_refused(error: &CallError) -> bool {
    matches!(
        error,
        CallError::InvalidReply(InvalidReply::Server(_))
            | CallError::Retryable { why: Retryable::Memory | Retryable::ReadOnly | Retryable::Disk }
    )
}

/// Whether the version is supported, and whether it has WAITAOF.
fn version(info: &Info, report: &mut PreflightReport) -> bool {
    let valkey = info.get("server_name") == Some("valkey") || info.get("valkey_version").is_some();
    let (name, text, least) = if valkey {
        ("Valkey", info.get("valkey_version").or(info.get("redis_version")), (7, 2))
    } else {
        ("Redis", info.get("redis_version"), (7, 0))
    };
    let Some((text, version)) = text.and_then(|text| Some((text, major_minor(text)?))) else {
        let text = "the server does not report its version; Redis 7.0 or Valkey 7.2 or newer is needed";
        report.say(Severity::Unseen, "version", text);
        return false;
    };
    if version < least {
        let (major, minor) = least;
        report.say(
            Severity::Refuse,
            "version",
            format!("{name} {text} is too old: {major}.{minor} or newer is needed"),
        );
    } else {
        report.say(Severity::Ok, "version", format!("{name} {text}"));
    }
    version >= (7, 2)
}

fn major_minor(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse::<u32>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

fn role(info: &Info, report: &mut PreflightReport) {
    match info.get("role") {
        Some("master") => report.say(Severity::Ok, "role", "master"),
        Some(_) => report.say(Severity::Refuse, "role", "the server is a replica: connect to its master"),
        None => {
            report.say(Severity::Unseen, "role", "the server does not report its role; it must be a master")
        }
    }
}

async fn memory(client: &Client, info: &Info, report: &mut PreflightReport) -> Result<(), CallError> {
    let policy = match seen(client, "maxmemory-policy").await? {
        Some(policy) => Some(policy),
        None => info.get("maxmemory_policy").map(str::to_owned),
    };
    match policy.as_deref() {
        Some("noeviction") => report.say(Severity::Ok, "maxmemory-policy", "noeviction"),
        Some(other) => {
            let text = format!(
                "{other}: Redis deletes messages when memory is full; set maxmemory-policy noeviction"
            );
            report.say(Severity::Refuse, "maxmemory-policy", text);
        }
        None => {
            report.say(Severity::Unseen, "maxmemory-policy", "could not be read; make sure it is noeviction")
        }
    }
    match info.number("maxmemory") {
        Some(0) => {
            let text = "not set: when memory runs out, the system kills Redis; with maxmemory set, Redis only refuses new orders";
            report.say(Severity::Warn, "maxmemory", text);
        }
        Some(bytes) => report.say(Severity::Ok, "maxmemory", format!("{bytes} bytes")),
        None => {
            report.say(Severity::Unseen, "maxmemory", "the server does not report it; make sure it is set")
        }
    }
    Ok(())
}

async fn events(client: &Client, may_set: bool, report: &mut PreflightReport) -> Result<(), CallError> {
    let Some(flags) = seen(client, EVENTS).await? else {
        let text = format!(
            "could not be read; make sure it has {NEEDED_FLAGS}, otherwise couriers only poll once a second"
        );
        report.say(Severity::Unseen, EVENTS, text);
        return Ok(());
    };
    let missing = missing_flags(&flags);
    if missing.is_empty() {
        report.say(Severity::Ok, EVENTS, flags);
        return Ok(());
    }
    if !may_set {
        let text = format!("\"{flags}\" lacks {missing}: the first process that connects tries to add it");
        report.say(Severity::Warn, EVENTS, text);
        return Ok(());
    }
    let wanted = format!("{flags}{missing}");
    let args = vec![Arg::from_static_str("SET"), Arg::from_static_str(EVENTS), Arg::from(wanted.clone())];
    match command::ask(client, "CONFIG", args).await {
        Ok(_) => report.say(Severity::Ok, EVENTS, format!("set to {wanted}; it was \"{flags}\"")),
        Err(error) if is_refused(&error) => {
            let text = format!(
                "\"{flags}\" lacks {missing}, and Redis refused to change it: couriers only poll once a second"
            );
            report.say(Severity::Warn, EVENTS, text);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// In a cluster: whether the other servers go on when one is down.
async fn coverage(client: &Client, report: &mut PreflightReport) -> Result<(), CallError> {
    if seen(client, "cluster-enabled").await?.as_deref() != Some("yes") {
        return Ok(());
    }
    match seen(client, COVERAGE).await?.as_deref() {
        Some("no") => report.say(Severity::Ok, COVERAGE, "no"),
        Some(_) => {
            let text = "yes: while one slot has no server, all servers refuse all calls; set it to no on every server, and \
                then only the orders of that slot wait";
            report.say(Severity::Warn, COVERAGE, text);
        }
        None => report.say(Severity::Unseen, COVERAGE, "could not be read; make sure it is no"),
    }
    Ok(())
}

fn missing_flags(flags: &str) -> String {
    let has = |flag: char| flags.contains(flag) || (flags.contains('A') && ALL_FLAGS.contains(flag));
    NEEDED_FLAGS.chars().filter(|flag| !has(*flag)).collect()
}

/// What is known about the append-only file.
struct Disk {
    append_only: Option<bool>,
    /// Whether every write is on disk before it is answered.
    always: bool,
}

impl Disk {
    /// A note for the operator on how long a confirmation by WAITAOF takes.
    fn wait(&self) -> &'static str {
        match (self.append_only, self.always) {
            (Some(true), false) => {
                "; each answer waits up to 2 s for the disk (appendfsync everysec); with appendfsync always, a few milliseconds"
            }
            _ => "",
        }
    }
}

async fn disk(client: &Client, info: &Info, report: &mut PreflightReport) -> Result<Disk, CallError> {
    let append_only = match seen(client, "appendonly").await? {
        Some(value) => Some(value == "yes"),
        None => info.number("aof_enabled").map(|on| on == 1),
    };
    match append_only {
        Some(true) => report.say(Severity::Ok, "appendonly", "yes"),
        Some(false) => {
            report.say(
                Severity::Warn,
                "appendonly",
                "appendonly is off: a Redis restart loses recent messages; set appendonly yes",
            );
        }
        None => report.say(Severity::Unseen, "appendonly", "could not be read; make sure it is yes"),
    }
    let fsync = seen(client, "appendfsync").await?;
    if append_only == Some(true) {
        match fsync.as_deref() {
            Some("always") => report.say(Severity::Ok, "appendfsync", "always"),
            Some("everysec") => {
                report.say(Severity::Ok, "appendfsync", "everysec: a power cut may lose the last second")
            }
            Some(other) => {
                let text = format!(
                    "{other}: a power cut may lose many messages; set appendfsync everysec or always"
                );
                report.say(Severity::Warn, "appendfsync", text)
            }
            None => report.say(
                Severity::Unseen,
                "appendfsync",
                "could not be read; make sure it is everysec or always",
            ),
        }
    }
    let pauses = seen(client, "no-appendfsync-on-rewrite").await?;
    if append_only == Some(true) && pauses.as_deref() == Some("yes") {
        let text =
            "yes: during a rewrite of the file nothing is forced to disk; set no-appendfsync-on-rewrite no";
        report.say(Severity::Warn, "no-appendfsync-on-rewrite", text);
    }
    if info.get("aof_last_write_status") == Some("err")
        || info.get("aof_last_bgrewrite_status") == Some("err")
    {
        let text =
            "the last write or rewrite of the append-only file failed; check the server's log and disk";
        report.say(Severity::Warn, "aof", text);
    }
    let always =
        append_only == Some(true) && fsync.as_deref() == Some("always") && pauses.as_deref() != Some("yes");
    Ok(Disk { append_only, always })
}

fn confirm(
    durability: Durability,
    disk: &Disk,
    waits_for_disk: bool,
    info: &Info,
    report: &mut PreflightReport,
) -> Confirm {
    match durability {
        Durability::Fast => Confirm::Reply,
        Durability::Strict if disk.always => {
            report.say(Severity::Ok, "durability", "strict: every write is on disk before it is answered");
            Confirm::Reply
        }
        Durability::Strict if waits_for_disk && disk.append_only != Some(false) => {
            report.say(Severity::Ok, "durability", format!("strict: confirmed by WAITAOF{}", disk.wait()));
            Confirm::Disk(0)
        }
        Durability::Strict => {
            let text = "strict requires appendonly yes with appendfsync always (and no-appendfsync-on-rewrite no), or a \
                        server with WAITAOF and appendonly yes";
            report.say(Severity::Refuse, "durability", text);
            Confirm::Reply
        }
        Durability::Replicated => {
            match info.number("connected_slaves") {
                Some(0) => report.say(
                    Severity::Warn,
                    "durability",
                    "replicated, but no replica is connected: no order is accepted until one is",
                ),
                Some(count) => {
                    let wait = if waits_for_disk { disk.wait() } else { "" };
                    report.say(
                        Severity::Ok,
                        "durability",
                        format!("replicated: {count} replicas connected{wait}"),
                    );
                }
                None => report.say(
                    Severity::Unseen,
                    "durability",
                    "replicated, but the server does not report its replicas; make sure one is connected",
                ),
            }
            if waits_for_disk && disk.append_only == Some(true) {
                Confirm::Disk(1)
            } else {
                Confirm::Replicas(1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_are_set_are_not_missing() {
        assert_eq!(missing_flags(""), "KEhx");
        assert_eq!(missing_flags("Ex"), "Kh");
        assert_eq!(missing_flags("AK"), "E");
        assert_eq!(missing_flags("AKE"), "");
        assert_eq!(missing_flags("xhEK"), "");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(major_minor("7.0.15"), Some((7, 0)));
        assert!(major_minor("10.0") > major_minor("7.2"));
        assert_eq!(major_minor("x"), None);
    }
}
