//! Builds the client's configuration from the URL, with TLS by rustls and ring.

use std::sync::Arc;

use fred::types::config::{Config, Server, ServerConfig, TlsConnector};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use secrecy::ExposeSecret;
use url::Url;

use crate::cluster::NodeAddress;
use crate::error::ConnectError;
use crate::settings::Settings;

const SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "redis+unix",
    "redis-cluster",
    "rediss-cluster",
    "redis-sentinel",
    "rediss-sentinel",
];

fn refuse(key: &'static str, why: impl ToString) -> ConnectError {
    ConnectError::Settings { key, why: why.to_string() }
}

/// Why a server address given on the command line is rejected. Repeats nothing of it: it may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TypedUrlError {
    /// Correct the address.
    #[error("invalid URL: {0}")]
    NoAddress(#[from] url::ParseError),
    /// Give the password another way.
    #[error("the URL contains a password, which everybody on this computer can read")]
    Password,
}

/// Checks a server address given on the command line. It must not contain a password: everybody on the computer can
/// read the arguments of a process.
///
/// # Errors
/// [`TypedUrlError`].
pub fn check_typed_url(text: &str) -> Result<(), TypedUrlError> {
    let url = Url::parse(text)?;
    // The client reads a password for the sentinels from the query.
    let in_query = url.query_pairs().any(|(key, _)| key.to_ascii_lowercase().contains("pass"));
    if url.password().is_some() || in_query { Err(TypedUrlError::Password) } else { Ok(()) }
}

/// Reads the settings that give the server's address. No error repeats the URL: it may contain a password.
pub(crate) fn config(settings: &Settings) -> Result<Config, ConnectError> {
    let text = settings.url.expose_secret();
    let url = Url::parse(text).map_err(|e| refuse("url", e))?;
    if !SCHEMES.contains(&url.scheme()) {
        return Err(refuse(
            "url",
            format!("it must begin with one of {}, followed by ://", SCHEMES.join(", ")),
        ));
    }
    let tls = url.scheme().starts_with("rediss");
    // The client's own TLS configuration would fail when a single system certificate is bad.
    let plain = if tls { text.replacen("rediss", "redis", 1) } else { text.to_owned() };
    let mut config = Config::from_url(&plain).map_err(|e| refuse("url", e.details()))?;
    if url.scheme() == "redis+unix" {
        let db = url.query_pairs().find(|(key, _)| key == "db").map(|(_, value)| value.parse::<u8>());
        config.database = db.transpose().map_err(|e| refuse("url", e))?;
    }
    if config.server.is_clustered() && config.database.unwrap_or(0) != 0 {
        return Err(refuse("url", "a cluster only has database 0"));
    }
    if let Some(username) = &settings.username {
        config.username = Some(username.clone());
    }
    if let Some(password) = &settings.password {
        config.password = Some(password.expose_secret().to_owned());
    }
    if tls {
        config.tls = Some(TlsConnector::from(tls_client(settings)?).into());
    }
    config.fail_fast = true;
    Ok(config)
}

impl Settings {
    /// The server's address as text without credentials; `None` when the URL is invalid.
    #[must_use]
    pub fn address(&self) -> Option<String> {
        let config = config(self).ok()?;
        Some(address(&config.server).to_string())
    }
}

/// How to reach one server of a cluster.
pub(crate) fn config_of(config: &Config, place: &NodeAddress, hostname: Option<&str>) -> Config {
    // A certificate is issued for the name.
    let host = match hostname.filter(|_| config.tls.is_some()) {
        Some(name) => name.to_owned(),
        None if place.host.contains(':') => format!("[{}]", place.host),
        None => place.host.clone(),
    };
    Config { server: ServerConfig::new_centralized(host, place.port), ..config.clone() }
}

