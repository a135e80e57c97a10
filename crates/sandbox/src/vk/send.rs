//! Messages: applies faults, checks and remembered random ids to one call or to the calls of an `execute`.

use posthaste_model::{Address, Text};
use serde_json::{Value, json};

use super::call::Call;
use super::errors::{self, Failure};
use super::magic;
use super::server::FakeVk;
use crate::fake_provider::{Ask, MessageAction, Reply, RequestFate, SeenMessage};
use crate::record::{AttemptRecipient, REPEATED};

/// The answer to the whole request, and the message to record.
pub(super) struct Sent {
    pub(super) message: SeenMessage,
    pub(super) then: Then,
}

/// How to answer.
pub(super) enum Then {
    /// A value or an error for each call, in order; the answer is sent as this action says.
    Each(Vec<Result<Value, Failure>>, Option<MessageAction>),
    /// The request fails as a whole.
    Fail(Failure),
    /// The answer is one that all providers share.
    Instead(Reply, RequestFate),
}

/// What happens to the peers of the calls, in order.
struct Course {
    /// For each call, for each peer.
    actions: Vec<Vec<Option<MessageAction>>>,
    delivery: Option<MessageAction>,
}

impl FakeVk {
    /// Sends the messages of these calls, with this token.
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
        actions: &[Option<MessageAction>],
        recipients: &mut Vec<AttemptRecipient>,
        ask: &Ask<'_>,
    ) -> Result<Value, Failure> {
        let fails = actions.iter().flatten().find_map(|action| match action {
            MessageAction::RefuseCall { code } => Some(Failure::of(*code)),
            MessageAction::RefuseRecipient { code } if !call.is_many => Some(Failure::of(*code)),
            _ => None,
        });
        if let Some(failure) = call.wrong.clone().or(fails) {
            recipients.extend(call.peers.iter().map(|peer| recipient(*peer, failure.code, None)));
            return Err(failure);
        }
        let mut memory = self.memory();
        let mut items = Vec::with_capacity(call.peers.len());
        for (peer, action) in call.peers.iter().zip(actions) {
            if let Some(MessageAction::RefuseRecipient { code }) = action {
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

    /// Applies one action to a whole request.
    fn whole(&self, calls: &[Call], mark: &str, action: &MessageAction, ask: &Ask<'_>) -> Sent {
        let (then, code) = match action {
            MessageAction::Throttle { retry_after } => {
                self.memory().ban(mark, ask.now + std::time::Duration::from_secs(*retry_after));
                (Then::Fail(Failure::of(6)), 6)
            }
            MessageAction::Refuse { code, description } if description.is_empty() => {
                (Then::Fail(Failure::of(*code)), *code)
            }
            MessageAction::Refuse { code, description } => {
                (Then::Fail(Failure { code: *code, words: description.clone() }), *code)
            }
            other => match other.instead() {
                Some((reply, fate)) => {
                    let code = if let RequestFate::Refused(status) = fate { status } else { 0 };
                    // A page with status 200 accepts nothing either.
                    (Then::Instead(reply, fate), if code == 200 { 0 } else { code })
                }
                None => (Then::Fail(Failure::of(10)), 10),
            },
        };
        Sent { message: refused(calls, mark, code), then }
    }
}

/// What happens to each peer, or the first action that affects the whole request.
fn course(calls: &[Call], mark: &str, ask: &Ask<'_>) -> Result<Course, MessageAction> {
    let mut course = Course { actions: Vec::new(), delivery: None };
    for call in calls {
        let mut actions = Vec::with_capacity(call.peers.len());
        for peer in &call.peers {
            let fault = ask.faults.strike(&peer.to_string(), mark);
            let action = fault.or_else(|| ask.magic.then(|| magic::action(*peer)).flatten());
            actions.push(match action {
                Some(action @ (MessageAction::RefuseCall { .. } | MessageAction::RefuseRecipient { .. })) => {
                    Some(action)
                }
                Some(
                    action @ (MessageAction::TakeAndReset
                    | MessageAction::TakeAndCut
                    | MessageAction::Slow { .. }),
                ) => {
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

/// A message that nobody received, for this reason.
pub(super) fn refused(calls: &[Call], mark: &str, code: u16) -> SeenMessage {
    let peers = calls.iter().flat_map(|call| &call.peers);
    message(calls, mark, peers.map(|peer| recipient(*peer, code, None)).collect())
}

fn message(calls: &[Call], mark: &str, recipients: Vec<AttemptRecipient>) -> SeenMessage {
    let text = calls.first().map(|call| call.text.clone()).unwrap_or_default();
    SeenMessage { sender: Address::new(mark), recipients, text: Text::new(text), ..SeenMessage::default() }
}

fn recipient(peer: i64, code: u16, id: Option<u64>) -> AttemptRecipient {
    let id = id.map(|id| id.to_string().into_boxed_str());
    AttemptRecipient { address: Address::new(peer.to_string()), code, id }
}
