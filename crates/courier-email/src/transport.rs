//! The channel's transport: composes a message, gives it its own return path, sends it over a relay, and receives
//! bounces and unsubscribe requests.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::process::Section;
use posthaste_courier::{
    Batching, Capabilities, Envelope, FeedbackSink, Outcome, Transport, TransportStartError,
};
use posthaste_model::{Channel, Reason};
use posthaste_ops::address::ListenAddress;
use posthaste_ops::listen::Listener;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::bounce_handler::BounceHandler;
use crate::bounce_server::{BounceServer, BounceTimeouts};
use crate::compose::Composer;
use crate::connection_limits::ConnectionLimits;
use crate::dkim::Signer;
use crate::relays::{Relays, tidy};
use crate::reply_rules::{self, ReplyRules};
use crate::return_path_store::ReturnPathStore;
use crate::settings::{BadSetting, BounceSettings, Settings, UnsubscribeSettings};
use crate::unsubscribe::{self, Links};

/// Our own deadline is earlier than the caller's by this fraction of the time, so that unsent messages are reported
/// as not sent.
const MARGIN: u32 = 20;
/// The maximum of that margin.
const MOST_MARGIN: Duration = Duration::from_millis(500);

/// E-mail over SMTP.
pub struct EmailTransport {
    channel: Channel,
    capabilities: Capabilities,
    composer: Composer,
    relays: Arc<Relays>,
    replies: Arc<ReplyRules>,
    returns: Option<ReturnPathStore>,
    links: Option<Arc<Links>>,
    ports: Ports,
    /// The feedback sink passed to `serve`.
    feedback: OnceLock<Arc<dyn FeedbackSink>>,
}

/// The listeners for bounces and clicks.
struct Ports {
    bounces: Option<SocketAddr>,
    conversations: usize,
    per_peer: usize,
    max_parsed_size: usize,
    max_size: usize,
    unsubscribe: Option<ListenAddress>,
    connections: usize,
    /// The bound addresses.
    open: OnceLock<Open>,
}

/// Where the transport listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// For bounces.
    pub bounces: Option<SocketAddr>,
    /// For people who unsubscribe.
    pub unsubscribe: Option<ListenAddress>,
}

impl EmailTransport {
    /// A transport with these settings. Needs a tokio runtime, because a task closes idle connections.
    ///
    /// # Errors
    /// [`TransportStartError`].
    pub fn new(settings: Settings, courier: &Section, channel: Channel) -> Result<Self, TransportStartError> {
        let Settings { smtp, email, dkim, bounces, unsubscribe } = settings;
        let signer = Signer::new(&dkim)?;
        let links = Links::new(&unsubscribe)?.map(Arc::new);
        let composer = Composer::new(channel.clone(), email, signer, links.clone())?;
        let replies = Arc::new(ReplyRules::embedded(&reply_rules::TABLE)?);
        let relays = Arc::new(Relays::new(&smtp, Arc::clone(&replies))?);
        let returns = ReturnPathStore::new(&bounces)?;
        let ports = Ports::new(&bounces, returns.is_some(), &unsubscribe, links.is_some())?;
        let capabilities = courier.capabilities(Capabilities {
            batching: Batching::Single,
            concurrency: smtp.max_connections.min(4),
            max_concurrency: smtp.max_connections,
            send_window: smtp.send_within.get(),
            on_unknown: smtp.on_unknown.into(),
            // All couriers of a channel must report the same value, although only one of several may listen.
            receipts: returns.is_some(),
            ..Capabilities::default()
        });
        tokio::spawn(tidy(Arc::downgrade(&relays), smtp.idle_for.get()));
        let feedback = OnceLock::new();
        Ok(Self { channel, capabilities, composer, relays, replies, returns, links, ports, feedback })
    }

    /// Where it listens, once [`Transport::serve`] has bound its listeners.
    pub fn open(&self) -> Option<&Open> {
        self.ports.open.get()
    }
}

#[async_trait]
impl Transport for EmailTransport {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn refuses(&self, envelope: &Envelope) -> Option<Reason> {
        self.composer.compose(envelope).err()
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        let left = deadline.saturating_duration_since(Instant::now());
        let ours = deadline.checked_sub((left / MARGIN).min(MOST_MARGIN)).unwrap_or(deadline);
        let mut outcomes = Vec::with_capacity(batch.len());
        for envelope in batch {
            // It may wait for its turn to be signed; until it is sent, nothing is in doubt.
            let composed = timeout_at(ours, self.composer.compose_beside(envelope)).await;
            let late = Outcome::NotSent { after: None, reason: Reason::TimedOut };
            outcomes.push(match composed.unwrap_or(Err(late)) {
                Ok(mut letter) => {
                    if let Some(returns) = &self.returns {
                        returns.put(&mut letter, &envelope.id(), self.feedback.get()).await;
                    }
                    Box::pin(self.relays.send(envelope, &letter, ours)).await
                }
                Err(outcome) => outcome,
            });
        }
        outcomes
    }

