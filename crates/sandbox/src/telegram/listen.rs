//! The server: connections in tasks of their own, request by request.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use posthaste_model::{Address, Clock, SystemClock, Text};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Answer;
use super::faults::{Action, Fault, Faults, Invalid};
use super::journal::{Fate, Journal, Request};
use super::limits::{Counting, Limits};
use super::wire::{self, Broken, Whole};
use super::{magic, methods};

/// How long a listener rests when the system refuses a connection.
const REST: Duration = Duration::from_millis(100);

/// Settings of the stand-in. [`Settings::default`] listens on loopback, on a port the system chooses, and takes any token.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The tokens it takes; if there are none, any.
    pub tokens: Vec<SecretString>,
    /// How much it takes.
    pub limits: Limits,
    /// Faults from the start.
    pub faults: Vec<Fault>,
    /// Whether magic chats have their way.
    pub magic: bool,
    /// How long it waits before each answer, as a far server would.
    #[serde(with = "humantime_serde")]
    pub reply_after: Duration,
    /// How long a hang lasts at most; then the connection closes.
    #[serde(with = "humantime_serde")]
    pub hang_for: Duration,
    /// Most connections at a time; further ones wait.
    pub max_connections: usize,
    /// Most requests kept.
    pub keep_requests: usize,
    /// Most bytes of requests kept.
    pub keep_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            tokens: Vec::new(),
            limits: Limits::default(),
            faults: Vec::new(),
            magic: true,
            reply_after: Duration::ZERO,
            hang_for: Duration::from_secs(900),
            max_connections: 1_024,
            keep_requests: 200_000,
            keep_bytes: 256 * 1024 * 1024,
        }
    }
}

/// It cannot start.
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
    /// A fault of the settings makes no sense.
    #[error("a fault in the settings makes no sense")]
    Fault(#[from] Invalid),
}

/// The stand-in, listening. Dropping it closes everything.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    revoked: Mutex<BTreeSet<u64>>,
    counting: Mutex<Counting>,
    faults: Faults,
    journal: Journal,
    connections: AtomicU64,
    messages: AtomicU64,
}

/// What is done about a request.
enum Reply {
    Say(Answer),
    Late(Answer, Duration),
    Hang,
    Reset,
    /// A part of an answer, then a reset.
    Part(Answer),
}

impl Server {
    /// Starts it, and returns when it listens. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The address is taken, or a fault makes no sense.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let address = settings.listen;
        let failed = |source| StartError::Listen { address, source };
        let faults = Faults::default();
        settings.faults.iter().try_for_each(|fault| faults.add(fault.clone()))?;
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared {
            revoked: Mutex::default(),
            counting: Mutex::new(Counting::new(settings.limits)),
            faults,
            journal: Journal::new(settings.keep_requests, settings.keep_bytes),
            connections: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            settings,
        });
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(serve(listener, Arc::clone(&shared), stop.clone(), tasks.clone()));
        Ok(Self { address, shared, stop, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What stands for `https://api.telegram.org`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests kept, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<Request>> {
        self.shared.journal.all()
    }

    /// Those that brought a message that was taken, whether or not the sender was told.
    #[must_use]
    pub fn messages(&self) -> Vec<Arc<Request>> {
        self.shared.journal.all().into_iter().filter(|request| request.is_taken()).collect()
    }

    /// How many requests came at all.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.shared.journal.seen()
    }

    /// Forgets the requests; their numbers go on.
    pub fn clear(&self) {
        self.shared.journal.clear();
    }

    /// Adds a fault behind those in force.
    ///
    /// # Errors
    /// It makes no sense, or there are too many.
    pub fn add_fault(&self, fault: Fault) -> Result<(), Invalid> {
        self.shared.faults.add(fault)
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Sets other limits, and forgets what was sent.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.counting().set(limits);
    }

    /// From now on the token of this bot is refused, or taken again.
    pub fn revoke(&self, bot: u64, revoked: bool) {
        let mut all = self.shared.revoked.lock().unwrap_or_else(PoisonError::into_inner);
        if revoked {
            all.insert(bot)
        } else {
            all.remove(&bot)
        };
    }

    /// Closes everything and waits until it is closed.
    pub async fn stop(self) {
        self.close();
        self.tasks.wait().await;
    }

    /// Closes everything, soon.
    pub(crate) fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken, tasks: TaskTracker) {
    let places = Arc::new(Semaphore::new(shared.settings.max_connections.min(Semaphore::MAX_PERMITS)));
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let Some((place, accepted)) = stop.run_until_cancelled(next).await else { return };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        tasks.spawn(async move {
            stop.run_until_cancelled(Box::pin(converse(stream, &shared))).await;
            drop(place);
        });
    }
}

