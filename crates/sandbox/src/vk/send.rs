//! Messages: what faults, checks and the memory of random ids make of one call or of the calls of an `execute`.

use posthaste_model::{Address, Text};
use serde_json::{Value, json};

use super::call::Call;
use super::errors::{self, Failure};
use super::magic;
use super::server::Vk;
use crate::record::{REPEATED, Recipient};
use crate::standin::{Action, Ask, Fate, Message, Reply};

/// What is answered to the whole request, and what there is to see.
pub(super) struct Sent {
    pub(super) message: Message,
    pub(super) then: Then,
}

/// How it goes on.
pub(super) enum Then {
    /// A value or an error for each call, in order; the answer goes out as this action says.
    Each(Vec<Result<Value, Failure>>, Option<Action>),
    /// The request fails as a whole.
    Fail(Failure),
    /// It is answered by what providers have in common.
    Instead(Reply, Fate),
}

/// What happens to the peers of the calls, one after the other.
struct Course {
    /// For each call, for each peer.
    actions: Vec<Vec<Option<Action>>>,
    delivery: Option<Action>,
}

impl Vk {
    /// Sends what these calls say, by this token.
    pub(super) fn send(&self, calls: &[Call], mark: &str, ask: &Ask<'_>) -> Sent {
        let course = match course(calls, mark, ask) {
            Ok(course) => course,
            Err(action) => return self.whole(calls, mark, &action, ask),
        };
        let mut recipients = Vec::new();
        let mut values = Vec::new();
        for (call, actions) in calls.iter().zip(&course.actions) {
            values.push(self.one(call, actions, &mut recipients, ask));
        }
        Sent { message: message(calls, mark, recipients), then: Then::Each(values, course.delivery) }
    }

    /// One call.
    fn one(
        &self,
        call: &Call,
        actions: &[Option<Action>],
        recipients: &mut Vec<Recipient>,
        ask: &Ask<'_>,
    ) -> Result<Value, Failure> {
        let fails = actions.iter().flatten().find_map(|action| match action {
            Action::RefuseCall { code } => Some(Failure::of(*code)),
            Action::RefuseRecipient { code } if !call.is_many => Some(Failure::of(*code)),
            _ => None,
        });
        if let Some(failure) = call.wrong.clone().or(fails) {
            recipients.extend(call.peers.iter().map(|peer| recipient(*peer, failure.code, None)));
            return Err(failure);
        }
        let mut memory = self.memory();
        let mut items = Vec::with_capacity(call.peers.len());
        for (peer, action) in call.peers.iter().zip(actions) {
            if let Some(Action::RefuseRecipient { code }) = action {
                let error = json!({ "code": code, "description": errors::words(*code) });
                items.push(json!({ "peer_id": peer, "error": error }));
                recipients.push(recipient(*peer, *code, None));
                continue;
            }
            let numbers = memory.number(*peer, call.random, self.random_for, ask.now);
            let code = if numbers.is_repeat { REPEATED } else { 200 };
            recipients.push(recipient(*peer, code, Some(numbers.message)));
            items.push(match call.is_many {
                true => json!({
                    "peer_id": peer,
                    "message_id": numbers.message,
                    "conversation_message_id": numbers.in_conversation,
                }),
                false => json!(numbers.message),
            });
        }
        Ok(if call.is_many { Value::Array(items) } else { items.pop().unwrap_or(Value::Null) })
    }

    /// What one action does to a whole request.
    fn whole(&self, calls: &[Call], mark: &str, action: &Action, ask: &Ask<'_>) -> Sent {
        let (then, code) = match action {
            Action::Throttle { retry_after } => {
                self.memory().ban(mark, ask.now + std::time::Duration::from_secs(*retry_after));
                (Then::Fail(Failure::of(6)), 6)
            }
            Action::Refuse { code, description } if description.is_empty() => {
                (Then::Fail(Failure::of(*code)), *code)
            }
            Action::Refuse { code, description } => {
                (Then::Fail(Failure { code: *code, words: description.clone() }), *code)
            }
            other => match other.instead() {
                Some((reply, fate)) => {
                    let code = if let Fate::Refused(status) = fate { status } else { 0 };
                    // A page with status 200 takes nothing either.
                    (Then::Instead(reply, fate), if code == 200 { 0 } else { code })
                }
                None => (Then::Fail(Failure::of(10)), 10),
            },
        };
        Sent { message: refused(calls, mark, code), then }
    }
}

/// What happens to each peer, or the first action that concerns the whole request.
fn course(calls: &[Call], mark: &str, ask: &Ask<'_>) -> Result<Course, Action> {
    let mut course = Course { actions: Vec::new(), delivery: None };
    for call in calls {
        let mut actions = Vec::with_capacity(call.peers.len());
        for peer in &call.peers {
            let fault = ask.faults.strike(&peer.to_string(), mark);
            let action = fault.or_else(|| ask.magic.then(|| magic::action(*peer)).flatten());
            actions.push(match action {
                Some(action @ (Action::RefuseCall { .. } | Action::RefuseRecipient { .. })) => Some(action),
                Some(action @ (Action::TakeAndReset | Action::TakeAndCut | Action::Slow { .. })) => {
                    course.delivery.get_or_insert(action);
                    None
                }
                Some(action) => return Err(action),
                None => None,
            });
        }
        course.actions.push(actions);
    }
    Ok(course)
}

/// A message nobody got, for this reason.
pub(super) fn refused(calls: &[Call], mark: &str, code: u16) -> Message {
    let peers = calls.iter().flat_map(|call| &call.peers);
    message(calls, mark, peers.map(|peer| recipient(*peer, code, None)).collect())
}

fn message(calls: &[Call], mark: &str, recipients: Vec<Recipient>) -> Message {
    let text = calls.first().map(|call| call.text.clone()).unwrap_or_default();
    Message { sender: Address::new(mark), recipients, text: Text::new(text), ..Message::default() }
}

fn recipient(peer: i64, code: u16, id: Option<u64>) -> Recipient {
    let id = id.map(|id| id.to_string().into_boxed_str());
    Recipient { address: Address::new(peer.to_string()), code, id }
}
