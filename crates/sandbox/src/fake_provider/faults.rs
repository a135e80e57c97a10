//! Faults on request: for which recipient and account, what happens, and how often.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::Answer;
use super::journal::RequestFate;
use super::provider::Reply;
use crate::faults::AddressPattern;

/// Maximum number of faults.
pub const MOST_FAULTS: usize = 1_000;

/// A rule: messages to these recipients by this account get this fault. The first one that strikes decides; faults
/// come before magic recipients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageFault {
    /// Its id, unique among the fake provider's faults; generated if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The chat, peer or number as requests name it, where `*` matches any characters; all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<AddressPattern>,
    /// The account, as in [`JournalEntry::account`](super::JournalEntry::account); all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What happens.
    pub action: MessageAction,
    /// How often before it is used up; no limit if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<NonZeroU64>,
    /// Only every n-th time it matches: 100 makes a hundredth of the messages fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<NonZeroU64>,
}

/// What a fault does to a message. Each fake provider supports those that make sense there and refuses the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum MessageAction {
    /// Refuses the whole request with the provider's code and a description.
    Refuse {
        /// For Telegram 400 to 599, for others their own codes.
        code: u16,
        /// Such as `Forbidden: bot was blocked by the user`; the usual text of the code if left out.
        #[serde(default)]
        description: String,
    },
    /// VK: one call of an `execute` fails, or the only call.
    RefuseCall {
        /// The error code.
        code: u16,
    },
    /// VK: one peer of a call fails.
    RefuseRecipient {
        /// The error code.
        code: u16,
    },
    /// Telegram: says that the group has a new id.
    Migrate {
        /// The new id.
        to: i64,
    },
    /// Refuses it with a rate limit, and the account's other messages until `retry_after` is over.
    Throttle {
        /// Seconds.
        retry_after: u64,
    },
    /// Refuses it as a proxy does: with an HTML page.
    Html {
        /// Usually 500 to 599.
        status: u16,
    },
    /// Accepts nothing, answers nothing, leaves the connection open.
    Hang,
    /// Accepts nothing and resets the connection.
    Reset,
    /// Accepts the message and resets the connection before the answer.
    TakeAndReset,
    /// Accepts the message and resets the connection in the middle of the answer.
    TakeAndCut,
    /// Accepts the message and answers after a while.
    Slow {
        /// How long.
        #[serde(with = "posthaste_ops::config::duration")]
        by: Duration,
    },
    /// Accepts the message and answers success in an unknown shape.
    Strange,
    /// Accepts nothing and answers with an unrelated page and status 200.
    Malformed,
    /// Twilio: accepts the message; this is its last status.
    End {
        /// `sent`, `delivered`, `undelivered` or `failed`.
        status: String,
        /// The error code that comes with it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u16>,
    },
    /// Twilio: accepts the message; its callbacks behave like this.
    Callbacks(Callbacks),
}

/// How status callbacks go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Callbacks {
    /// All before the request is answered.
    Early,
    /// Each is sent twice.
    Twice,
    /// The last one first.
    Reversed,
    /// Before each comes one that says `failed`, with a wrong signature.
    Forged,
    /// None is sent.
    Lost,
}

/// A fault in force, and how often it struck.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct MessageFaultView {
    /// The fault, with its id.
    #[serde(flatten)]
    pub fault: MessageFault,
    /// How often it struck.
    pub struck: u64,
}

/// An invalid fault, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidMessageFault(pub(crate) &'static str);

impl MessageFault {
    /// A fault for every message.
    #[must_use]
    pub fn new(action: MessageAction) -> Self {
        Self { id: None, to: None, by: None, action, times: None, every: None }
    }

    /// For messages to matching recipients only; `*` matches any characters.
    #[must_use]
    pub fn to(mut self, recipient: impl Into<String>) -> Self {
        self.to = Some(AddressPattern::new(recipient));
        self
    }

    /// For messages by this account only.
    #[must_use]
    pub fn by(mut self, account: impl Into<String>) -> Self {
        self.by = Some(account.into());
        self
    }

    /// This many times; 0 means no limit.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = NonZeroU64::new(times);
        self
    }

    /// Every n-th time it matches; 0 means always.
    #[must_use]
    pub fn every(mut self, every: u64) -> Self {
        self.every = NonZeroU64::new(every);
        self
    }

    fn check(&self) -> Result<(), InvalidMessageFault> {
        let texts = [self.id.as_deref(), self.to.as_ref().map(AddressPattern::as_str), self.by.as_deref()];
        if texts.into_iter().flatten().any(|text| text.len() > 512) {
            return Err(InvalidMessageFault("to and by must be at most 512 bytes"));
        }
        match &self.action {
            MessageAction::Refuse { code: 0, .. }
            | MessageAction::RefuseCall { code: 0 }
            | MessageAction::RefuseRecipient { code: 0 } => Err(InvalidMessageFault("code must not be 0")),
            MessageAction::Refuse { description, .. } if description.len() > 1_000 => {
                Err(InvalidMessageFault("description must be at most 1,000 bytes"))
            }
            MessageAction::Html { status } if !(200..600).contains(status) => {
                Err(InvalidMessageFault("the status of html must be from 200 to 599"))
            }
            MessageAction::Throttle { retry_after } if !(1..=86_400).contains(retry_after) => {
                Err(InvalidMessageFault("retry_after must be from 1 to 86,400 seconds"))
            }
            MessageAction::Slow { by } if *by > Duration::from_secs(86_400) => {
                Err(InvalidMessageFault("a delay must be at most one day"))
            }
            MessageAction::End { status, .. } if !FINAL.contains(&status.as_str()) => {
                Err(InvalidMessageFault("the status of end must be sent, delivered, undelivered or failed"))
            }
            _ => Ok(()),
        }
    }
}

