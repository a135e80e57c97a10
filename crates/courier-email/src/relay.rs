//! A relay: its address, its TLS mode, and whether it is paused.

use std::fmt;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use crate::message_id::MessageIds;
use crate::session::Session;
use crate::settings::BadSetting;

const RELAYS: &str = "smtp.relays";

/// How connections are encrypted.
pub(crate) enum Tls {
    /// Not at all; the relay runs on this machine.
    Plain,
    /// By STARTTLS, which the relay must offer.
    Upgrade(TlsConnector, ServerName<'static>),
    /// From the first byte.
    Implicit(TlsConnector, ServerName<'static>),
}

/// One relay.
pub(crate) struct Relay {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Tls,
    rest: Mutex<Rest>,
    /// Until when no reports are requested, although it offers DSN.
    no_reports_until: Mutex<Option<Instant>>,
    /// Idle sessions; the last used one is taken first.
    pub(crate) idle: Mutex<Vec<Session>>,
}

/// Whether a relay is paused, and for which messages.
#[derive(Default)]
struct Rest {
    until: Option<Instant>,
    /// The first message it deferred since it last accepted one.
    requested: Option<MessageIds>,
    /// It deferred another message too: the messages are not the cause, so none is sent there.
    for_all: bool,
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Trusted root certificates.
pub(crate) struct Trust {
    roots: Vec<u8>,
}

impl Trust {
    /// The certificates in a file, or the system's if its name is empty.
    pub(crate) fn of(ca_file: &str) -> Result<Self, BadSetting> {
        if ca_file.is_empty() {
            return Ok(Self { roots: Vec::new() });
        }
        let roots = fs::read(Path::new(ca_file))
            .map_err(|error| BadSetting::new("smtp.ca_file", format!("can't be read: {error}")))?;
        Ok(Self { roots })
    }

    fn connector(&self) -> Result<TlsConnector, BadSetting> {
        let mut store = RootCertStore::empty();
        if self.roots.is_empty() {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        } else {
            for certificate in CertificateDer::pem_slice_iter(&self.roots) {
                let certificate = certificate.map_err(|_| no_certificates())?;
                store.add(certificate).map_err(|_| no_certificates())?;
            }
        }
        let ring = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(ring)
            .with_safe_default_protocol_versions()
            .map_err(|error| BadSetting::new(RELAYS, error.to_string()))?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

fn no_certificates() -> BadSetting {
    BadSetting::new("smtp.ca_file", "must be a file of certificates in PEM format")
}

impl Relay {
    /// Parses a relay from the settings.
    pub(crate) fn new(text: &str, trust: &Trust) -> Result<Self, BadSetting> {
        let refuse = |why: &str| BadSetting::new(RELAYS, why);
        let url = Url::parse(text)
            .map_err(|_| refuse("expected smtp://host:port, smtps://host:port or smtp+plain://host:port"))?;
        if !matches!(url.scheme(), "smtp" | "smtps" | "smtp+plain") {
            return Err(refuse("expected a URL with smtp://, smtps:// or smtp+plain://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("must not contain credentials; set smtp.username and smtp.password"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("must end after the port"));
        }
        let host = match url.host() {
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => ip.to_string(),
            Some(Host::Domain(host)) if !host.is_empty() => host.to_ascii_lowercase(),
            _ => return Err(refuse("a relay has no host; expected smtp://host:port")),
        };
        let name = || ServerName::try_from(host.clone()).map_err(|_| refuse("a host is not valid for TLS"));
        let (tls, port) = match url.scheme() {
            "smtp" => (Tls::Upgrade(trust.connector()?, name()?), 587),
            "smtps" => (Tls::Implicit(trust.connector()?, name()?), 465),
            "smtp+plain" if is_here(&host) => (Tls::Plain, 25),
            _ => {
                return Err(refuse(
                    "smtp+plain is only for a relay on this machine; use smtp:// or smtps:// for others",
                ));
            }
        };
        let port = url.port().unwrap_or(port);
        Ok(Self {
            host,
            port,
            tls,
            rest: Mutex::default(),
            no_reports_until: Mutex::default(),
            idle: Mutex::new(Vec::new()),
        })
    }

    /// Whether connecting to this address is allowed: without TLS, only to this machine.
    pub(crate) fn may_connect(&self, address: &SocketAddr) -> bool {
        !matches!(self.tls, Tls::Plain) || address.ip().is_loopback()
    }

    /// Until when it is paused, if it is.
    pub(crate) fn rests(&self, now: Instant) -> Option<Instant> {
        self.rest().until.filter(|until| *until > now)
    }

    /// Whether it is paused for all messages, even if there is no other relay.
    pub(crate) fn rests_from_all(&self, now: Instant) -> bool {
        let rest = self.rest();
        rest.for_all && rest.until.is_some_and(|until| until > now)
    }

    /// Pauses a relay that can't be used.
    pub(crate) fn rest_until(&self, until: Instant) {
        self.rest().until = Some(until);
    }

    /// It deferred a message. True if it has deferred different ones and accepted none in between.
    pub(crate) fn pause_until(&self, message: MessageIds, until: Instant) -> bool {
        let mut rest = self.rest();
        let first = *rest.requested.get_or_insert(message);
        rest.until = Some(until);
        rest.for_all |= first != message;
        rest.for_all
    }

    /// A session could be opened. This does not show that the relay accepts messages.
    pub(crate) fn is_there(&self) {
        let mut rest = self.rest();
        if !rest.for_all {
            rest.until = None;
        }
    }

    /// It accepted a message.
    pub(crate) fn took_one(&self) {
        let mut rest = self.rest();
        if rest.for_all {
            rest.until = None;
        }
        (rest.requested, rest.for_all) = (None, false);
    }

    /// Whether reports may be requested from it (RFC 3461).
    pub(crate) fn takes_reports(&self, now: Instant) -> bool {
        let until = *self.no_reports_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_none_or(|until| until <= now)
    }

    /// It rejected the parameters that request reports.
    pub(crate) fn ask_for_no_reports_until(&self, until: Instant) {
        *self.no_reports_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay(text: &str) -> Result<String, String> {
        let trust = Trust::of("").expect("no file");
        Relay::new(text, &trust).map(|relay| relay.to_string()).map_err(|bad| bad.why)
    }

    #[test]
    fn relays_are_read_with_the_ports_of_their_kind() {
        for (text, shown) in [
            ("smtp://Relay.example.org", "relay.example.org:587"),
            ("smtps://relay.example.org", "relay.example.org:465"),
            ("smtp+plain://127.0.0.1:2525", "127.0.0.1:2525"),
            ("smtp+plain://localhost", "localhost:25"),
            ("smtp+plain://[::1]:26", "::1:26"),
        ] {
            assert_eq!(relay(text).as_deref(), Ok(shown));
        }
    }

    #[test]
    fn plain_is_for_this_machine_and_secrets_have_their_own_place() {
        for (text, why) in [
            ("smtp+plain://relay.example.org", "this machine"),
            ("smtp+plain://192.168.0.1", "this machine"),
            ("smtp://u:p@relay.example.org", "smtp.password"),
            ("http://relay.example.org", "smtps://"),
            ("relay.example.org:587", "smtp://"),
            ("smtp://relay.example.org/x", "end after the port"),
            ("smtp://", "host"),
        ] {
            let refused = relay(text).expect_err(text);
            assert!(refused.contains(why), "{text}: {refused}");
        }
    }
}
