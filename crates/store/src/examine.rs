//! A look at the servers by somebody who wants to know what is wrong: over a connection of its own, writing nothing.

use std::sync::Arc;

use fred::interfaces::ClientLike;
use futures::future::join_all;
use posthaste_model::{Clock, SystemClock};
use tokio::time::Instant;

use crate::endpoint;
use crate::error::{CallError, ConnectError};
use crate::node::Node;
use crate::pool::{self, OWN_EVENTS, UNRESPONSIVE};
use crate::settings::Settings;
use crate::supervise::quit;
use crate::trouble::probe::{address, look, name};
use crate::trouble::{RedisState, SLOW, Trouble, loading};

/// What is wrong with each server now: empty when all of them do what is asked. Writes nothing, and does not look whether
/// it is the right database.
///
/// # Errors
/// A [`ConnectError`]: there is no connection at all.
pub async fn examine(settings: &Settings) -> Result<Vec<Trouble>, ConnectError> {
    let config = endpoint::config(settings)?;
    let client = pool::client(&config, settings.call_timeout, UNRESPONSIVE, OWN_EVENTS);
    let (since, began) = (Instant::now(), SystemClock.now());
    let lasting = |node: &Arc<str>, (state, detail)| Trouble {
        node: Arc::clone(node),
        state,
        since,
        began,
        detail,
        refused: 0,
    };
    if let Err(error) = client.init().await {
        let error = ConnectError::connecting(error);
        // Without a password it is refused here, else at the first call.
        let ConnectError::Call(CallError::Later { why }) = error else { return Err(error) };
        let Some(state) = RedisState::of(why) else { return Err(error) };
        let detail = if state == RedisState::Loading { loading::progress(&config).await } else { None };
        return Ok(vec![lasting(&address(&config.server), (state, detail))]);
    }
    let nodes = Node::all(&client);
    let looks = join_all(nodes.iter().map(async |node| {
        let name: Arc<str> = match &node.server {
            Some(server) => Arc::from(name(server)),
            None => address(&config.server),
        };
        let begun = Instant::now();
        let mut found = look(node, node.server.is_some()).await;
        if found.is_empty() && begun.elapsed() >= SLOW {
            let detail = format!("a look at it took {} ms", begun.elapsed().as_millis());
            found.push((RedisState::Slow, Some(detail)));
        }
        (name, found)
    }));
    let looks = looks.await;
    quit([client]).await;
    let troubles = looks.iter().flat_map(|(node, found)| found.iter().map(|one| lasting(node, one.clone())));
    Ok(troubles.collect())
}
