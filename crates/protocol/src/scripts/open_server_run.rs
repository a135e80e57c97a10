//! `open_server_run`: returns the mark at which each run of the server found the database.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::UnixMs;

use crate::keys::PartitionKeys;
use crate::script::{ScriptCall, arg, arg_text};
use crate::reply_value::{ReplyFields, Malformed};

contract!("open_server_run", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "runs:{p}"],
    args: ["request id", "epoch", "id of a run to note a loss of, or empty", "ms that were lost with it"],
    codes: ["ok", "wrong_epoch"]);

/// Requests the runs of the server, and opens the current one if no process has.
#[derive(Debug, Clone)]
pub struct OpenServerRun<'a> {
    /// Keys of the partition.
    pub keys: &'a PartitionKeys,
    /// The id of a run in which changes were lost, none of them confirmed, and the time they span.
    pub lost: Option<(&'a str, Duration)>,
}

/// One run of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerRun {
    /// Its run id.
    pub id: String,
    /// The mark it found: the value of the fence at its first call.
    pub found: u64,
    /// The value the fence was raised to then; 0 if the database was new.
    pub raised: u64,
    /// When that was.
    pub opened: UnixMs,
    /// How much time was lost with this run while work continued, because nothing lost had been confirmed; `None`: no
    /// loss is known, or work was stopped because of it.
    pub continued: Option<Duration>,
}

impl ServerRun {
    /// Whether this run shows that a mark returned before no longer exists.
    #[must_use]
    pub fn lost(&self, mark: u64) -> bool {
        self.found < mark && mark < self.raised
    }

    /// Reads an entry of the list.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn decode(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed::new("server run");
        let mut words = text.split(' ');
        let id = words.next().ok_or_else(malformed)?.to_owned();
        let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed);
        let (found, raised, opened) = (number()?, number()?, UnixMs(number()?));
        let continued = words.next().map(|word| word.parse().map(Duration::from_millis).map_err(|_| malformed()));
        Ok(Self { id, found, raised, opened, continued: continued.transpose()? })
    }
}

impl ScriptCall for OpenServerRun<'_> {
    /// Oldest first; the last one is the server's current run.
    type Reply = Vec<ServerRun>;

    fn contract() -> &'static crate::script::Contract {
        &CONTRACT
    }

    fn keys(&self) -> Vec<String> {
        vec![self.keys.epoch(), self.keys.fence(), self.keys.runs()]
    }

    fn args(&self) -> Vec<Bytes> {
        let (run, lost) = self.lost.unwrap_or_default();
        vec![arg_text(run), arg(u64::try_from(lost.as_millis()).unwrap_or(u64::MAX))]
    }

    fn decode(code: &str, mut f: ReplyFields) -> Result<Self::Reply, Malformed> {
        match code {
            "ok" => f.array("runs")?.into_iter().map(|run| ServerRun::decode(&run.text("run")?)).collect(),
            _ => Err(Malformed::new("code of open_server_run")),
        }
    }
}
