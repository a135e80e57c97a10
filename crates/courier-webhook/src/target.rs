//! Which URLs may receive messages: the part that needs no name resolution. The addresses of a host are checked when it is
//! resolved (`public_dns.rs`), those that a URL gives as numbers are checked here.

use reqwest::Url;
use url::Host;

use crate::address_guard::may_call;
use crate::settings::{BadSetting, WebhookSettings};

/// A URL that may receive messages. Has no `Debug`, because it holds an address.
pub(crate) struct Target {
    /// The URL.
    pub(crate) url: Url,
    /// Whether the operator named the host and port as one of their own network.
    pub(crate) private: bool,
}

/// An entry of `webhook.hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum HostPattern {
    /// Every host.
    Any,
    /// All names below this one.
    Below(String),
    /// This host.
    One(String),
}

/// Which URLs may receive messages.
#[derive(Debug)]
pub(crate) struct AllowedTargets {
    hosts: Vec<HostPattern>,
    ports: Vec<u16>,
    http: bool,
    private: Vec<(String, u16)>,
}

impl AllowedTargets {
    /// Parses the hosts of the settings.
    ///
    /// # Errors
    /// The setting to change.
    pub(crate) fn new(settings: &WebhookSettings) -> Result<Self, BadSetting> {
        let hosts =
            settings.hosts.iter().map(|entry| pattern(entry)).collect::<Option<_>>().ok_or_else(|| {
                BadSetting::new(
                    "webhook.hosts",
                    "must be names such as \"example.org\", \"*.example.org\" or \"*\"",
                )
            })?;
        let private = settings.private_hosts.iter().map(|entry| host_and_port(entry));
        let private = private.collect::<Option<_>>().ok_or_else(|| {
            BadSetting::new(
                "webhook.private_hosts",
                "must be hosts with their ports, such as \"hooks.internal:8443\"",
            )
        })?;
        Ok(Self { hosts, ports: settings.ports.clone(), http: settings.http, private })
    }

    /// The URL, if it may receive messages.
    pub(crate) fn target(&self, address: &str) -> Option<Target> {
        let url = Url::parse(address).ok()?;
        let is_plain = match url.scheme() {
            "https" => false,
            "http" => true,
            _ => return None,
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return None;
        }
        let (host, port) = (url.host()?.to_owned(), url.port_or_known_default()?);
        let name = name_of(&host);
        let private = self.private.iter().any(|(own, at)| *own == name && *at == port);
        let named = || self.hosts.iter().any(|pattern| pattern.fits(&name));
        if !private && !((self.http || !is_plain) && self.ports.contains(&port) && named()) {
            return None;
        }
        let admitted = match host {
            Host::Ipv4(address) => may_call(address.into(), private),
            Host::Ipv6(address) => may_call(address.into(), private),
            Host::Domain(_) => true,
        };
        admitted.then_some(Target { url, private })
    }
}

impl HostPattern {
    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::One(host) => host == name,
            Self::Below(parent) => name.strip_suffix(parent.as_str()).is_some_and(|rest| rest.ends_with('.')),
        }
    }
}

fn pattern(entry: &str) -> Option<HostPattern> {
    if entry == "*" {
        return Some(HostPattern::Any);
    }
    match entry.strip_prefix("*.") {
        Some(parent) => match Host::parse(parent).ok()? {
            Host::Domain(parent) => Some(HostPattern::Below(parent)),
            Host::Ipv4(_) | Host::Ipv6(_) => None,
        },
        None => Some(HostPattern::One(name_of(&host(entry)?))),
    }
}

fn host_and_port(entry: &str) -> Option<(String, u16)> {
    let (name, port) = entry.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    Some((name_of(&host(name)?), port)).filter(|_| port != 0)
}

/// A host without wildcards.
fn host(text: &str) -> Option<Host> {
    if text.is_empty() || text.contains('*') {
        return None;
    }
    Host::parse(text).ok()
}

