//! Plain commands: to one server through one client, or to the server that has the slot.

use std::sync::Arc;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value as Arg};
use posthaste_protocol::keys::crc16;
use posthaste_protocol::{ReplyFields, ReplyValue};

use crate::error::{CallError, InvalidReply, client_error, server_error};
use crate::reply;
use crate::store::Inner;

/// Where to send commands.
#[derive(Debug, Clone)]
pub(crate) struct Node(Way);

#[derive(Debug, Clone)]
enum Way {
    /// The server of this client, whatever the slot.
    Direct(Client),
    /// The server that has the slot, always over the connection of the same turn. `guarded`: refuses once the
    /// database is another one. `replica`: use one of its replicas while it is away.
    Routed { inner: Arc<Inner>, turn: usize, guarded: bool, replica: bool },
}

/// Sends a command; an error reply of the server is returned as a value.
pub(crate) async fn send(
    client: &Client,
    command: &'static str,
    args: Vec<Arg>,
) -> Result<ReplyValue, CallError> {
    // A client knows only one server, so the slot does not matter to it.
    let command = CustomCommand::new_static(command, ClusterHash::FirstKey, false);
    // Boxed because the client's futures are some kilobytes each.
    let frame = Box::pin(client.custom_raw(command, args)).await;
    frame.map(reply::value).map_err(client_error)
}

impl Node {
    /// The server of a client.
    pub(crate) fn any(client: &Client) -> Self {
        Self(Way::Direct(client.clone()))
    }

    /// The server that has the slot of each command.
    pub(crate) fn routed(inner: &Arc<Inner>, guarded: bool) -> Self {
        Self(Way::Routed {
            inner: Arc::clone(inner),
            turn: rand::random_range(0..1 << 16),
            guarded,
            replica: false,
        })
    }

    /// The same, but may use a replica while the primary is away: for data that all partitions need.
    pub(crate) fn or_replica(mut self) -> Self {
        if let Way::Routed { replica, .. } = &mut self.0 {
            *replica = true;
        }
        self
    }

    /// Runs a command for the slot and returns its reply; error replies are classified.
    pub(crate) async fn ask(
        &self,
        command: &'static str,
        args: Vec<Arg>,
        slot: u16,
    ) -> Result<ReplyValue, CallError> {
        match &self.0 {
            Way::Direct(client) => match send(client, command, args).await? {
                ReplyValue::Error(text) => Err(server_error(&text)),
                value => Ok(value),
            },
            Way::Routed { inner, turn, guarded, replica } => {
                let spare = (*replica && inner.routes.is_cluster()).then(|| args.clone());
                if let Some(args) = &spare
                    && inner.is_away(slot)
                    && let Some(answer) = inner.ask_replica(slot, command, args).await
                {
                    return answer;
                }
                match (inner.ask_slot(*turn, *guarded, command, args, slot).await, spare) {
                    (Err(CallError::NoReply(lost)), Some(args)) => {
                        let answer = inner.ask_replica(slot, command, &args).await;
                        answer.unwrap_or(Err(CallError::NoReply(lost)))
                    }
                    (answer, _) => answer,
                }
            }
        }
    }

    /// The fields of sections of INFO.
    pub(crate) async fn info(&self, sections: &[&'static str]) -> Result<Info, CallError> {
        let mut text = String::new();
        for section in sections {
            let value = self.ask("INFO", vec![Arg::from_static_str(section)], 0).await?;
            let value =
                value.text("info").map_err(InvalidReply::Malformed).map_err(CallError::InvalidReply)?;
            text.push_str(&value);
        }
        Ok(Info(text))
    }

    /// A setting of the server; `None` when the server does not know it.
    pub(crate) async fn setting(&self, name: &'static str) -> Result<Option<String>, CallError> {
        let args = vec![Arg::from_static_str("GET"), Arg::from_static_str(name)];
        let value = self.ask("CONFIG", args, 0).await?;
        let pairs =
            value.array("settings").map_err(InvalidReply::Malformed).map_err(CallError::InvalidReply)?;
        if pairs.is_empty() {
            return Ok(None);
        }
        let mut fields = ReplyFields::new(pairs);
        let read = fields.value("setting").and_then(|_| fields.text("setting"));
        read.map(Some).map_err(InvalidReply::Malformed).map_err(CallError::InvalidReply)
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
