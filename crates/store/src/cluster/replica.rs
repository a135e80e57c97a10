//! Queries a replica for the data that all partitions need (suppressions and API keys) while its primary is away.
//! Anything the replica lacks of its primary's data is lost when the replica takes over, so its answer is what will
//! be true.

use std::collections::HashMap;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::Value as Arg;
use posthaste_protocol::ReplyValue;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::NodeAddress;
use crate::error::CallError;
use crate::node;
use crate::pool::{self, OWN_EVENTS, UNRESPONSIVE};
use crate::routing::{Moved, config_of};
use crate::store::Inner;
use crate::supervise::quit;

/// How long connecting to a replica may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The connected replicas.
#[derive(Debug, Default)]
pub(crate) struct Replicas(Mutex<HashMap<NodeAddress, Client>>);

impl Inner {
    /// Queries a replica of the primary that has a slot; `None` when none answers.
    pub(crate) async fn ask_replica(
        &self,
        slot: u16,
        command: &'static str,
        args: &[Arg],
    ) -> Option<Result<ReplyValue, CallError>> {
        for address in self.routes.replicas_of(slot) {
            let Some(client) = self.replica(&address).await else { continue };
            match ask(&client, command, args).await {
                Ok(value) => return Some(Ok(value)),
                Err(error) => {
                    tracing::debug!(node = %address, %error, "a replica did not answer");
                    if matches!(error, CallError::NoReply(_)) {
                        self.replicas.0.lock().await.remove(&address);
                        tokio::spawn(quit([client]));
                    }
                }
            }
        }
        None
    }

    async fn replica(&self, address: &NodeAddress) -> Option<Client> {
        // Other callers that wait here want the same client.
        let mut known = self.replicas.0.lock().await;
        if let Some(client) = known.get(address) {
            return Some(client.clone());
        }
        let client =
            pool::client(&config_of(&self.config, address, None), PATIENCE, UNRESPONSIVE, OWN_EVENTS);
        if !matches!(timeout(PATIENCE, client.init()).await, Ok(Ok(_))) {
            tokio::spawn(quit([client]));
            return None;
        }
        known.insert(address.clone(), client.clone());
        let (stop, closing) = (self.stop.clone(), client.clone());
        tokio::spawn(async move {
            stop.cancelled().await;
            quit([closing]).await;
        });
        Some(client)
    }
}

/// A new connection to a replica is switched to answer by itself (`READONLY`).
async fn ask(client: &Client, command: &'static str, args: &[Arg]) -> Result<ReplyValue, CallError> {
    let mut value = node::send(client, command, args.to_vec()).await?;
    if matches!(&value, ReplyValue::Error(text) if Moved::read(text).is_some()) {
        node::send(client, "READONLY", Vec::new()).await?;
        value = node::send(client, command, args.to_vec()).await?;
    }
    match value {
        ReplyValue::Error(text) => Err(crate::error::server_error(&text)),
        value => Ok(value),
    }
}