/// One connection, to its end.
async fn converse(mut stream: TcpStream, shared: &Shared) {
    // Small answers go at once.
    let _ = stream.set_nodelay(true);
    let connection = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let mut buffer = BytesMut::new();
    loop {
        let request = match wire::read(&mut stream, &mut buffer).await {
            Ok(request) => request,
            Err(Broken::Gone) => return,
            Err(Broken::Bad(status)) => {
                wire::write(&mut stream, &wire::encode(&Answer::html(status), false)).await;
                return;
            }
        };
        let reply = shared.treat(&request, connection);
        tokio::time::sleep(shared.settings.reply_after).await;
        let bytes = match reply {
            Reply::Say(answer) => wire::encode(&answer, request.keep_alive),
            Reply::Late(answer, by) => {
                tokio::time::sleep(by).await;
                wire::encode(&answer, request.keep_alive)
            }
            Reply::Hang => return tokio::time::sleep(shared.settings.hang_for).await,
            Reply::Part(answer) => {
                let bytes = wire::encode(&answer, request.keep_alive);
                wire::write(&mut stream, &bytes[..bytes.len() - answer.body.len() / 2]).await;
                let _ = stream.set_zero_linger();
                return;
            }
            Reply::Reset => {
                let _ = stream.set_zero_linger();
                return;
            }
        };
        if !wire::write(&mut stream, &bytes).await || !request.keep_alive {
            return;
        }
    }
}

impl Shared {
    fn counting(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about a request, and writes it down before anybody is told.
    fn treat(&self, whole: &Whole, connection: u64) -> Reply {
        let (now, wall) = (Instant::now(), SystemClock.now());
        let mut request = Request {
            id: 0,
            at: wall,
            instant: now,
            connection,
            bot: 0,
            method: String::new(),
            chat: Address::new(""),
            text: Text::default(),
            raw: whole.raw.clone(),
            fate: Fate::Cut,
        };
        let (reply, fate) = self.decide(whole, &mut request, now);
        request.fate = fate;
        self.journal.put(request);
        reply
    }

    fn decide(&self, whole: &Whole, request: &mut Request, now: Instant) -> (Reply, Fate) {
        let refuse = |answer: Answer| {
            let status = answer.status;
            (Reply::Say(answer), Fate::Refused(status))
        };
        let Some(place) = methods::place(&whole.path) else {
            return refuse(Answer::refusal(404, "Not Found"));
        };
        (request.bot, request.method) = (place.bot, place.method.clone());
        let known = &self.settings.tokens;
        let revoked = self.revoked.lock().unwrap_or_else(PoisonError::into_inner).contains(&place.bot);
        if revoked || !(known.is_empty() || known.iter().any(|token| token.expose_secret() == place.token)) {
            return refuse(Answer::refusal(401, "Unauthorized"));
        }
        if !matches!(whole.verb.as_str(), "GET" | "POST") {
            return refuse(Answer::refusal(405, "Method Not Allowed"));
        }
        match place.method.as_str() {
            "getme" => (Reply::Say(methods::me(place.bot)), Fate::Done),
            "sendmessage" => {
                let Some(parameters) = methods::parameters(whole) else {
                    return refuse(Answer::refusal(400, "Bad Request: can't parse request"));
                };
                request.chat = Address::new(methods::chat(&parameters));
                request.text = Text::new(parameters["text"].as_str().unwrap_or_default());
                self.message(&parameters, request, now)
            }
            _ => refuse(Answer::refusal(404, "Not Found")),
        }
    }

    fn message(&self, parameters: &Value, request: &Request, now: Instant) -> (Reply, Fate) {
        let refuse = |answer: Answer| {
            let status = answer.status;
            (Reply::Say(answer), Fate::Refused(status))
        };
        let (bot, chat) = (request.bot, request.chat.expose());
        if let Some(ban) = self.counting().banned(bot, now) {
            return (Reply::Say(Answer::wait(ban.retry_after)), Fate::InBan);
        }
        if let Err(answer) = methods::check(parameters) {
            return refuse(answer);
        }
        let magic = || self.settings.magic.then(|| magic::action(chat)).flatten();
        let action = self.faults.strike(chat, bot).or_else(magic);
        match action {
            None
            | Some(Action::TakeAndReset | Action::TakeAndCut | Action::Slow { .. } | Action::Strange) => {}
            Some(Action::Refuse { code, description }) => return refuse(Answer::refusal(code, &description)),
            Some(Action::Migrate { to }) => return refuse(Answer::moved(to)),
            Some(Action::Throttle { retry_after }) => {
                self.counting().ban(bot, now, retry_after);
                return refuse(Answer::wait(retry_after));
            }
            Some(Action::Html { status }) => return refuse(Answer::html(status)),
            Some(Action::Malformed) => return refuse(Answer::html(200)),
            Some(Action::Hang) => return (Reply::Hang, Fate::Cut),
            Some(Action::Reset) => return (Reply::Reset, Fate::Cut),
        }
        if let Err(limited) = self.counting().count(bot, chat, now) {
            return refuse(Answer::wait(limited.retry_after));
        }
        let id = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let answer = methods::sent(parameters, bot, id, request.at);
        match action {
            Some(Action::TakeAndReset) => (Reply::Reset, Fate::Taken),
            Some(Action::TakeAndCut) => (Reply::Part(answer), Fate::Taken),
            Some(Action::Slow { by }) => (Reply::Late(answer, by), Fate::Done),
            Some(Action::Strange) => {
                let strange = serde_json::json!({ "message_id": [id], "rich_message": {} });
                (Reply::Say(Answer::result(&strange)), Fate::Done)
            }
            _ => (Reply::Say(answer), Fate::Done),
        }
    }
}
