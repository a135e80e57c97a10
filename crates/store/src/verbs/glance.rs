//! The light record of an order: head, counters, revision and flags, without texts and rows. For snapshots and lists.

use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join;
use posthaste_model::{Channel, Content, Counters, State, Suffix, UnixMs};
use posthaste_protocol::record::{Head, Outcomes, decode_counters};
use posthaste_protocol::{Fields, Malformed, Value};

use super::order::OrderView;
use crate::error::CallError;
use crate::guard::Partition;
use crate::node::{Node, text};
use crate::store::{Inner, Store};

/// An order without its texts and rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glance {
    /// Its head.
    pub head: Head,
    /// Rows by state, of each channel in the order of the head.
    pub counters: Vec<(Channel, Counters)>,
    /// Grows with every change.
    pub revision: u64,
    /// When it was cancelled.
    pub cancelled: Option<UnixMs>,
    /// When its last row became final.
    pub finished: Option<UnixMs>,
    /// When it is due, as long as not all of it has been rung.
    pub waits_until: Option<UnixMs>,
    /// Parcels rung so far, while a big order is being rung.
    pub rung: Option<u32>,
}

impl Glance {
    /// Rows by state, and recipients without an address, over all channels.
    #[must_use]
    pub fn totals(&self) -> Counters {
        let mut totals = Counters::default();
        for (_, counters) in &self.counters {
            for state in State::ALL {
                totals[state] = totals[state].saturating_add(counters[state]);
            }
            totals.no_contact = totals.no_contact.saturating_add(counters.no_contact);
        }
        totals
    }

    /// Whether it was cancelled before it was rung: parcels of a big one have no outcome records then.
    #[must_use]
    pub fn ended_unrung(&self) -> bool {
        self.cancelled.is_some() && self.finished.is_some()
    }
}

impl From<&OrderView> for Glance {
    fn from(view: &OrderView) -> Self {
        Self {
            head: view.head.clone(),
            counters: view.counters.clone(),
            revision: view.revision,
            cancelled: view.cancelled,
            finished: view.finished,
            waits_until: view.waits_until,
            rung: view.rung,
        }
    }
}

/// What `HMGET h t` of a history tells.
#[derive(Debug)]
pub(crate) enum Looked {
    /// There is an order.
    Head(Head),
    /// There was one nobody could read: an operator ended it, at this moment.
    Ended(UnixMs),
    /// There is none.
    Gone,
}

/// A field that may be missing.
fn field(fields: &mut Fields) -> Result<Option<Bytes>, Malformed> {
    match fields.value("field")? {
        Value::Nil => Ok(None),
        value => value.bytes("field").map(Some),
    }
}

fn number(bytes: Option<Bytes>) -> Option<u64> {
    std::str::from_utf8(&bytes?).ok()?.parse().ok()
}

/// The fields that tell everything but text and rows: those all orders have, then one a channel.
fn names(layout: &Head) -> Vec<String> {
    let kind = if layout.inline { 'n' } else { 'c' };
    let plain = ["h", "v", "x", "f", "g", "o"].map(str::to_owned);
    plain.into_iter().chain(layout.channels.iter().map(|(channel, _)| format!("{kind}:{channel}"))).collect()
}

/// Reads the values of [`names`]; `None` when the order is gone.
fn read(values: Value, layout: &Head) -> Result<Option<Glance>, Malformed> {
    let mut values = Fields::new(values.array("history")?);
    let Some(head) = field(&mut values)? else { return Ok(None) };
    let head = Head::decode(&head)?;
    if head.channels != layout.channels || head.inline != layout.inline {
        return Err(Malformed::new("head: not that of the order"));
    }
    let (revision, cancelled) = (number(field(&mut values)?), number(field(&mut values)?).map(UnixMs));
    let (finished, rung) = (number(field(&mut values)?).map(UnixMs), number(field(&mut values)?));
    let outcomes = field(&mut values)?;
    let mut counters = Vec::with_capacity(head.channels.len());
    for (channel, rows) in &head.channels {
        let value = field(&mut values)?;
        let of_channel = if head.inline {
            // An inline order has one channel with rows; others only have recipients without an address.
            let mut of_channel = match rows {
                0 => Counters::default(),
                rows => Outcomes::decode(outcomes.as_deref(), *rows, head.due)?.counters(),
            };
            let without = u32::try_from(number(value).unwrap_or(0));
            of_channel.no_contact = without.map_err(|_| Malformed::new("counters"))?;
            of_channel
        } else {
            decode_counters(&value.ok_or(Malformed::new("counters"))?)?
        };
        counters.push((channel.clone(), of_channel));
    }
    Ok(Some(Glance {
        counters,
        revision: revision.unwrap_or(0),
        cancelled,
        finished,
        waits_until: None,
        rung: rung.and_then(|rung| u32::try_from(rung).ok()),
        head,
    }))
}

