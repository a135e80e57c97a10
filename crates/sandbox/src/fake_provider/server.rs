//! The server of a fake provider: the handle for tests and the outbox, and the state all its connections share.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use posthaste_model::{Channel, Clock, SystemClock};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::faults::{Faults, InvalidMessageFault, MessageFault, MessageFaultView};
use super::journal::{Journal, JournalEntry, RequestFate};
use super::provider::{Ask, Back, Provider, ProviderAnswer, Reply, SeenMessage};
use super::serve::{Door, serve};
use super::settings::{Bounds, Common};
use super::wire::{self, Whole};
use crate::record::{Broken, Record, Seen};

/// It cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FakeServerError {
    /// The address is in use, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address of the settings.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A fault in the settings is invalid.
    #[error("invalid fault in the settings")]
    Fault(#[from] InvalidMessageFault),
    /// Another setting is invalid.
    #[error("invalid setting: {0}")]
    Setting(&'static str),
}

/// A fake provider, listening. Dropping it closes everything.
#[derive(Debug)]
pub struct FakeServer<P: Provider> {
    address: SocketAddr,
    pub(crate) shared: Arc<Shared<P>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// State shared by all connections of a fake provider.
#[derive(Debug)]
pub(crate) struct Shared<P> {
    pub(crate) provider: P,
    pub(super) bounds: Bounds,
    pub(super) wanted: watch::Sender<bool>,
    pub(super) is_open: watch::Sender<bool>,
    magic: bool,
    channel: Channel,
    faults: Faults,
    journal: Journal,
    record: Option<Arc<Record>>,
    reply_after_us: AtomicU64,
    connections: AtomicU64,
    in_flight: AtomicUsize,
}

/// What a server is started with, apart from its provider.
pub(crate) struct Opening {
    pub(crate) common: Common,
    pub(crate) record: Option<Arc<Record>>,
}

impl<P: Provider> FakeServer<P> {
    /// Starts it and returns once it is listening. Must be called inside a tokio runtime.
    pub(crate) fn open(opening: Opening, provider: impl FnOnce(Back) -> P) -> Result<Self, FakeServerError> {
        let Opening { common, record } = opening;
        let faults = Faults::new(P::knows);
        faults.replace(common.faults)?;
        let channel = P::CHANNEL.parse().map_err(|_| FakeServerError::Setting("invalid channel name"))?;
        let failed = |source| FakeServerError::Listen { address: common.listen, source };
        let door = Door::open(common.listen).map_err(failed)?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let back = Back { record: record.clone(), stop: stop.clone(), tasks: tasks.clone() };
        let shared = Arc::new(Shared {
            provider: provider(back),
            bounds: common.bounds,
            wanted: watch::Sender::new(true),
            is_open: watch::Sender::new(true),
            magic: common.magic,
            channel,
            faults,
            journal: Journal::new(common.bounds.keep_requests, common.bounds.keep_bytes),
            record,
            reply_after_us: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
        });
        shared.set_reply_after(common.reply_after);
        let address = door.address;
        tasks.spawn(serve(door, Arc::clone(&shared), stop.clone(), tasks.clone()));
        Ok(Self { address, shared, stop, tasks })
    }

    /// Its listen address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL without a path, in place of the real one: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All kept requests, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<JournalEntry>> {
        self.shared.journal.all()
    }

    /// Those whose message was accepted, whether or not the sender got an answer.
    #[must_use]
    pub fn messages(&self) -> Vec<Arc<JournalEntry>> {
        self.shared.journal.all().into_iter().filter(|request| request.is_taken()).collect()
    }

    /// How many messages reached this address, not counting dropped repeats.
    #[must_use]
    pub fn reached(&self, address: &str) -> usize {
        self.shared.journal.all().iter().map(|request| request.brought_to(address)).sum()
    }

    /// How many requests were received in all.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.shared.journal.seen()
    }

    /// Forgets the requests; numbering continues.
    pub fn clear(&self) {
        self.shared.journal.clear();
    }

    /// Adds a fault after those in force and returns its id; one with the same id is replaced.
    ///
    /// # Errors
    /// It is invalid, or there are too many.
    pub fn add_fault(&self, fault: MessageFault) -> Result<String, InvalidMessageFault> {
        self.shared.faults.add(fault)
    }

    /// Replaces all faults.
    ///
    /// # Errors
    /// One is invalid; then nothing has changed.
    pub fn set_faults(&self, faults: Vec<MessageFault>) -> Result<(), InvalidMessageFault> {
        self.shared.faults.replace(faults)
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        let _ = self.shared.faults.replace(Vec::new());
    }

    /// The faults in force, in order.
    #[must_use]
    pub fn faults(&self) -> Vec<MessageFaultView> {
        self.shared.faults.list()
    }

    /// Delays every answer by this from now on.
    pub fn set_reply_after(&self, wait: Duration) {
        self.shared.set_reply_after(wait);
    }

    /// Closes the port: connections end, and new ones are refused. Returns once it is closed.
    pub async fn down(&self) {
        self.shared.set_open(false).await;
    }

    /// Opens the port again. Returns once it is open.
    pub async fn up(&self) {
        self.shared.set_open(true).await;
    }

    /// Closes everything and waits until it is closed.
    pub async fn stop(self) {
        self.close();
        self.tasks.wait().await;
    }

    /// Starts closing everything.
    pub(crate) fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
    }

    /// The outbox's interface to it.
    pub(crate) fn control(&self) -> Arc<dyn Control> {
        Arc::clone(&self.shared) as Arc<dyn Control>
    }
}

