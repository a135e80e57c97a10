//! The transport to the provider in memory, and the flaws it can have.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use posthaste_courier::{Capabilities, Envelope, LookupResult, Outcome, ThrottleScope, Transport};
use posthaste_model::{Channel, OrderId, OutcomeKind, Reason, UnixMs};
use tokio::time::Instant;

use super::memory::{Broken, MOST_LETTERS, Message, Provider, Reply};

/// A flaw of a transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    None,
    SwallowsAnOutcome,
    TurnsTheOrder,
    AcceptedOnALostAnswer,
    NotSentAfterBytesLeft,
    RetryAfterBytesLeft,
    HoldsALockForEver,
    PanicsOnNonsense,
    PanicsOnScripts,
    SendsTwice,
    NeverSends,
    IgnoresTheWait,
    ShortensTheWait,
    AcceptsNonsense,
    RejectsUnderABadCredential,
    RejectsTheUnreachable,
    StaysStopped,
    ChecksNothing,
    GreetsWithAMessage,
    MixesCalls,
    KeepsTheFirstText,
    SuppressesAsRejected,
    RepeatsBehindItsBack,
    TakesANewToken,
    FindsNothing,
    // These flaws show only under the runtime.
    RejectsRepeats,
    CountsDeliveriesInAByte,
    SleepsThroughThePause,
}

/// The spacing of messages of a paced transport.
const SPACING: Duration = Duration::from_millis(25);
const AHEAD: Duration = Duration::from_millis(250);

/// The transport's own rate limit.
struct Turns {
    next: Instant,
    paused_until: Instant,
}

pub(crate) struct MemoryTransport {
    provider: Arc<Provider>,
    capabilities: Capabilities,
    defect: Defect,
    part: Option<usize>,
    connection: Arc<tokio::sync::Mutex<()>>,
    stopped: AtomicBool,
    first_text: Mutex<Option<String>>,
    last_outcomes: Mutex<Vec<Outcome>>,
    tokens: AtomicU32,
    deliveries: Mutex<HashSet<(OrderId, u8)>>,
    turns: Option<Mutex<Turns>>,
}

impl MemoryTransport {
    pub(crate) async fn new(
        provider: Arc<Provider>,
        capabilities: Capabilities,
        defect: Defect,
        part: Option<usize>,
    ) -> Self {
        if defect == Defect::GreetsWithAMessage {
            let to = posthaste_model::Address::new("0@memory.example");
            let hello = Message { to, text: "hello".to_owned(), part: 0, key: None };
            provider.request(&[hello]).await.unwrap();
        }
        Self {
            provider,
            capabilities,
            defect,
            part,
            connection: Arc::default(),
            stopped: AtomicBool::new(false),
            first_text: Mutex::default(),
            last_outcomes: Mutex::default(),
            tokens: AtomicU32::new(0),
            deliveries: Mutex::default(),
            turns: None,
        }
    }

    /// The same with its own rate limit.
    pub(crate) fn paced(self) -> Self {
        let now = Instant::now();
        Self { turns: Some(Mutex::new(Turns { next: now, paused_until: now })), ..self }
    }

    /// Waits for the turn of a message; `Err` says what has to wait.
    async fn turn(&self) -> Result<(), Outcome> {
        let Some(turns) = &self.turns else { return Ok(()) };
        let paused = |now: Instant| {
            let wait = turns.lock().unwrap().paused_until.saturating_duration_since(now);
            let throttled = Outcome::Throttled { scope: ThrottleScope::Channel, wait };
            if wait.is_zero() { Ok(()) } else { Err(throttled) }
        };
        let now = Instant::now();
        paused(now)?;
        let at = {
            let mut turns = turns.lock().unwrap();
            let at = turns.next.max(now);
            if at > now + AHEAD {
                return Err(Outcome::Throttled { scope: ThrottleScope::Recipient, wait: at - now });
            }
            turns.next = at + SPACING;
            at
        };
        tokio::time::sleep_until(at).await;
        if self.defect == Defect::SleepsThroughThePause { Ok(()) } else { paused(Instant::now()) }
    }

