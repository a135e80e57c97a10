//! Checks every server once a second, and at once when a call failed: could it store something now? A courier makes a
//! call every second anyway, which shows most states, so it checks only every fifth second.
//!
//! The query is a script that writes nothing. A server refuses it before its first line for the same reasons as any
//! of our scripts that stores something new, so the answer is reliable for memory, disk, role and replicas.

use std::sync::{Arc, Weak};
use std::time::Duration;

use fred::interfaces::ClientLike;
use fred::types::Value as Arg;
use fred::types::config::{Server, ServerConfig};
use futures::future::join_all;
use posthaste_model::Durability;
use posthaste_protocol::ReplyValue;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{RedisState, ServerTroubles, loading};
use crate::cause::Cause;
use crate::epoch_guard::Partition;
use crate::error::{CallError, InvalidReply, NoReplyCause, Retryable};
use crate::missing::holds;
use crate::node::{Info, Node, text};
use crate::preflight::{Confirm, PreflightReport, Severity};
use crate::primary::Primary;
use crate::settings::Role;
use crate::store::Inner;

/// Tests whether a script may store something, and stores nothing.
const QUESTION: &str = "#!lua\nreturn 1";
/// The same for scripts that drain the queue, which may run when memory is full: a server gives only one reason at a
/// time.
const DRAINING: &str = "#!lua flags=allow-oom\nreturn 1";
/// Time between two checks.
const EVERY: Duration = Duration::from_secs(1);
/// Seconds between two checks of a process that makes a call every second anyway.
const COURIERS_EVERY: u32 = 5;
/// Least time before a requested check.
const PAUSE: Duration = Duration::from_millis(100);
/// How long a server may take to answer a check.
const WITHIN: Duration = Duration::from_secs(2);
/// Percentage of `maxmemory` above which nothing new is accepted.
pub(crate) const FULL_PERCENT: u64 = 90;

/// The findings of one check.
pub(crate) type Found = Vec<(RedisState, Option<String>)>;

/// Checks until cancelled, or until the store is gone.
pub(crate) async fn watch(inner: Weak<Inner>, troubles: ServerTroubles, stop: CancellationToken) {
    let mut quiet = 0;
    loop {
        if let Some(inner) = inner.upgrade() {
            let calls_anyway = matches!(inner.role, Role::Courier(_) | Role::CourierWith { .. });
            if quiet == 0 || !calls_anyway || !troubles.watch().borrow().is_empty() {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = inner.look_for_trouble() => {}
                }
            }
        } else {
            return;
        }
        troubles.tick();
        let (pause, requested) = (tokio::time::sleep(PAUSE), troubles.requested());
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => quiet = (quiet + 1) % COURIERS_EVERY,
            () = async { pause.await; requested.await } => quiet = 0,
        }
    }
}

impl Inner {
    /// Takes the result of preflight for a connection: unsuitable settings are a state.
    pub(crate) fn judged(&self, node: &Arc<str>, report: &PreflightReport) {
        let unfit: Vec<&str> = report
            .lines
            .iter()
            // A replica is a state of its own, found by every check.
            .filter(|line| line.level == Severity::Refuse && line.topic != "role")
            .map(|line| line.text.as_str())
            .collect();
        if unfit.is_empty() {
            self.troubles.end(node, RedisState::Unsuitable);
        } else {
            self.troubles.begin(node, RedisState::Unsuitable, Some(unfit.join("; ")));
        }
        self.troubles.look_now();
    }

    async fn look_for_trouble(&self) {
        let primaries = self.routes.primaries();
        self.troubles.nodes(primaries.iter().map(|primary| Arc::clone(&primary.address)).collect());
        join_all(primaries.iter().map(|primary| self.look_at(primary))).await;
    }

    async fn look_at(&self, primary: &Primary) {
        let (name, begun) = (&primary.address, Instant::now());
        let worker = match primary.pool.pick() {
            Some(worker) => Some(worker),
            // A worker that is not checked yet can still give the reason.
            None => primary.pool.workers.iter().find(|worker| worker.client.is_connected()),
        };
        let Some(worker) = worker else {
            let (state, detail) = self.troubles.why_lost();
            let detail = match state {
                RedisState::Loading => loading::progress(&primary.config).await,
                RedisState::Disk => loading::disk(&primary.config).await.or(detail),
                _ => detail,
            };
            let detail = if self.routes.is_cluster() { Some(self.holds(primary, detail)) } else { detail };
            return self.troubles.saw(name, vec![(state, detail)]);
        };
        let node = &Node::any(&worker.client);
        let found = match timeout(WITHIN, look(node, self.routes.is_cluster())).await {
            Ok(found) => found,
            Err(_) => vec![(RedisState::Away, Some(format!("no answer within {} s", WITHIN.as_secs())))],
        };
        if found.is_empty() && !primary.link.is_up() {
            // The server answers this connection, but there is no checked connection for calls yet.
            return;
        }
        if found.is_empty() {
            self.troubles.took(name, begun.elapsed());
        }
        self.troubles.saw(name, found);
        self.look_at_confirming(primary, node).await;
    }

