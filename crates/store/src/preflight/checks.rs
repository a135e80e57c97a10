//! The checks of one server.

use fred::types::Value as Arg;
use posthaste_model::Durability;

use super::{Confirm, Level, Report};
use crate::error::{CallError, Fault, Later};
use crate::node::{Info, Node};

const EVENTS: &str = "notify-keyspace-events";
const COVERAGE: &str = "cluster-require-full-coverage";
const NEEDED_FLAGS: &str = "KEhx";
/// What `A` stands for.
const ALL_FLAGS: &str = "g$lshzxetd";

/// Looks at one server, and sets its notifications right if it may; answers its run id and how to confirm on it.
pub(super) async fn look_at(
    node: &Node,
    durability: Durability,
    may_set: bool,
    report: &mut Report,
) -> Result<(String, Confirm), CallError> {
    let info = node.info(&["server", "replication", "persistence", "memory"]).await?;
    let waits_for_disk = version(&info, report);
    role(&info, report);
    memory(node, &info, report).await?;
    events(node, may_set, report).await?;
    coverage(node, report).await?;
    let disk = disk(node, &info, report).await?;
    let confirm = confirm(durability, &disk, waits_for_disk, &info, report);
    Ok((info.get("run_id").unwrap_or_default().to_owned(), confirm))
}

