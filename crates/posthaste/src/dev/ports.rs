//! The ports of `posthaste dev`, all on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use clap::{Arg, ArgMatches, Command, value_parser};
use posthaste_courier::CourierProgram;

use crate::channels::COURIERS;
use crate::failure::{Failure, Result};

/// Default port of the API.
pub(super) const API: u16 = 8080;
/// Default port of the outbox.
pub(super) const OUTBOX: u16 = 8025;

/// The range in which a free port is searched, and the number of tries.
const LOWEST: u16 = 15_000;
const HIGHEST: u16 = 32_000;
const TRIES: usize = 100;

/// The chosen ports. They are fixed, so that a process that is restarted has the same address.
#[derive(Debug, Clone)]
pub(super) struct Ports {
    /// The API.
    pub(super) api: SocketAddr,
    /// The outbox.
    pub(super) outbox: SocketAddr,
    /// Those of each courier, in the order of the channels.
    pub(super) couriers: Vec<CourierPorts>,
}

/// The ports of one courier.
#[derive(Debug, Clone)]
pub(super) struct CourierPorts {
    /// The courier.
    pub(super) program: &'static CourierProgram,
    /// Its fake provider.
    pub(super) provider: SocketAddr,
    /// Where it receives delivery receipts and replies, if it does.
    pub(super) listen: Option<SocketAddr>,
}

impl CourierPorts {
    /// The text with the address of the fake provider filled in.
    pub(super) fn with_provider(&self, text: &str) -> String {
        text.replace("{provider}", &self.provider.to_string())
    }
}

/// The ports of the fake providers that have a fixed one (`--smtp-port`), in the order of the couriers.
#[derive(Debug, Clone)]
pub(crate) struct ProviderPorts(Vec<u16>);

impl ProviderPorts {
    /// Any free ports.
    #[cfg(test)]
    pub(super) fn free() -> Self {
        Self(vec![0; COURIERS.len()])
    }
}

impl clap::FromArgMatches for ProviderPorts {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let port = |program: &&CourierProgram| match program.channel.dev_port {
            Some((flag, usual)) => matches.get_one(flag).copied().unwrap_or(usual),
            None => 0,
        };
        Ok(Self(COURIERS.iter().map(port).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for ProviderPorts {
    fn augment_args(command: Command) -> Command {
        let fixed = COURIERS.iter().filter_map(|program| Some((program, program.channel.dev_port?)));
        fixed.fold(command, |command, (program, (flag, usual))| {
            let help = format!(
                "Port of the {} server that receives {}; 0 means any free port [default: {usual}]",
                program.channel.provider_title(),
                program.channel.noun
            );
            let port = Arg::new(flag).long(flag).value_name("PORT").value_parser(value_parser!(u16));
            command.arg(port.help(help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// A port that has a default.
pub(crate) struct UsualPort {
    /// What listens there.
    pub(crate) what: String,
    /// The flag that changes it.
    pub(crate) flag: String,
    /// The port.
    pub(crate) port: u16,
}

/// The default ports, for `doctor`.
pub(crate) fn usual() -> Vec<UsualPort> {
    let own = [("API".to_owned(), "port", API), ("outbox".to_owned(), "outbox-port", OUTBOX)];
    let fixed = COURIERS.iter().filter_map(|program| {
        let (flag, port) = program.channel.dev_port?;
        Some((program.channel.provider_title(), flag, port))
    });
    own.into_iter()
        .chain(fixed)
        .map(|(what, flag, port)| UsualPort { what, flag: format!("--{flag}"), port })
        .collect()
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
    pub(super) fn choose(api: u16, outbox: u16, providers: &ProviderPorts) -> Result<Self> {
        // All are held open until the last is chosen, so that no two are the same.
        let api = take("API", "--port", api)?;
        let outbox = take("outbox", "--outbox-port", outbox)?;
        let mut held = Vec::new();
        for (program, port) in COURIERS.iter().zip(&providers.0) {
            let provider = match program.channel.dev_port {
                Some((flag, _)) => take(
                    &format!("{} server", program.channel.provider_title()),
                    &format!("--{flag}"),
                    *port,
                )?,
                None => any()?,
            };
            let listen = program.dev_settings.contains("{listen}").then(any).transpose()?;
            held.push((*program, provider, listen));
        }
        let mut couriers = Vec::new();
        for (program, provider, listen) in &held {
            let listen = listen.as_ref().map(TcpListener::local_addr).transpose()?;
            couriers.push(CourierPorts { program, provider: provider.local_addr()?, listen });
        }
        Ok(Self { api: api.local_addr()?, outbox: outbox.local_addr()?, couriers })
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
        let refused = Ports::choose(port, 0, &ProviderPorts::free()).expect_err("taken").lines().join("\n");
        assert!(refused.contains(&format!("port {port} for the API")), "{refused}");
        assert!(refused.contains("--port 0"), "{refused}");
        let ports = Ports::choose(0, 0, &ProviderPorts::free()).expect("free ones");
        assert_ne!(ports.api, ports.outbox);
        assert!(ports.api.port() < 32_768, "taken by no outgoing connection: {ports:?}");
    }
}
