//! Plain commands over the connection of one client.

use bytes::Bytes;
use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::{ClusterHash, CustomCommand, Value as Arg};
use posthaste_protocol::{ReplyFields, ReplyValue};

use crate::error::{CallError, InvalidReply, client_error, server_error};
use crate::reply;

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

/// Runs a command and returns its reply; error replies are classified.
pub(crate) async fn ask(
    client: &Client,
    command: &'static str,
    args: Vec<Arg>,
) -> Result<ReplyValue, CallError> {
    match send(client, command, args).await? {
        ReplyValue::Error(text) => Err(server_error(&text)),
        value => Ok(value),
    }
}

/// A string; `None` when it does not exist.
pub(crate) async fn get(client: &Client, key: String) -> Result<Option<Bytes>, CallError> {
    string(ask(client, "GET", vec![text(key)]).await)
}

/// The reply to a GET.
pub(crate) fn string(reply: Result<ReplyValue, CallError>) -> Result<Option<Bytes>, CallError> {
    match reply.map_err(CallError::of_record)? {
        ReplyValue::Nil => Ok(None),
        value => value.bytes("string").map(Some).map_err(CallError::record),
    }
}

/// The fields of sections of INFO.
pub(crate) async fn info(client: &Client, sections: &[&'static str]) -> Result<Info, CallError> {
    let mut text = String::new();
    for section in sections {
        let value = ask(client, "INFO", vec![Arg::from_static_str(section)]).await?;
        let value = value.text("info").map_err(InvalidReply::Malformed).map_err(CallError::InvalidReply)?;
        text.push_str(&value);
    }
    Ok(Info(text))
}

/// A setting of the server; `None` when the server does not know it.
pub(crate) async fn setting(client: &Client, name: &'static str) -> Result<Option<String>, CallError> {
    let args = vec![Arg::from_static_str("GET"), Arg::from_static_str(name)];
    let value = ask(client, "CONFIG", args).await?;
    let pairs = value.array("settings").map_err(InvalidReply::Malformed).map_err(CallError::InvalidReply)?;
    if pairs.is_empty() {
        return Ok(None);
    }
    let mut fields = ReplyFields::new(pairs);
    let read = fields.value("setting").and_then(|_| fields.text("setting"));
    read.map(Some).map_err(InvalidReply::Malformed).map_err(CallError::InvalidReply)
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

/// A text as an argument, without copying it.
pub(crate) fn text(text: String) -> Arg {
    Arg::Bytes(text.into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn info_is_read_by_whole_names() {
        let info = Info::from(
            "# Server\r\nredis_version:7.0.15\r\nredis_version_x:1\r\nused_memory:12\r\n".to_owned(),
        );
        assert_eq!((info.get("redis_version"), info.number("used_memory")), (Some("7.0.15"), Some(12)));
        assert_eq!(info.get("used"), None);
    }
}
