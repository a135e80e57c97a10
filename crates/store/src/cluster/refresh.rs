//! Keeps the map current: every second, after a redirection, and when a link is lost.

use std::collections::{BTreeSet, HashMap};
use std::sync::Weak;
use std::time::Duration;

use fred::clients::Client;
use fred::interfaces::ClientLike;
use fred::types::Value as Arg;
use fred::types::config::Config;
use futures::future::join_all;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::listing::{NodeAddress, read};
use super::map::{Map, View};
use crate::command;
use crate::endpoint::config_of;
use crate::error::{CallError, ConnectError, InvalidReply, NoReplyCause};
use crate::inner::Inner;
use crate::pool::{self, OWN_EVENTS, UNRESPONSIVE, quit};

/// How often the servers are queried, and the shortest time between two queries.
const EVERY: Duration = Duration::from_secs(1);
const AT_MOST_EVERY: Duration = Duration::from_millis(100);
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// When fewer servers answer, servers without a connection are queried too.
const ENOUGH: usize = 2;
/// How long slots must have been moving before it is logged, and logged again.
const LONG: Duration = Duration::from_secs(30);

async fn ask(client: &Client, requested: &NodeAddress) -> Result<View, CallError> {
    let text = command::ask(client, "CLUSTER", vec![Arg::from_static_str("NODES")]).await?;
    let listed = text.text("nodes of the cluster").and_then(|text| read(&text, requested));
    listed.map(View).map_err(InvalidReply::Malformed).map_err(CallError::InvalidReply)
}

/// Queries a server that has no connection.
async fn ask_apart(config: &Config, address: &NodeAddress) -> Result<View, ConnectError> {
    let client = pool::client(&config_of(config, address, None), PATIENCE, UNRESPONSIVE, OWN_EVENTS);
    let joined = timeout(PATIENCE, client.init()).await;
    let view = match joined {
        Ok(Ok(_)) => ask(&client, address).await.map_err(ConnectError::from),
        Ok(Err(error)) => Err(ConnectError::connecting(error)),
        Err(_) => Err(ConnectError::Unreachable(NoReplyCause::NotConnected)),
    };
    tokio::spawn(quit([client]));
    view
}

/// The first map, from the servers named in the settings.
pub(crate) async fn first_look(config: &Config) -> Result<(Map, Instant), ConnectError> {
    let requested = Instant::now();
    let hosts = config.server.hosts();
    let seeds: Vec<NodeAddress> = hosts
        .iter()
        .map(|server| NodeAddress {
            host: server.host.trim_matches(['[', ']']).to_owned(),
            port: server.port,
        })
        .collect();
    let answers = join_all(seeds.iter().map(|seed| ask_apart(config, seed))).await;
    let (mut views, mut why) = (Vec::new(), None);
    for answer in answers {
        match answer {
            Ok(view) => views.push(view),
            Err(ConnectError::Call(CallError::InvalidReply(InvalidReply::Server(text))))
                if text.contains("cluster support disabled") =>
            {
                let why = "the server is not part of a cluster; begin the URL with redis:// or rediss://"
                    .to_owned();
                return Err(ConnectError::Settings { key: "url", why });
            }
            Err(error) => why = Some(error),
        }
    }
    match (views.is_empty(), why) {
        (true, Some(why)) => Err(why),
        (true, None) => Err(ConnectError::Settings { key: "url", why: "the URL names no server".to_owned() }),
        (false, _) => Ok((Map::of(&views), requested)),
    }
}

/// Refreshes the map until cancelled.
pub(crate) async fn keep_fresh(inner: Weak<Inner>, stop: CancellationToken) {
    let mut known = Known::default();
    loop {
        let Some(now) = inner.upgrade() else { return };
        let round = async {
            tokio::select! {
                () = now.routes.stale.notified() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = round => {}
        }
        let requested = Instant::now();
        tokio::select! {
            () = stop.cancelled() => return,
            map = known.look(&now) => if let Some(map) = map {
                now.take_map(&map, requested);
                known.tell_moving(&map);
            },
        }
        drop(now);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AT_MOST_EVERY) => {}
        }
    }
}

/// What was found so far.
#[derive(Default)]
struct Known {
    /// The last answer of each primary. Only a server itself reports that its slots are moving: if it does not
    /// answer, its last report stays valid.
    last: HashMap<NodeAddress, View>,
    replicas: BTreeSet<NodeAddress>,
    /// Since when slots have been moving, and when that was last logged.
    moving: Option<(Instant, Instant)>,
}

impl Known {
    /// Queries all connected primaries, and other servers when those are few; `None` when no server answers.
    async fn look(&mut self, inner: &Inner) -> Option<Map> {
        let primaries = inner.routes.primaries();
        let linked = primaries.iter().filter_map(|primary| {
            let (place, worker) = (primary.place.clone()?, primary.pool.pick()?);
            Some(async move {
                let view = timeout(PATIENCE, ask(&worker.client, &place)).await;
                (place, view.ok().and_then(Result::ok))
            })
        });
        let answers = join_all(linked).await;
        let mut views: Vec<View> = Vec::new();
        for (place, view) in answers {
            if let Some(view) = view {
                self.last.insert(place, view.clone());
                views.push(view);
            }
        }
        if views.len() < ENOUGH {
            let apart: Vec<NodeAddress> = self.replicas.iter().take(2 * ENOUGH).cloned().collect();
            let answers = join_all(apart.iter().map(|address| ask_apart(&inner.config, address))).await;
            views.extend(answers.into_iter().flatten());
        }
        if views.is_empty() {
            return None;
        }
        let mut map = Map::of(&views);
        self.last.retain(|place, _| map.primaries.contains(place));
        for view in self.last.values() {
            map.moving.extend(view.0.iter().filter(|listed| listed.myself).flat_map(|listed| &listed.moving));
        }
        self.replicas = map.replicas.keys().cloned().collect();
        Some(map)
    }

    /// Slots that are being moved are held; logs for how long, for the operator.
    fn tell_moving(&mut self, map: &Map) {
        let now = Instant::now();
        if map.moving.is_empty() {
            self.moving = None;
            return;
        }
        let (since, reported) = self.moving.get_or_insert((now, now));
        if now.saturating_duration_since(*reported) >= LONG {
            *reported = now;
            let (seconds, slots) = (now.saturating_duration_since(*since).as_secs(), map.moving.len());
            tracing::warn!(
                event = "cluster.slots_moving",
                seconds,
                slots,
                first = map.moving.first(),
                "cluster slots are being moved; their orders wait until the move is finished"
            );
        }
    }
}
