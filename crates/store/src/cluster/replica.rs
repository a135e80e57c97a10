//! Asking a replica what all partitions need to know, while its primary is away: who must not be sent anything, and who may call.
//! What the replica lacks of its primary is lost with it when the replica takes over, so it tells what will be true.

use std::collections::HashMap;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::Value as Arg;
use posthaste_protocol::Value;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Address;
use crate::error::CallError;
use crate::node;
use crate::pool::{self, OWN_EVENTS, UNRESPONSIVE};
use crate::routing::{Moved, config_of};
use crate::store::Inner;
use crate::supervise::quit;

/// How long a replica may take to be reached.
const PATIENCE: Duration = Duration::from_secs(1);

/// The replicas there are connections to.
#[derive(Debug, Default)]
pub(crate) struct Replicas(Mutex<HashMap<Address, Client>>);

impl Inner {
    /// Asks a replica of the primary that has a slot; `None` when none answers.
    pub(crate) async fn ask_replica(
        &self,
        slot: u16,
        command: &'static str,
        args: &[Arg],
    ) -> Option<Result<Value, CallError>> {
        for address in self.routes.replicas_of(slot) {
            let Some(client) = self.replica(&address).await else { continue };
            match ask(&client, command, args).await {
                Ok(value) => return Some(Ok(value)),
                Err(error) => {
                    tracing::debug!(node = %address, %error, "a replica does not answer");
                    if matches!(error, CallError::Away(_)) {
                        self.replicas.0.lock().await.remove(&address);
                        tokio::spawn(quit([client]));
                    }
                }
            }
        }
        None
    }

    async fn replica(&self, address: &Address) -> Option<Client> {
        // Those who come meanwhile want the same one.
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

/// A new connection to a replica is told that it is to answer by itself.
async fn ask(client: &Client, command: &'static str, args: &[Arg]) -> Result<Value, CallError> {
    let mut value = node::send(client, command, args.to_vec()).await?;
    if matches!(&value, Value::Error(text) if Moved::read(text).is_some()) {
        node::send(client, "READONLY", Vec::new()).await?;
        value = node::send(client, command, args.to_vec()).await?;
    }
    match value {
        Value::Error(text) => Err(crate::error::server_error(&text)),
        value => Ok(value),
    }
}
