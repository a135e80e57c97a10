//! Faults on request: for which recipient and account, what, and how often.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::journal::Fate;
use super::provider::Reply;
use crate::faults::Pattern;

/// More faults than this are refused.
pub const MOST_FAULTS: usize = 1_000;

/// A rule: messages to these by this account meet that. The first one that strikes counts; faults come before magic recipients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Its name, unique among the stand-in's faults; one is given if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The chat, peer or number as requests name it, `*` for any characters; all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Pattern>,
    /// The account, as [`Request::account`](super::Request::account) tells it; all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What happens.
    pub action: Action,
    /// How often before it is spent; without end if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<NonZeroU64>,
    /// Only every n-th time it fits: 100 makes a hundredth of the messages fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<NonZeroU64>,
}

/// What a fault does to a message. Each stand-in knows those that make sense there and refuses the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// Refuses the whole request with the provider's code and a description.
    Refuse {
        /// Of Telegram 400 to 599, of others their own codes.
        code: u16,
        /// As in `Forbidden: bot was blocked by the user`; the usual words of the code if left out.
        #[serde(default)]
        description: String,
    },
    /// VK: one call of an `execute` fails, or the only call there is.
    RefuseCall {
        /// The error code.
        code: u16,
    },
    /// VK: one peer of a call fails.
    RefuseRecipient {
        /// The error code.
        code: u16,
    },
    /// Telegram: says that the group has another number.
    Migrate {
        /// The new one.
        to: i64,
    },
    /// Refuses it as too much, and the account's other messages until then.
    Throttle {
        /// Seconds.
        retry_after: u64,
    },
    /// Refuses it as a gateway does: a page of HTML.
    Html {
        /// 500 to 599 mostly.
        status: u16,
    },
    /// Takes nothing, answers nothing, leaves the connection open.
    Hang,
    /// Takes nothing and resets the connection.
    Reset,
    /// Takes the message and resets the connection before its answer.
    TakeAndReset,
    /// Takes the message and resets the connection in the middle of its answer.
    TakeAndCut,
    /// Takes the message and answers after a while.
    Slow {
        /// How long.
        #[serde(with = "humantime_serde")]
        by: Duration,
    },
    /// Takes the message and answers yes in a shape nobody knows.
    Strange,
    /// Takes nothing and answers a page nobody asked for, with status 200.
    Malformed,
    /// Twilio: takes the message; this is the last status it gets.
    End {
        /// `sent`, `delivered`, `undelivered` or `failed`.
        status: String,
        /// The error code that comes with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
    },
    /// Twilio: takes the message; its callbacks come in this way.
    Callbacks(Callbacks),
}

/// How status callbacks go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Callbacks {
    /// All before the request is answered.
    Early,
    /// Each comes twice.
    Twice,
    /// The last first.
    Reversed,
    /// Before each comes one with a wrong signature that says `failed`.
    Forged,
    /// None comes.
    Lost,
}

/// A fault in force, and how often it struck.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct FaultView {
    /// The fault, with its id.
    #[serde(flatten)]
    pub fault: Fault,
    /// How often it struck.
    pub struck: u64,
}

/// A fault that makes no sense, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(crate) &'static str);

impl Fault {
    /// A fault for every message.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self { id: None, to: None, by: None, action, times: None, every: None }
    }

    /// For messages to these only; `*` stands for any characters.
    #[must_use]
    pub fn to(mut self, recipient: impl Into<String>) -> Self {
        self.to = Some(Pattern::new(recipient));
        self
    }

    /// For messages by this account only.
    #[must_use]
    pub fn by(mut self, account: impl Into<String>) -> Self {
        self.by = Some(account.into());
        self
    }

    /// So many times; 0 is without end.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = NonZeroU64::new(times);
        self
    }

    /// Every n-th time it fits; 0 is always.
    #[must_use]
    pub fn every(mut self, every: u64) -> Self {
        self.every = NonZeroU64::new(every);
        self
    }

    fn check(&self) -> Result<(), Invalid> {
        let texts = [self.id.as_deref(), self.to.as_ref().map(Pattern::as_str), self.by.as_deref()];
        if texts.into_iter().flatten().any(|text| text.len() > 512) {
            return Err(Invalid("a text is longer than 512 bytes"));
        }
        match &self.action {
            Action::Refuse { code: 0, .. }
            | Action::RefuseCall { code: 0 }
            | Action::RefuseRecipient { code: 0 } => Err(Invalid("0 is the code of no error")),
            Action::Refuse { description, .. } if description.len() > 1_000 => {
                Err(Invalid("a description has at most 1,000 bytes"))
            }
            Action::Html { status } if !(200..600).contains(status) => {
                Err(Invalid("a page has a status from 200 to 599"))
            }
            Action::Throttle { retry_after } if !(1..=86_400).contains(retry_after) => {
                Err(Invalid("a wait is 1 to 86,400 seconds"))
            }
            Action::Slow { by } if *by > Duration::from_secs(86_400) => {
                Err(Invalid("a span has at most a day"))
            }
            Action::End { status, .. } if !FINAL.contains(&status.as_str()) => {
                Err(Invalid("a last status is sent, delivered, undelivered or failed"))
            }
            _ => Ok(()),
        }
    }
}

