//! What a script is: its text with the shared parts, its contract, and how it is called and answered.

use std::sync::LazyLock;

use bytes::Bytes;
use posthaste_model::UnixMs;
use sha1::{Digest, Sha1};

use crate::value::{Fields, Malformed, Value};

/// The text of a script as servers run it, made once from its file and the shared parts it names.
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
    /// Puts the parts named in the line `-- uses:` behind the first line, in that order.
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

/// What the header of a script's file promises, as its codec sees it. A test compares the two.
#[derive(Debug)]
pub struct Contract {
    /// The script.
    pub text: &'static LazyLock<ScriptText>,
    /// The file as it is.
    pub source: &'static str,
    /// Its keys in order; the last may stand for many (`…`).
    pub keys: &'static [&'static str],
    /// The first words of its arguments in order.
    pub args: &'static [&'static str],
    /// Every code it answers.
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

/// What every reply of a partition's script tells beside its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<R> {
    /// The epoch of the database.
    pub epoch: String,
    /// The highest fence given out, or that of the claim.
    pub fence: u64,
    /// The server's time.
    pub now: UnixMs,
    /// The script's own reply.
    pub reply: R,
}

/// A reply that is not an answer. Named by what the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Stop: the database is another one than before, or has lost its epoch. Nothing was written.
    #[error("the database has another epoch: it was wiped, restored or replaced")]
    Epoch {
        /// The epoch found, empty when there is none.
        found: String,
    },
    /// Drop the connection: the reply belongs to another request.
    #[error("the reply belongs to another request")]
    Crossed,
    /// Report: a reply of another shape.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The server refused; its first word says why (`OOM`, `NOSCRIPT`, `LOADING`, …).
    #[error("the server answered {0}")]
    Server(String),
}

/// A script with its arguments.
pub trait Script {
    /// Its own reply, decoded.
    type Reply;

    /// What its file promises.
    fn contract() -> &'static Contract;

    /// KEYS, in the order of the contract.
    fn keys(&self) -> Vec<String>;

    /// ARGV behind request id and epoch.
    fn args(&self) -> Vec<Bytes>;

    /// Reads the reply behind its head.
    ///
    /// # Errors
    /// When code or fields are not those of the contract.
    fn decode(code: &str, fields: Fields) -> Result<Self::Reply, Malformed>;

    /// The call under a request id, for the database of the given epoch.
    fn invoke(&self, request: &str, epoch: &str) -> Invocation {
        let mut args = vec![Bytes::copy_from_slice(request.as_bytes())];
        if Self::contract().args.get(1).is_some_and(|a| a.starts_with("epoch")) {
            args.push(Bytes::copy_from_slice(epoch.as_bytes()));
        }
        args.extend(self.args());
        Invocation { script: Self::contract().text, keys: self.keys(), args }
    }

    /// Reads a server's reply to the call of this request id.
    ///
    /// # Errors
    /// A [`Refusal`] when it is not an answer to it.
    fn read(request: &str, value: Value) -> Result<Answer<Self::Reply>, Refusal> {
        if let Value::Error(text) = value {
            return Err(Refusal::Server(text));
        }
        let mut fields = Fields::new(value.array("reply")?);
        let code = fields.text("code")?;
        if fields.text("request id")? != request {
            return Err(Refusal::Crossed);
        }
        let headed = Self::contract().keys.first().is_some_and(|k| k.starts_with("epoch"));
        let (epoch, fence, now) = if headed {
            (fields.text("epoch")?, fields.u64("fence")?, UnixMs(fields.u64("now")?))
        } else {
            (String::new(), 0, UnixMs(0))
        };
        if code == "epoch" {
            return Err(Refusal::Epoch { found: epoch });
        }
        Ok(Answer { epoch, fence, now, reply: Self::decode(&code, fields)? })
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
