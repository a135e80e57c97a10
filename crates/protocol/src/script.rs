//! A script: its text with the shared parts, its contract, its calls and replies.

use std::sync::LazyLock;

use bytes::Bytes;
use posthaste_model::UnixMs;
use sha1::{Digest, Sha1};

use crate::reply_value::{Malformed, ReplyFields, ReplyValue};

/// The text of a script as servers run it, built once from its file and the shared parts it names.
#[derive(Debug)]
pub struct ScriptText {
    /// The verb, which is the name of the file.
    pub name: &'static str,
    /// The whole text.
    pub body: String,
    /// SHA-1 of the text in hex: what EVALSHA takes.
    pub sha: String,
}

impl ScriptText {
    /// Inserts the parts named in the line `-- uses:` after the first line, in that order.
    #[must_use]
    pub fn assemble(name: &'static str, source: &str, parts: &[(&str, &str)]) -> Self {
        let (first, rest) = source.split_once('\n').unwrap_or((source, ""));
        let uses = source.lines().find_map(|line| line.strip_prefix("-- uses:")).unwrap_or("");
        let mut body = format!("{first}\n");
        for part in uses.split_whitespace() {
            if let Some((_, text)) = parts.iter().find(|(known, _)| *known == part) {
                body.push_str(text);
            }
        }
        body.push_str(rest);
        let sha = Sha1::digest(body.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        Self { name, body, sha }
    }
}

/// What the header of a script's file declares, as its codec expects it. A test compares the two.
#[derive(Debug)]
pub struct Contract {
    /// The script.
    pub text: &'static LazyLock<ScriptText>,
    /// The unchanged file.
    pub source: &'static str,
    /// Its keys in order; the last may be repeated (`…`).
    pub keys: &'static [&'static str],
    /// The descriptions of its arguments in order.
    pub args: &'static [&'static str],
    /// Every code it can return.
    pub codes: &'static [&'static str],
    /// Whether it also runs when memory is full.
    pub drains: bool,
}

/// A call, ready for a client.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The script.
    pub script: &'static ScriptText,
    /// KEYS.
    pub keys: Vec<String>,
    /// ARGV.
    pub args: Vec<Bytes>,
}

/// A reply of a partition's script: the common fields and the script's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptAnswer<R> {
    /// The epoch of the database.
    pub epoch: String,
    /// The highest fence issued, or that of the claim.
    pub fence: u64,
    /// The server's time.
    pub now: UnixMs,
    /// The script's own reply.
    pub reply: R,
}

/// A reply without a result. The variants are named by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Stop: the database is not the one known before, or has lost its epoch. Nothing was written.
    #[error("the database has another epoch: it was wiped, restored or replaced")]
    WrongEpoch {
        /// The epoch found, empty when there is none.
        found: String,
    },
    /// Drop the connection: the reply belongs to another request.
    #[error("the reply belongs to another request")]
    OtherRequest,
    /// Report: the reply has an unexpected shape.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The server returned an error; its first word says why (`OOM`, `NOSCRIPT`, `LOADING`, …).
    #[error("the server returned an error: {0}")]
    Server(String),
}

/// A script with its arguments.
pub trait ScriptCall {
    /// Its own reply, decoded.
    type Reply;

    /// The contract its file declares.
    fn contract() -> &'static Contract;

    /// KEYS, in the order of the contract.
    fn keys(&self) -> Vec<String>;

    /// ARGV after request id and epoch.
    fn args(&self) -> Vec<Bytes>;

    /// Reads the reply after its common fields.
    ///
    /// # Errors
    /// When code or fields do not match the contract.
    fn decode(code: &str, fields: ReplyFields) -> Result<Self::Reply, Malformed>;

    /// The call with a request id, for the database of the given epoch.
    fn invoke(&self, request: &str, epoch: &str) -> Invocation {
        let mut args = vec![Bytes::copy_from_slice(request.as_bytes())];
        if Self::contract().args.get(1).is_some_and(|a| a.starts_with("epoch")) {
            args.push(Bytes::copy_from_slice(epoch.as_bytes()));
        }
        args.extend(self.args());
        Invocation { script: Self::contract().text, keys: self.keys(), args }
    }

    /// Reads a server's reply to the call with this request id.
    ///
    /// # Errors
    /// A [`Refusal`] when the reply has no result for this call.
    fn read(request: &str, value: ReplyValue) -> Result<ScriptAnswer<Self::Reply>, Refusal> {
        if let ReplyValue::Error(text) = value {
            return Err(Refusal::Server(text));
        }
        let mut fields = ReplyFields::new(value.array("reply")?);
        let code = fields.text("code")?;
        if fields.text("request id")? != request {
            return Err(Refusal::OtherRequest);
        }
        let headed = Self::contract().keys.first().is_some_and(|k| k.starts_with("epoch"));
        let (epoch, fence, now) = if headed {
            (fields.text("epoch")?, fields.u64("fence")?, UnixMs(fields.u64("now")?))
        } else {
            (String::new(), 0, UnixMs(0))
        };
        if code == "wrong_epoch" {
            return Err(Refusal::WrongEpoch { found: epoch });
        }
        Ok(ScriptAnswer { epoch, fence, now, reply: Self::decode(&code, fields)? })
    }
}

/// A number as an argument.
pub(crate) fn arg(n: impl ToString) -> Bytes {
    Bytes::from(n.to_string())
}

/// A text as an argument.
pub(crate) fn arg_text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