impl MessageAction {
    /// The answer instead of accepting anything, for actions that are the same everywhere.
    pub(crate) fn instead(&self) -> Option<(Reply, RequestFate)> {
        match self {
            Self::Html { status } => Some((Reply::say(Answer::html(*status)), RequestFate::Refused(*status))),
            Self::Malformed => Some((Reply::say(Answer::html(200)), RequestFate::Refused(200))),
            Self::Hang => Some((Reply::hang(), RequestFate::Cut)),
            Self::Reset => Some((Reply::reset(), RequestFate::Cut)),
            _ => None,
        }
    }

    /// How the answer to an accepted message is sent.
    pub(crate) fn deliver(this: Option<&Self>, answer: Answer) -> (Reply, RequestFate) {
        match this {
            Some(Self::TakeAndReset) => (Reply::reset(), RequestFate::Taken),
            Some(Self::TakeAndCut) => (Reply::part(answer), RequestFate::Taken),
            Some(Self::Slow { by }) => (Reply::say(answer).late(*by), RequestFate::Done),
            _ => (Reply::say(answer), RequestFate::Done),
        }
    }
}

/// Statuses a message may end with.
const FINAL: [&str; 4] = ["sent", "delivered", "undelivered", "failed"];

/// All faults of a fake provider in force.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: Mutex<Vec<Rule>>,
    minted: AtomicU64,
    knows: fn(&MessageAction) -> bool,
}

#[derive(Debug)]
struct Rule {
    fault: MessageFault,
    fitted: u64,
    struck: u64,
}

impl Faults {
    /// Starts empty; actions it does not support are refused.
    pub(super) fn new(knows: fn(&MessageAction) -> bool) -> Self {
        Self { rules: Mutex::default(), minted: AtomicU64::new(0), knows }
    }

    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rule(&self, mut fault: MessageFault) -> Result<Rule, InvalidMessageFault> {
        fault.check()?;
        if !(self.knows)(&fault.action) {
            return Err(InvalidMessageFault(
                "this fake provider does not support the action, or not with this code",
            ));
        }
        let mint = || format!("fault-{}", self.minted.fetch_add(1, Ordering::Relaxed) + 1);
        fault.id = Some(fault.id.take().unwrap_or_else(mint));
        Ok(Rule { fault, fitted: 0, struck: 0 })
    }

    /// Adds one at the end and returns its id; one with the same id is replaced in place.
    pub(super) fn add(&self, fault: MessageFault) -> Result<String, InvalidMessageFault> {
        let rule = self.rule(fault)?;
        let id = rule.fault.id.clone().unwrap_or_default();
        let mut rules = self.rules();
        let full = rules.len() >= MOST_FAULTS;
        match rules.iter_mut().find(|other| other.fault.id == rule.fault.id) {
            Some(place) => *place = rule,
            None if full => return Err(InvalidMessageFault("at most 1,000 faults")),
            None => rules.push(rule),
        }
        Ok(id)
    }

    /// Replaces all faults. Changes nothing if one of them is invalid.
    pub(super) fn replace(&self, faults: Vec<MessageFault>) -> Result<(), InvalidMessageFault> {
        if faults.len() > MOST_FAULTS {
            return Err(InvalidMessageFault("at most 1,000 faults"));
        }
        let rules = faults.into_iter().map(|fault| self.rule(fault)).collect::<Result<_, _>>()?;
        *self.rules() = rules;
        Ok(())
    }

    /// Removes one; false if none has this id.
    pub(super) fn remove(&self, id: &str) -> bool {
        let mut rules = self.rules();
        let before = rules.len();
        rules.retain(|rule| rule.fault.id.as_deref() != Some(id));
        rules.len() < before
    }

    pub(super) fn list(&self) -> Vec<MessageFaultView> {
        let view = |rule: &Rule| MessageFaultView { fault: rule.fault.clone(), struck: rule.struck };
        self.rules().iter().map(view).collect()
    }

    /// What happens to a message to this recipient by this account.
    pub(crate) fn strike(&self, to: &str, by: &str) -> Option<MessageAction> {
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
