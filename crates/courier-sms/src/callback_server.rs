//! The public listener for receipts and replies: its own address, and its public address.

use axum::Router;
use posthaste_courier::http_request;
use posthaste_ops::address::ListenAddress;
use posthaste_ops::listen::{Listener, ListenerLimits};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::settings::{BadSetting, SmsSettings};

/// The largest request: providers send a few hundred bytes.
pub(crate) const MOST_BYTES: usize = 64 << 10;

const LIMITS: ListenerLimits = ListenerLimits::for_strangers(MOST_BYTES);

/// The listener.
#[derive(Debug, Clone)]
pub(crate) struct CallbackServer {
    listen: ListenAddress,
    url: Url,
}

impl CallbackServer {
    /// The listener from the settings, if configured.
    ///
    /// # Errors
    /// Names the setting to change.
    pub(crate) fn read(settings: &SmsSettings) -> Result<Option<Self>, BadSetting> {
        if settings.listen.is_empty() {
            return Ok(None);
        }
        let listen = settings.listen.parse();
        let listen = listen.map_err(|bad| BadSetting::new("sms.listen", format!("{bad}")))?;
        let bad = |why: String| BadSetting::new("sms.public_url", why);
        let url = http_request::base(&settings.public_url).map_err(|why| bad(why.to_string()))?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_.~-".contains(&byte);
        if !url.path().bytes().all(plain) || url.path().contains("//") {
            return Err(bad("the path may contain only letters, digits and _ . ~ -".to_owned()));
        }
        Ok(Some(Self { listen, url }))
    }

    /// The public address of one of our paths.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }

    /// The addresses under which a provider may have called a path: with and without the port. `path` includes the
    /// query.
    pub(crate) fn spellings(&self, path: &str) -> Vec<String> {
        let (scheme, host) = (self.url.scheme(), self.url.host_str().unwrap_or_default());
        let prefix = self.prefix();
        let bare = format!("{scheme}://{host}{prefix}{path}");
        match self.url.port_or_known_default() {
            Some(port) => vec![bare, format!("{scheme}://{host}:{port}{prefix}{path}")],
            None => vec![bare],
        }
    }

    /// The path prefix of the public address.
    fn prefix(&self) -> &str {
        self.url.path().trim_end_matches('/')
    }

    /// Serves until `stop`. A proxy in front may keep the path of the public address or strip it.
    ///
    /// # Errors
    /// It can't bind the address.
    pub(crate) async fn serve(&self, routes: Router, stop: CancellationToken) -> Result<(), String> {
        let listener = Listener::bind(&self.listen).await.map_err(|error| {
            let why = std::error::Error::source(&error).map(|source| format!(": {source}"));
            format!("sms.listen: {error}{}", why.unwrap_or_default())
        })?;
        tracing::info!(
            event = "port.opened",
            port = "callbacks",
            address = %listener.address(),
            "listening for receipts and replies"
        );
        let routes = match self.prefix() {
            "" => routes,
            prefix => routes.clone().nest(prefix, routes),
        };
        listener.serve(routes, LIMITS, stop).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str) -> CallbackServer {
        CallbackServer { listen: "127.0.0.1:0".parse().unwrap(), url: http_request::base(url).unwrap() }
    }

    #[test]
    fn addresses_are_written_with_and_without_the_port() {
        let bare = place("https://sms.example.org/");
        assert_eq!(bare.at("/x/y"), "https://sms.example.org/x/y");
        assert_eq!(
            bare.spellings("/x?a=1"),
            ["https://sms.example.org/x?a=1", "https://sms.example.org:443/x?a=1"]
        );
        let deep = place("https://sms.example.org:8443/a/b/");
        assert_eq!(deep.at("/x"), "https://sms.example.org:8443/a/b/x");
        assert_eq!(
            deep.spellings("/x"),
            ["https://sms.example.org/a/b/x", "https://sms.example.org:8443/a/b/x"]
        );
        assert_eq!(place("http://127.0.0.1").spellings("/x")[1], "http://127.0.0.1:80/x");
    }
}
