//! Suppression lists: addresses that get no messages. Addresses are sent in bodies only, never in a path or query.

use posthaste_model::{Address, Channel, SenderId};
use reqwest::Method;
use serde::{Serialize, Serializer};

use crate::client::Client;
use crate::error::ApiError;
use crate::responses::{DeletedCount, FoundList, Page, PutCount, Suppression};

/// Addresses of one list. A request takes at most [`AddressBatch::MOST`].
#[derive(Debug, Clone, Serialize)]
pub struct AddressBatch<'a> {
    /// Their channel.
    pub channel: &'a Channel,
    /// The addresses.
    #[serde(serialize_with = "exposed")]
    pub addresses: Vec<&'a Address>,
    /// The sender whose list it is; without it the channel's list, which applies to all senders, or with a key that is bound
    /// to a sender and has not the scope `admin`, that sender's list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender_id: Option<&'a SenderId>,
}

impl AddressBatch<'_> {
    /// The number of addresses in one request.
    pub const MOST: usize = 500;
}

impl Client {
    /// A page of the entries of a channel, from the beginning or from a cursor of the previous page.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn suppressions(
        &self,
        channel: &Channel,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<Suppression>, ApiError> {
        let mut query = vec![("channel", channel.to_string()), ("limit", limit.to_string())];
        query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
        self.get(&["v1", "suppressions"], &query).await
    }

    /// The entries of addresses, in the order of the request.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn look_up_suppressions(&self, addresses: &AddressBatch<'_>) -> Result<FoundList, ApiError> {
        self.send(Method::POST, &["v1", "suppressions", "lookup"], addresses, None).await
    }

    /// Suppresses addresses.
    ///
    /// # Errors
    /// Those of [`ApiError`]; nothing was added if an address is invalid.
    pub async fn add_suppressions(&self, addresses: &AddressBatch<'_>) -> Result<PutCount, ApiError> {
        self.send(Method::POST, &["v1", "suppressions"], addresses, None).await
    }

    /// Deletes the suppressions of addresses.
    ///
    /// # Errors
    /// Those of [`ApiError`]; nothing was deleted if an address is invalid.
    pub async fn delete_suppressions(&self, addresses: &AddressBatch<'_>) -> Result<DeletedCount, ApiError> {
        self.send(Method::POST, &["v1", "suppressions", "delete"], addresses, None).await
    }

    /// Deletes one entry by its id.
    ///
    /// # Errors
    /// Those of [`ApiError`].
    pub async fn delete_suppression(&self, channel: &Channel, id: &str) -> Result<(), ApiError> {
        self.delete(&["v1", "suppressions", channel.as_str(), id]).await
    }
}

fn exposed<S: Serializer>(addresses: &[&Address], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(addresses.iter().map(|address| address.expose()))
}