impl Inner {
    /// The head of an order; `None` when there is none.
    pub(crate) async fn head(
        node: &Node,
        at: &Partition,
        suffix: &Suffix,
    ) -> Result<Option<Head>, CallError> {
        let reply = node.ask("HGET", vec![text(at.keys.history(suffix)), "h".into()], at.slot).await;
        match reply.map_err(CallError::of_record)? {
            Value::Nil => Ok(None),
            head => {
                let head = head.bytes("head").map_err(CallError::record)?;
                Head::decode(&head).map(Some).map_err(CallError::record)
            }
        }
    }

    /// The head of an order, or what is left of one that an operator ended.
    pub(crate) async fn look(node: &Node, at: &Partition, suffix: &Suffix) -> Result<Looked, CallError> {
        let args = vec![text(at.keys.history(suffix)), "h".into(), "t".into()];
        let values = node.ask("HMGET", args, at.slot).await.map_err(CallError::of_record)?;
        let mut values = Fields::new(values.array("history").map_err(CallError::record)?);
        let head = field(&mut values).map_err(CallError::record)?;
        let ended = field(&mut values).map_err(CallError::record)?;
        Ok(match (head, ended) {
            (Some(head), _) => Looked::Head(Head::decode(&head).map_err(CallError::record)?),
            (None, Some(ended)) => {
                let moment =
                    std::str::from_utf8(&ended).ok().and_then(|text| text.rsplit(' ').next()?.parse().ok());
                Looked::Ended(UnixMs(moment.unwrap_or(0)))
            }
            (None, None) => Looked::Gone,
        })
    }

    /// An order whose channels and layout are known. `asks_due`: whether it may still wait to be rung.
    pub(crate) async fn glance(
        node: &Node,
        at: &Partition,
        suffix: &Suffix,
        layout: &Head,
        asks_due: bool,
    ) -> Result<Option<Glance>, CallError> {
        let mut args = vec![text(at.keys.history(suffix))];
        args.extend(names(layout).into_iter().map(text));
        let due = async {
            if !asks_due {
                return Ok(Value::Nil);
            }
            let args = vec![text(at.keys.due(layout.lane)), text(suffix.to_string())];
            node.ask("ZSCORE", args, at.slot).await
        };
        let values = async { node.ask("HMGET", args, at.slot).await.map_err(CallError::of_record) };
        let (values, due) = try_join(values, due).await?;
        let glance = read(values, layout).map_err(CallError::record)?;
        Ok(glance.map(|glance| Glance { waits_until: due.u64("due time").ok().map(UnixMs), ..glance }))
    }
}

impl Store {
    /// An order without its texts and rows; `None` when there is none. `before`: what an earlier glance at the same order
    /// told, which saves a round trip.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault::Record` when it can't be read.
    pub async fn glance(
        &self,
        suffix: &Suffix,
        before: Option<&Glance>,
    ) -> Result<Option<Glance>, CallError> {
        let at = self.0.partition(self.partition_of(suffix))?;
        let node = &self.0.reader().await?;
        if let Some(before) = before {
            // What was rung once does not wait again.
            return Inner::glance(node, at, suffix, &before.head, before.waits_until.is_some()).await;
        }
        match Inner::head(node, at, suffix).await? {
            Some(head) => Inner::glance(node, at, suffix, &head, true).await,
            None => Ok(None),
        }
    }

    /// The head of an order; `None` when there is none.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault::Record` when it can't be read.
    pub async fn order_head(&self, suffix: &Suffix) -> Result<Option<Head>, CallError> {
        Inner::head(&self.0.reader().await?, self.0.partition(self.partition_of(suffix))?, suffix).await
    }

    /// When an operator ended an order nobody could read; `None` when there is no such order, or it can be read.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn ended_unreadable(&self, suffix: &Suffix) -> Result<Option<UnixMs>, CallError> {
        let at = self.0.partition(self.partition_of(suffix))?;
        match Inner::look(&self.0.reader().await?, at, suffix).await? {
            Looked::Ended(moment) => Ok(Some(moment)),
            Looked::Head(_) | Looked::Gone => Ok(None),
        }
    }

    /// The same of an order an earlier request may have stored, once it is as safe as an order that is accepted now.
    ///
    /// # Errors
    /// A [`CallError`]; `Undurable` when it is there, but not yet that safe.
    pub async fn glance_confirmed(&self, suffix: &Suffix) -> Result<Option<Glance>, CallError> {
        let p = self.partition_of(suffix);
        let before = self.0.before_confirm(p);
        let glance = self.glance(suffix, None).await?;
        if glance.is_some() {
            self.0.confirmed(p, before).await?;
        }
        Ok(glance)
    }

    /// What an order says, a small one or a big one; `None` when there is no order.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault::Record` when it can't be read.
    pub async fn order_content(&self, suffix: &Suffix) -> Result<Option<Arc<Content>>, CallError> {
        let p = self.partition_of(suffix);
        let head = Inner::head(&self.0.reader().await?, self.0.partition(p)?, suffix).await?;
        match head {
            None => Ok(None),
            Some(head) if !head.inline => self.load_content(p, suffix).await.map(Some),
            Some(_) => {
                let Some(view) = self.load_order(p, suffix).await? else { return Ok(None) };
                let (inline, _) = view.inline.ok_or(CallError::record(Malformed::new("inline order")))?;
                Ok(Some(Arc::new(inline.content)))
            }
        }
    }
}
