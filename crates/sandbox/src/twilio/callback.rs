//! Requests the sandbox makes: only to loopback addresses, whatever URL it is given.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HOST};
use reqwest::redirect::Policy;
use url::{Host, Url};

use super::settings::Settings;
use super::sign::signature;

/// Most requests in flight.
pub(super) const MOST_CALLS: usize = 64;

/// The target of a callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The URL that is signed.
    url: String,
    /// The URL that is connected to.
    local: String,
    /// The Host header.
    host: String,
}

impl Target {
    /// `None` when the URL leads beyond this computer, or is invalid.
    pub(super) fn of(text: &str, settings: &Settings) -> Option<Self> {
        let mut url = Url::parse(text).ok()?;
        // Twilio reads settings of its own after the #, and never sends them.
        url.set_fragment(None);
        let name = url.host_str()?.to_owned();
        let port = url.port_or_known_default()?;
        let reached = settings.reach.get(&name).copied();
        let local = match (reached, url.host()?) {
            (Some(address), _) => address,
            _ if url.scheme() != "http" => return None,
            (None, Host::Ipv4(address)) => SocketAddr::new(address.into(), port),
            (None, Host::Ipv6(address)) => SocketAddr::new(address.into(), port),
            (None, Host::Domain("localhost")) => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port),
            (None, Host::Domain(_)) => return None,
        };
        if !is_here(local.ip()) || !matches!(url.scheme(), "http" | "https") {
            return None;
        }
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let host = url.port().map_or_else(|| name.clone(), |port| format!("{name}:{port}"));
        Some(Self { local: format!("http://{local}{}{query}", url.path()), host, url: url.into() })
    }
}

fn is_here(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// A client that follows no redirects, uses no proxy and trusts no certificates: it calls plain HTTP only.
pub(super) fn client(within: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .tls_built_in_root_certs(false)
        .timeout(within)
        .build()
}

/// Posts a form once. Returns the status of the answer.
pub(super) async fn post(
    client: &reqwest::Client,
    target: &Target,
    key: &str,
    parameters: &[(&str, &str)],
) -> reqwest::Result<u16> {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    let request = client
        .post(&target.local)
        .header(HOST, &target.host)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8")
        .header("user-agent", "TwilioProxy/1.1")
        .header("x-twilio-signature", signature(key, &target.url, parameters))
        .body(form);
    Ok(request.send().await?.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_computer_is_called() {
        let mut settings = Settings::default();
        settings.reach.insert("sms.example.org".into(), "127.0.0.1:9".parse().unwrap());
        settings.reach.insert("far.example.org".into(), "192.0.2.1:9".parse().unwrap());
        for url in [
            "http://example.org/",
            "http://10.0.0.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://localhost.example.org/",
            "http://[::ffff:10.0.0.1]/",
            "http://0.0.0.0/",
            "https://127.0.0.1/",
            "https://far.example.org/",
            "file:///etc/passwd",
            "http://",
            "nonsense",
        ] {
            assert_eq!(Target::of(url, &settings), None, "{url}");
        }
        for url in ["http://127.0.0.1:7/x?a=b", "http://[::1]:7/", "http://localhost:7/", "http://127.8.8.8/"]
        {
            assert!(Target::of(url, &settings).is_some(), "{url}");
        }
        let public = Target::of("https://sms.example.org/x?a=b#rc=2", &settings).unwrap();
        assert_eq!(public.url, "https://sms.example.org/x?a=b");
        assert_eq!(
            (public.local.as_str(), public.host.as_str()),
            ("http://127.0.0.1:9/x?a=b", "sms.example.org")
        );
    }
}
