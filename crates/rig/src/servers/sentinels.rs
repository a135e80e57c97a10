//! A primary, replicas that follow it with a delay, and three sentinels that promote one of them when it dies.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tempfile::TempDir;

use super::kind::Launcher;
use super::private::{next_port, short_tempdir};
use super::{Fsync, PrivateServer, until};
use crate::proxy::{Proxy, Traffic};
use crate::resp::{Connection, Endpoint, RespReply};
use crate::{Child, Error, Result};

/// The sentinels' name for the primary.
const NAME: &str = "main";
/// Number of sentinels; two of them must agree on a failover.
const SENTINELS: usize = 3;
/// After this time, sentinels redirect a replica that follows another server to the primary, bypassing the proxy:
/// longer than a test.
const LEAVE_REPLICAS_ALONE: Duration = Duration::from_secs(600);

/// A replicated server under sentinels that belongs to one test. Servers are identified by index: 0 is the first
/// primary.
#[derive(Debug)]
pub struct Sentinels {
    sentinels: Vec<Sentinel>,
    nodes: Vec<PrivateServer>,
    lag: Proxy,
}

impl Sentinels {
    /// A primary and `replicas`, each in sync with it. A primary that is silent for `down_after` is considered
    /// down by the sentinels, and a replica takes over.
    ///
    /// # Errors
    /// As [`super::Builder::start`]; [`Error::TooLate`] when the servers do not find each other.
    pub fn start(replicas: usize, down_after: Duration) -> Result<Self> {
        let builder = || {
            PrivateServer::builder()
                .tcp()
                .fsync(Fsync::EverySecond)
                .max_memory(4 << 30)
                .line("repl-diskless-sync-delay 0")
        };
        let primary = builder().start()?;
        let address = primary.tcp_addr().ok_or_else(no_port)?;
        let lag = Proxy::tcp(Endpoint::Tcp(address), Traffic::Bytes)?;
        let through = lag.addr().ok_or_else(no_port)?;
        let mut nodes = vec![primary];
        for _ in 0..replicas {
            nodes.push(builder().line(&format!("replicaof {} {}", through.ip(), through.port())).start()?);
        }
        let mut watched = Self { sentinels: Vec::new(), nodes, lag };
        until("the replicas follow", || watched.are_followed())?;
        for _ in 0..SENTINELS {
            watched.sentinels.push(Sentinel::start(address, down_after)?);
        }
        until("the sentinels know each other and all servers", || watched.are_known())?;
        Ok(watched)
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

    /// The proxy between the first primary and its replicas: [`Proxy::set_latency`] makes them lag, and after
    /// [`Proxy::black_hole`] they receive nothing more from it, while the sentinels see them alive.
    pub fn lag(&self) -> &Proxy {
        &self.lag
    }

    /// `redis-sentinel://…`, with all sentinels.
    pub fn url(&self) -> String {
        let mut addresses = self.sentinels.iter().map(|sentinel| sentinel.address.to_string());
        let first = addresses.next().unwrap_or_default();
        let others: String = addresses.map(|address| format!("&node={address}")).collect();
        format!("redis-sentinel://{first}?sentinelServiceName={NAME}{others}")
    }

    /// The server that all sentinels name as the primary.
    ///
    /// # Errors
    /// [`Error::Protocol`] while they do not agree, or name one that is not a primary.
    pub fn primary(&self) -> Result<usize> {
        let mut named = None;
        for sentinel in &self.sentinels {
            let reply = sentinel.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME])?;
            let words: Vec<&str> = reply.items().iter().filter_map(RespReply::text).collect();
            let address = words.join(":");
            let at = self
                .nodes
                .iter()
                .position(|node| node.tcp_addr().is_some_and(|node| node.to_string() == address));
            if at.is_none() || named.is_some_and(|named| at != Some(named)) {
                return Err(Error::Protocol(format!("the sentinels disagree: {address} and others")));
            }
            named = at;
        }
        let at = named.ok_or_else(|| Error::Protocol("no sentinel names a primary".to_owned()))?;
        match self.nodes[at].info("replication")?.get("role").map(String::as_str) {
            Some("master") => Ok(at),
            role => Err(Error::Protocol(format!("the server named is a {role:?}"))),
        }
    }

    fn are_followed(&self) -> Result<()> {
        for (at, node) in self.nodes.iter().enumerate().skip(1) {
            let info = node.info("replication")?;
            if info.get("master_link_status").map(String::as_str) != Some("up") {
                return Err(Error::Protocol(format!("replica {at}: {info:?}")));
            }
        }
        Ok(())
    }

    fn are_known(&self) -> Result<()> {
        let replicas = (self.nodes.len() - 1).to_string();
        let others = (SENTINELS - 1).to_string();
        for sentinel in &self.sentinels {
            let reply = sentinel.ask(&["SENTINEL", "MASTER", NAME])?;
            let found = fields(&reply);
            let is = |name: &str, value: &str| found.contains(&(name, value));
            if !(is("flags", "master") && is("num-slaves", &replicas) && is("num-other-sentinels", &others)) {
                return Err(Error::Protocol(format!("a sentinel knows {found:?}")));
            }
            let reply = sentinel.ask(&["SENTINEL", "REPLICAS", NAME])?;
            let well = |replica: &RespReply| {
                let found = fields(replica);
                found.contains(&("flags", "slave")) && found.contains(&("master-link-status", "ok"))
            };
            if !reply.items().iter().all(well) {
                return Err(Error::Protocol(format!("a sentinel knows {reply:?}")));
            }
        }
        Ok(())
    }
}

