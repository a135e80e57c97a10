//! What is wrong with a server now.
//!
//! The query is a script that writes nothing. A server refuses it before its first line for the same reasons as any
//! of our scripts that stores something new, so the answer is reliable for memory, disk, role and replicas.

use fred::clients::Client;
use fred::types::Value as Arg;

use super::loading;
use crate::cause::Cause;
use crate::command::{self, Info};
use crate::error::{CallError, InvalidReply, NoReplyCause};
use crate::memory_guard::nearly_full;
use crate::redis_state::RedisState;
use crate::retryable::Retryable;

/// Tests whether a script may store something, and stores nothing.
const QUESTION: &str = "#!lua\nreturn 1";
/// The same for scripts that drain the queue, which may run when memory is full: a server gives only one reason at a
/// time.
const DRAINING: &str = "#!lua flags=allow-oom\nreturn 1";
/// The findings of one check.
pub(crate) type Found = Vec<(RedisState, Option<String>)>;

/// What is wrong with a server now; writes nothing.
pub(crate) async fn look(client: &Client, clustered: bool) -> Found {
    let ask = |question| command::ask(client, "EVAL", vec![Arg::from_static_str(question), Arg::Integer(0)]);
    let mut requested = ask(QUESTION).await;
    let mut found = Vec::new();
    if matches!(requested, Err(CallError::Retryable { why: Retryable::Memory })) {
        found.push((RedisState::MemoryFull, detail(client, RedisState::MemoryFull).await));
        requested = ask(DRAINING).await;
    }
    match &requested {
        Ok(_) => {}
        Err(CallError::Retryable { why }) => {
            if let Some(state) = RedisState::of(*why) {
                found.push((state, detail(client, state).await));
            }
        }
        Err(CallError::NoReply(lost)) => found.push((RedisState::Away, cause(lost))),
        Err(CallError::InvalidReply(InvalidReply::Server(text))) if is_denied(text) => {
            found.push((RedisState::AccessDenied, Some(text.clone())));
        }
        Err(CallError::InvalidReply(InvalidReply::Client(error))) => {
            if let Cause::AccessDenied(text) = Cause::of(&error.0) {
                found.push((RedisState::AccessDenied, Some(text)));
            }
        }
        // A user who may not run the script may still be able to query the rest.
        Err(_) => {}
    }
    if found.iter().all(|(state, _)| !matches!(state, RedisState::Away | RedisState::AccessDenied)) {
        if clustered && let Ok(info) = cluster(client).await {
            found.extend(info);
        }
        let full = found.iter().any(|(state, _)| *state == RedisState::MemoryFull);
        if !full
            && let Ok(info) = command::info(client, &["memory"]).await
            && nearly_full(&info) == Some(true)
        {
            found.push((RedisState::MemoryNearlyFull, memory(&info)));
        }
    }
    found
}

fn is_denied(text: &str) -> bool {
    ["NOAUTH", "WRONGPASS"].iter().any(|word| text.starts_with(word))
}

fn cause(lost: &NoReplyCause) -> Option<String> {
    match lost {
        NoReplyCause::NotConnected | NoReplyCause::OnTheMove => None,
        NoReplyCause::Connection(error) => Some(Cause::of(&error.0).to_string()),
    }
}

/// The state of the cluster as one of its servers sees it.
async fn cluster(client: &Client) -> Result<Found, CallError> {
    let text = command::ask(client, "CLUSTER", vec![Arg::from_static_str("INFO")]).await?;
    let info = Info::from(
        text.text("cluster info").map_err(InvalidReply::Malformed).map_err(CallError::InvalidReply)?,
    );
    if info.get("cluster_state") != Some("fail") {
        return Ok(Vec::new());
    }
    let slots = info.number("cluster_slots_ok").map(|slots| format!("{slots} of 16384 slots are served"));
    Ok(vec![(RedisState::ClusterDown, slots)])
}

fn memory(info: &Info) -> Option<String> {
    let (used, most) = (info.number("used_memory")?, info.number("maxmemory")?);
    Some(format!("{} used, maxmemory {}", bytes(used), bytes(most)))
}

fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.into_iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} bytes"),
    }
}

/// The figures of a state, as far as the server reports them.
async fn detail(client: &Client, state: RedisState) -> Option<String> {
    let section = match state {
        RedisState::MemoryFull | RedisState::MemoryNearlyFull => "memory",
        RedisState::Loading | RedisState::Disk => "persistence",
        RedisState::ReadOnly | RedisState::PrimaryDown | RedisState::NoReplicas => "replication",
        _ => return None,
    };
    let info = command::info(client, &[section]).await.ok()?;
    match state {
        RedisState::Loading => loading::words(&info),
        RedisState::Disk => loading::disk_words(&info),
        RedisState::NoReplicas => {
            let good = info.number("min_slaves_good_slaves").or(info.number("connected_slaves"))?;
            Some(format!("{good} good replicas"))
        }
        RedisState::ReadOnly | RedisState::PrimaryDown => {
            let (host, port) = (info.get("master_host")?, info.get("master_port")?);
            let link = info.get("master_link_status").unwrap_or("unknown");
            Some(format!("its primary is {host}:{port}, link {link}"))
        }
        _ => memory(&info),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_shown_in_readable_units() {
        assert_eq!(bytes(900), "900 bytes");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(4 << 30), "4.0 GiB");
        let info = Info::from("used_memory:966367642\r\nmaxmemory:1073741824\r\n".to_owned());
        assert_eq!(nearly_full(&info), Some(true));
        assert_eq!(memory(&info).as_deref(), Some("921.6 MiB used, maxmemory 1.0 GiB"));
        let unbound = Info::from("used_memory:966367642\r\nmaxmemory:0\r\n".to_owned());
        assert_eq!(nearly_full(&unbound), Some(false));
    }
}