/// A setting, or `None` when this user may not see it or the server has none such.
async fn seen(node: &Node, name: &'static str) -> Result<Option<String>, CallError> {
    match node.setting(name).await {
        Ok(value) => Ok(value),
        Err(error) if is_refused(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_refused(error: &CallError) -> bool {
    matches!(
        error,
        CallError::Fault(Fault::Server(_))
            | CallError::Later { why: Later::Memory | Later::ReadOnly | Later::Disk }
    )
}

/// Whether the version will do, and whether it has WAITAOF.
fn version(info: &Info, report: &mut Report) -> bool {
    let valkey = info.get("server_name") == Some("valkey") || info.get("valkey_version").is_some();
    let (name, text, least) = if valkey {
        ("Valkey", info.get("valkey_version").or(info.get("redis_version")), (7, 2))
    } else {
        ("Redis", info.get("redis_version"), (7, 0))
    };
    let Some((text, version)) = text.and_then(|text| Some((text, major_minor(text)?))) else {
        report.say(Level::Unseen, "version", "the server does not tell its version");
        return false;
    };
    if version < least {
        let (major, minor) = least;
        report.say(
            Level::Refuse,
            "version",
            format!("{name} {text} is too old: {major}.{minor} or newer is needed"),
        );
    } else {
        report.say(Level::Ok, "version", format!("{name} {text}"));
    }
    version >= (7, 2)
}

fn major_minor(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.').map(str::parse::<u32>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

fn role(info: &Info, report: &mut Report) {
    match info.get("role") {
        Some("master") => report.say(Level::Ok, "role", "master"),
        Some(_) => report.say(Level::Refuse, "role", "a replica: connect to its master"),
        None => report.say(Level::Unseen, "role", "the server does not tell its role"),
    }
}

async fn memory(node: &Node, info: &Info, report: &mut Report) -> Result<(), CallError> {
    let policy = match seen(node, "maxmemory-policy").await? {
        Some(policy) => Some(policy),
        None => info.get("maxmemory_policy").map(str::to_owned),
    };
    match policy.as_deref() {
        Some("noeviction") => report.say(Level::Ok, "maxmemory-policy", "noeviction"),
        Some(other) => {
            let text = format!("{other} deletes messages when memory is full: set it to noeviction");
            report.say(Level::Refuse, "maxmemory-policy", text);
        }
        None => report.say(Level::Unseen, "maxmemory-policy", "make sure it is noeviction"),
    }
    match info.number("maxmemory") {
        Some(0) => {
            let text =
                "not set: with memory full the system ends the server, where it could refuse new orders";
            report.say(Level::Warn, "maxmemory", text);
        }
        Some(bytes) => report.say(Level::Ok, "maxmemory", format!("{bytes} bytes")),
        None => report.say(Level::Unseen, "maxmemory", "the server does not tell it"),
    }
    Ok(())
}

async fn events(node: &Node, may_set: bool, report: &mut Report) -> Result<(), CallError> {
    let Some(flags) = seen(node, EVENTS).await? else {
        let text = format!("make sure it has {NEEDED_FLAGS}; without, couriers look once a second");
        report.say(Level::Unseen, EVENTS, text);
        return Ok(());
    };
    let missing = missing_flags(&flags);
    if missing.is_empty() {
        report.say(Level::Ok, EVENTS, flags);
        return Ok(());
    }
    if !may_set {
        let text = format!("\"{flags}\" lacks {missing}: the first process that connects tries to set it");
        report.say(Level::Warn, EVENTS, text);
        return Ok(());
    }
    let wanted = format!("{flags}{missing}");
    let args = vec![Arg::from_static_str("SET"), Arg::from_static_str(EVENTS), Arg::from(wanted.clone())];
    match node.ask("CONFIG", args, 0).await {
        Ok(_) => report.say(Level::Ok, EVENTS, format!("set to {wanted}; it was \"{flags}\"")),
        Err(error) if is_refused(&error) => {
            let text = format!(
                "\"{flags}\" lacks {missing}, and setting it was refused: couriers look once a second"
            );
            report.say(Level::Warn, EVENTS, text);
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// In a cluster: whether servers go on when another one is down.
async fn coverage(node: &Node, report: &mut Report) -> Result<(), CallError> {
    if seen(node, "cluster-enabled").await?.as_deref() != Some("yes") {
        return Ok(());
    }
    match seen(node, COVERAGE).await?.as_deref() {
        Some("no") => report.say(Level::Ok, COVERAGE, "no"),
        Some(_) => {
            let text = "yes: while one slot has no server, all servers refuse all calls; set it to no on every server, so that \
                only the orders of that slot wait";
            report.say(Level::Warn, COVERAGE, text);
        }
        None => report.say(Level::Unseen, COVERAGE, "make sure it is no"),
    }
    Ok(())
}

fn missing_flags(flags: &str) -> String {
    let has = |flag: char| flags.contains(flag) || (flags.contains('A') && ALL_FLAGS.contains(flag));
    NEEDED_FLAGS.chars().filter(|flag| !has(*flag)).collect()
}

/// What is known of the append-only file.
struct Disk {
    append_only: Option<bool>,
    /// Whether every write is on disk before it is answered.
    always: bool,
}

impl Disk {
    /// What an operator is told of the time a confirmation takes, where the disk is asked by WAITAOF.
    fn wait(&self) -> &'static str {
        match (self.append_only, self.always) {
            (Some(true), false) => {
                "; each answer waits up to 2 s for the disk (appendfsync everysec), with appendfsync always some milliseconds"
            }
            _ => "",
        }
    }
}

async fn disk(node: &Node, info: &Info, report: &mut Report) -> Result<Disk, CallError> {
    let append_only = match seen(node, "appendonly").await? {
        Some(value) => Some(value == "yes"),
        None => info.number("aof_enabled").map(|on| on == 1),
    };
    match append_only {
        Some(true) => report.say(Level::Ok, "appendonly", "yes"),
        Some(false) => {
            report.say(
                Level::Warn,
                "appendonly",
                "no: a restart of the server loses what it was given since its last save",
            );
        }
        None => report.say(Level::Unseen, "appendonly", "make sure it is yes"),
    }
    let fsync = seen(node, "appendfsync").await?;
    if append_only == Some(true) {
        match fsync.as_deref() {
            Some("always") => report.say(Level::Ok, "appendfsync", "always"),
            Some("everysec") => {
                report.say(Level::Ok, "appendfsync", "everysec: a power cut may lose the last second")
            }
            Some(other) => {
                report.say(Level::Warn, "appendfsync", format!("{other}: a power cut may lose much"))
            }
            None => report.say(Level::Unseen, "appendfsync", "make sure it is everysec or always"),
        }
    }
    let pauses = seen(node, "no-appendfsync-on-rewrite").await?;
    if append_only == Some(true) && pauses.as_deref() == Some("yes") {
        let text = "yes: while the file is rewritten nothing is forced to disk";
        report.say(Level::Warn, "no-appendfsync-on-rewrite", text);
    }
    if info.get("aof_last_write_status") == Some("err")
        || info.get("aof_last_bgrewrite_status") == Some("err")
    {
        report.say(Level::Warn, "aof", "the last write of the append-only file failed");
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
    report: &mut Report,
) -> Confirm {
    match durability {
        Durability::Fast => Confirm::Reply,
        Durability::Strict if disk.always => {
            report.say(Level::Ok, "durability", "strict: every write is on disk before its answer");
            Confirm::Reply
        }
        Durability::Strict if waits_for_disk && disk.append_only != Some(false) => {
            report.say(Level::Ok, "durability", format!("strict: by WAITAOF{}", disk.wait()));
            Confirm::Disk(0)
        }
        Durability::Strict => {
            let text = "strict needs appendonly yes with appendfsync always (and no-appendfsync-on-rewrite no), or a server with WAITAOF";
            report.say(Level::Refuse, "durability", text);
            Confirm::Reply
        }
        Durability::Replicated => {
            match info.number("connected_slaves") {
                Some(0) => report.say(
                    Level::Warn,
                    "durability",
                    "replicated, but there is no replica: nothing will be accepted",
                ),
                Some(count) => {
                    let wait = if waits_for_disk { disk.wait() } else { "" };
                    report.say(Level::Ok, "durability", format!("replicated: {count} connected{wait}"));
                }
                None => report.say(
                    Level::Unseen,
                    "durability",
                    "replicated, but the server does not tell its replicas",
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
    fn flags_that_are_there_are_not_asked_for() {
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
