//! A running sandbox, for tests in the same process and for the process of its own.

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
use crate::record::{Attempt, Counts, Record};
use crate::settings::Settings;
use crate::{gateway, smtp, standin, telegram, tls, twilio, vk};

/// How long [`Sandbox::stop`] waits for connections to end; they are cut at once, so this is for a stuck system.
const STOP_TIME: Duration = Duration::from_secs(5);

/// The stand-in providers, listening. Dropping it closes everything at once.
#[derive(Debug)]
pub struct Sandbox {
    smtp: SocketAddr,
    smtps: SocketAddr,
    http: SocketAddr,
    telegram: telegram::Server,
    vk: vk::Server,
    twilio: twilio::Server,
    gateway: gateway::Server,
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
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address of the settings.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The record file cannot be opened for appending.
    #[error("cannot open the record file")]
    RecordFile(#[source] io::Error),
    /// A fault in the settings makes no sense.
    #[error("a fault in the settings makes no sense")]
    Fault(#[from] InvalidFault),
    /// Another setting makes no sense.
    #[error("a setting makes no sense: {0}")]
    Setting(&'static str),
    /// The certificate cannot be made, mostly because the host name of the settings is none.
    #[error("cannot make a certificate for the host name of the settings")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A channel's name does not fit the grammar of channels.
    #[error("a channel has no proper name")]
    Channel(#[source] InvalidId),
}

impl Sandbox {
    /// Starts everything and returns when it listens. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// An address is taken, the record file cannot be opened, or a setting makes no sense.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let Settings { smtp, telegram, vk, twilio, gateway, outbox: web_settings, record, magic, faults } =
            settings;
        let tls = tls::make(&smtp.host).map_err(|error| StartError::Certificate(error.into()))?;
        let faults = Arc::new(Faults::new(magic, faults)?);
        let record =
            Record::open(web_settings.keep_bytes, web_settings.keep_attempts, record.file.as_deref())
                .map_err(StartError::RecordFile)?;
        let record = Arc::new(record);
        let (plain, encrypted) = (bind(smtp.listen).await?, bind(smtp.listen_tls).await?);
        let web = bind(web_settings.listen).await?;
        let telegram = telegram::Server::start_with(telegram, Some(Arc::clone(&record)))?;
        let vk = vk::Server::start_with(vk, Some(Arc::clone(&record)))?;
        let twilio = twilio::Server::start_with(twilio, Some(Arc::clone(&record)))?;
        let gateway = gateway::Server::start_with(gateway, Some(Arc::clone(&record)))?;
        let providers = Providers::new(&telegram, &vk, &twilio, &gateway);
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

    /// Where SMTP listens, plain with STARTTLS.
    #[must_use]
    pub fn smtp(&self) -> SocketAddr {
        self.smtp
    }

    /// Where SMTP listens for connections that begin with TLS.
    #[must_use]
    pub fn smtps(&self) -> SocketAddr {
        self.smtps
    }

    /// Where the outbox is, by HTTP.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    /// The stand-in for Telegram.
    #[must_use]
    pub fn telegram(&self) -> &telegram::Server {
        &self.telegram
    }

    /// The stand-in for VK.
    #[must_use]
    pub fn vk(&self) -> &vk::Server {
        &self.vk
    }

    /// The stand-in for Twilio.
    #[must_use]
    pub fn twilio(&self) -> &twilio::Server {
        &self.twilio
    }

    /// The stand-in for a plain gateway of SMS.
    #[must_use]
    pub fn gateway(&self) -> &gateway::Server {
        &self.gateway
    }

    /// The certificate, PEM, of the authority behind the server's certificate: what a client must trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.authority
    }

    /// All attempts that are kept, oldest first.
    #[must_use]
    pub fn attempts(&self) -> Vec<Arc<Attempt>> {
        self.record.all()
    }

    /// Those attempts whose message the sandbox has taken, oldest first. Where the sender was left without answer it
    /// cannot know, but the message is here.
    #[must_use]
    pub fn messages(&self) -> Vec<Arc<Attempt>> {
        self.record.all().into_iter().filter(|attempt| attempt.is_message()).collect()
    }

    /// One attempt, if it is still kept.
    #[must_use]
    pub fn attempt(&self, id: u64) -> Option<Arc<Attempt>> {
        self.record.get(id)
    }

    /// How much was seen, also of what is not kept any more.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.record.counts()
    }

    /// Forgets all attempts and sets the counts to zero; ids go on. Returns how many were kept.
    pub fn clear(&self) -> u64 {
        self.record.clear()
    }

    /// Changes with every attempt, to the id of the newest.
    #[must_use]
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.record.newest()
    }

    /// Puts these faults in the place of all that are in force.
    ///
    /// # Errors
    /// One makes no sense; then nothing has changed.
    pub fn set_faults(&self, faults: Vec<Fault>) -> Result<(), InvalidFault> {
        self.faults.replace(faults)
    }

    /// Adds a fault and returns its id. One with the same id is replaced.
    ///
    /// # Errors
    /// It makes no sense, or there are 1,000 already.
    pub fn add_fault(&self, fault: Fault) -> Result<String, InvalidFault> {
        self.faults.add(fault)
    }

    /// Takes a fault away; false if there is none of this id.
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

impl From<standin::StartError> for StartError {
    fn from(error: standin::StartError) -> Self {
        match error {
            standin::StartError::Listen { address, source } => Self::Listen { address, source },
            standin::StartError::Fault(invalid) => Self::Fault(InvalidFault(invalid.0)),
            standin::StartError::Setting(why) => Self::Setting(why),
        }
    }
}
