//! Reading the parcels of big orders.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join3;
use posthaste_model::{Address, Channel, Content, Member, Row, Suffix};
use posthaste_protocol::record::{Head, Outcomes, decode_content, decode_parcel};
use posthaste_protocol::{Malformed, Value};

use crate::error::{CallError, Fault, StopWhy};
use crate::guard::Partition;
use crate::node::{Node, text};
use crate::settings::Role;
use crate::store::{Inner, Store};

/// A parcel of a big order.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the order says.
    pub content: Arc<Content>,
    /// The rows of the parcel, in order.
    pub rows: Vec<Row>,
    /// Their outcomes, in the same order.
    pub outcomes: Outcomes,
}

/// A reply that lacks what must be there.
pub(crate) fn malformed(what: &'static str) -> CallError {
    CallError::Fault(Fault::Malformed(Malformed::new(what)))
}

impl Inner {
    /// The way of plain reads: each goes to whoever has its slot. They are not guarded by the epoch as scripts are.
    pub(crate) async fn reader(self: &Arc<Self>) -> Result<Node, CallError> {
        match self.guard.check() {
            // Who only looks may look at a halted database, too.
            Err(CallError::Stop(StopWhy::Halted(_))) if self.role == Role::Inspector => {
                return Ok(Node::routed(self, false));
            }
            checked => checked?,
        }
        Ok(Node::routed(self, true))
    }

    /// A string; `None` when there is none.
    pub(crate) async fn get(node: &Node, slot: u16, key: String) -> Result<Option<Bytes>, CallError> {
        match node.ask("GET", vec![text(key)], slot).await.map_err(CallError::of_record)? {
            Value::Nil => Ok(None),
            value => value.bytes("string").map(Some).map_err(CallError::record),
        }
    }

    async fn content(&self, node: &Node, at: &Partition, suffix: &Suffix) -> Result<Arc<Content>, CallError> {
        if let Some(content) = self.contents.get(suffix) {
            return Ok(content);
        }
        let packed = Self::get(node, at.slot, at.keys.text(suffix))
            .await?
            .ok_or(CallError::record(Malformed::new("text: gone")))?;
        let content = Arc::new(decode_content(&packed).map_err(CallError::record)?);
        self.contents.put(suffix, &content, packed.len());
        Ok(content)
    }

    pub(crate) async fn rows(
        node: &Node,
        at: &Partition,
        channel: &Channel,
        member: &Member,
    ) -> Result<Vec<Row>, CallError> {
        let key = at.keys.parcel(&member.suffix, channel, member.number);
        let packed =
            Self::get(node, at.slot, key).await?.ok_or(CallError::record(Malformed::new("parcel: gone")))?;
        decode_parcel(&packed).map_err(CallError::record)
    }

    /// `ended`: the order was cancelled before it was due, so what has no record is cancelled.
    pub(crate) async fn outcomes(
        node: &Node,
        at: &Partition,
        channel: &Channel,
        member: &Member,
        head: &Head,
        ended: bool,
    ) -> Result<Outcomes, CallError> {
        let rows = head.parcel_rows(channel, member.number);
        let record =
            Self::get(node, at.slot, at.keys.outcome(&member.suffix, channel, member.number)).await?;
        let outcomes = match record {
            None if ended => Outcomes::all_cancelled(rows, head.due),
            record => Outcomes::decode(record.as_deref(), rows, head.due),
        };
        outcomes.map_err(CallError::record)
    }
}

impl Store {
    /// Reads a parcel of a big order: content (kept for the next parcel), rows and outcomes, in one go.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault` when a record is gone or can't be read.
    pub async fn load(
        &self,
        p: u16,
        channel: &Channel,
        member: &Member,
        head: &Head,
    ) -> Result<Loaded, CallError> {
        let at = self.0.partition(p)?;
        let node = &self.0.reader().await?;
        let (content, rows, outcomes) = try_join3(
            self.0.content(node, at, &member.suffix),
            Inner::rows(node, at, channel, member),
            Inner::outcomes(node, at, channel, member, head, false),
        )
        .await?;
        if rows.len() != outcomes.len() {
            return Err(CallError::record(Malformed::new(
                "parcel: another number of rows than its order says",
            )));
        }
        Ok(Loaded { content, rows, outcomes })
    }

    /// The outcomes of one parcel of a big order. `ended`: the order was cancelled and is finished, see
    /// [`OrderView::ended_unrung`](crate::OrderView::ended_unrung).
    ///
    /// # Errors
    /// A [`CallError`]; `Fault` when the record can't be read.
    pub async fn load_outcomes(
        &self,
        p: u16,
        channel: &Channel,
        member: &Member,
        head: &Head,
        ended: bool,
    ) -> Result<Outcomes, CallError> {
        let at = self.0.partition(p)?;
        Inner::outcomes(&self.0.reader().await?, at, channel, member, head, ended).await
    }

    /// The rows of one parcel of a big order.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault` when the record is gone or can't be read.
    pub async fn load_rows(&self, p: u16, channel: &Channel, member: &Member) -> Result<Vec<Row>, CallError> {
        let at = self.0.partition(p)?;
        Inner::rows(&self.0.reader().await?, at, channel, member).await
    }

    /// What a big order says.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault` when the record is gone or can't be read.
    pub async fn load_content(&self, p: u16, suffix: &Suffix) -> Result<Arc<Content>, CallError> {
        let at = self.0.partition(p)?;
        self.0.content(&self.0.reader().await?, at, suffix).await
    }
    /// The address of one row of an order, a big or a small one; `None` when there is no such order or row.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault` when a record can't be read.
    pub async fn row_address(
        &self,
        channel: &Channel,
        member: &Member,
        row: u16,
    ) -> Result<Option<Address>, CallError> {
        let p = self.partition_of(&member.suffix);
        let Some(view) = self.load_order(p, &member.suffix).await? else { return Ok(None) };
        let rows = match view.inline {
            // An order inside its record has rows of one channel, in one parcel.
            Some((inline, _)) if member.number == 0 && view.head.rows(channel) > 0 => inline.rows,
            None if member.number < view.head.parcels(channel) => self.load_rows(p, channel, member).await?,
            _ => return Ok(None),
        };
        Ok(rows.into_iter().nth(usize::from(row)).map(|row| row.address))
    }
}
