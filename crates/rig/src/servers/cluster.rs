//! A private Redis Cluster: primaries and replicas on ports of 127.0.0.1, with slots that can be moved step by step.

use std::time::Duration;

use super::{Builder, Fsync, PrivateServer, until};
use crate::resp::RespReply;
use crate::{Error, Result};

/// Slots in a cluster.
const SLOTS: usize = 16_384;
/// Keys moved per MIGRATE.
const KEYS_AT_ONCE: usize = 100;

/// A cluster that belongs to one test. Servers are identified by index: first the initial primaries, then their
/// replicas in the same order, once or more often, then those added later.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<PrivateServer>,
    node_timeout: Duration,
}

impl Cluster {
    /// A cluster of `primaries`, each with `replicas`. A server that is silent for `node_timeout` is considered down
    /// by the others, and its replica takes over. Servers keep working when others are down
    /// (`cluster-require-full-coverage no`).
    ///
    /// # Errors
    /// As [`Builder::start`]; [`Error::TooLate`] when the servers do not agree.
    pub fn start(primaries: usize, replicas: usize, node_timeout: Duration) -> Result<Self> {
        let mut cluster = Self { nodes: Vec::new(), node_timeout };
        for _ in 0..primaries * (1 + replicas) {
            let node = cluster.builder().start()?;
            cluster.nodes.push(node);
        }
        for at in 0..cluster.nodes.len() {
            cluster.ask(at, &["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()])?;
        }
        for at in 0..primaries {
            let (first, end) = (at * SLOTS / primaries, (at + 1) * SLOTS / primaries);
            cluster.ask(at, &["CLUSTER", "ADDSLOTSRANGE", &first.to_string(), &(end - 1).to_string()])?;
        }
        for at in 1..cluster.nodes.len() {
            cluster.meet(at)?;
        }
        cluster.wait("all servers know each other", |cluster| cluster.know_each_other())?;
        for at in primaries..cluster.nodes.len() {
            let primary = cluster.id(at % primaries)?;
            cluster.ask(at, &["CLUSTER", "REPLICATE", &primary])?;
        }
        cluster.wait("all replicas follow", |cluster| cluster.are_well(primaries))?;
        Ok(cluster)
    }

    fn builder(&self) -> Builder {
        PrivateServer::builder()
            .tcp()
            .fsync(Fsync::EverySecond)
            .max_memory(4 << 30)
            .line("cluster-enabled yes")
            .line("cluster-config-file nodes.conf")
            .line("cluster-require-full-coverage no")
            .line(&format!("cluster-node-timeout {}", self.node_timeout.as_millis()))
            .line("repl-diskless-sync-delay 0")
    }

    /// How many servers there are, including dead ones.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// One of the servers.
    ///
    /// # Panics
    /// If there is no such index.
    pub fn node(&self, at: usize) -> &PrivateServer {
        &self.nodes[at]
    }

    /// The same, to kill or restart it.
    ///
    /// # Panics
    /// If there is no such index.
    pub fn node_mut(&mut self, at: usize) -> &mut PrivateServer {
        &mut self.nodes[at]
    }

    /// Sets `appendfsync always` on every server until it is restarted. With `everysec`, a confirmation by WAITAOF takes a second
    /// or two.
    ///
    /// # Errors
    /// As [`PrivateServer::command`].
    pub fn write_always(&self) -> Result<()> {
        for at in 0..self.nodes.len() {
            self.ask(at, &["CONFIG", "SET", "appendfsync", "always"])?;
        }
        Ok(())
    }

    /// `redis-cluster://…`, with all servers.
    pub fn url(&self) -> String {
        let mut addresses =
            self.nodes.iter().filter_map(PrivateServer::tcp_addr).map(|addr| addr.to_string());
        let first = addresses.next().unwrap_or_default();
        let others: Vec<String> = addresses.map(|address| format!("node={address}")).collect();
        format!("redis-cluster://{first}?{}", others.join("&"))
    }

    /// `127.0.0.1:port` of a server.
    ///
    /// # Panics
    /// If there is no such index.
    pub fn address(&self, at: usize) -> String {
        self.nodes[at].tcp_addr().map(|address| address.to_string()).unwrap_or_default()
    }

    fn ask(&self, at: usize, words: &[&str]) -> Result<String> {
        match self.nodes[at].command(words)? {
            RespReply::Error(text) => Err(Error::Protocol(format!("{} answered {text}", words.join(" ")))),
            reply => Ok(reply.text().unwrap_or_default().to_owned()),
        }
    }

    fn id(&self, at: usize) -> Result<String> {
        self.ask(at, &["CLUSTER", "MYID"])
    }

    fn meet(&self, at: usize) -> Result<()> {
        let first = self.address(0);
        let (host, port) = first.split_once(':').unwrap_or_default();
        self.ask(at, &["CLUSTER", "MEET", host, port]).map(drop)
    }

    fn wait(&self, what: &str, done: impl Fn(&Self) -> Result<()>) -> Result<()> {
        until(what, || done(self))
    }

    fn know_each_other(&self) -> Result<()> {
        for at in 0..self.nodes.len() {
            let info = self.ask(at, &["CLUSTER", "INFO"])?;
            let nodes = self.ask(at, &["CLUSTER", "NODES"])?;
            let known = nodes
                .lines()
                .filter(|line| !line.contains("handshake") && line.contains(" connected"))
                .count();
            if known != self.nodes.len() || !info.contains("cluster_state:ok") {
                return Err(Error::Protocol(format!("server {at} knows {known}: {info}")));
            }
        }
        Ok(())
    }

    fn are_well(&self, primaries: usize) -> Result<()> {
        self.know_each_other()?;
        for at in primaries..self.nodes.len() {
            let info = self.nodes[at].info("replication")?;
            if info.get("master_link_status").map(String::as_str) != Some("up") {
                return Err(Error::Protocol(format!("replica {at}: {info:?}")));
            }
        }
        for at in 0..self.nodes.len() {
            let nodes = self.ask(at, &["CLUSTER", "NODES"])?;
            let replicas = nodes.lines().filter(|line| line.contains("slave")).count();
            if replicas != self.nodes.len() - primaries {
                return Err(Error::Protocol(format!("server {at} knows {replicas} replicas")));
            }
        }
        Ok(())
    }

    /// The running server that holds a slot, according to itself.
    ///
    /// # Errors
    /// [`Error::Protocol`] when none holds it.
    pub fn holder(&self, slot: u16) -> Result<usize> {
        let holds = |at: &usize| {
            let Ok(nodes) = self.ask(*at, &["CLUSTER", "NODES"]) else { return false };
            let Some(line) = nodes.lines().find(|line| line.contains("myself,master")) else { return false };
            line.split_ascii_whitespace().skip(8).filter(|word| !word.starts_with('[')).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                match (first.parse::<u16>(), last.parse::<u16>()) {
                    (Ok(first), Ok(last)) => (first..=last).contains(&slot),
                    _ => false,
                }
            })
        };
        let none = || Error::Protocol(format!("no server holds slot {slot}"));
        (0..self.nodes.len()).find(holds).ok_or_else(none)
    }

