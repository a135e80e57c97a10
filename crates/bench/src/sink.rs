//! A provider that takes every message after a fixed time and remembers which it got: the outside witness of a drain.
//! Nothing of it is Posthaste's own sending code.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use posthaste_ops::config::HumanDuration;
use posthaste_ops::shutdown::Shutdown;
use tokio::net::TcpListener;

/// Options of the provider's process.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Milliseconds from the end of a request to its response
    #[arg(long, default_value_t = 0)]
    latency_ms: u64,
}

/// What a provider got, as it prints it when it is stopped.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(crate) struct Received {
    /// Requests.
    pub(crate) requests: u64,
    /// Different addressees.
    pub(crate) addressees: u64,
}

impl Received {
    /// An error unless each of this many addressees got one message.
    pub(crate) fn check(self, messages: u64) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.requests == messages && self.addressees == messages,
            "the figure is void: {messages} messages, the provider got {} for {} addressees",
            self.requests,
            self.addressees
        );
        Ok(())
    }
}

type Seen = Arc<Mutex<HashMap<u64, u64>>>;

/// Runs until stopped by a signal.
#[expect(clippy::print_stdout, reason = "the parent process reads it")]
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let stop = Shutdown::on_signals(&posthaste_ops::shutdown::Settings {
        drain_for: HumanDuration::from_millis(1_000),
        hand_back_for: HumanDuration::from_millis(1_000),
    })?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("ready {}", listener.local_addr()?);
    let seen = Seen::default();
    let latency = Duration::from_millis(options.latency_ms);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted?.0,
            () = stop.soft.cancelled() => break,
        };
        stream.set_nodelay(true)?;
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let service = service_fn(|request| take(request, &seen, latency));
            // A courier that ends cuts its connections.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let received = Received { requests: seen.values().sum(), addressees: seen.len() as u64 };
    println!("{}", serde_json::to_string(&received)?);
    Ok(())
}

async fn take(
    request: Request<Incoming>,
    seen: &Seen,
    latency: Duration,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let query = request.uri().query().unwrap_or_default();
    let to = query.strip_prefix("to=").and_then(|to| to.parse().ok()).unwrap_or(0);
    request.into_body().collect().await?;
    *seen.lock().unwrap_or_else(PoisonError::into_inner).entry(to).or_default() += 1;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let response = Response::new(Full::new(Bytes::from_static(b"taken\n")));
    Ok::<_, Infallible>(response).map_err(|never| match never {})
}
