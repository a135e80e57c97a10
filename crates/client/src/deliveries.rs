//! The deliveries of an order: page by page, or all of them as a stream in bounded memory.

use futures::StreamExt;
use futures::stream::BoxStream;
use posthaste_model::Channel;
use reqwest::{Method, header};

use crate::client::{Client, SILENCE};
use crate::error::ApiError;
use crate::responses::{DeliveryLine, OrderDelivery, Page};

/// Longer lines are refused.
const LONGEST_LINE: usize = 256 * 1024;

/// Which deliveries of an order.
#[derive(Debug, Clone, Default)]
pub struct DeliveryQuery {
    /// Only this channel.
    pub channel: Option<Channel>,
    /// Only these statuses; all if empty.
    pub statuses: Vec<String>,
    /// Only the recipient with this id, as given in the order.
    pub recipient_id: Option<String>,
}

impl DeliveryQuery {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        pairs.extend(self.channel.as_ref().map(|channel| ("channel", channel.to_string())));
        if !self.statuses.is_empty() {
            pairs.push(("status", self.statuses.join(",")));
        }
        pairs.extend(self.recipient_id.clone().map(|id| ("recipient_id", id)));
        pairs
    }
}

impl Client {
    /// A page of deliveries, from the beginning or from a cursor of the previous page.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn deliveries(
        &self,
        order_id: &str,
        query: &DeliveryQuery,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<OrderDelivery>, ApiError> {
        let mut pairs = query.pairs();
        pairs.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        pairs.push(("limit", limit.to_string()));
        self.get(&["v1", "orders", order_id, "deliveries"], &pairs).await
    }

    /// All deliveries of an order. The stream ends after its first error; without one it is complete.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn export_deliveries(
        &self,
        order_id: &str,
        query: &DeliveryQuery,
    ) -> Result<BoxStream<'static, Result<DeliveryLine, ApiError>>, ApiError> {
        let request = self
            .request(Method::GET, &["v1", "orders", order_id, "deliveries"], &query.pairs())
            .header(header::ACCEPT, "application/x-ndjson");
        let pieces = self.stream(request).await?.bytes_stream().boxed();
        let export = Export { client: self.clone(), pieces, held: Vec::new(), begin: 0, over: false };
        let lines = futures::stream::unfold(export, |mut export| async move {
            let line = export.next().await.transpose()?;
            if line.is_err() {
                export.end();
            }
            Some((line, export))
        });
        Ok(lines.boxed())
    }
}

struct Export {
    client: Client,
    pieces: BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    held: Vec<u8>,
    /// Where the next line begins in what is held.
    begin: usize,
    /// Whether the stream has ended.
    over: bool,
}

impl Export {
    async fn next(&mut self) -> Result<Option<DeliveryLine>, ApiError> {
        loop {
            if let Some(length) = self.held[self.begin..].iter().position(|byte| *byte == b'\n') {
                let begin = self.begin;
                self.begin += length + 1;
                match self.read(begin, begin + length)? {
                    Some(line) => return Ok(Some(line)),
                    None => continue,
                }
            }
            if self.over {
                return Ok(None);
            }
            self.held.drain(..self.begin);
            self.begin = 0;
            if self.held.len() > LONGEST_LINE {
                return Err(self.client.unexpected("a line is too long for a delivery"));
            }
            match tokio::time::timeout(SILENCE, self.pieces.next()).await {
                Ok(Some(piece)) => {
                    self.held.extend_from_slice(&piece.map_err(|error| self.client.lost(error))?);
                }
                Ok(None) => {
                    self.end();
                    return self.read(0, self.held.len());
                }
                Err(_) => return Err(ApiError::Silent),
            }
        }
    }

    /// Nothing follows an error.
    fn end(&mut self) {
        self.over = true;
        self.begin = self.held.len();
    }

    fn read(&self, begin: usize, end: usize) -> Result<Option<DeliveryLine>, ApiError> {
        let line = &self.held[begin..end];
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        serde_json::from_slice(line).map(Some).map_err(|error| self.client.not_understood(&error))
    }
}