/// A server as text.
fn name(server: &Server) -> String {
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

/// TLS with the given certificates, or the system's. Bad certificates are skipped as long as one is good.
fn tls_client(settings: &Settings) -> Result<ClientConfig, ConnectError> {
    let mut roots = RootCertStore::empty();
    let (good, bad) = match &settings.ca_file {
        Some(path) => {
            let found = CertificateDer::pem_file_iter(path).map_err(|e| refuse("ca_file", e))?;
            let found = found.collect::<Result<Vec<_>, _>>().map_err(|e| refuse("ca_file", e))?;
            roots.add_parsable_certificates(found)
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            for error in &found.errors {
                tracing::debug!(%error, "cannot read a system certificate");
            }
            roots.add_parsable_certificates(found.certs)
        }
    };
    if bad > 0 {
        tracing::debug!(good, bad, "some certificates are unusable");
    }
    if good == 0 {
        return Err(refuse(
            "ca_file",
            "found no usable certificate in ca_file, or in the system if ca_file is not set",
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| refuse("url", e))?;
    Ok(client.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn read(url: &str) -> Result<Config, ConnectError> {
        config(&Settings { url: SecretString::from(url), ..Settings::default() })
    }

    #[test]
    fn every_form_of_url_is_read() {
        let plain = read("redis://joe:pass%20word@host.example:7000/3").unwrap();
        assert_eq!(plain.server, ServerConfig::new_centralized("host.example", 7000));
        assert_eq!(
            (plain.username.as_deref(), plain.password.as_deref(), plain.database),
            (Some("joe"), Some("pass word"), Some(3))
        );
        assert!(plain.tls.is_none());
        let unix = read("redis+unix://:secret@localhost/run/redis.sock?db=2").unwrap();
        assert_eq!(unix.server, ServerConfig::new_unix_socket("/run/redis.sock"));
        assert_eq!((unix.password.as_deref(), unix.database), (Some("secret"), Some(2)));
        assert_eq!(read("redis+unix:///run/redis.sock").unwrap().server, unix.server);
        assert!(read("redis-cluster://a:1?node=b:2").unwrap().server.is_clustered());
        let sentinel = read("redis-sentinel://a:1?sentinelServiceName=main&node=b:2").unwrap();
        assert!(sentinel.server.is_sentinel());
    }

    #[test]
    fn tls_is_made_here_and_with_ring() {
        let file = std::env::temp_dir().join(format!("posthaste-ca-{}.pem", std::process::id()));
        std::fs::write(&file, include_str!("../tests/ca.pem")).unwrap();
        for url in
            ["rediss://host.example", "rediss-cluster://a:1", "rediss-sentinel://a:1?sentinelServiceName=m"]
        {
            let settings =
                Settings { url: SecretString::from(url), ca_file: Some(file.clone()), ..Settings::default() };
            assert!(config(&settings).unwrap().tls.is_some(), "{url}");
        }
        std::fs::write(&file, "nothing").unwrap();
        let settings = Settings {
            url: SecretString::from("rediss://host.example"),
            ca_file: Some(file.clone()),
            ..Settings::default()
        };
        assert!(matches!(config(&settings), Err(ConnectError::Settings { key: "ca_file", .. })));
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn settings_override_the_url() {
        let settings = Settings {
            url: SecretString::from("redis://joe:old@host.example"),
            username: Some("ann".into()),
            password: Some(SecretString::from("new")),
            ..Settings::default()
        };
        let config = config(&settings).unwrap();
        assert_eq!((config.username.as_deref(), config.password.as_deref()), (Some("ann"), Some("new")));
    }

    #[test]
    fn a_typed_url_holds_no_password() {
        for fine in [
            "redis://127.0.0.1:6379/2",
            "rediss://joe@host.example",
            "redis+unix:///run/redis.sock?db=2",
            "redis-sentinel://a:1?sentinelServiceName=main&sentinelUsername=joe&node=b:2",
        ] {
            assert_eq!(check_typed_url(fine), Ok(()), "{fine}");
        }
        for bad in [
            "redis://:canary@127.0.0.1",
            "rediss://joe:canary@host.example",
            "redis+unix://:canary@localhost/run/redis.sock",
            "redis-cluster://joe:canary@a:1?node=b:2",
            "redis-sentinel://a:1?sentinelServiceName=main&sentinelPassword=canary",
        ] {
            assert_eq!(check_typed_url(bad), Err(TypedUrlError::Password), "{bad}");
        }
        let refused = check_typed_url("canary").unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains("canary"), "{refused}");
    }

    #[test]
    fn a_bad_url_is_refused_without_repeating_it() {
        for bad in [
            "http://joe:canary@host",
            "canary",
            "redis://canary:x@",
            "redis-cluster://a:1/5",
            "redis://h/canary",
        ] {
            let error = read(bad).err();
            let shown = format!("{error:?}");
            if bad == "redis-cluster://a:1/5" && error.is_none() {
                continue;
            }
            assert!(error.is_some(), "{bad}");
            assert!(!shown.contains("canary"), "{shown}");
        }
    }

    #[test]
    fn an_address_is_shown_without_credentials() {
        let server = ServerConfig::new_centralized("host.example", 7000);
        assert_eq!(&*address(&server), "host.example:7000");
        assert_eq!(&*address(&ServerConfig::new_unix_socket("/run/redis.sock")), "/run/redis.sock");
    }
}
