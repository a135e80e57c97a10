//! Why there is no connection, read from what the client and the system say, with what to do about it.

use std::fmt;

use fred::error::{Error, ErrorKind};

use crate::error::Later;
use crate::trouble::RedisState;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Nothing listens there.
    Refused,
    /// The name of the host is not known.
    UnknownHost,
    /// There is no way to the host.
    NoRoute,
    /// Nobody answered in time.
    TimedOut,
    /// The socket's file is not there.
    NoSocket,
    /// The system forbids it, as with the rights of a socket's file.
    Forbidden,
    /// The other side closed the connection.
    Closed,
    /// Its certificate is not trusted, or speaks of another host.
    Certificate,
    /// It does not speak TLS there.
    NotTls,
    /// What answers is no Redis, or one that wants TLS.
    NotRedis,
    /// It greets every connection with a refusal for now.
    Refuses(Later),
    /// It wants credentials, or others.
    AccessDenied(String),
    /// None of the sentinels names a primary.
    Sentinels,
    /// Something else.
    Other(String),
}

/// Longest text of others that is repeated.
const LONGEST: usize = 200;

impl Cause {
    pub(crate) fn of(error: &Error) -> Self {
        let text = error.details();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if matches!(error.kind(), ErrorKind::Auth) || has(&["NOAUTH", "WRONGPASS"]) {
            // The server's own words; it repeats no password.
            return Self::AccessDenied(short(text));
        }
        if let Some(why) = text.split_ascii_whitespace().next().and_then(Later::of) {
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

    /// Whether waiting can't help: somebody has to change the settings.
    pub(crate) fn is_lasting(&self) -> bool {
        matches!(self, Self::Certificate | Self::NotTls | Self::NotRedis | Self::AccessDenied(_))
    }

    /// What to do: a sentence.
    pub(crate) fn remedy(&self) -> &'static str {
        match self {
            Self::Refused => {
                "Nothing listens under this address. Start Redis or Valkey there, or correct redis.url (--redis URL)."
            }
            Self::UnknownHost => "Correct the host in redis.url, or the name service of this host.",
            Self::NoRoute | Self::TimedOut => {
                "Check the address in redis.url, and firewalls between this host and that one; a frozen server looks the same, and with rediss:// a port without TLS."
            }
            Self::NoSocket => {
                "The file of the socket is not there. Start the server, or correct the path in redis.url (unixsocket in its configuration)."
            }
            Self::Forbidden => {
                "Give this user access to the socket (unixsocketperm), or add it to the server's group."
            }
            Self::Closed => {
                "It accepts connections and closes them: look into its log, at maxclients and protected-mode, and whether the port wants TLS (rediss://)."
            }
            Self::Certificate => {
                "Name the certificate of its authority in redis.ca_file, and use the host name that the certificate holds."
            }
            Self::NotTls => "Use redis:// instead of rediss://, or the server's TLS port.",
            Self::NotRedis => "Correct the port in redis.url; if it is the server's TLS port, use rediss://.",
            Self::AccessDenied(_) => {
                "Correct redis.username and redis.password (or password_file), or the server's ACL."
            }
            Self::Refuses(why) => RedisState::of(*why).unwrap_or(RedisState::Away).remedy(),
            Self::Sentinels => {
                "Check the sentinels' addresses and sentinelServiceName in redis.url, and that they see a primary (SENTINEL MASTERS)."
            }
            Self::Other(_) => "Check that the server runs, and that this host reaches it under this address.",
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
            Self::Closed => "it closed the connection",
            Self::Certificate => "its TLS certificate is not trusted or names another host",
            Self::NotTls => "it does not speak TLS on this port",
            Self::NotRedis => "what answers there does not speak the Redis protocol",
            Self::Refuses(why) => return write!(f, "it {}", why.is()),
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
                Cause::Refuses(Later::Loading),
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
