//! The address a process listens on: a TCP address or the path of a unix socket.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer};

const UNIX: &str = "unix:";

/// A listening address: `127.0.0.1:9464`, `[::1]:9464` (port 0 picks a free one) or `unix:/run/posthaste/admin.sock`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An IP address and port.
    Tcp(SocketAddr),
    /// The absolute path of a unix socket, at most 107 bytes.
    Unix(PathBuf),
}

/// Text that is not a listening address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an address to listen on; write \"127.0.0.1:9464\", \"[::1]:9464\" or \"unix:/path/of/socket\""
)]
pub struct AddressError(String);

impl ListenAddress {
    /// The URL at which HTTP clients reach it; a unix socket has none and is written as in the settings.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::Tcp(address) => format!("http://{address}"),
            Self::Unix(_) => self.to_string(),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let refuse = || AddressError(text.to_owned());
        match text.strip_prefix(UNIX) {
            // The kernel keeps 108 bytes for the path and its end.
            Some(path) if path.starts_with('/') && path.len() < 108 => Ok(Self::Unix(path.into())),
            Some(_) => Err(refuse()),
            None => text.parse().map(Self::Tcp).map_err(|_| refuse()),
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "{UNIX}{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_and_shown_alike() {
        for text in ["127.0.0.1:0", "[::1]:9464", "unix:/run/posthaste/admin.sock"] {
            assert_eq!(text.parse::<ListenAddress>().expect(text).to_string(), text);
        }
        let url = |text: &str| text.parse::<ListenAddress>().expect(text).url();
        assert_eq!(url("[::1]:9464"), "http://[::1]:9464");
        assert_eq!(url("unix:/run/posthaste/admin.sock"), "unix:/run/posthaste/admin.sock");
    }

    #[test]
    fn an_invalid_address_is_refused_with_examples() {
        let long = format!("unix:/{}", "x".repeat(107));
        for text in ["", "localhost:80", "127.0.0.1", ":80", "unix:", "unix:admin.sock", &long] {
            let refused = text.parse::<ListenAddress>().expect_err(text).to_string();
            assert!(refused.contains("127.0.0.1:9464"), "{refused}");
        }
    }
}
