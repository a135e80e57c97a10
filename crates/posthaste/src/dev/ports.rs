//! The ports of `posthaste dev`, all on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::failure::{Failure, Result};

/// Port of the API, unless another is asked for.
pub(super) const API: u16 = 8080;
/// Port of the outbox.
pub(super) const OUTBOX: u16 = 8025;
/// Port of the sandbox's SMTP server.
pub(super) const SMTP: u16 = 1025;

/// Where any free port is looked for, and how often.
const LOWEST: u16 = 15_000;
const HIGHEST: u16 = 32_000;
const TRIES: usize = 100;

/// The chosen ones; the processes get them fixed, so that one that is started again is found where it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    /// The API.
    pub(super) api: SocketAddr,
    /// The outbox.
    pub(super) outbox: SocketAddr,
    /// SMTP.
    pub(super) smtp: SocketAddr,
    /// The stand-in for Telegram.
    pub(super) telegram: SocketAddr,
    /// The stand-in for VK.
    pub(super) vk: SocketAddr,
    /// The stand-in for Twilio.
    pub(super) twilio: SocketAddr,
    /// Where the SMS courier hears what became of messages.
    pub(super) receipts: SocketAddr,
}

/// What listens where by default, for `doctor`.
pub(crate) fn usual() -> [(&'static str, &'static str, u16); 3] {
    [("API", "--port", API), ("outbox", "--outbox-port", OUTBOX), ("SMTP", "--smtp-port", SMTP)]
}

/// Whether nobody listens on this port.
pub(crate) fn is_free(port: u16) -> bool {
    listen(port).is_ok()
}

impl Ports {
    /// Looks whether the ports are free; 0 takes any. Those nobody types take any that is free.
    ///
    /// # Errors
    /// One is taken.
    pub(super) fn choose(api: u16, outbox: u16, smtp: u16) -> Result<Self> {
        // All are held until all are chosen, so that no two are the same.
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
        let mend = match error.kind() {
            io::ErrorKind::AddrInUse => format!(
                "Another program listens there (perhaps another `posthaste dev`).\n\
                 {flag} {} takes another one, {flag} 0 any that is free.",
                port.saturating_add(10)
            ),
            io::ErrorKind::PermissionDenied => {
                format!("Ports below 1024 need rights; {flag} 0 takes any that is free.")
            }
            _ => format!("{flag} 0 takes any that is free."),
        };
        Failure::error(format!("port {port} for the {what} cannot be had")).because(error).mend(mend)
    })
}

fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// Any free port, below those the system gives to outgoing connections: a process that is started again must find its
/// port free.
fn any() -> io::Result<TcpListener> {
    let tries = (0..TRIES).map(|_| rand::random_range(LOWEST..HIGHEST));
    tries.into_iter().find_map(|port| listen(port).ok()).map_or_else(|| listen(0), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_with_the_flag_that_mends_it() {
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
