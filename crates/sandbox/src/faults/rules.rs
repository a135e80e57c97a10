//! The faults in force, their state, and the decision at each stage.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use lru::LruCache;
use posthaste_model::Channel;
use serde::Serialize;
use tokio::time::Instant;

use super::answer::RefusalAnswer;
use super::fault::{Action, Fault, InvalidFault};
use super::magic::{self, MagicSettings};
use crate::record::{AttemptStage, Cut};

/// Maximum number of rules.
const MOST_RULES: usize = 1_000;
/// Most recipients and buckets remembered; the least recently used are forgotten first.
const MOST_MEMORIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(99_999);

/// The situation at a stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occasion<'a> {
    pub(crate) channel: &'a Channel,
    pub(crate) stage: AttemptStage,
    pub(crate) peer: IpAddr,
    pub(crate) sender: Option<&'a str>,
    /// At the stage `rcpt` the current one, later all that were accepted.
    pub(crate) recipients: &'a [&'a str],
}

/// What to do at a stage: wait, then perhaps do something other than continue.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Decision {
    pub(crate) wait: Duration,
    pub(crate) then: Option<Then>,
}

/// Something other than to continue.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Then {
    Refuse(RefusalAnswer),
    Cut(Cut),
    Babble(u32),
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

#[derive(Debug)]
struct Rule {
    fault: Fault,
    id: String,
    fitted: AtomicU64,
    struck: AtomicU64,
}

/// All faults. The first rule that strikes decides; rules come before magic addresses; delays add up.
#[derive(Debug)]
pub(crate) struct Faults {
    rules: RwLock<Vec<Arc<Rule>>>,
    magic: MagicSettings,
    memory: Mutex<Memory>,
    minted: AtomicU64,
}

#[derive(Debug)]
struct Memory {
    hasher: RandomState,
    /// How often a rule struck a recipient.
    struck: LruCache<u64, u32>,
    /// When greylisting first saw a sender and recipient.
    seen: LruCache<u64, Instant>,
    /// When a bucket will be empty.
    buckets: LruCache<u64, Instant>,
}

impl Faults {
    pub(crate) fn new(magic: MagicSettings, faults: Vec<Fault>) -> Result<Self, InvalidFault> {
        let memory = Memory {
            hasher: RandomState::new(),
            struck: LruCache::new(MOST_MEMORIES),
            seen: LruCache::new(MOST_MEMORIES),
            buckets: LruCache::new(MOST_MEMORIES),
        };
        let (rules, minted) = (RwLock::default(), AtomicU64::new(0));
        let this = Self { rules, magic, memory: Mutex::new(memory), minted };
        this.replace(faults)?;
        Ok(this)
    }

    /// Replaces all faults. Changes nothing if one of them is invalid.
    pub(crate) fn replace(&self, faults: Vec<Fault>) -> Result<(), InvalidFault> {
        let mut rules = Vec::new();
        for fault in faults {
            self.insert(&mut rules, fault)?;
        }
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = rules;
        Ok(())
    }

    /// Adds one at the end and returns its id; one with the same id is replaced in place.
    pub(crate) fn add(&self, fault: Fault) -> Result<String, InvalidFault> {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        self.insert(&mut rules, fault)
    }

    fn insert(&self, rules: &mut Vec<Arc<Rule>>, mut fault: Fault) -> Result<String, InvalidFault> {
        fault.check()?;
        let id = match fault.id.take() {
            Some(id) => id,
            None => format!("fault-{}", self.minted.fetch_add(1, Ordering::Relaxed) + 1),
        };
        fault.id = Some(id.clone());
        let (fitted, struck) = (AtomicU64::new(0), AtomicU64::new(0));
        let rule = Arc::new(Rule { fault, id: id.clone(), fitted, struck });
        let full = rules.len() >= MOST_RULES;
        match rules.iter_mut().find(|rule| rule.id == id) {
            Some(place) => *place = rule,
            None if full => return Err(InvalidFault("at most 1,000 faults")),
            None => rules.push(rule),
        }
        Ok(id)
    }

    /// Removes one; false if none has this id.
    pub(crate) fn remove(&self, id: &str) -> bool {
        let mut rules = self.rules.write().unwrap_or_else(PoisonError::into_inner);
        let before = rules.len();
        rules.retain(|rule| rule.id != id);
        rules.len() < before
    }

    pub(crate) fn list(&self) -> Vec<FaultView> {
        let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
        let view = |rule: &Arc<Rule>| FaultView {
            fault: rule.fault.clone(),
            struck: rule.struck.load(Ordering::Relaxed),
        };
        rules.iter().map(view).collect()
    }

