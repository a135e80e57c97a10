//! Times at which the database went back but work went on because nothing confirmed was lost. They are stored with
//! the run of the server, for later queries.

use std::fmt;
use std::time::Duration;

use fred::types::Value as Arg;
use posthaste_model::UnixMs;
use posthaste_protocol::ReplyValue;
use posthaste_protocol::scripts::open_server_run::{OpenServerRun, ServerRun};

use crate::epoch_guard::Partition;
use crate::error::CallError;
use crate::halted::moment;
use crate::node::{Node, text};
use crate::store::{Inner, Store};
use crate::verbs::malformed;

/// The database went back, nothing confirmed was lost, and work went on. Its `Display` text is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback {
    /// When the run of the server began in which data was missing, by the server's clock.
    pub at: UnixMs,
    /// How much time was lost, as far as known.
    pub span: Duration,
}

impl fmt::Display for Rollback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.span.as_millis().div_ceil(1_000).max(1);
        write!(
            f,
            "went back by about {seconds} s at {} (its server failed over or restarted); nothing confirmed was lost, so work \
             went on by itself",
            moment(self.at)
        )
    }
}

/// The runs of a partition's server, oldest first.
pub(crate) async fn runs(node: &Node, at: &Partition) -> Result<Vec<ServerRun>, CallError> {
    let args = vec![text(at.keys.runs()), Arg::Integer(0), Arg::Integer(-1)];
    let runs = match node.ask("LRANGE", args, at.slot).await? {
        ReplyValue::Array(runs) => runs,
        _ => Vec::new(),
    };
    let runs = runs.into_iter().map(|run| run.text("run").and_then(|text| ServerRun::decode(&text)));
    runs.collect::<Result<_, _>>().map_err(|_| malformed("runs"))
}

impl Inner {
    /// Stores what was lost without being confirmed; what can't be stored now is stored later.
    pub(crate) async fn note_continued(self: &std::sync::Arc<Self>) {
        for at in self.guard.all() {
            let Some(noted) = at.take_continued() else { continue };
            let script = OpenServerRun { keys: &at.keys, lost: Some((&noted.0, noted.1)) };
            if let Err(error) = self.call(at.number, &script).await {
                tracing::debug!(partition = at.number, %error, "cannot record a loss yet; will retry");
                at.keep_continued(noted);
            }
        }
    }
}

impl Store {
    /// When the database went back and work went on, the latest first; forgotten after 16 runs of the server, and by
    /// a recovery. Writes nothing.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn rollbacks(&self) -> Result<Vec<Rollback>, CallError> {
        let node = Node::routed(&self.0, false);
        let mut all: Vec<(String, Rollback)> = Vec::new();
        for at in self.0.guard.all() {
            for run in runs(&node, at).await? {
                let Some(span) = run.continued else { continue };
                match all.iter_mut().find(|(id, _)| *id == run.id) {
                    Some((_, known)) => {
                        known.at = known.at.min(run.opened);
                        known.span = known.span.max(span);
                    }
                    None => all.push((run.id, Rollback { at: run.opened, span })),
                }
            }
        }
        let mut all: Vec<_> = all.into_iter().map(|(_, rollback)| rollback).collect();
        all.sort_by_key(|rollback| std::cmp::Reverse(rollback.at));
        Ok(all)
    }
}
