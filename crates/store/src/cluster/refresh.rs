//! Keeping the map fresh: every second, after a redirection, and when a link is lost.

use std::collections::{BTreeSet, HashMap};
use std::sync::Weak;
use std::time::Duration;

use fred::interfaces::ClientLike;
use fred::types::Value as Arg;
use fred::types::config::Config;
use futures::future::join_all;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::listing::{Address, read};
use super::map::{Map, View};
use crate::error::{CallError, ConnectError, Fault, Lost};
use crate::node::Node;
use crate::pool::{self, OWN_EVENTS, UNRESPONSIVE};
use crate::routing::config_of;
use crate::store::Inner;

/// How often the servers are asked, and how often at most.
const EVERY: Duration = Duration::from_secs(1);
const AT_MOST_EVERY: Duration = Duration::from_millis(100);
/// How long one may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);
/// Servers that must answer before those are asked that there is no connection to.
const ENOUGH: usize = 2;
/// How long slots must be on the move before it is told, and told again.
const LONG: Duration = Duration::from_secs(30);

async fn ask(node: &Node, asked: &Address) -> Result<View, CallError> {
    let text = node.ask("CLUSTER", vec![Arg::from_static_str("NODES")], 0).await?;
    let listed = text.text("nodes of the cluster").and_then(|text| read(&text, asked));
    listed.map(View).map_err(Fault::Malformed).map_err(CallError::Fault)
}

/// Asks a server there is no connection to.
async fn ask_apart(config: &Config, address: &Address) -> Result<View, ConnectError> {
    let client = pool::client(&config_of(config, address, None), PATIENCE, UNRESPONSIVE, OWN_EVENTS);
    let joined = timeout(PATIENCE, client.init()).await;
    let view = match joined {
        Ok(Ok(_)) => ask(&Node::any(&client), address).await.map_err(ConnectError::from),
        Ok(Err(error)) => Err(ConnectError::connecting(error)),
        Err(_) => Err(ConnectError::Unreachable(Lost::NotConnected)),
    };
    tokio::spawn(crate::supervise::quit([client]));
    view
}

/// The first map: what the servers named in the settings say.
pub(crate) async fn first_look(config: &Config) -> Result<(Map, Instant), ConnectError> {
    let asked = Instant::now();
    let hosts = config.server.hosts();
    let seeds: Vec<Address> = hosts
        .iter()
        .map(|server| Address { host: server.host.trim_matches(['[', ']']).to_owned(), port: server.port })
        .collect();
    let answers = join_all(seeds.iter().map(|seed| ask_apart(config, seed))).await;
    let (mut views, mut why) = (Vec::new(), None);
    for answer in answers {
        match answer {
            Ok(view) => views.push(view),
            Err(ConnectError::Call(CallError::Fault(Fault::Server(text))))
                if text.contains("cluster support disabled") =>
            {
                let why = "the server is not part of a cluster: begin the URL with redis:// or rediss://"
                    .to_owned();
                return Err(ConnectError::Settings { key: "url", why });
            }
            Err(error) => why = Some(error),
        }
    }
    match (views.is_empty(), why) {
        (true, Some(why)) => Err(why),
        (true, None) => Err(ConnectError::Settings { key: "url", why: "it names no server".to_owned() }),
        (false, _) => Ok((Map::of(&views), asked)),
    }
}

/// Asks for the map again and again until told to stop.
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
        let asked = Instant::now();
        tokio::select! {
            () = stop.cancelled() => return,
            map = known.look(&now) => if let Some(map) = map {
                now.take_map(&map, asked);
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
    /// What each primary said last. Marks of slots are told by their servers alone: those of one that does not answer stay.
    last: HashMap<Address, View>,
    replicas: BTreeSet<Address>,
    /// Since when slots are on the move, and when that was told last.
    moving: Option<(Instant, Instant)>,
}

impl Known {
    /// Asks all primaries there is a link to, and others when those are few; `None` when nobody answers.
    async fn look(&mut self, inner: &Inner) -> Option<Map> {
        let primaries = inner.routes.primaries();
        let linked = primaries.iter().filter_map(|primary| {
            let (place, worker) = (primary.place.clone()?, primary.pool.pick()?);
            Some(async move {
                let view = timeout(PATIENCE, ask(&Node::any(&worker.client), &place)).await;
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
            let apart: Vec<Address> = self.replicas.iter().take(2 * ENOUGH).cloned().collect();
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

    /// Slots that are on the move are held; for how long is for an operator to know.
    fn tell_moving(&mut self, map: &Map) {
        let now = Instant::now();
        if map.moving.is_empty() {
            self.moving = None;
            return;
        }
        let (since, told) = self.moving.get_or_insert((now, now));
        if now.saturating_duration_since(*told) >= LONG {
            *told = now;
            let (seconds, slots) = (now.saturating_duration_since(*since).as_secs(), map.moving.len());
            tracing::warn!(
                seconds,
                slots,
                first = map.moving.first(),
                "slots of the cluster are being moved: their orders wait until they have settled. If nobody moves them, run redis-cli --cluster fix"
            );
        }
    }
}
