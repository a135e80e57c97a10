//! Plain commands: to one server, as seen through one client, or to whichever server has the slot.

use std::sync::Arc;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value as Arg};
use posthaste_protocol::keys::crc16;
use posthaste_protocol::{Fields, Value};

use crate::error::{CallError, Fault, client_error, server_error};
use crate::reply;
use crate::store::Inner;

/// Whom to ask.
#[derive(Debug, Clone)]
pub(crate) struct Node(Way);

#[derive(Debug, Clone)]
enum Way {
    /// The server of this client, whatever the slot.
    Direct(Client),
    /// Whoever has the slot, always over the connection of the same turn. `guarded`: not once the database is another one.
    /// `replica`: one of its replicas while it is away.
    Routed { inner: Arc<Inner>, turn: usize, guarded: bool, replica: bool },
}

/// Sends a command; an error the server answers is a value.
pub(crate) async fn send(client: &Client, command: &'static str, args: Vec<Arg>) -> Result<Value, CallError> {
    // A client knows but one server, so the slot says nothing to it.
    let command = CustomCommand::new_static(command, ClusterHash::FirstKey, false);
    // Boxed: the client's futures are some kilobytes each.
    let frame = Box::pin(client.custom_raw(command, args)).await;
    frame.map(reply::value).map_err(client_error)
}

impl Node {
    /// The server of a client.
    pub(crate) fn any(client: &Client) -> Self {
        Self(Way::Direct(client.clone()))
    }

    /// Whoever has the slot of each command.
    pub(crate) fn routed(inner: &Arc<Inner>, guarded: bool) -> Self {
        Self(Way::Routed {
            inner: Arc::clone(inner),
            turn: rand::random_range(0..1 << 16),
            guarded,
            replica: false,
        })
    }

    /// The same, for what may be asked of a replica while its primary is away: what all partitions need to know.
    pub(crate) fn or_replica(mut self) -> Self {
        if let Way::Routed { replica, .. } = &mut self.0 {
            *replica = true;
        }
        self
    }

    /// Runs a command of the slot and takes its reply, errors sorted out.
    pub(crate) async fn ask(
        &self,
        command: &'static str,
        args: Vec<Arg>,
        slot: u16,
    ) -> Result<Value, CallError> {
        match &self.0 {
            Way::Direct(client) => match send(client, command, args).await? {
                Value::Error(text) => Err(server_error(&text)),
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
                    (Err(CallError::Away(lost)), Some(args)) => {
                        let answer = inner.ask_replica(slot, command, &args).await;
                        answer.unwrap_or(Err(CallError::Away(lost)))
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
            let value = value.text("info").map_err(Fault::Malformed).map_err(CallError::Fault)?;
            text.push_str(&value);
        }
        Ok(Info(text))
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
