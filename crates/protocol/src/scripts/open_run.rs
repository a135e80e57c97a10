//! `open_run`: tells at which mark each run of the server found the database.

use std::time::Duration;

use bytes::Bytes;
use posthaste_model::UnixMs;

use crate::keys::Keys;
use crate::script::{Script, arg, arg_text};
use crate::value::{Fields, Malformed};

contract!("open_run", drains: true,
    keys: ["epoch:{p}", "fence:{p}", "runs:{p}"],
    args: ["request id", "epoch", "id of a run to note a loss of, or empty", "ms that were lost with it"],
    codes: ["ok", "epoch"]);

/// Asks for the runs of the server, and opens the one it is on if nobody has.
#[derive(Debug, Clone)]
pub struct OpenRun<'a> {
    /// Keys of the partition.
    pub keys: &'a Keys,
    /// The id of a run with which changes were lost, none of them confirmed, and how much time they span.
    pub lost: Option<(&'a str, Duration)>,
}

/// One run of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Its run id.
    pub id: String,
    /// The mark it found: the value of the fence when its first caller came.
    pub found: u64,
    /// What the fence was raised to then; 0 when the database was new.
    pub raised: u64,
    /// When that was.
    pub opened: UnixMs,
    /// How much time was lost with it although work went on, since nothing of that had been confirmed; `None`: nobody knows of
    /// a loss, or work was stopped by it.
    pub continued: Option<Duration>,
}

impl Run {
    /// Whether a mark that was told once is no longer there, as this run shows.
    #[must_use]
    pub fn lost(&self, mark: u64) -> bool {
        self.found < mark && mark < self.raised
    }

    /// Reads an entry of the list.
    ///
    /// # Errors
    /// When it has another shape.
    pub fn decode(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed::new("run of the server");
        let mut words = text.split(' ');
        let id = words.next().ok_or_else(malformed)?.to_owned();
        let mut number = || words.next().and_then(|word| word.parse().ok()).ok_or_else(malformed);
        let (found, raised, opened) = (number()?, number()?, UnixMs(number()?));
        let continued = words.next().map(|word| word.parse().map(Duration::from_millis).map_err(|_| malformed()));
        Ok(Self { id, found, raised, opened, continued: continued.transpose()? })
    }
}

impl Script for OpenRun<'_> {
    /// Oldest first; the last one is the server's own.
    type Reply = Vec<Run>;

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

    fn decode(code: &str, mut f: Fields) -> Result<Self::Reply, Malformed> {
        match code {
            "ok" => f.array("runs")?.into_iter().map(|run| Run::decode(&run.text("run")?)).collect(),
            _ => Err(Malformed::new("code of open_run")),
        }
    }
}
