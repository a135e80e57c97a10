//! The runs of a server, as its partitions record them: what each found, and what was lost without a halt.

use std::sync::Arc;

use fred::types::Value as Arg;
use posthaste_protocol::ReplyValue;
use posthaste_protocol::scripts::open_server_run::{OpenServerRun, ServerRun};

use crate::command::text;
use crate::epoch_guard::Partition;
use crate::error::{CallError, malformed};
use crate::inner::Inner;
use crate::reader::Reader;

/// The runs of a partition's server, oldest first.
pub(crate) async fn runs(reader: &Reader, at: &Partition) -> Result<Vec<ServerRun>, CallError> {
    let args = vec![text(at.keys.runs()), Arg::Integer(0), Arg::Integer(-1)];
    let runs = match reader.ask("LRANGE", args, at.slot).await? {
        ReplyValue::Array(runs) => runs,
        _ => Vec::new(),
    };
    let runs = runs.into_iter().map(|run| run.text("run").and_then(|text| ServerRun::decode(&text)));
    runs.collect::<Result<_, _>>().map_err(|_| malformed("runs"))
}

impl Inner {
    /// Stores what was lost without being confirmed; what can't be stored now is stored later.
    pub(crate) async fn note_continued(self: &Arc<Self>) {
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
