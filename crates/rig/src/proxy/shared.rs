//! State shared by all connections of a proxy: the mode, the rules, the waiting copies.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Traffic;
use super::rule::{Action, Predicate, ProxiedCommand, ProxyReport, Rule};
use crate::resp::{Endpoint, decode_command};

/// Whether anything passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Forward,
    BlackHole,
    Refuse,
}

pub(super) struct Shared {
    pub(super) upstream: Endpoint,
    pub(super) traffic: Traffic,
    mode: watch::Sender<Mode>,
    cuts: watch::Sender<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) latency: Duration,
    pub(super) rules: Vec<Rule>,
    pub(super) held: Vec<Held>,
    pub(super) report: ProxyReport,
    next_id: u64,
}

/// A copy waiting for delivery.
pub(super) struct Held {
    id: u64,
    pub(super) command: ProxiedCommand,
    /// The commands that prepared the original's connection, for example AUTH and SELECT.
    pub(super) login: Vec<ProxiedCommand>,
    counting: Predicate,
    original_answered: bool,
    left: u64,
}

/// A command that has been forwarded and not answered yet.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) drop_reply: bool,
    /// What the client gets instead of the answer.
    pub(super) instead: Option<Vec<u8>>,
    /// Whether the server gets something harmless instead of the command, to keep the order of answers.
    pub(super) blank: bool,
    original_of: Vec<u64>,
    counts_for: Vec<u64>,
}

/// What to do with a command.
pub(super) enum Decision {
    Forward(Pending),
    Drop,
}

impl Shared {
    pub(super) fn new(upstream: Endpoint, traffic: Traffic) -> Self {
        let (mode, cuts) = (watch::Sender::new(Mode::Forward), watch::Sender::new(0));
        Self { upstream, traffic, mode, cuts, state: Mutex::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub(super) fn mode(&self) -> Mode {
        *self.mode.borrow()
    }

    /// Returns at once unless a black hole holds everything back.
    pub(super) async fn clear_sky(&self) {
        // The sender lives as long as this value, so waiting cannot fail.
        let _ = self.mode.subscribe().wait_for(|mode| *mode != Mode::BlackHole).await;
    }

    pub(super) fn cut(&self) {
        self.cuts.send_modify(|n| *n += 1);
    }

    /// A receiver that changes at the next cut.
    pub(super) fn cuts(&self) -> watch::Receiver<u64> {
        self.cuts.subscribe()
    }

    /// Parses a client's command, decides what happens to it and records it. `login` collects the commands that
    /// prepare a connection.
    pub(super) fn judge(&self, raw: &[u8], login: &mut Vec<ProxiedCommand>) -> Decision {
        let command = ProxiedCommand(decode_command(raw).unwrap_or_default());
        let mut guard = self.lock();
        let state = &mut *guard;
        state.report.commands += 1;
        let mut pending = Pending::default();
        for held in state.held.iter().filter(|held| (held.counting)(&command)) {
            pending.counts_for.push(held.id);
        }
        let mut copies = Vec::new();
        for rule in state.rules.iter_mut().filter(|rule| (rule.matching)(&command)) {
            rule.left = rule.left.saturating_sub(1);
            match &rule.action {
                Action::DropRequest => {
                    state.report.dropped_requests += 1;
                    state.rules.retain(|rule| rule.left > 0);
                    return Decision::Drop;
                }
                Action::DropReply => pending.drop_reply = true,
                Action::Answer { answer, reaches } => {
                    pending.instead = Some(answer.clone());
                    pending.blank |= !reaches;
                }
                Action::CopyLate { after, counting } => copies.push((*after, counting.clone())),
            }
        }
        state.rules.retain(|rule| rule.left > 0);
        for (left, counting) in copies {
            let id = state.next_id;
            state.next_id += 1;
            pending.original_of.push(id);
            let (command, login) = (command.clone(), login.clone());
            state.held.push(Held { id, command, login, counting, original_answered: false, left });
        }
        if ["AUTH", "SELECT", "HELLO"].iter().any(|name| command.is(name)) && login.len() < 16 {
            login.push(command);
        }
        Decision::Forward(pending)
    }

    /// Records that a command was answered, or that its answer is no longer awaited. Returns the
    /// copies that are due.
    pub(super) fn answered(&self, pending: &Pending) -> Vec<Held> {
        let mut state = self.lock();
        if pending.drop_reply {
            state.report.dropped_replies += 1;
        } else if pending.instead.is_some() {
            state.report.made_replies += 1;
        }
        for held in &mut state.held {
            held.original_answered |= pending.original_of.contains(&held.id);
            if pending.counts_for.contains(&held.id) {
                held.left = held.left.saturating_sub(1);
            }
        }
        let ready = |held: &mut Held| held.original_answered && held.left == 0;
        state.held.extract_if(.., ready).collect()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}