/// Names and values, as reported by sentinels.
fn fields(reply: &RespReply) -> Vec<(&str, &str)> {
    let words: Vec<&str> = reply.items().iter().filter_map(RespReply::text).collect();
    words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect()
}

fn no_port() -> Error {
    Error::Protocol("a server without a port".to_owned())
}

/// One sentinel.
#[derive(Debug)]
struct Sentinel {
    // First field: the process must be gone before its folder is removed.
    _child: Child,
    address: SocketAddr,
    _dir: TempDir,
}

impl Sentinel {
    fn start(primary: SocketAddr, down_after: Duration) -> Result<Self> {
        let launcher = super::ServerKind::from_env()?.launcher()?;
        let mut refused = None;
        // The port may be in use (none was reserved beforehand); then another one is tried.
        until("a sentinel starts", || match Self::start_at(&launcher, next_port(), primary, down_after) {
            Err(Error::Dead { last_words, .. }) if last_words.contains("ddress already in use") => {
                Err(Error::Protocol(last_words))
            }
            Err(error) => {
                refused = Some(error);
                Ok(None)
            }
            Ok(sentinel) => Ok(Some(sentinel)),
        })?
        .ok_or_else(|| refused.unwrap_or_else(no_port))
    }

    fn start_at(launcher: &Launcher, port: u16, primary: SocketAddr, down_after: Duration) -> Result<Self> {
        let dir = short_tempdir()?;
        let file = dir.path().join("sentinel.conf");
        let config = [
            "daemonize no".to_owned(),
            "bind 127.0.0.1".to_owned(),
            "protected-mode no".to_owned(),
            format!("port {port}"),
            format!("dir {}", dir.path().display()),
            format!("sentinel monitor {NAME} {} {} {}", primary.ip(), primary.port(), SENTINELS / 2 + 1),
            format!("sentinel down-after-milliseconds {NAME} {}", down_after.as_millis()),
            format!("sentinel failover-timeout {NAME} {}", LEAVE_REPLICAS_ALONE.as_millis()),
        ];
        std::fs::write(&file, config.join("\n") + "\n")
            .map_err(Error::io("writing the sentinel's configuration"))?;
        let args = launcher.before.iter().cloned().chain([OsString::from(file), "--sentinel".into()]);
        let child = Child::spawn(&launcher.program, args, [("LC_ALL", "C")])?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        until("the first PONG of a sentinel", || {
            if child.exit_status()?.is_some() {
                child.wait_exit()?;
                return Ok(false);
            }
            ask(address, &["PING"]).map(|_| true)
        })?
        .then_some(())
        .ok_or_else(|| Error::Dead { what: "a sentinel".to_owned(), last_words: child.tail(20) })?;
        Ok(Self { _child: child, address, _dir: dir })
    }

    fn ask(&self, words: &[&str]) -> Result<RespReply> {
        ask(self.address, words)
    }
}

fn ask(address: SocketAddr, words: &[&str]) -> Result<RespReply> {
    match Connection::open(&Endpoint::Tcp(address))?.command(words)? {
        RespReply::Error(text) => Err(Error::Protocol(format!("{} answered {text}", words.join(" ")))),
        reply => Ok(reply),
    }
}
