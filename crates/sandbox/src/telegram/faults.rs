//! Faults on request: for which chat and bot, what, and how often.

use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// More faults than this are refused.
pub const MOST_FAULTS: usize = 1_000;

/// A rule: messages to this chat by this bot meet that. The first one that strikes counts; faults come before magic chats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The chat as requests name it; all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// The bot's number; all if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bot: Option<u64>,
    /// What happens.
    pub action: Action,
    /// How often before it is spent; without end if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<NonZeroU64>,
    /// Only every n-th time it fits: 100 makes a hundredth of the messages fail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<NonZeroU64>,
}

/// What a fault does to a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Action {
    /// Refuses it with a code and a description.
    Refuse {
        /// 400 to 599.
        code: u16,
        /// As in `Forbidden: bot was blocked by the user`.
        description: String,
    },
    /// Says that the group has another number.
    Migrate {
        /// The new one.
        to: i64,
    },
    /// Refuses it with 429, and the bot's other messages until then.
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
    /// Takes the message and answers `"ok":true` with a message nobody knows the shape of.
    Strange,
    /// Takes nothing and answers a page nobody asked for, with status 200.
    Malformed,
}

/// A fault that makes no sense, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(crate) &'static str);

impl Fault {
    /// A fault for every message.
    #[must_use]
    pub fn new(action: Action) -> Self {
        Self { chat: None, bot: None, action, times: None, every: None }
    }

    /// For messages to this chat only.
    #[must_use]
    pub fn to(mut self, chat: impl Into<String>) -> Self {
        self.chat = Some(chat.into());
        self
    }

    /// For messages by this bot only.
    #[must_use]
    pub fn by(mut self, bot: u64) -> Self {
        self.bot = Some(bot);
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
        match &self.action {
            Action::Refuse { code, .. } if !(400..600).contains(code) => {
                Err(Invalid("a refusal has a code from 400 to 599"))
            }
            Action::Refuse { description, .. } if description.len() > 1_000 => {
                Err(Invalid("a description has at most 1,000 bytes"))
            }
            Action::Html { status } if !(200..600).contains(status) => {
                Err(Invalid("a page has a status from 200 to 599"))
            }
            Action::Throttle { retry_after } if !(1..=86_400).contains(retry_after) => {
                Err(Invalid("a wait is 1 to 86,400 seconds"))
            }
            _ => Ok(()),
        }
    }
}

/// All faults in force.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Rule>>);

#[derive(Debug)]
struct Rule {
    fault: Fault,
    fitted: u64,
    struck: u64,
}

impl Faults {
    fn rules(&self) -> MutexGuard<'_, Vec<Rule>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, fault: Fault) -> Result<(), Invalid> {
        fault.check()?;
        let mut rules = self.rules();
        if rules.len() >= MOST_FAULTS {
            return Err(Invalid("at most 1,000 faults"));
        }
        rules.push(Rule { fault, fitted: 0, struck: 0 });
        Ok(())
    }

    pub(super) fn clear(&self) {
        self.rules().clear();
    }

    /// What happens to a message to this chat by this bot.
    pub(super) fn strike(&self, chat: &str, bot: u64) -> Option<Action> {
        let mut rules = self.rules();
        rules.iter_mut().find_map(|rule| {
            let fault = &rule.fault;
            let fits = fault.chat.as_deref().is_none_or(|wanted| wanted == chat)
                && fault.bot.is_none_or(|wanted| wanted == bot);
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
