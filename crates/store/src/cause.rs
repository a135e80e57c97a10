//! Why there is no connection, derived from errors of the client and the system, and what to do about it.

use std::fmt;

use fred::error::{Error, ErrorKind};

use crate::redis_state::RedisState;
use crate::retryable::Retryable;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nothing listens at the address.
    Refused,
    /// The host name is unknown.
    UnknownHost,
    /// There is no route to the host.
    NoRoute,
    /// There was no answer in time.
    TimedOut,
    /// The socket's file does not exist.
    NoSocket,
    /// The system denies permission, for example on a socket's file.
    Forbidden,
    /// The other side closed the connection.
    Closed,
    /// The certificate is not trusted, or names another host.
    Certificate,
    /// The port does not speak TLS.
    NotTls,
    /// The server is not Redis, or expects TLS.
    NotRedis,
    /// It refuses every new connection for now.
    Refuses(Retryable),
    /// It requires credentials, or other ones.
    AccessDenied(String),
    /// No sentinel names a primary.
    Sentinels,
    /// Something else.
    Other(String),
}

/// Longest foreign text that is repeated.
const LONGEST: usize = 200;

impl Cause {
    pub(crate) fn of(error: &Error) -> Self {
        let text = error.details();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if matches!(error.kind(), ErrorKind::Auth) || has(&["NOAUTH", "WRONGPASS"]) {
            // The server's own text; it contains no password.
            return Self::AccessDenied(short(text));
        }
        if let Some(why) = text.split_ascii_whitespace().next().and_then(Retryable::of) {
            return Self::Refuses(why);
        }
        if has(&["InvalidCertificate", "invalid peer certificate", "UnknownIssuer", "NotValidForName"]) {
            return Self::Certificate;
        }
        if has(&["InvalidContentType", "InvalidMessage", "corrupt message"]) {
            return Self::NotTls;
        }
        if has(&["ConnectionRefused", "Connection refused"]) {
            return Self::Refused;
        }
        if has(&["failed to lookup", "Name or service not known", "No address", "nodename nor servname"]) {
            return Self::UnknownHost;
        }
        if has(&["HostUnreachable", "NetworkUnreachable", "No route to host"]) {
            return Self::NoRoute;
        }
        if has(&["NotFound", "No such file"]) {
            return Self::NoSocket;
        }
        if has(&["PermissionDenied", "Permission denied"]) {
            return Self::Forbidden;
        }
        if matches!(error.kind(), ErrorKind::Timeout) || has(&["TimedOut", "timed out"]) {
            return Self::TimedOut;
        }
        match error.kind() {
            ErrorKind::Protocol | ErrorKind::Parse => Self::NotRedis,
            ErrorKind::Sentinel => Self::Sentinels,
            ErrorKind::Canceled => Self::Closed,
            _ if has(&["ConnectionReset", "BrokenPipe", "UnexpectedEof", "closed", "ConnectionAborted"]) => {
                Self::Closed
            }
            _ => Self::Other(short(text)),
        }
    }

    /// Whether waiting does not help: the operator has to change the settings.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self, Self::Certificate | Self::NotTls | Self::NotRedis | Self::AccessDenied(_))
    }

    /// What to do, as a sentence.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Refused => {
                "Nothing listens at this address. Start Redis or Valkey there, or correct redis.url (--redis URL)."
            }
            Self::UnknownHost => "Correct the host in redis.url, or the DNS configuration of this host.",
            Self::NoRoute | Self::TimedOut => {
                "Check the address in redis.url and the firewalls on the way. A frozen server looks the same; so \
                 does a port without TLS when redis.url is rediss://."
            }
            Self::NoSocket => {
                "The socket file does not exist. Start the server, or correct the path in redis.url (it must \
                 match unixsocket in the server's configuration)."
            }
            Self::Forbidden => {
                "Give this user access to the socket (unixsocketperm), or add the user to the server's group."
            }
            Self::Closed => {
                "The server accepts connections and closes them. Check its log, maxclients and protected-mode, \
                 and whether the port requires TLS (rediss://)."
            }
            Self::Certificate => {
                "Set redis.ca_file to the certificate of its certificate authority, and use the host name in the certificate."
            }
            Self::NotTls => "Use redis:// instead of rediss://, or connect to the server's TLS port.",
            Self::NotRedis => {
                "Correct the port in redis.url; if this is the server's TLS port, use rediss://."
            }
            Self::AccessDenied(_) => {
                "Correct redis.username and redis.password (or password_file), or the server's ACL."
            }
            Self::Refuses(why) => RedisState::of(*why).unwrap_or(RedisState::Away).remedy(),
            Self::Sentinels => {
                "Check the sentinels' addresses and sentinelServiceName in redis.url, and that they know a \
                 primary (SENTINEL MASTERS)."
            }
            Self::Other(_) => {
                "Check that the server is running and that this host can reach it at this address."
            }
        }
    }
}

fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "connection refused",
            Self::UnknownHost => "unknown host name",
            Self::NoRoute => "no route to the host",
            Self::TimedOut => "no answer in time",
            Self::NoSocket => "no such socket",
            Self::Forbidden => "permission denied",
            Self::Closed => "the server closed the connection",
            Self::Certificate => "the server's TLS certificate is not trusted or names another host",
            Self::NotTls => "the server does not speak TLS on this port",
            Self::NotRedis => "the server does not speak the Redis protocol",
            Self::Refuses(why) => return write!(f, "the server {}", why.is()),
            Self::Sentinels => "no sentinel names a primary",
            Self::AccessDenied(text) | Self::Other(text) => text,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_read_from_what_the_system_says() {
        let refused = r#"Os { code: 111, kind: ConnectionRefused, message: "Connection refused" }"#;
        let missing = r#"Os { code: 2, kind: NotFound, message: "No such file or directory" }"#;
        let lookup = r#"Custom { kind: Uncategorized, error: "failed to lookup address information: Name or service not known" }"#;
        let issuer = "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }";
        for (kind, text, cause) in [
            (ErrorKind::IO, refused, Cause::Refused),
            (ErrorKind::IO, missing, Cause::NoSocket),
            (ErrorKind::IO, lookup, Cause::UnknownHost),
            (ErrorKind::IO, issuer, Cause::Certificate),
            (
                ErrorKind::IO,
                "Custom { kind: InvalidData, error: InvalidMessage(InvalidContentType) }",
                Cause::NotTls,
            ),
            (ErrorKind::Timeout, "Request timed out.", Cause::TimedOut),
            (
                ErrorKind::Unknown,
                "LOADING Redis is loading the dataset in memory",
                Cause::Refuses(Retryable::Loading),
            ),
            (ErrorKind::Protocol, "Unexpected byte", Cause::NotRedis),
        ] {
            assert_eq!(Cause::of(&Error::new(kind, text)), cause, "{text}");
            assert!(cause.remedy().ends_with('.'));
        }
        let denied = Cause::of(&Error::new(ErrorKind::Auth, "WRONGPASS invalid username-password pair"));
        assert!(denied.is_lasting() && denied.to_string().starts_with("WRONGPASS"), "{denied}");
        assert!(!Cause::Refused.is_lasting());
    }
}
