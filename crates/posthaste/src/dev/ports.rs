//! The ports of `posthaste dev`, all on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::failure::{Failure, Result};

/// Default port of the API.
pub(super) const API: u16 = 8080;
/// Default port of the outbox.
pub(super) const OUTBOX: u16 = 8025;
/// Default port of the sandbox's SMTP server.
pub(super) const SMTP: u16 = 1025;

/// The range in which a free port is searched, and the number of tries.
const LOWEST: u16 = 15_000;
const HIGHEST: u16 = 32_000;
const TRIES: usize = 100;

/// The chosen ports. They are fixed, so that a process that is restarted has the same address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    /// The API.
    pub(super) api: SocketAddr,
    /// The outbox.
    pub(super) outbox: SocketAddr,
    /// SMTP.
    pub(super) smtp: SocketAddr,
    /// The fake Telegram.
    pub(super) telegram: SocketAddr,
    /// The fake VK.
    pub(super) vk: SocketAddr,
    /// The fake Twilio.
    pub(super) twilio: SocketAddr,
    /// Where the SMS courier receives delivery receipts and replies.
    pub(super) receipts: SocketAddr,
}

/// The default ports, for `doctor`.
pub(crate) fn usual() -> [(&'static str, &'static str, u16); 3] {
    [("API", "--port", API), ("outbox", "--outbox-port", OUTBOX), ("SMTP", "--smtp-port", SMTP)]
}

/// Whether the port is free.
pub(crate) fn is_free(port: u16) -> bool {
    listen(port).is_ok()
}

impl Ports {
    /// Checks that the ports are free; 0 means any free port. Ports without a flag are always chosen this way.
    ///
    /// # Errors
    /// One is in use.
    pub(super) fn choose(api: u16, outbox: u16, smtp: u16) -> Result<Self> {
        // All are held open until the last is chosen, so that no two are the same.
        let api = take("API", "--port", api)?;
        let outbox = take("outbox", "--outbox-port", outbox)?;
        let smtp = take("SMTP server", "--smtp-port", smtp)?;
        let (telegram, vk, twilio, receipts) = (any()?, any()?, any()?, any()?);
        Ok(Self {
            api: api.local_addr()?,
            outbox: outbox.local_addr()?,
            smtp: smtp.local_addr()?,
            telegram: telegram.local_addr()?,
            vk: vk.local_addr()?,
            twilio: twilio.local_addr()?,
            receipts: receipts.local_addr()?,
        })
    }
}

fn take(what: &str, flag: &str, port: u16) -> Result<TcpListener> {
    let taken = if port == 0 { any() } else { listen(port) };
    taken.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "Another program uses it, perhaps another `posthaste dev`.\n\
                 Choose another port with {flag} {}, or any free one with {flag} 0.",
                port.saturating_add(10)
            ),
            io::ErrorKind::PermissionDenied => {
                format!("Ports below 1024 need privileges. Choose any free port with {flag} 0.")
            }
            _ => format!("Choose any free port with {flag} 0."),
        };
        Failure::error(format!("cannot use port {port} for the {what}")).because(error).remedy(remedy)
    })
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Any free port below the range the system uses for outgoing connections, so that a restarted process finds its port
/// free.
fn any() -> io::Result<TcpListener> {
    let tries = (0..TRIES).map(|_| rand::random_range(LOWEST..HIGHEST));
    tries.into_iter().find_map(|port| listen(port).ok()).map_or_else(|| listen(0), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_reported_with_the_flag_to_change_it() {
        let taken = listen(0).expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let refused = Ports::choose(port, 0, 0).expect_err("taken").lines().join("\n");
        assert!(refused.contains(&format!("port {port} for the API")), "{refused}");
        assert!(refused.contains("--port 0"), "{refused}");
        let ports = Ports::choose(0, 0, 0).expect("free ones");
        assert_ne!(ports.api, ports.outbox);
        assert!(ports.api.port() < 32_768, "taken by no outgoing connection: {ports:?}");
    }
}