    async fn check(&self) -> Result<(), String> {
        Box::pin(self.relays.check()).await
    }

    fn to_set_up(&self) -> Vec<String> {
        self.composer.records()
    }

    async fn serve(&self, feedback: Arc<dyn FeedbackSink>, stop: CancellationToken) -> Result<(), String> {
        let feedback = Arc::clone(self.feedback.get_or_init(|| feedback));
        let Ports { bounces, conversations, per_peer, max_parsed_size, max_size, .. } = &self.ports;
        let Ports { unsubscribe, connections, open, .. } = &self.ports;
        let bounces = match bounces {
            None => None,
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|error| format!("bounces.listen: cannot listen on {address}: {error}"))?)
            }
        };
        let clicks = match unsubscribe {
            None => None,
            Some(address) => {
                let bound = Listener::bind(address).await;
                Some(bound.map_err(|error| format!("unsubscribe.listen: {}", whole(&error)))?)
            }
        };
        let open = open.get_or_init(|| Open {
            bounces: bounces.as_ref().and_then(|listener| listener.local_addr().ok()),
            unsubscribe: clicks.as_ref().map(|listener| listener.address().clone()),
        });
        if let Some(address) = &open.bounces {
            tracing::info!(event = "port.opened", port = "bounces", %address, "listening for bounces");
        }
        if let Some(address) = &open.unsubscribe {
            tracing::info!(
                event = "port.opened",
                port = "unsubscribe",
                %address,
                "listening for unsubscribe requests"
            );
        }
        let taking_bounces = async {
            if let (Some(listener), Some(returns)) = (bounces, &self.returns) {
                let (paths, replies) = (returns.paths(), Arc::clone(&self.replies));
                let handler = BounceHandler { paths, replies, feedback: Arc::clone(&feedback) };
                let waits = BounceTimeouts::default();
                let places = Arc::new(ConnectionLimits::new(*conversations, *per_peer, waits.silent));
                let (waiting, max_parsed_size, max_size) = (*conversations, *max_parsed_size, *max_size);
                let bounce_server =
                    BounceServer { handler, places, waiting, max_parsed_size, max_size, waits };
                bounce_server.serve(listener, stop.clone()).await;
            }
        };
        let answering_links = async {
            if let (Some(listener), Some(links)) = (clicks, &self.links) {
                let router = unsubscribe::router(Arc::clone(links), Arc::clone(&feedback));
                listener.serve(router, unsubscribe::limits(*connections), stop.clone()).await;
            }
        };
        tokio::join!(taking_bounces, answering_links);
        // Without a listener nothing is left to do; the feedback sink is kept.
        stop.cancelled().await;
        Ok(())
    }
}

impl Ports {
    fn new(
        bounces: &BounceSettings,
        has_paths: bool,
        unsubscribe: &UnsubscribeSettings,
        has_links: bool,
    ) -> Result<Self, BadSetting> {
        let at = match bounces.listen.as_str() {
            "" => None,
            _ if !has_paths => {
                return Err(BadSetting::new("bounces.listen", "requires bounces.address"));
            }
            text => Some(text.parse().map_err(|_| {
                BadSetting::new("bounces.listen", "expected an address and a port, as in 127.0.0.1:2424")
            })?),
        };
        let clicks = match unsubscribe.listen.as_str() {
            "" => None,
            _ if !has_links => {
                return Err(BadSetting::new("unsubscribe.listen", "requires unsubscribe.public_url"));
            }
            text => {
                let bad = |error: posthaste_ops::address::AddressError| {
                    BadSetting::new("unsubscribe.listen", error.to_string())
                };
                Some(text.parse().map_err(bad)?)
            }
        };
        for (key, number) in [
            ("bounces.max_connections", bounces.max_connections),
            ("bounces.max_connections_per_peer", bounces.max_connections_per_peer),
            ("unsubscribe.max_connections", unsubscribe.max_connections),
        ] {
            if !(1..=10_000).contains(&number) {
                return Err(BadSetting::new(key, "must be 1 to 10000"));
            }
        }
        let bytes = |key, size: posthaste_ops::config::ByteSize, most: u64| match size.bytes() {
            bytes @ 10_240.. if bytes <= most => Ok(usize::try_from(bytes).unwrap_or(usize::MAX)),
            _ => Err(BadSetting::new(key, format!("must be 10KiB to {}MiB", most >> 20))),
        };
        Ok(Self {
            bounces: at,
            conversations: bounces.max_connections,
            per_peer: bounces.max_connections_per_peer,
            max_parsed_size: bytes("bounces.max_parsed_size", bounces.max_parsed_size, 16 << 20)?,
            max_size: bytes("bounces.max_size", bounces.max_size, 1 << 30)?,
            unsubscribe: clicks,
            connections: unsubscribe.max_connections,
            open: OnceLock::new(),
        })
    }
}

/// An error with its causes.
fn whole(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", whole(source)),
        None => error.to_string(),
    }
}
