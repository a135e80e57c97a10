//! A read-only check of the servers over a separate connection, for an operator who wants to know what is wrong.

use std::sync::Arc;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::config::Config;
use futures::future::join_all;
use posthaste_model::{Clock, SystemClock};
use posthaste_protocol::PartitionKeys;
use tokio::time::Instant;

use crate::cause::Cause;
use crate::cluster::refresh::first_look;
use crate::endpoint::{self, address, config_of};
use crate::error::{CallError, ConnectError};
use crate::missing::holds;
use crate::pool::{self, OWN_EVENTS, UNRESPONSIVE, quit};
use crate::redis_state::RedisState;
use crate::settings::Settings;
use crate::slot::slot_of;
use crate::trouble::look::{Found, look};
use crate::trouble::{SLOW, ServerTrouble, loading};

/// What is wrong with each server now: empty when all of them work. Writes nothing, and does not check whether it is
/// the right database.
///
/// # Errors
/// A [`ConnectError`]: there is no connection at all.
pub async fn examine(settings: &Settings) -> Result<Vec<ServerTrouble>, ConnectError> {
    let config = endpoint::config(settings)?;
    let (since, began) = (Instant::now(), SystemClock.now());
    let lasting = |node: &Arc<str>, (state, detail)| ServerTrouble {
        node: Arc::clone(node),
        state,
        since,
        began,
        detail,
        refused: 0,
    };
    let looks = if config.server.is_clustered() {
        let (map, _) = first_look(&config).await?;
        let primaries = map.primaries.iter().map(async |place| {
            let hostname = map.hostnames.get(place).map(String::as_str);
            let client = client_of(&config_of(&config, place, hostname), settings);
            let name: Arc<str> = place.to_string().into();
            let found = match client.init().await {
                Ok(_) => look_at(&client, name, true).await,
                Err(error) => {
                    let here =
                        |p: &u16| map.owner(slot_of(&PartitionKeys::of_partition(*p).epoch())) == Some(place);
                    let partitions: Vec<u16> = (0..settings.partitions).filter(here).collect();
                    let why = format!("{}; {}", Cause::of(&error), holds(&partitions));
                    (name, vec![(RedisState::Away, Some(why))])
                }
            };
            quit([client]).await;
            found
        });
        join_all(primaries).await
    } else {
        vec![look_at_one(&config, settings).await?]
    };
    let troubles = looks.iter().flat_map(|(node, found)| found.iter().map(|one| lasting(node, one.clone())));
    Ok(troubles.collect())
}

fn client_of(config: &Config, settings: &Settings) -> Client {
    pool::client(config, settings.call_timeout, UNRESPONSIVE, OWN_EVENTS)
}

async fn look_at_one(config: &Config, settings: &Settings) -> Result<(Arc<str>, Found), ConnectError> {
    let client = client_of(config, settings);
    let node = address(&config.server);
    if let Err(error) = client.init().await {
        let error = ConnectError::connecting(error);
        // Without a password the server refuses here, otherwise at the first call.
        let ConnectError::Call(CallError::Retryable { why }) = error else { return Err(error) };
        let Some(state) = RedisState::of(why) else { return Err(error) };
        let detail = match state {
            RedisState::Loading => loading::progress(config).await,
            RedisState::Disk => loading::disk(config).await,
            _ => None,
        };
        return Ok((node, vec![(state, detail)]));
    }
    let found = look_at(&client, node, false).await;
    quit([client]).await;
    Ok(found)
}

async fn look_at(client: &Client, node: Arc<str>, clustered: bool) -> (Arc<str>, Found) {
    let begun = Instant::now();
    let mut found = look(client, clustered).await;
    if found.is_empty() && begun.elapsed() >= SLOW {
        let detail = format!("a check of it took {} ms", begun.elapsed().as_millis());
        found.push((RedisState::Slow, Some(detail)));
    }
    (node, found)
}
