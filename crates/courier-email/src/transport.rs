//! The channel's transport: composes a message, gives it a return path of its own, hands it to a relay, and takes what comes
//! back.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::process::Section;
use posthaste_courier::{Abilities, Batching, Desk, Envelope, Outcome, Transport};
use posthaste_model::Channel;
use posthaste_ops::address::Address;
use posthaste_ops::listen::Listener;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::compose::Composer;
use crate::dkim::Signer;
use crate::hearing::Hearing;
use crate::places::Places;
use crate::postbox::{Postbox, Waits};
use crate::relays::{Relays, tidy};
use crate::replies::Replies;
use crate::returns::Returns;
use crate::settings::{BadSetting, Bounces, Settings, Unsubscribe};
use crate::unsubscribe::{self, Links};

/// Our own deadline comes before the caller's by this share of the time there is, so that what was not sent is told as such.
const MARGIN: u32 = 20;
/// But by no more than this.
const MOST_MARGIN: Duration = Duration::from_millis(500);

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Change the setting.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// A mistake in the program.
    #[error(transparent)]
    Table(#[from] crate::replies::BadTable),
}

/// E-mail over SMTP.
pub struct Email {
    channel: Channel,
    abilities: Abilities,
    composer: Composer,
    relays: Arc<Relays>,
    replies: Arc<Replies>,
    returns: Option<Returns>,
    links: Option<Arc<Links>>,
    ports: Ports,
    /// The one that came with the call to serve.
    desk: OnceLock<Arc<dyn Desk>>,
}

/// The ports for what comes from outside.
struct Ports {
    bounces: Option<SocketAddr>,
    conversations: usize,
    per_peer: usize,
    read_at_most: usize,
    take_at_most: usize,
    unsubscribe: Option<Address>,
    connections: usize,
    /// What was bound.
    open: OnceLock<Open>,
}

/// Where the transport listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// For bounces.
    pub bounces: Option<SocketAddr>,
    /// For people who unsubscribe.
    pub unsubscribe: Option<Address>,
}

impl Email {
    /// A transport of these settings. Needs a tokio runtime: it closes connections nobody uses in a task of its own.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn new(settings: Settings, courier: &Section, channel: Channel) -> Result<Self, Unusable> {
        let Settings { smtp, email, dkim, bounces, unsubscribe } = settings;
        let signer = Signer::new(&dkim)?;
        let links = Links::new(&unsubscribe)?.map(Arc::new);
        let composer = Composer::new(channel.clone(), email, signer, links.clone())?;
        let replies = Arc::new(Replies::embedded()?);
        let relays = Arc::new(Relays::new(&smtp, Arc::clone(&replies))?);
        let returns = Returns::new(&bounces)?;
        let ports = Ports::new(&bounces, returns.is_some(), &unsubscribe, links.is_some())?;
        let abilities = courier.abilities(Abilities {
            batching: Batching::Single,
            concurrency: smtp.connections.min(4),
            max_concurrency: smtp.connections,
            send_window: smtp.send_within.get(),
            on_unknown: smtp.on_unknown.into(),
            // Every courier that sends makes them, while one of several takes what comes back.
            receipts: returns.is_some(),
            ..Abilities::default()
        });
        tokio::spawn(tidy(Arc::downgrade(&relays), smtp.idle_for.get()));
        let desk = OnceLock::new();
        Ok(Self { channel, abilities, composer, relays, replies, returns, links, ports, desk })
    }

    /// Where it listens, once [`Transport::serve`] has opened its ports.
    pub fn open(&self) -> Option<&Open> {
        self.ports.open.get()
    }
}

#[async_trait]
impl Transport for Email {
    fn channel(&self) -> Channel {
        self.channel.clone()
    }

    fn abilities(&self) -> Abilities {
        self.abilities.clone()
    }

