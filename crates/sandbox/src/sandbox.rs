//! A running sandbox, used by tests in the same process and by the standalone process.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use posthaste_model::{Clock, InvalidId, SystemClock};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::faults::{Fault, FaultView, Faults, InvalidFault};
use crate::outbox::{self, Doors, Outbox, Providers};
use crate::record::{Attempt, Record, RecordCounts};
use crate::settings::Settings;
use crate::{fake_provider, gateway, smtp, telegram, tls, twilio, vk, webhook};

/// How long [`Sandbox::stop`] waits for connections to end; they are cut at once, so this only matters on a stuck
/// system.
const STOP_TIME: Duration = Duration::from_secs(5);

/// The fake providers, listening. Dropping it closes everything at once.
#[derive(Debug)]
pub struct Sandbox {
    smtp: SocketAddr,
    smtps: SocketAddr,
    http: SocketAddr,
    telegram: telegram::TelegramServer,
    vk: vk::VkServer,
    twilio: twilio::TwilioServer,
    gateway: gateway::GatewayServer,
    webhook: webhook::WebhookServer,
    authority: Arc<str>,
    record: Arc<Record>,
    faults: Arc<Faults>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The sandbox cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is in use, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address of the settings.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The record file cannot be opened for appending.
    #[error("cannot open the record file")]
    RecordFile(#[source] io::Error),
    /// A fault in the settings is invalid.
    #[error("invalid fault in the settings")]
    Fault(#[from] InvalidFault),
    /// Another setting is invalid.
    #[error("invalid setting: {0}")]
    Setting(&'static str),
    /// The certificate cannot be made, usually because the host name in the settings is not valid.
    #[error("cannot create a certificate for the configured host name; check sandbox.smtp.host")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A channel's name is not valid.
    #[error("invalid channel name")]
    Channel(#[source] InvalidId),
}

impl Sandbox {
    /// Starts everything and returns once it is listening. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// An address is in use, the record file cannot be opened, or a setting is invalid.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let Settings {
            smtp,
            telegram,
            vk,
            twilio,
            gateway,
            webhook,
            outbox: web_settings,
            record,
            magic,
            faults,
        } = settings;
        let tls = tls::make(&smtp.host).map_err(|error| StartError::Certificate(error.into()))?;
        let faults = Arc::new(Faults::new(magic, faults)?);
        let record =
            Record::open(web_settings.keep_bytes, web_settings.keep_attempts, record.file.as_deref())
                .map_err(StartError::RecordFile)?;
        let record = Arc::new(record);
        let (plain, encrypted) = (bind(smtp.listen).await?, bind(smtp.listen_tls).await?);
        let web = bind(web_settings.listen).await?;
        let telegram = telegram::TelegramServer::start_with(telegram, Some(Arc::clone(&record)))?;
        let vk = vk::VkServer::start_with(vk, Some(Arc::clone(&record)))?;
        let twilio = twilio::TwilioServer::start_with(twilio, Some(Arc::clone(&record)))?;
        let gateway = gateway::GatewayServer::start_with(gateway, Some(Arc::clone(&record)))?;
        let webhook = webhook::WebhookServer::start_with(webhook, Some(Arc::clone(&record)))?;
        let providers = Providers::new(&telegram, &vk, &twilio, &gateway, &webhook);
        let authority: Arc<str> = tls.authority.into();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let this = Self {
            smtp: address(&plain, smtp.listen)?,
            smtps: address(&encrypted, smtp.listen_tls)?,
            http: address(&web, web_settings.listen)?,
            telegram,
            vk,
            twilio,
            gateway,
            webhook,
            authority: Arc::clone(&authority),
            record: Arc::clone(&record),
            faults: Arc::clone(&faults),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        let (for_outbox, known) = (Arc::clone(&record), Arc::clone(&faults));
        let router = outbox::router(Outbox { record: for_outbox, faults: known, authority, providers });
        let doors = Doors(web_settings.hosts.into());
        tasks.spawn(outbox::serve(web, router, doors, stop.clone(), tasks.clone()));
        let places = Arc::new(Semaphore::new(smtp.max_connections.min(Semaphore::MAX_PERMITS)));
        let server = Arc::new(smtp::Server {
            settings: smtp,
            channel: "email".parse().map_err(StartError::Channel)?,
            order_header: web_settings.order_header,
            record,
            faults,
            clock: Arc::new(SystemClock) as Arc<dyn Clock>,
            tls: tls.acceptor,
            receiving: AtomicUsize::new(0),
            connections: AtomicU64::new(0),
            places,
        });
        for (listener, implicit_tls) in [(plain, false), (encrypted, true)] {
            tasks.spawn(smtp::serve(
                Arc::clone(&server),
                listener,
                implicit_tls,
                stop.clone(),
                tasks.clone(),
            ));
        }
        Ok(this)
    }

    /// SMTP address for plain connections with STARTTLS.
    #[must_use]
    pub fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// SMTP address for implicit TLS.
    #[must_use]
    pub fn smtps(&self) -> SocketAddr {
        self.smtps
    }

    /// HTTP address of the outbox.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The fake Telegram API.
    #[must_use]
    pub fn telegram(&self) -> &telegram::TelegramServer {
        &self.telegram
    }

    /// The fake VK API.
    #[must_use]
    pub fn vk(&self) -> &vk::VkServer {
        &self.vk
    }

    /// The fake Twilio API.
    #[must_use]
    pub fn twilio(&self) -> &twilio::TwilioServer {
        &self.twilio
    }

    /// The fake generic SMS gateway.
    #[must_use]
    pub fn gateway(&self) -> &gateway::GatewayServer {
        &self.gateway
    }

    /// The fake receiver of webhooks.
    #[must_use]
    pub fn webhook(&self) -> &webhook::WebhookServer {
        &self.webhook
    }

    /// The certificate (PEM) of the authority that signed the server's certificate: what a client must trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.authority
    }

    /// All attempts that are kept, oldest first.
    #[must_use]
    pub fn attempts(&self) -> Vec<Arc<Attempt>> {
        self.record.all()
    }

    /// The kept attempts whose message was accepted, oldest first. Includes those where the sender got no answer and
    /// cannot know.
    #[must_use]
    pub fn messages(&self) -> Vec<Arc<Attempt>> {
        self.record.all().into_iter().filter(|attempt| attempt.is_message()).collect()
    }

    /// One attempt, if it is still kept.
    #[must_use]
    pub fn attempt(&self, id: u64) -> Option<Arc<Attempt>> {
        self.record.get(id)
    }

    /// Counts of all attempts, including those no longer kept.
    #[must_use]
    pub fn counts(&self) -> RecordCounts {
        self.record.counts()
    }

    /// Forgets all attempts and resets the counts to zero; ids continue. Returns how many were kept.
    pub fn clear(&self) -> u64 {
        self.record.clear()
    }

    /// Receives the id of the newest attempt with every attempt.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.record.newest()
    }

    /// Replaces all faults in force.
    ///
    /// # Errors
    /// One is invalid; then nothing has changed.
    pub fn set_faults(&self, faults: Vec<Fault>) -> Result<(), InvalidFault> {
        self.faults.replace(faults)
    }

    /// Adds a fault and returns its id. One with the same id is replaced.
    ///
    /// # Errors
    /// It is invalid, or there are 1,000 already.
    pub fn add_fault(&self, fault: Fault) -> Result<String, InvalidFault> {
        self.faults.add(fault)
    }

    /// Removes a fault; false if none has this id.
    pub fn remove_fault(&self, id: &str) -> bool {
        self.faults.remove(id)
    }

    /// The faults in force, in order.
    #[must_use]
    pub fn faults(&self) -> Vec<FaultView> {
        self.faults.list()
    }

    /// Closes everything and waits until it is closed.
    pub async fn stop(self) {
        self.stop.cancel();
        self.telegram.close();
        self.vk.close();
        self.twilio.close();
        self.gateway.close();
        self.webhook.close();
        self.tasks.close();
        let _ = tokio::time::timeout(STOP_TIME, self.tasks.wait()).await;
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

fn address(listener: &TcpListener, wanted: SocketAddr) -> Result<SocketAddr, StartError> {
    listener.local_addr().map_err(|source| StartError::Listen { address: wanted, source })
}

impl From<fake_provider::FakeServerError> for StartError {
    fn from(error: fake_provider::FakeServerError) -> Self {
        match error {
            fake_provider::FakeServerError::Listen { address, source } => Self::Listen { address, source },
            fake_provider::FakeServerError::Fault(invalid) => Self::Fault(InvalidFault(invalid.0)),
            fake_provider::FakeServerError::Setting(why) => Self::Setting(why),
        }
    }
}