    /// The slot of a key.
    ///
    /// # Errors
    /// As [`PrivateServer::command`].
    pub fn slot(&self, key: &str) -> Result<u16> {
        let alive =
            (0..self.nodes.len()).find_map(|at| self.nodes[at].command(&["CLUSTER", "KEYSLOT", key]).ok());
        let slot = alive.as_ref().and_then(RespReply::int).and_then(|slot| u16::try_from(slot).ok());
        slot.ok_or_else(|| Error::Protocol(format!("KEYSLOT answered {alive:?}")))
    }

    /// Adds a primary without slots; returns its index.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn add_primary(&mut self) -> Result<usize> {
        let node = self.builder().start()?;
        self.nodes.push(node);
        let at = self.nodes.len() - 1;
        self.meet(at)?;
        self.wait("the new server is known", |cluster| cluster.know_each_other())?;
        Ok(at)
    }

    /// Marks a slot as moving, at the new server first, as `redis-cli` does.
    ///
    /// # Errors
    /// As [`PrivateServer::command`].
    pub fn begin_move(&self, slot: u16, from: usize, to: usize) -> Result<()> {
        let slot = slot.to_string();
        self.ask(to, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &self.id(from)?])?;
        self.ask(from, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &self.id(to)?]).map(drop)
    }

    /// Moves some keys of a slot, 100 at most; returns how many.
    ///
    /// # Errors
    /// As [`PrivateServer::command`].
    pub fn move_keys(&self, slot: u16, from: usize, to: usize) -> Result<usize> {
        let (slot, count) = (slot.to_string(), KEYS_AT_ONCE.to_string());
        let keys = self.nodes[from].command(&["CLUSTER", "GETKEYSINSLOT", &slot, &count])?;
        let keys: Vec<Vec<u8>> =
            keys.items().iter().filter_map(|key| key.bytes().map(<[u8]>::to_vec)).collect();
        if keys.is_empty() {
            return Ok(0);
        }
        let address = self.address(to);
        let (host, port) = address.split_once(':').unwrap_or_default();
        let head = ["MIGRATE", host, port, "", "0", "60000", "KEYS"];
        let words: Vec<Vec<u8>> = head.iter().map(|word| word.as_bytes().to_vec()).chain(keys).collect();
        let moved = words.len() - head.len();
        match self.nodes[from].command(&words)? {
            RespReply::Error(text) => Err(Error::Protocol(format!("MIGRATE answered {text}"))),
            _ => Ok(moved),
        }
    }

    /// Assigns a slot whose keys have been moved to its new server, and informs all others.
    ///
    /// # Errors
    /// As [`PrivateServer::command`].
    pub fn end_move(&self, slot: u16, from: usize, to: usize) -> Result<()> {
        let (slot, id) = (slot.to_string(), self.id(to)?);
        self.ask(to, &["CLUSTER", "SETSLOT", &slot, "NODE", &id])?;
        self.ask(from, &["CLUSTER", "SETSLOT", &slot, "NODE", &id])?;
        for at in (0..self.nodes.len()).filter(|at| *at != from && *at != to) {
            // A replica learns it from its primary, and a dead server not at all.
            let _ = self.ask(at, &["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
        Ok(())
    }

    /// Moves a slot with all its keys.
    ///
    /// # Errors
    /// As [`PrivateServer::command`].
    pub fn move_slot(&self, slot: u16, from: usize, to: usize) -> Result<()> {
        self.begin_move(slot, from, to)?;
        while self.move_keys(slot, from, to)? > 0 {}
        self.end_move(slot, from, to)
    }
}
