//! What keeps a database in order: sweeping, resolving, auditing, retiring.

use std::time::Duration;

use posthaste_model::{Channel, Member, Reason, Suffix};
use posthaste_protocol::Answer;
use posthaste_protocol::scripts::audit::{Audit, Audited};
use posthaste_protocol::scripts::close::{Close, Closed, Index};
use posthaste_protocol::scripts::inquire::{Inquire, Inquiry};
use posthaste_protocol::scripts::patrol::{Patrol, Patrolled};
use posthaste_protocol::scripts::receipt::{Receipt, Word};
use posthaste_protocol::scripts::resolve::{Decision, Resolve, Resolved};
use posthaste_protocol::scripts::retire::{Retire, Retired};
use posthaste_protocol::scripts::settle::Reported;
use posthaste_protocol::scripts::sweep::{Sweep, Swept};
use posthaste_protocol::scripts::unstage::{Unstage, Unstaged};

use crate::error::{CallError, Lost};
use crate::link::Link;
use crate::store::Store;

/// After which silence a courier's last request is forgotten: far longer than a copy of it can be on its way.
const FORGET_AFTER: Duration = Duration::from_secs(24 * 3600);

impl Store {
    /// Takes back leases of a channel that are over, `limit` (200) at most. `blame`: such a lease means a crash; not so
    /// just after the server was away. `link`: only while the connection is the one from which `blame` was concluded.
    ///
    /// # Errors
    /// A [`CallError`]; `Away` also when the connection is another one than `link`.
    pub async fn sweep(
        &self,
        p: u16,
        channel: &Channel,
        limit: u32,
        blame: bool,
        link: Option<&Link>,
    ) -> Result<Answer<Swept>, CallError> {
        let partition = self.0.partition(p)?;
        if let Some(link) = link {
            // It may have had to wait for a connection.
            self.0.worker_of(partition).await?;
            if !self.link_of(p).is_some_and(|now| now.is_same_connection(link)) {
                return Err(CallError::Away(Lost::NotConnected));
            }
        }
        let keys = &partition.keys;
        self.0.call(p, &Sweep { keys, channel, limit, blame, forget_after: FORGET_AFTER }).await
    }

    /// Names parcels with unresolved rows whose time has come, `limit` (200) at most, and puts each off, so that nobody
    /// else asks about it meanwhile.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn inquire(
        &self,
        p: u16,
        channel: &Channel,
        limit: u32,
        put_off: Duration,
    ) -> Result<Answer<Inquiry>, CallError> {
        self.0.call(p, &Inquire { keys: &self.0.partition(p)?.keys, channel, limit, put_off }).await
    }

    /// Decides unresolved rows of a parcel: (row, attempt, decision), rows ascending.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn resolve(
        &self,
        p: u16,
        channel: &Channel,
        member: &Member,
        decisions: &[(u16, u8, Decision)],
    ) -> Result<Answer<Resolved>, CallError> {
        self.0.call(p, &Resolve { keys: &self.0.partition(p)?.keys, channel, member, decisions }).await
    }

    /// A late word from outside about one attempt at one row. `None`: there is no such row, or it can't be read.
    ///
    /// # Errors
    /// A [`CallError`].
    #[expect(clippy::too_many_arguments, reason = "a receipt is these seven things")]
    pub async fn receipt(
        &self,
        p: u16,
        channel: &Channel,
        member: &Member,
        row: u16,
        attempt: u8,
        word: Word,
        reason: Reason,
    ) -> Result<Answer<Option<Reported>>, CallError> {
        let keys = &self.0.partition(p)?.keys;
        self.0.call_reporting(p, &Receipt { keys, channel, member, row, attempt, word, reason }).await
    }

    /// Walks an index of a channel from a rank on and ends what nobody will come for: rows past their time, cancelled
    /// ones, unknowns nobody resolves. `limit` members, 200 at most.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn close(
        &self,
        p: u16,
        channel: &Channel,
        index: Index,
        from: u64,
        limit: u32,
    ) -> Result<Answer<Closed>, CallError> {
        self.0.call(p, &Close { keys: &self.0.partition(p)?.keys, channel, index, from, limit }).await
    }

    /// Walks the list of orders from a position on and names those to audit; `limit` orders at most.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn patrol(&self, p: u16, from: u64, limit: u32) -> Result<Answer<Patrolled>, CallError> {
        self.0.call(p, &Patrol { keys: &self.0.partition(p)?.keys, from, limit }).await
    }

    /// Looks whether the parcels of an order are in the index their records ask for, from parcel `from` on.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn audit(
        &self,
        p: u16,
        channel: &Channel,
        suffix: &Suffix,
        from: u32,
    ) -> Result<Answer<Audited>, CallError> {
        self.0.call(p, &Audit { keys: &self.0.partition(p)?.keys, channel, suffix, from }).await
    }

    /// Removes orders that became final on a day (days since 1970) longer ago than the retention, a step at a time.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn retire(&self, p: u16, day: u64, retention_days: u32) -> Result<Answer<Retired>, CallError> {
        self.0.call(p, &Retire { keys: &self.0.partition(p)?.keys, day, retention_days }).await
    }

    /// Removes what was staged for an order that will not come, a step at a time: this one, or the oldest that was given
    /// up or has been silent for 15 minutes. One that is named goes only while that upload holds it.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn unstage(
        &self,
        p: u16,
        named: Option<(&Suffix, &str)>,
    ) -> Result<Answer<Unstaged>, CallError> {
        let (suffix, upload) = named.unzip();
        self.0.call(p, &Unstage { keys: &self.0.partition(p)?.keys, suffix, upload }).await
    }
}