    /// Adds which partitions a server of a cluster holds: only these wait for it.
    fn holds(&self, primary: &Primary, detail: Option<String>) -> String {
        let holds = holds(&self.partitions_of(primary));
        match detail {
            Some(detail) => format!("{detail}; {holds}"),
            None => holds,
        }
    }

    /// Whether a server that did not confirm writes does so now; and whether it could, before a call needs it to.
    async fn look_at_confirming(&self, primary: &Primary, node: &Node) {
        let name = &primary.address;
        if self.settings.durability == Durability::Fast
            || primary.confirm() == Confirm::Reply
            || self.guard.check().is_err()
        {
            return;
        }
        if self.settings.durability == Durability::Replicated
            && let Ok(info) = node.info(&["replication"]).await
            && info.get("role") == Some("master")
            && info.number("connected_slaves") == Some(0)
        {
            let detail = Some("no replica is connected".to_owned());
            return self.troubles.begin(name, RedisState::Unconfirmed, detail);
        }
        if self.troubles.lasts(name, RedisState::Unconfirmed) && self.confirms(primary, node).await {
            self.troubles.end(name, RedisState::Unconfirmed);
        }
    }

    /// Whether a server confirms what was written, or nothing was written to it yet that could be confirmed.
    async fn confirms(&self, primary: &Primary, node: &Node) -> bool {
        let here =
            |at: &&Partition| self.routes.home(at.slot).is_some_and(|home| std::ptr::eq(&*home, primary));
        for at in self.guard.all().iter().filter(here) {
            match node.ask("EXISTS", vec![text(at.keys.fence())], at.slot).await {
                Ok(ReplyValue::Int(0)) => {}
                Ok(_) => return self.confirmed(at.number, self.before_confirm(at.number)).await.is_ok(),
                Err(_) => return false,
            }
        }
        true
    }
}

/// What is wrong with a server now; writes nothing.
pub(crate) async fn look(node: &Node, clustered: bool) -> Found {
    let ask = |question| node.ask("EVAL", vec![Arg::from_static_str(question), Arg::Integer(0)], 0);
    let mut requested = ask(QUESTION).await;
    let mut found = Vec::new();
    if matches!(requested, Err(CallError::Retryable { why: Retryable::Memory })) {
        found.push((RedisState::MemoryFull, detail(node, RedisState::MemoryFull).await));
        requested = ask(DRAINING).await;
    }
    match &requested {
        Ok(_) => {}
        Err(CallError::Retryable { why }) => {
            if let Some(state) = RedisState::of(*why) {
                found.push((state, detail(node, state).await));
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
        if clustered && let Ok(info) = cluster(node).await {
            found.extend(info);
        }
        let full = found.iter().any(|(state, _)| *state == RedisState::MemoryFull);
        if !full
            && let Ok(info) = node.info(&["memory"]).await
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
async fn cluster(node: &Node) -> Result<Found, CallError> {
    let text = node.ask("CLUSTER", vec![Arg::from_static_str("INFO")], 0).await?;
    let info = Info::from(
        text.text("cluster info").map_err(InvalidReply::Malformed).map_err(CallError::InvalidReply)?,
    );
    if info.get("cluster_state") != Some("fail") {
        return Ok(Vec::new());
    }
    let slots = info.number("cluster_slots_ok").map(|slots| format!("{slots} of 16384 slots are served"));
    Ok(vec![(RedisState::ClusterDown, slots)])
}

/// Whether so much memory is used that nothing new is accepted; `None` when the server does not report it.
pub(crate) fn nearly_full(info: &Info) -> Option<bool> {
    let (used, most) = (info.number("used_memory")?, info.number("maxmemory")?);
    Some(most > 0 && u128::from(used) * 100 >= u128::from(most) * u128::from(FULL_PERCENT))
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
async fn detail(node: &Node, state: RedisState) -> Option<String> {
    let section = match state {
        RedisState::MemoryFull | RedisState::MemoryNearlyFull => "memory",
        RedisState::Loading | RedisState::Disk => "persistence",
        RedisState::ReadOnly | RedisState::PrimaryDown | RedisState::NoReplicas => "replication",
        _ => return None,
    };
    let info = node.info(&[section]).await.ok()?;
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

/// A server as text.
pub(crate) fn name(server: &Server) -> String {
    // For a unix socket the host is its path, and there is no port.
    if server.port == 0 { server.host.to_string() } else { format!("{}:{}", server.host, server.port) }
}

/// The configured address of a client, as text without credentials.
pub(crate) fn address(server: &ServerConfig) -> Arc<str> {
    let hosts = server.hosts().iter().map(name).collect::<Vec<_>>().join(",");
    match server {
        ServerConfig::Sentinel { service_name, .. } => {
            Arc::from(format!("{service_name} of sentinels {hosts}"))
        }
        _ => Arc::from(hosts),
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

    #[test]
    fn an_address_is_shown_without_credentials() {
        let server = ServerConfig::new_centralized("host.example", 7000);
        assert_eq!(&*address(&server), "host.example:7000");
        assert_eq!(&*address(&ServerConfig::new_unix_socket("/run/redis.sock")), "/run/redis.sock");
    }
}