    async fn send(&self, batch: &[Envelope], deadline: Instant) -> Vec<Outcome> {
        let left = deadline.saturating_duration_since(Instant::now());
        let ours = deadline.checked_sub((left / MARGIN).min(MOST_MARGIN)).unwrap_or(deadline);
        let mut outcomes = Vec::with_capacity(batch.len());
        for envelope in batch {
            outcomes.push(match self.composer.compose(envelope) {
                Ok(mut letter) => {
                    if let Some(returns) = &self.returns {
                        returns.put(&mut letter, &envelope.id(), self.desk.get()).await;
                    }
                    Box::pin(self.relays.send(envelope, &letter, ours)).await
                }
                Err(reason) => Outcome::Rejected(reason),
            });
        }
        outcomes
    }

    async fn check(&self) -> Result<(), String> {
        Box::pin(self.relays.check()).await
    }

    async fn serve(&self, desk: Arc<dyn Desk>, stop: CancellationToken) -> Result<(), String> {
        let desk = Arc::clone(self.desk.get_or_init(|| desk));
        let Ports { bounces, conversations, per_peer, read_at_most, take_at_most, .. } = &self.ports;
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
            tracing::info!(%address, "bounces are taken");
        }
        if let Some(address) = &open.unsubscribe {
            tracing::info!(%address, "links to unsubscribe by are answered");
        }
        let taking_bounces = async {
            if let (Some(listener), Some(returns)) = (bounces, &self.returns) {
                let (paths, replies) = (returns.paths(), Arc::clone(&self.replies));
                let hearing = Hearing { paths, replies, desk: Arc::clone(&desk) };
                let waits = Waits::default();
                let places = Arc::new(Places::new(*conversations, *per_peer, waits.silent));
                let (waiting, read_at_most, take_at_most) = (*conversations, *read_at_most, *take_at_most);
                let postbox = Postbox { hearing, places, waiting, read_at_most, take_at_most, waits };
                postbox.serve(listener, stop.clone()).await;
            }
        };
        let answering_links = async {
            if let (Some(listener), Some(links)) = (clicks, &self.links) {
                let router = unsubscribe::router(Arc::clone(links), Arc::clone(&desk));
                listener.serve(router, unsubscribe::limits(*connections), stop.clone()).await;
            }
        };
        tokio::join!(taking_bounces, answering_links);
        // Without a port there is the desk to keep, and nothing else to do.
        stop.cancelled().await;
        Ok(())
    }
}

impl Ports {
    fn new(
        bounces: &Bounces,
        has_paths: bool,
        unsubscribe: &Unsubscribe,
        has_links: bool,
    ) -> Result<Self, BadSetting> {
        let at = match bounces.listen.as_str() {
            "" => None,
            _ if !has_paths => {
                return Err(BadSetting::new("bounces.listen", "needs bounces.address, to know what to take"));
            }
            text => Some(text.parse().map_err(|_| {
                BadSetting::new("bounces.listen", "expected an address and a port, as in 127.0.0.1:2424")
            })?),
        };
        let clicks = match unsubscribe.listen.as_str() {
            "" => None,
            _ if !has_links => {
                return Err(BadSetting::new("unsubscribe.listen", "needs unsubscribe.public_url"));
            }
            text => {
                let bad = |error: posthaste_ops::address::AddressError| {
                    BadSetting::new("unsubscribe.listen", error.to_string())
                };
                Some(text.parse().map_err(bad)?)
            }
        };
        for (key, number) in [
            ("bounces.connections", bounces.connections),
            ("bounces.connections_per_peer", bounces.connections_per_peer),
            ("unsubscribe.connections", unsubscribe.connections),
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
            conversations: bounces.connections,
            per_peer: bounces.connections_per_peer,
            read_at_most: bytes("bounces.read_at_most", bounces.read_at_most, 16 << 20)?,
            take_at_most: bytes("bounces.take_at_most", bounces.take_at_most, 1 << 30)?,
            unsubscribe: clicks,
            connections: unsubscribe.connections,
            open: OnceLock::new(),
        })
    }
}

/// An error with what caused it.
fn whole(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", whole(source)),
        None => error.to_string(),
    }
}
