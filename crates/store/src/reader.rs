//! Plain reads: each goes to the server that has the slot of its key. Unlike scripts they are not guarded by the epoch.

use std::sync::Arc;

use bytes::Bytes;
use fred::types::Value as Arg;
use posthaste_protocol::ReplyValue;

use crate::command::{self, text};
use crate::error::{CallError, FatalReason};
use crate::inner::Inner;
use crate::settings::Role;

/// Sends each command to the server that has its slot, always over the same of its connections.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    inner: Arc<Inner>,
    /// Chooses the connection.
    turn: usize,
    /// Refuses once the database is another one.
    guarded: bool,
    /// Uses one of its replicas while a server is away.
    replica: bool,
}

impl Reader {
    /// Also reads a halted database, or another one.
    pub(crate) fn unguarded(inner: &Arc<Inner>) -> Self {
        Self {
            inner: Arc::clone(inner),
            turn: rand::random_range(0..1 << 16),
            guarded: false,
            replica: false,
        }
    }

    /// The same, but may use a replica while the primary is away: for data that all partitions need.
    pub(crate) fn or_replica(mut self) -> Self {
        self.replica = true;
        self
    }

    /// Runs a command for the slot and returns its reply; error replies are classified.
    pub(crate) async fn ask(
        &self,
        command: &'static str,
        args: Vec<Arg>,
        slot: u16,
    ) -> Result<ReplyValue, CallError> {
        let Self { inner, turn, guarded, replica } = self;
        let spare = (*replica && inner.routes.is_cluster()).then(|| args.clone());
        if let Some(args) = &spare
            && inner.routes.is_away(slot)
            && let Some(answer) = self.ask_replica(slot, command, args).await
        {
            return answer;
        }
        match (inner.ask_slot(*turn, *guarded, command, args, slot).await, spare) {
            (Err(CallError::NoReply(lost)), Some(args)) => {
                let answer = self.ask_replica(slot, command, &args).await;
                answer.unwrap_or(Err(CallError::NoReply(lost)))
            }
            (answer, _) => answer,
        }
    }

    /// `None` when no replica of the primary that has the slot answers.
    async fn ask_replica(
        &self,
        slot: u16,
        command: &'static str,
        args: &[Arg],
    ) -> Option<Result<ReplyValue, CallError>> {
        self.inner.replicas.ask(&self.inner.routes.replicas_of(slot), command, args).await
    }

    /// A string; `None` when it does not exist.
    pub(crate) async fn get(&self, slot: u16, key: String) -> Result<Option<Bytes>, CallError> {
        command::string(self.ask("GET", vec![text(key)], slot).await)
    }
}

impl Inner {
    /// A reader that refuses once the database is another one.
    pub(crate) async fn reader(self: &Arc<Self>) -> Result<Reader, CallError> {
        match self.guard.check() {
            // An inspector may also read a halted database.
            Err(CallError::Fatal(FatalReason::Halted(_))) if self.role == Role::Inspector => {
                return Ok(Reader::unguarded(self));
            }
            checked => checked?,
        }
        Ok(Reader { guarded: true, ..Reader::unguarded(self) })
    }
}