    /// What to do now.
    pub(crate) fn decide(&self, occasion: &Occasion<'_>, now: Instant) -> Decision {
        let mut decision = Decision::default();
        {
            let rules = self.rules.read().unwrap_or_else(PoisonError::into_inner);
            for rule in rules.iter().filter(|rule| rule.fault.stage == occasion.stage) {
                let Some(key) = fit(&rule.fault, occasion) else { continue };
                if !rule.is_due(self, key) {
                    continue;
                }
                let Some(struck) = self.act(&rule.id, &rule.fault.action, key, occasion, now) else {
                    continue;
                };
                if !rule.strike() {
                    continue;
                }
                if struck.add_to(&mut decision) {
                    return decision;
                }
            }
        }
        if self.magic.enabled && occasion.stage >= AttemptStage::Rcpt {
            for recipient in occasion.recipients {
                let fault = magic::fault_of(recipient, &self.magic);
                let Some(fault) = fault.filter(|fault| fault.stage == occasion.stage) else { continue };
                let id = fault.id.as_deref().unwrap_or_default();
                if fault.times_each.is_some_and(|most| !self.once_more(id, recipient, most.get())) {
                    continue;
                }
                let struck = self.act(id, &fault.action, recipient, occasion, now);
                if struck.is_some_and(|struck| struck.add_to(&mut decision)) {
                    return decision;
                }
            }
        }
        decision
    }

    /// Counts a strike on this recipient; false if the limit is reached.
    fn once_more(&self, rule: &str, key: &str, most: u32) -> bool {
        let mut memory = self.memory();
        let key = memory.key(&(rule, key.to_ascii_lowercase()));
        let struck = memory.struck.get_or_insert_mut(key, || 0);
        let more = *struck < most;
        *struck = struck.saturating_add(1);
        more
    }

    /// What the action does now; `None` if it lets this one pass.
    fn act(
        &self,
        rule: &str,
        action: &Action,
        key: &str,
        occasion: &Occasion<'_>,
        now: Instant,
    ) -> Option<Strike> {
        let then = match action {
            Action::Refuse(answer) => Then::Refuse(answer.clone()),
            Action::Greylist { wait } => {
                let sender = occasion.sender.unwrap_or_default().to_ascii_lowercase();
                let mut memory = self.memory();
                let key = memory.key(&(rule, occasion.peer, sender, key.to_ascii_lowercase()));
                let seen = *memory.seen.get_or_insert(key, || now);
                let left = wait.saturating_sub(now.saturating_duration_since(seen));
                if left.is_zero() {
                    return None;
                }
                let seconds = left.as_secs() + 1;
                Then::Refuse(RefusalAnswer::new(
                    450,
                    format!("4.7.1 Greylisted, try again in {seconds} seconds"),
                ))
            }
            Action::Throttle { limit, per, answer } => {
                let mut memory = self.memory();
                let key = memory.key(&rule);
                let empty = memory.buckets.get_or_insert_mut(key, || now);
                *empty = (*empty).max(now);
                let one = *per / limit.get();
                if empty.saturating_duration_since(now).saturating_add(one) <= *per {
                    // Times are at most a day, so this cannot overflow.
                    *empty = empty.checked_add(one).unwrap_or(now);
                    return None;
                }
                Then::Refuse(answer.clone())
            }
            Action::Slow { by } => return Some(Strike::Wait(*by)),
            Action::Hang => Then::Cut(Cut::Hang),
            Action::Drop => Then::Cut(Cut::Drop),
            Action::Reset => Then::Cut(Cut::Reset),
            Action::Babble { bytes } => Then::Babble(*bytes),
        };
        Some(Strike::Then(then))
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a fault that struck asks for.
enum Strike {
    Wait(Duration),
    Then(Then),
}

impl Strike {
    /// True if the decision is final.
    fn add_to(self, decision: &mut Decision) -> bool {
        match self {
            Self::Wait(by) => {
                decision.wait = decision.wait.saturating_add(by);
                false
            }
            Self::Then(then) => {
                decision.then = Some(then);
                true
            }
        }
    }
}

impl Rule {
    fn most(&self) -> u64 {
        self.fault.times.map_or(u64::MAX, std::num::NonZeroU64::get)
    }

    /// Counts a strike; false if another connection used the last one.
    fn strike(&self) -> bool {
        let one_more = |struck| (struck < self.most()).then_some(struck + 1);
        self.struck.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Whether it strikes this time; counts it.
    fn is_due(&self, faults: &Faults, key: &str) -> bool {
        let fitted = self.fitted.fetch_add(1, Ordering::Relaxed) + 1;
        if self.fault.every.is_some_and(|every| fitted % every != 0) {
            return false;
        }
        if self.struck.load(Ordering::Relaxed) >= self.most() {
            return false;
        }
        self.fault.times_each.is_none_or(|most| faults.once_more(&self.id, key, most.get()))
    }
}

/// The matching recipient; for a fault without recipient, a text that stands for the situation.
fn fit<'a>(fault: &Fault, occasion: &Occasion<'a>) -> Option<&'a str> {
    if fault.channel.as_ref().is_some_and(|channel| channel != occasion.channel) {
        return None;
    }
    if fault.sender.as_ref().is_some_and(|sender| !occasion.sender.is_some_and(|who| sender.fits(who))) {
        return None;
    }
    match &fault.recipient {
        Some(pattern) => occasion.recipients.iter().find(|recipient| pattern.fits(recipient)).copied(),
        None => Some(occasion.recipients.first().copied().unwrap_or_default()),
    }
}

impl Memory {
    fn key(&self, of: &impl Hash) -> u64 {
        self.hasher.hash_one(of)
    }
}
