//! Name resolution that gives only addresses which may be called. The HTTP client connects to what it is given here and asks
//! nobody else, so the address that was checked is the one that is called: a name that changes its mind between a check and
//! the connection (DNS rebinding) gains nothing.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address_guard::may_call;

/// The addresses of a name, or why it could not be resolved.
pub type LookingUp = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Looks up the addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> LookingUp + Send + Sync>;

/// The lookup of the operating system.
#[must_use]
pub fn system_lookup() -> Lookup {
    Arc::new(|name: String| -> LookingUp {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// A name all of whose addresses are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host has no address that may be called")]
pub(crate) struct ForbiddenAddress;

/// Name resolution that gives only addresses which may be called.
pub(crate) struct PublicDns {
    /// How names are looked up.
    pub(crate) lookup: Lookup,
    /// Whether the names it is asked for are those of the operator's own network.
    pub(crate) private: bool,
}

impl Resolve for PublicDns {
    fn resolve(&self, name: Name) -> Resolving {
        let (found, private) = ((self.lookup)(name.as_str().to_owned()), self.private);
        Box::pin(async move {
            let mut addresses = found.await?;
            addresses.retain(|address| may_call(*address, private));
            if addresses.is_empty() {
                return Err(ForbiddenAddress.into());
            }
            // The client puts the port of the URL in place of 0.
            Ok(Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0))) as Addrs)
        })
    }
}
