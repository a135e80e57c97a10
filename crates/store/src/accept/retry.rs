//! A new order from chosen rows of an old one, parcel by parcel.

use std::time::Duration;

use posthaste_model::{Channel, Member, Row, Suffix, UnixMs};
use posthaste_protocol::record::RowOutcome;

use super::{AcceptError, Accepted, NewOrderHead};
use crate::error::CallError;
use crate::store::Store;
use crate::verbs::OrderView;

/// What the new order is to be. Content, lane and policy are the old one's.
#[derive(Debug, Clone)]
pub struct RetryAsk {
    /// Its suffix.
    pub suffix: Suffix,
    /// When it is due; `None` for now.
    pub due: Option<UnixMs>,
    /// Digest of the request, so that a repeated one is known.
    pub digest: [u8; 12],
}

impl Store {
    /// Accepts a new order from the rows of `old` that `choose` wants, in bounded memory. The old one stays as it is.
    ///
    /// # Errors
    /// An [`AcceptError`]: `NoSource` when there is no old order, `Empty` when no row was chosen.
    pub async fn retry_order(
        &self,
        old: &Suffix,
        ask: &RetryAsk,
        choose: impl Fn(&Channel, &Row, &RowOutcome) -> bool,
    ) -> Result<Accepted, AcceptError> {
        let p = self.partition_of(old);
        // Nothing is stored before the writer finishes.
        let view = self.load_order(p, old).await.map_err(AcceptError::Refused)?;
        let view = view.ok_or(AcceptError::NoSource)?;
        match self.retry_once(p, old, &view, ask, &choose).await {
            // Rows changed between an attempt that was cut off and this one; what that left is removed now.
            Err(AcceptError::Gone) => self.retry_once(p, old, &view, ask, &choose).await,
            other => other,
        }
    }

    async fn retry_once(
        &self,
        p: u16,
        old: &Suffix,
        view: &OrderView,
        ask: &RetryAsk,
        choose: &impl Fn(&Channel, &Row, &RowOutcome) -> bool,
    ) -> Result<Accepted, AcceptError> {
        let head = &view.head;
        let mut content = match &view.inline {
            Some((inline, _)) => inline.content.clone(),
            None => self.load_content(p, old).await.map_err(AcceptError::Refused)?.as_ref().clone(),
        };
        content.retry_of = old.to_string();
        let mut writer = self.open_order(NewOrderHead {
            suffix: ask.suffix.clone(),
            due: ask.due,
            lane: head.lane,
            on_unknown: head.on_unknown,
            not_after: None,
            span: head.not_after.since(head.due).max(Duration::from_millis(1)),
            content,
        })?;
        for (channel, _) in &head.channels {
            for number in 0..head.parcels(channel) {
                let (rows, outcomes) = match &view.inline {
                    Some((inline, outcomes)) => (inline.rows.clone(), outcomes.clone()),
                    None => {
                        let read = self.old_parcel(p, channel, old, number, view).await;
                        read.map_err(AcceptError::Refused)?
                    }
                };
                for (row, outcome) in rows.into_iter().zip(outcomes.rows()) {
                    if choose(channel, &row, &outcome) {
                        writer.push(channel, row).await?;
                    }
                }
            }
        }
        writer.finish(ask.digest, &[]).await
    }

    async fn old_parcel(
        &self,
        p: u16,
        channel: &Channel,
        old: &Suffix,
        number: u32,
        view: &OrderView,
    ) -> Result<(Vec<Row>, crate::Outcomes), CallError> {
        let member = Member { suffix: old.clone(), number };
        let ended = view.ended_unrung();
        futures::future::try_join(
            self.load_rows(p, channel, &member),
            self.load_outcomes(p, channel, &member, &view.head, ended),
        )
        .await
    }
}
