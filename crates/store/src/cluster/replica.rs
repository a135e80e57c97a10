//! Queries a replica for the data that all partitions need (suppressions and API keys) while its primary is away.
//! Anything the replica lacks of its primary's data is lost when the replica takes over, so its answer is what will
//! be true.

use std::collections::HashMap;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::Value as Arg;
use fred::types::config::Config;
use posthaste_protocol::ReplyValue;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::listing::NodeAddress;
use super::moved::Moved;
use crate::command;
use crate::endpoint::config_of;
use crate::error::{CallError, server_error};
use crate::pool::{self, OWN_EVENTS, UNRESPONSIVE, quit};

/// How long connecting to a replica may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The connected replicas.
#[derive(Debug)]
pub(crate) struct Replicas {
    config: Config,
    stop: CancellationToken,
    clients: Mutex<HashMap<NodeAddress, Client>>,
}

impl Replicas {
    /// No replica is connected yet; the connections close when `stop` is cancelled.
    pub(crate) fn new(config: Config, stop: CancellationToken) -> Self {
        Self { config, stop, clients: Mutex::default() }
    }

    /// Queries one of these replicas; `None` when none answers.
    pub(crate) async fn ask(
        &self,
        replicas: &[NodeAddress],
        command: &'static str,
        args: &[Arg],
    ) -> Option<Result<ReplyValue, CallError>> {
        for address in replicas {
            let Some(client) = self.client(address).await else { continue };
            match ask(&client, command, args).await {
                Ok(value) => return Some(Ok(value)),
                Err(error) => {
                    tracing::debug!(node = %address, %error, "a replica did not answer");
                    if matches!(error, CallError::NoReply(_)) {
                        self.clients.lock().await.remove(address);
                        tokio::spawn(quit([client]));
                    }
                }
            }
        }
        None
    }

    async fn client(&self, address: &NodeAddress) -> Option<Client> {
        // Other callers that wait here want the same client.
        let mut known = self.clients.lock().await;
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
    let mut value = command::send(client, command, args.to_vec()).await?;
    if matches!(&value, ReplyValue::Error(text) if Moved::read(text).is_some()) {
        command::send(client, "READONLY", Vec::new()).await?;
        value = command::send(client, command, args.to_vec()).await?;
    }
    match value {
        ReplyValue::Error(text) => Err(server_error(&text)),
        value => Ok(value),
    }
}