    /// Remembers the pause the provider requested.
    fn pause(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            if let (Outcome::Throttled { wait, .. }, Some(turns)) = (outcome, &self.turns) {
                turns.lock().unwrap().paused_until = Instant::now() + *wait;
            }
        }
    }

    /// The message part to send, and whether further parts follow.
    fn message(&self, envelope: &Envelope) -> (Message, bool) {
        let whole = envelope.content.text_for(&self.channel()).expose().to_owned();
        let whole = match self.defect {
            Defect::KeepsTheFirstText => self.first_text.lock().unwrap().get_or_insert(whole).clone(),
            Defect::PanicsOnScripts => whole[..whole.len().min(60)].to_owned(),
            _ => whole,
        };
        let letters: Vec<char> = whole.chars().collect();
        let size = self.part.unwrap_or(letters.len()).max(1);
        let part = if self.part.is_some() { envelope.token.unwrap_or(0) } else { 0 };
        let mut chunks = letters.chunks(size);
        let text: String = chunks.nth(part as usize).unwrap_or_default().iter().collect();
        let key = match self.defect {
            Defect::TakesANewToken => Some(self.tokens.fetch_add(1, Ordering::SeqCst) + 1),
            _ if self.capabilities.tokens => envelope.token,
            _ => None,
        };
        (Message { to: envelope.to.address.clone(), text, part, key }, chunks.next().is_some())
    }

    fn outcome(&self, reply: Reply, more: bool, part: u32) -> Outcome {
        match (reply, self.defect) {
            (Reply::Ok, _) if more => Outcome::Part(part + 1),
            (Reply::Ok, _) | (Reply::Nonsense, Defect::AcceptsNonsense) => Outcome::Sent,
            (Reply::Nonsense, Defect::PanicsOnNonsense) => panic!("an answer that makes no sense"),
            (Reply::No, _) | (Reply::BadKey, Defect::RejectsUnderABadCredential) => {
                Outcome::Failed(Reason::Rejected.into())
            }
            (Reply::Gone, Defect::SuppressesAsRejected) => Outcome::Failed(Reason::Blocked.into()),
            (Reply::NotNow, _) | (Reply::Wait(_), Defect::IgnoresTheWait) => {
                Outcome::Retry { after: None, reason: Reason::ProviderUnavailable.into() }
            }
            (Reply::Wait(_), Defect::ShortensTheWait) => {
                Outcome::Throttled { scope: ThrottleScope::Channel, wait: Duration::ZERO }
            }
            (Reply::Wait(wait), _) => Outcome::Throttled { scope: ThrottleScope::Channel, wait },
            (Reply::Gone, _) => Outcome::HardRefusal(Reason::Blocked.into()),
            (Reply::BadKey, _) => {
                self.stopped.store(self.defect == Defect::StaysStopped, Ordering::SeqCst);
                Outcome::Stop("the key is bad".to_owned())
            }
            (Reply::Nonsense, _) => Outcome::Unknown(Reason::InvalidProviderResponse),
        }
    }

    fn broken(&self, how: Broken) -> Outcome {
        match (how, self.defect) {
            (Broken::Unreachable, Defect::RejectsTheUnreachable) => {
                Outcome::Failed(Reason::ConnectionFailed.into())
            }
            (Broken::Unreachable, _) | (Broken::Reset, Defect::NotSentAfterBytesLeft) => {
                Outcome::NotSent { after: None, reason: Reason::ConnectionFailed }
            }
            (Broken::Reset, Defect::AcceptedOnALostAnswer) => Outcome::Sent,
            (Broken::Reset, Defect::RetryAfterBytesLeft) => {
                Outcome::Retry { after: None, reason: Reason::ConnectionLost.into() }
            }
            (Broken::Reset, _) => Outcome::Unknown(Reason::ConnectionLost),
        }
    }

    /// Outcomes decided locally, without a request.
    fn refused(&self, envelope: &Envelope) -> Option<Outcome> {
        if self.stopped.load(Ordering::SeqCst) {
            return Some(Outcome::Stop("the key was bad once".to_owned()));
        }
        if envelope.repeat && self.defect == Defect::RejectsRepeats {
            return Some(Outcome::Failed(Reason::Rejected.into()));
        }
        let delivery = envelope.delivery.to_be_bytes()[1];
        if self.defect == Defect::CountsDeliveriesInAByte
            && !self.deliveries.lock().unwrap().insert((envelope.order_id.clone(), delivery))
            && envelope.attempt == 1
        {
            return Some(Outcome::Sent);
        }
        let letters = envelope.content.text_for(&self.channel()).expose().chars().count();
        (letters > MOST_LETTERS).then_some(Outcome::Failed(Reason::Rejected.into()))
    }

    async fn request(&self, messages: &[Message]) -> Result<Vec<Reply>, Broken> {
        let locked = Arc::clone(&self.connection).lock_owned().await;
        if self.defect == Defect::HoldsALockForEver {
            let (provider, messages) = (Arc::clone(&self.provider), messages.to_vec());
            // This task goes on when the call is dropped.
            let task = tokio::spawn(async move {
                let _locked = locked;
                provider.request(&messages).await
            });
            return task.await.unwrap();
        }
        drop(locked);
        let answered = self.provider.request(messages).await;
        if self.defect == Defect::SendsTwice {
            let _ = self.provider.request(messages).await;
        }
        if answered == Err(Broken::Reset) && self.defect == Defect::RepeatsBehindItsBack {
            let (provider, messages) = (Arc::clone(&self.provider), messages.to_vec());
            tokio::spawn(async move { while provider.request(&messages).await.is_err() {} });
        }
        answered
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn channel(&self) -> Channel {
        "memory".parse().unwrap()
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn send(&self, batch: &[Envelope], _deadline: Instant) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> =
            batch.iter().map(|envelope| self.refused(envelope)).collect();
        let open: Vec<usize> = (0..batch.len()).filter(|at| outcomes[*at].is_none()).collect();
        let (messages, more): (Vec<Message>, Vec<bool>) =
            open.iter().map(|at| self.message(&batch[*at])).unzip();
        if self.defect == Defect::NeverSends {
            return vec![Outcome::Sent; batch.len()];
        }
        if let Err(wait) = self.turn().await {
            return vec![wait; batch.len()];
        }
        let answered = if messages.is_empty() { Ok(Vec::new()) } else { self.request(&messages).await };
        for (n, at) in open.iter().enumerate() {
            outcomes[*at] = Some(match &answered {
                Ok(replies) => self.outcome(replies[n], more[n], messages[n].part),
                Err(how) => self.broken(*how),
            });
        }
        let mut outcomes: Vec<Outcome> = outcomes.into_iter().flatten().collect();
        self.pause(&outcomes);
        match self.defect {
            Defect::SwallowsAnOutcome => drop(outcomes.pop()),
            Defect::TurnsTheOrder => outcomes.reverse(),
            Defect::MixesCalls => {
                self.last_outcomes.lock().unwrap().clone_from(&outcomes);
                tokio::task::yield_now().await;
                outcomes.clone_from(&self.last_outcomes.lock().unwrap());
            }
            _ => {}
        }
        outcomes
    }

    async fn look_up(&self, envelope: &Envelope, _: UnixMs, _: UnixMs) -> LookupResult {
        match self.provider.knows(&envelope.to.address) {
            true if self.defect != Defect::FindsNothing => {
                LookupResult::Known(OutcomeKind::Sent, Reason::None.into())
            }
            _ => LookupResult::Never,
        }
    }

    async fn check(&self) -> Result<(), String> {
        match self.provider.greets() {
            _ if self.defect == Defect::ChecksNothing => Ok(()),
            Ok(true) => Ok(()),
            Ok(false) => Err("the key is bad".to_owned()),
            Err(_) => Err("it can't be reached".to_owned()),
        }
    }
}