/// The host in the form for comparison: a name in lower case without the dot of the root, a number as it is usually written.
fn name_of(host: &Host) -> String {
    host.to_string().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use posthaste_ops::config::Sources;

    use super::*;
    use crate::settings::{DEFAULTS, Settings};

    fn allowed(changes: &[(&str, &str)]) -> Result<AllowedTargets, BadSetting> {
        let name = |key: &str| format!("POSTHASTE_WEBHOOK__{}", key.to_ascii_uppercase());
        let variables = changes.iter().map(|(key, value)| (name(key).into(), (*value).into()));
        let settings =
            Sources::new(DEFAULTS).environment(variables).load::<Settings>().unwrap().settings.webhook;
        settings.check()?;
        AllowedTargets::new(&settings)
    }

    fn allows(allowed: &AllowedTargets, url: &str) -> bool {
        allowed.target(url).is_some()
    }

    #[test]
    fn nobody_receives_messages_until_the_settings_name_somebody() {
        assert_eq!(allowed(&[]).unwrap_err().key, "webhook.hosts");
        for (key, value) in [
            ("hosts", "*.127.0.0.1"),
            ("hosts", "a*.example.org"),
            ("hosts", "https://example.org"),
            ("private_hosts", "example.org"),
            ("private_hosts", "example.org:0"),
            ("private_hosts", "*:443"),
            ("private_hosts", ":443"),
        ] {
            assert_eq!(allowed(&[(key, value)]).unwrap_err().key, format!("webhook.{key}"), "{value}");
        }
    }

    #[test]
    fn only_plain_https_urls_of_the_named_hosts_and_ports_pass() {
        let all = allowed(&[("hosts", "*")]).unwrap();
        for good in [
            "https://example.org",
            "https://EXAMPLE.org:443/a?b=c",
            "https://пример.рф/x",
            "https://1.1.1.1/x",
        ] {
            assert!(allows(&all, good), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "http://example.org/",
            "ftp://example.org/",
            "file:///etc/passwd",
            "https://user@example.org/",
            "https://user:word@example.org/",
            "https://:word@example.org/",
            "https://example.org/#part",
            "https://example.org:8443/",
            "https://example.org:80/",
        ] {
            assert!(!allows(&all, bad), "{bad}");
        }
        let some = allowed(&[("hosts", "example.org,*.example.com"), ("ports", "443,8443")]).unwrap();
        for good in ["https://example.org./", "https://a.example.com:8443/", "https://b.a.example.com/"] {
            assert!(allows(&some, good), "{good}");
        }
        for bad in
            ["https://a.example.org/", "https://example.com/", "https://badexample.com/", "https://1.1.1.1/"]
        {
            assert!(!allows(&some, bad), "{bad}");
        }
        let plain = allowed(&[("hosts", "*"), ("http", "true"), ("ports", "80")]).unwrap();
        assert!(allows(&plain, "http://example.org/") && !allows(&plain, "https://example.org/"));
    }

    #[test]
    fn numbers_that_stand_for_this_computer_or_its_network_never_pass() {
        let all = allowed(&[("hosts", "*"), ("http", "true"), ("ports", "80,443")]).unwrap();
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "0",
            "10.0.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:8.8.8.8]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[fd00::1]",
            "[fe80::1]",
            "①②⑦.⓪.⓪.①",
        ] {
            for scheme in ["http", "https"] {
                assert!(!allows(&all, &format!("{scheme}://{host}/")), "{scheme} {host}");
            }
        }
    }

    #[test]
    fn a_private_host_is_one_host_with_one_port() {
        let own =
            allowed(&[("private_hosts", "127.0.0.1:8080,[::1]:8080,hooks.internal:80,169.254.169.254:80")])
                .unwrap();
        for good in [
            "http://127.0.0.1:8080/x",
            "https://127.1:8080/",
            "http://[::1]:8080/",
            "http://Hooks.Internal/x",
        ] {
            assert!(own.target(good).is_some_and(|target| target.private), "{good}");
        }
        for bad in [
            "http://127.0.0.1:8081/",
            "http://127.0.0.2:8080/",
            "https://hooks.internal/",
            "https://example.org/",
            "http://169.254.169.254/latest/meta-data/",
            "http://[::ffff:127.0.0.1]:8080/",
        ] {
            assert!(!allows(&own, bad), "{bad}");
        }
    }
}
