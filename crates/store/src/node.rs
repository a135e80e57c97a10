//! One server, as seen through one client: plain commands.

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::Server;
use fred::types::{ClusterHash, CustomCommand, Value as Arg};
use posthaste_protocol::keys::crc16;
use posthaste_protocol::{Fields, Value};

use crate::error::{CallError, Fault, client_error, server_error};
use crate::reply;

/// A client, and in a cluster one of its servers.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) client: Client,
    pub(crate) server: Option<Server>,
}

impl Node {
    /// The server of a client that has but one, or whichever the command's slot leads to.
    pub(crate) fn any(client: &Client) -> Self {
        Self { client: client.clone(), server: None }
    }

    /// All servers a client is connected to: of a cluster the primaries.
    pub(crate) fn all(client: &Client) -> Vec<Self> {
        if !client.is_clustered() {
            return vec![Self::any(client)];
        }
        let servers = client.active_connections();
        servers.into_iter().map(|server| Self { client: client.clone(), server: Some(server) }).collect()
    }

    /// Runs a command of the slot and takes its reply, errors sorted out.
    pub(crate) async fn ask(
        &self,
        command: &'static str,
        args: Vec<Arg>,
        slot: u16,
    ) -> Result<Value, CallError> {
        let command = CustomCommand::new_static(command, ClusterHash::Custom(slot), false);
        // Boxed: the client's futures are some kilobytes each.
        let frame = match &self.server {
            Some(server) => Box::pin(self.client.with_cluster_node(server).custom_raw(command, args)).await,
            None => Box::pin(self.client.custom_raw(command, args)).await,
        };
        match reply::value(frame.map_err(client_error)?) {
            Value::Error(text) => Err(server_error(&text)),
            value => Ok(value),
        }
    }

    /// The fields of sections of INFO.
    pub(crate) async fn info(&self, sections: &[&'static str]) -> Result<Info, CallError> {
        let mut text = String::new();
        for section in sections {
            text.push_str(&self.info_of_slot(section, 0).await?.0);
        }
        Ok(Info(text))
    }

    /// The fields of a section of INFO, of the server that holds a slot.
    pub(crate) async fn info_of_slot(&self, section: &'static str, slot: u16) -> Result<Info, CallError> {
        let value = self.ask("INFO", vec![Arg::from_static_str(section)], slot).await?;
        value.text("info").map(Info).map_err(Fault::Malformed).map_err(CallError::Fault)
    }

    /// One setting of the server; `None` when it knows none of this name.
    pub(crate) async fn setting(&self, name: &'static str) -> Result<Option<String>, CallError> {
        let args = vec![Arg::from_static_str("GET"), Arg::from_static_str(name)];
        let value = self.ask("CONFIG", args, 0).await?;
        let pairs = value.array("settings").map_err(Fault::Malformed).map_err(CallError::Fault)?;
        if pairs.is_empty() {
            return Ok(None);
        }
        let mut fields = Fields::new(pairs);
        let read = fields.value("setting").and_then(|_| fields.text("setting"));
        read.map(Some).map_err(Fault::Malformed).map_err(CallError::Fault)
    }
}

/// The text of INFO.
#[derive(Debug)]
pub(crate) struct Info(String);

impl From<String> for Info {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Info {
    /// A field, as text.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }

    /// A field, as a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }
}

/// The slot of a key in a cluster: that of its tag in braces, if it has one.
pub(crate) fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % 16_384
}

/// A text as an argument, without copying it.
pub(crate) fn text(text: String) -> Arg {
    Arg::Bytes(text.into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_that_of_the_tag() {
        assert_eq!(slot_of("history:{7}:a:1"), slot_of("due:{7}:bulk"));
        assert_eq!(slot_of("foo{}{bar}"), 8363);
        assert_eq!(slot_of("foo"), 12182);
    }

    #[test]
    fn info_is_read_by_whole_names() {
        let info = Info("# Server\r\nredis_version:7.0.15\r\nredis_version_x:1\r\nused_memory:12\r\n".into());
        assert_eq!((info.get("redis_version"), info.number("used_memory")), (Some("7.0.15"), Some(12)));
        assert_eq!(info.get("used"), None);
    }
}