impl<P: Provider> Drop for FakeServer<P> {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// The outbox's interface to a fake provider of any kind.
pub(crate) trait Control: std::fmt::Debug + Send + Sync {
    fn replace_faults(&self, faults: Vec<MessageFault>) -> Result<(), InvalidMessageFault>;
    fn add_fault(&self, fault: MessageFault) -> Result<String, InvalidMessageFault>;
    fn remove_fault(&self, id: &str) -> bool;
    fn list_faults(&self) -> Vec<MessageFaultView>;
    fn is_open(&self) -> bool;
    fn want_open(&self, open: bool);
    fn reply_after(&self) -> Duration;
    fn set_reply_after(&self, wait: Duration);
    fn seen(&self) -> u64;
}

impl<P: Provider> Control for Shared<P> {
    fn replace_faults(&self, faults: Vec<MessageFault>) -> Result<(), InvalidMessageFault> {
        self.faults.replace(faults)
    }

    fn add_fault(&self, fault: MessageFault) -> Result<String, InvalidMessageFault> {
        self.faults.add(fault)
    }

    fn remove_fault(&self, id: &str) -> bool {
        self.faults.remove(id)
    }

    fn list_faults(&self) -> Vec<MessageFaultView> {
        self.faults.list()
    }

    fn is_open(&self) -> bool {
        *self.wanted.borrow()
    }

    fn want_open(&self, open: bool) {
        self.wanted.send_replace(open);
    }

    fn reply_after(&self) -> Duration {
        Self::reply_after(self)
    }

    fn set_reply_after(&self, wait: Duration) {
        Self::set_reply_after(self, wait);
    }

    fn seen(&self) -> u64 {
        self.journal.seen()
    }
}

/// Counts a request while it is being answered.
pub(super) struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<P> Shared<P> {
    pub(super) fn reply_after(&self) -> Duration {
        Duration::from_micros(self.reply_after_us.load(Ordering::Relaxed))
    }

    fn set_reply_after(&self, wait: Duration) {
        let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.reply_after_us.store(micros, Ordering::Relaxed);
    }

    pub(super) fn connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(super) fn enter(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(&self.in_flight)
    }

    async fn set_open(&self, open: bool) {
        let mut is_open = self.is_open.subscribe();
        self.wanted.send_replace(open);
        // If the server has ended, there is nothing to wait for. Its owner is the caller here.
        let _ = is_open.wait_for(|now| *now == open).await;
    }
}

impl<P: Provider> Shared<P> {
    /// Handles a request and records it before the answer is sent.
    pub(super) fn treat(&self, whole: &Whole, connection: u64, peer: IpAddr) -> Reply {
        let (now, at) = (Instant::now(), SystemClock.now());
        let in_flight = self.in_flight.load(Ordering::Relaxed);
        let ask = Ask { whole, now, at, faults: &self.faults, magic: self.magic, in_flight };
        let ProviderAnswer { account, method, mut reply, mut fate, message } = self.provider.treat(&ask);
        let is_message = message.is_some();
        let mut message = message.unwrap_or_default();
        let recipients: Arc<[_]> = std::mem::take(&mut message.recipients).into();
        if is_message && let Some(record) = &self.record {
            let seen = Seen {
                channel: &self.channel,
                provider: P::NAME,
                at,
                took: now.elapsed(),
                connection,
                peer,
                account: &account,
                method: &method,
                message: &message,
                recipients: Arc::clone(&recipients),
                fate,
                reply: &reply,
                whole,
            };
            match record.put(seen.attempt()) {
                Ok(id) => self.provider.recorded(&message, Some(id)),
                Err(_) => {
                    // A message that is not in the record must not be reported as accepted.
                    (reply, fate) = (Reply::say(Answer::html(500)), RequestFate::Refused(500));
                }
            }
        } else if is_message {
            self.provider.recorded(&message, None);
        }
        self.journal.put(JournalEntry {
            id: 0,
            at,
            instant: now,
            connection,
            account,
            method,
            is_message,
            sender: message.sender,
            recipients,
            text: message.text,
            raw: whole.raw.clone(),
            fate,
        });
        reply
    }

    /// Records an incomplete or invalid request before anything is answered.
    pub(super) fn broke(&self, raw: Bytes, connection: u64, peer: IpAddr, status: Option<u16>) {
        let (instant, at) = (Instant::now(), SystemClock.now());
        if let Some(record) = &self.record {
            let part = wire::part(&raw);
            let (channel, provider, part) = (&self.channel, P::NAME, part.as_ref());
            let broken = Broken { channel, provider, at, connection, peer, status, part };
            // Nothing was accepted, so no answer depends on the record.
            let _ = record.put(broken.attempt());
        }
        let SeenMessage { sender, recipients, text, .. } = SeenMessage::default();
        self.journal.put(JournalEntry {
            id: 0,
            at,
            instant,
            connection,
            account: String::new(),
            method: String::new(),
            is_message: false,
            sender,
            recipients: recipients.into(),
            text,
            raw,
            fate: RequestFate::Broken,
        });
    }
}
