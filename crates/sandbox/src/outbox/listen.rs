//! The accept loop of the HTTP port: a limit on connections, a timeout for headers, and known host names only.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::problem::Problem;

const MOST_CONNECTIONS: usize = 256;
const HEADER_TIME: Duration = Duration::from_secs(10);
const HEADER_BYTES: usize = 16 * 1024;
/// Longest life of a connection: bounds clients that send a body or read an answer slowly.
const LIFE: Duration = Duration::from_secs(300);
const LINGER: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_millis(100);

/// Host names the port answers to.
#[derive(Debug, Clone)]
pub(crate) struct Doors(pub(crate) Arc<[String]>);

/// Serves until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    doors: Doors,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let router = router.layer(middleware::from_fn_with_state(doors, known_host));
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let (router, stop) = (router.clone(), stop.clone());
        tasks.spawn(async move {
            converse(stream, router, stop).await;
            drop(place);
        });
    }
}

async fn converse(stream: TcpStream, router: Router, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // An error on one connection does not affect the others.
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = tokio::time::timeout(LIFE, stop.cancelled()) => {
            connection.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(LINGER, connection).await;
        }
    }
}

/// Refuses names that a web page could have pointed here (DNS rebinding).
async fn known_host(State(doors): State<Doors>, request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let known = match (hosts.next(), hosts.next()) {
        (Some(only), None) => only.to_str().is_ok_and(|host| is_known(host, &doors.0)),
        _ => false,
    };
    if known { next.run(request).await } else { Problem::misdirected().into_response() }
}

fn is_known(host: &str, names: &[String]) -> bool {
    // `[address]` or a name without a colon, then a port or nothing. Anything else is refused.
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<Ipv6Addr>().is_ok() => ("localhost", port),
            _ => return false,
        },
        None => host.find(':').map_or((host, ""), |at| host.split_at(at)),
    };
    let is_port = |port: &str| !port.starts_with('+') && port.parse::<u16>().is_ok();
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return false;
    }
    name.parse::<Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_localhost_and_the_names_of_the_settings_are_known() {
        let names = ["sandbox".to_owned()];
        for host in ["127.0.0.1:8025", "127.0.0.1", "[::1]:8025", "localhost:8025", "LOCALHOST", "sandbox:1"]
        {
            assert!(is_known(host, &names), "{host}");
        }
        for host in [
            "evil.example:8025",
            "",
            "localhost.evil.example",
            "[evil]:1",
            "127.0.0.1.evil.example",
            "[::1]evil.example",
            "[::1].evil.example:8025",
            "[::1",
            "localhost:evil.example",
            "localhost:8025:1",
            "localhost:",
            "localhost:+80",
            "evil.example@localhost",
            "::1",
        ] {
            assert!(!is_known(host, &names), "{host}");
        }
    }
}
