//! A proxy between a client and a server that injects network faults.
//!
//! For any traffic it can delay, hang, refuse and cut. For RESP traffic it tells commands from answers, so
//! it can lose exactly the request or exactly the answer, and it can deliver a **late second copy** of a
//! command: the case where a client gave up on a command that was only slow.
//!
//! The proxy runs on a thread of its own, so a test that blocks its thread does not block the network.

mod delivery;
mod relay;
mod rule;
mod shared;
mod socket;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::{self, Runtime};

use rule::{Action, Rule};
pub use rule::{Delivered, LateCopy, ProxiedCommand, ProxyReport};
use shared::{Mode, Shared};
use socket::Listener;

use crate::resp::Endpoint;
use crate::{Error, Result};

/// What goes through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Bytes of any protocol; faults that look at commands never apply.
    Bytes,
    /// RESP with one answer per command, in order. Subscriptions pass too, but after a RESP2 SUBSCRIBE the
    /// answers of that connection can no longer be counted, so apply faults to other connections.
    Resp,
}

/// A running proxy. Dropping it closes all its connections.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    endpoint: Endpoint,
    runtime: Option<Runtime>,
    _dir: Option<TempDir>,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and forwards to `upstream`, which may start later.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot listen.
    pub fn tcp(upstream: impl Into<Endpoint>, traffic: Traffic) -> Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.map_err(Error::io("listening on a port"))?;
        let addr = listener.local_addr().map_err(Error::io("asking for the port"))?;
        listener.set_nonblocking(true).map_err(Error::io("setting up the port"))?;
        Self::run(Endpoint::Tcp(addr), None, upstream.into(), traffic, || Listener::tcp(listener))
    }

    /// Listens on a unix socket of its own and forwards to `upstream`, which may start later.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when it cannot listen.
    pub fn unix(upstream: impl Into<Endpoint>, traffic: Traffic) -> Result<Self> {
        let dir = crate::servers::short_tempdir()?;
        let path = dir.path().join("p");
        let listener = std::os::unix::net::UnixListener::bind(&path);
        let listener = listener.map_err(Error::io("listening on a unix socket"))?;
        listener.set_nonblocking(true).map_err(Error::io("setting up the socket"))?;
        Self::run(Endpoint::Unix(path), Some(dir), upstream.into(), traffic, || Listener::unix(listener))
    }

    fn run(
        endpoint: Endpoint,
        dir: Option<TempDir>,
        upstream: Endpoint,
        traffic: Traffic,
        listener: impl FnOnce() -> std::io::Result<Listener>,
    ) -> Result<Self> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("rig-proxy")
            .enable_all()
            .build()
            .map_err(Error::io("starting the proxy's thread"))?;
        let shared = Arc::new(Shared::new(upstream, traffic));
        let listener = {
            let _inside = runtime.enter();
            listener().map_err(Error::io("handing the socket to the proxy"))?
        };
        runtime.spawn(relay::serve(listener, Arc::clone(&shared)));
        Ok(Self { shared, endpoint, runtime: Some(runtime), _dir: dir })
    }

    /// The address clients connect to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The TCP address clients connect to, if it listens on one.
    pub fn addr(&self) -> Option<SocketAddr> {
        if let Endpoint::Tcp(addr) = self.endpoint { Some(addr) } else { None }
    }

    /// The Redis URL of the proxy, without a password: `redis://…` or `redis+unix://…`.
    pub fn url(&self) -> String {
        match &self.endpoint {
            Endpoint::Tcp(addr) => format!("redis://{addr}"),
            Endpoint::Unix(path) => format!("redis+unix://{}", path.display()),
        }
    }

    /// Delays each answer by this from now on; order and throughput stay the same.
    pub fn set_latency(&self, latency: Duration) {
        self.shared.lock().latency = latency;
    }

    /// Ends every connection at once, TCP ones by a reset. New ones are accepted.
    pub fn cut(&self) {
        self.shared.cut();
    }

    /// From now on nothing passes: open connections hang; new ones are accepted and hang too.
    pub fn black_hole(&self) {
        self.shared.set_mode(Mode::BlackHole);
    }

    /// From now on new connections are reset at once. Open ones continue; [`Proxy::cut`] ends them.
    pub fn refuse(&self) {
        self.shared.set_mode(Mode::Refuse);
    }

    /// Ends [`Proxy::black_hole`] and [`Proxy::refuse`]; hanging connections continue.
    pub fn heal(&self) {
        self.shared.set_mode(Mode::Forward);
    }

    /// The next `times` commands reach the server and are answered, but the connection is cut before the answer
    /// arrives.
    pub fn drop_replies(&self, times: u32) {
        self.drop_replies_of(times, |_| true);
    }

    /// [`Proxy::drop_replies`] for the next `times` commands for which `matching` holds.
    pub fn drop_replies_of(
        &self,
        times: u32,
        matching: impl Fn(&ProxiedCommand) -> bool + Send + Sync + 'static,
    ) {
        self.add(times, Arc::new(matching), Action::DropReply);
    }

    /// The next `times` commands for which `matching` holds never reach the server; the connection is cut
    /// instead.
    pub fn drop_requests_of(
        &self,
        times: u32,
        matching: impl Fn(&ProxiedCommand) -> bool + Send + Sync + 'static,
    ) {
        self.add(times, Arc::new(matching), Action::DropRequest);
    }

    /// The next `times` commands for which `matching` holds never reach the server; the client gets this RESP answer,
    /// as if it came from the server: `b"-OOM command not allowed\r\n"`.
    pub fn answer_instead(
        &self,
        times: u32,
        answer: impl Into<Vec<u8>>,
        matching: impl Fn(&ProxiedCommand) -> bool + Send + Sync + 'static,
    ) {
        self.add(times, Arc::new(matching), Action::Answer { answer: answer.into(), reaches: false });
    }

    /// The next `times` commands for which `matching` holds reach the server, but the client gets this RESP answer
    /// instead of the server's.
    pub fn replace_replies_of(
        &self,
        times: u32,
        answer: impl Into<Vec<u8>>,
        matching: impl Fn(&ProxiedCommand) -> bool + Send + Sync + 'static,
    ) {
        self.add(times, Arc::new(matching), Action::Answer { answer: answer.into(), reaches: true });
    }

    /// Delivers late second copies of commands; see [`LateCopy`].
    pub fn copy_late(&self, copy: LateCopy) {
        let LateCopy { times, matching, after, counting } = copy;
        self.add(times, matching, Action::CopyLate { after, counting });
    }

    /// Removes all faults that have not happened yet, including copies that wait for delivery.
    pub fn forget_rules(&self) {
        let mut state = self.shared.lock();
        state.rules.clear();
        state.held.clear();
    }

    /// Counts of what has happened so far.
    pub fn report(&self) -> ProxyReport {
        self.shared.lock().report.clone()
    }

    fn add(&self, times: u32, matching: rule::Predicate, action: Action) {
        self.shared.lock().rules.push(Rule { matching, left: times, action });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Not the blocking shutdown: the proxy may be dropped inside a task of another runtime.
            runtime.shutdown_background();
        }
    }
}