impl Action {
    /// What is answered instead of taking anything, of actions that are the same everywhere.
    pub(crate) fn instead(&self) -> Option<(Reply, Fate)> {
        match self {
            Self::Html { status } => Some((Reply::say(Answer::html(*status)), Fate::Refused(*status))),
            Self::Malformed => Some((Reply::say(Answer::html(200)), Fate::Refused(200))),
            Self::Hang => Some((Reply::hang(), Fate::Cut)),
            Self::Reset => Some((Reply::reset(), Fate::Cut)),
            _ => None,
        }
    }

    /// How the answer to what was taken goes out.
    pub(crate) fn deliver(this: Option<&Self>, answer: Answer) -> (Reply, Fate) {
        match this {
            Some(Self::TakeAndReset) => (Reply::reset(), Fate::Taken),
            Some(Self::TakeAndCut) => (Reply::part(answer), Fate::Taken),
            Some(Self::Slow { by }) => (Reply::say(answer).late(*by), Fate::Done),
            _ => (Reply::say(answer), Fate::Done),
        }
    }
}

/// Statuses a message may end with.
const FINAL: [&str; 4] = ["sent", "delivered", "undelivered", "failed"];

/// All faults of a stand-in in force.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Rule>>,
    minted: AtomicU64,
    knows: fn(&Action) -> bool,
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    fitted: u64,
    struck: u64,
}

impl Faults {
    /// None yet; those it does not know are refused.
    pub(super) fn new(knows: fn(&Action) -> bool) -> Self {
        Self { rules: Mutex::default(), minted: AtomicU64::new(0), knows }
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rule(&self, mut fault: Fault) -> Result<Rule, Invalid> {
        fault.check()?;
        if !(self.knows)(&fault.action) {
            return Err(Invalid("this stand-in does not know the action, or not with this code"));
        }
        let mint = || format!("fault-{}", self.minted.fetch_add(1, Ordering::Relaxed) + 1);
        fault.id = Some(fault.id.take().unwrap_or_else(mint));
        Ok(Rule { fault, fitted: 0, struck: 0 })
    }

    /// Adds one at the end and returns its id; one with the same id is replaced where it stands.
    pub(super) fn add(&self, fault: Fault) -> Result<String, Invalid> {
        let rule = self.rule(fault)?;
        let id = rule.fault.id.clone().unwrap_or_default();
        let mut rules = self.rules();
        let full = rules.len() >= MOST_FAULTS;
        match rules.iter_mut().find(|other| other.fault.id == rule.fault.id) {
            Some(place) => *place = rule,
            None if full => return Err(Invalid("at most 1,000 faults")),
            None => rules.push(rule),
        }
        Ok(id)
    }

    /// Puts these in the place of all. Nothing changes if one of them makes no sense.
    pub(super) fn replace(&self, faults: Vec<Fault>) -> Result<(), Invalid> {
        if faults.len() > MOST_FAULTS {
            return Err(Invalid("at most 1,000 faults"));
        }
        let rules = faults.into_iter().map(|fault| self.rule(fault)).collect::<Result<_, _>>()?;
        *self.rules() = rules;
        Ok(())
    }

    /// Takes one away; false if there is none of this id.
    pub(super) fn remove(&self, id: &str) -> bool {
        let mut rules = self.rules();
        let before = rules.len();
        rules.retain(|rule| rule.fault.id.as_deref() != Some(id));
        rules.len() < before
    }

    pub(super) fn list(&self) -> Vec<FaultView> {
        let view = |rule: &Rule| FaultView { fault: rule.fault.clone(), struck: rule.struck };
        self.rules().iter().map(view).collect()
    }

    /// What happens to a message to this recipient by this account.
    pub(crate) fn strike(&self, to: &str, by: &str) -> Option<Action> {
        let mut rules = self.rules();
        rules.iter_mut().find_map(|rule| {
            let fault = &rule.fault;
            let fits = fault.to.as_ref().is_none_or(|wanted| wanted.fits(to))
                && fault.by.as_deref().is_none_or(|wanted| wanted == by);
            if !fits || fault.times.is_some_and(|times| rule.struck >= times.get()) {
                return None;
            }
            rule.fitted += 1;
            if fault.every.is_some_and(|every| !rule.fitted.is_multiple_of(every.get())) {
                return None;
            }
            rule.struck += 1;
            Some(fault.action.clone())
        })
    }
}
