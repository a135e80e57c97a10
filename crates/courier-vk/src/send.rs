//! One call of the transport: its requests one after another, split where VK requires it, and the outcome of each envelope.

use std::collections::VecDeque;
use std::time::Duration;

use posthaste_courier::http_request::HttpResult;
use posthaste_courier::rate_limiter::Admission;
use posthaste_courier::response_rules::ResponseAction;
use posthaste_courier::{Outcome, ThrottleScope};
use posthaste_model::Reason;
use tokio::time::Instant;

use crate::api::{LOOK_WITHIN, Token};
use crate::batching::{Call, Peers};
use crate::execute_response::{self, Became, ExecuteResponse, Word};
use crate::response_rules::{About, VkAction, VkClassification, api_error, other_answer};
use crate::transport::VkTransport;
use crate::vkscript;

/// After how many failed requests one call of the transport still goes on, to find the peer that makes VK fail.
const SEARCHES: u8 = 16;

/// The calls of one request.
struct Request {
    calls: Vec<Call>,
    /// Set if the request was sent once and may have been executed: its outcome can no longer be "not sent".
    doubt: Option<Reason>,
}

/// How to go on after a request.
enum Then {
    /// With the next request.
    Next,
    /// Stop: the rest get this outcome.
    End(Outcome),
}

/// The sending of a batch.
pub(crate) struct Sending<'a> {
    vk: &'a VkTransport,
    deadline: Instant,
    /// A request that starts later may not be answered in time.
    last_start: Instant,
    queue: VecDeque<Request>,
    outcomes: Vec<Option<Outcome>>,
    /// The result of checking the token during this call.
    token: Option<Token>,
    /// After how many more failed requests the call still goes on.
    searches: u8,
}

impl<'a> Sending<'a> {
    /// Prepares these calls. Envelopes that can't be sent already have their outcome.
    pub(crate) fn new(
        vk: &'a VkTransport,
        calls: Vec<Call>,
        outcomes: Vec<Option<Outcome>>,
        deadline: Instant,
    ) -> Self {
        let now = Instant::now();
        let last_start = now + deadline.saturating_duration_since(now) / 2;
        let queue = VecDeque::from([Request { calls, doubt: None }]);
        Self { vk, deadline, last_start, queue, outcomes, token: None, searches: SEARCHES }
    }

    /// Sends as much as there is time for.
    pub(crate) async fn run(mut self) -> Vec<Outcome> {
        while let Some(request) = self.next() {
            let then = match self.turn().await {
                Ok(sent) => self.one(request, sent).await,
                Err(outcome) => {
                    self.queue.push_front(request);
                    Then::End(outcome)
                }
            };
            if let Then::End(outcome) = then {
                for rest in std::mem::take(&mut self.queue) {
                    self.settle_all(&rest.calls, rest.doubt, &outcome);
                }
            }
        }
        let unclear = || Outcome::Unknown(Reason::InvalidProviderResponse);
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unclear)).collect()
    }

    /// The next request, no larger than the current limit.
    fn next(&mut self) -> Option<Request> {
        let most = self.vk.groups().get();
        loop {
            let mut request = self.queue.pop_front()?;
            if request.calls.len() > most {
                let calls = request.calls.split_off(most);
                self.queue.push_front(Request { calls, doubt: request.doubt });
            }
            if !request.calls.is_empty() {
                return Some(request);
            }
        }
    }

    /// Waits until a request may be sent. `Err` is the outcome of everything that can't be.
    async fn turn(&self) -> Result<Instant, Outcome> {
        // Not in the match expression itself: the budget would stay locked in its arms.
        let admission = self.vk.budget().admit(Instant::now(), self.last_start);
        let at = match admission {
            Admission::At(at) => at,
            Admission::Spent(wait) => {
                return Err(Outcome::NotSent { after: Some(wait), reason: Reason::Throttled });
            }
            Admission::Paused(wait) => {
                return Err(Outcome::Throttled { scope: ThrottleScope::Channel, wait });
            }
        };
        tokio::time::sleep_until(at).await;
        // A pause may have started meanwhile.
        let now = Instant::now();
        let pause = self.vk.budget().pause(now);
        pause.map_or(Ok(now), |wait| Err(Outcome::Throttled { scope: ThrottleScope::Channel, wait }))
    }

    async fn one(&mut self, request: Request, sent: Instant) -> Then {
        let Request { calls, doubt } = request;
        let Ok(program) = vkscript::program(&calls, &self.vk.settings) else {
            self.settle_all(&calls, doubt, &Outcome::Failed(Reason::Rejected.into()));
            return Then::Next;
        };
        let answer = match self.vk.api.execute(&program, self.deadline).await {
            HttpResult::Response(answer) => answer,
            HttpResult::NotConnected => {
                let not_sent = Outcome::NotSent { after: None, reason: Reason::ConnectionFailed };
                self.settle_all(&calls, doubt, &not_sent);
                return Then::End(not_sent);
            }
            HttpResult::Lost(reason) => {
                self.settle_all(&calls, doubt, &Outcome::Unknown(reason));
                return Then::End(Outcome::NotSent { after: None, reason });
            }
        };
        let said = if answer.status < 500 {
            execute_response::read(&answer.body, calls.len())
        } else {
            ExecuteResponse::Senseless
        };
        let (found, number) = match said {
            ExecuteResponse::Results(became) => {
                self.vk.groups().went(calls.len());
                return self.results(calls, became, doubt, sent).await;
            }
            ExecuteResponse::Refused(code) => {
                let found = self.vk.answers.classify(&api_error(code, About::Request));
                if self.searches_in(&calls, found) {
                    return Then::Next;
                }
                (found, code)
            }
            ExecuteResponse::Senseless => {
                let found = self.vk.answers.classify(&other_answer(answer.status, answer.retry_after));
                (found, u32::from(answer.status))
            }
        };
        if found.shrink {
            self.vk.groups().too_many(calls.len());
        }
        self.refused(Request { calls, doubt }, found, number, sent).await
    }

    /// VK failed at a repeat. Some peers that can't exist make it fail, and the others in the request must not be
    /// lost with them. VK recognises messages it accepted, so everything may be sent again in smaller pieces; not
    /// without end, as VK may be down.
    fn searches_in(&mut self, calls: &[Call], found: VkClassification<'_>) -> bool {
        let peers: usize = calls.iter().map(|call| call.peers.len()).sum();
        let again = found.action == ResponseAction::Unknown && calls.iter().any(|call| call.repeat);
        if !again || peers < 2 || self.searches == 0 {
            return false;
        }
        self.searches -= 1;
        let doubt = Some(found.reason);
        let pieces = match calls {
            [one] => vec![one.clone().apart().collect()],
            many => many.chunks(many.len().div_ceil(2)).map(<[Call]>::to_vec).collect(),
        };
        for calls in pieces.into_iter().rev() {
            self.queue.push_front(Request { calls, doubt });
        }
        true
    }

    /// Handles a request that failed as a whole.
    async fn refused(
        &mut self,
        request: Request,
        found: VkClassification<'_>,
        number: u32,
        sent: Instant,
    ) -> Then {
        let Request { mut calls, doubt } = request;
        match found.action {
            ResponseAction::Special(VkAction::Split) if calls.len() > 1 => {
                let doubt = Some(found.reason);
                let rest = calls.split_off(calls.len() / 2);
                self.queue.push_front(Request { calls: rest, doubt });
                self.queue.push_front(Request { calls, doubt });
                return Then::Next;
            }
            ResponseAction::Special(VkAction::Apart) if calls.len() > 1 => {
                for call in calls.into_iter().rev() {
                    self.queue.push_front(Request { calls: vec![call], doubt });
                }
                return Then::Next;
            }
            _ => {}
        }
        if let Some(call) = calls.first() {
            self.vk.tell(&call.order, found, number);
        }
        let outcome = self.outcome(found, number, sent).await;
        self.settle_all(&calls, doubt, &outcome);
        let is_found = matches!(calls.as_slice(), [one] if one.repeat && one.peers.len() == 1);
        match outcome {
            // This was a single call: the others are judged separately.
            Outcome::Failed(_) => Then::Next,
            Outcome::Unknown(_) if is_found && self.searches > 0 => {
                self.searches -= 1;
                Then::Next
            }
            Outcome::Throttled { .. } | Outcome::Stop(_) => Then::End(outcome),
            Outcome::Retry { after, reason } => Then::End(Outcome::NotSent { after, reason: reason.reason }),
            _ => Then::End(Outcome::NotSent { after: None, reason: found.reason }),
        }
    }

    /// Handles an answer with a result for each call.
    async fn results(
        &mut self,
        calls: Vec<Call>,
        became: Vec<Became>,
        doubt: Option<Reason>,
        sent: Instant,
    ) -> Then {
        let mut again = Vec::new();
        let mut stop = None;
        for (call, became) in calls.into_iter().zip(became) {
            let about = if call.peers.len() == 1 { About::One } else { About::Many };
            let outcome = match became {
                Became::Peers(words) => {
                    for (peer, deliveries) in &call.peers {
                        let word = words.get(&peer.get()).copied().unwrap_or(Word::Unclear);
                        let outcome = self.word(&call, word, sent).await;
                        self.settle(deliveries, doubt, &outcome);
                        stop = stop.or(stops(outcome));
                    }
                    continue;
                }
                Became::Taken if about == About::One => Outcome::Sent,
                Became::Taken | Became::Unclear(None) => Outcome::Unknown(Reason::InvalidProviderResponse),
                Became::Unclear(Some(code)) => {
                    // The error can't be matched to a call, but a wait applies to all of them.
                    let found = self.vk.answers.classify(&api_error(code, about));
                    if found.action == ResponseAction::Wait {
                        self.vk.throttled(sent, found.wait(), code);
                    }
                    Outcome::Unknown(Reason::InvalidProviderResponse)
                }
                Became::Failed(code) => {
                    let found = self.vk.answers.classify(&api_error(code, about));
                    if self.searches_in(std::slice::from_ref(&call), found) {
                        continue;
                    }
                    let outcome = self.outcome(found, code, sent).await;
                    let apart =
                        matches!(found.action, ResponseAction::Special(VkAction::Apart | VkAction::Look));
                    if apart && about == About::Many && matches!(outcome, Outcome::Failed(_)) {
                        again.extend(call.apart());
                        continue;
                    }
                    self.vk.tell(&call.order, found, code);
                    outcome
                }
            };
            self.settle_peers(&call.peers, doubt, &outcome);
            stop = stop.or(stops(outcome));
        }
        if !again.is_empty() {
            self.queue.push_front(Request { calls: again, doubt });
        }
        stop.map_or(Then::Next, Then::End)
    }

    async fn word(&mut self, call: &Call, word: Word, sent: Instant) -> Outcome {
        match word {
            Word::Taken => Outcome::Sent,
            Word::RefusedSomehow => Outcome::Failed(Reason::Rejected.into()),
            Word::Unclear => Outcome::Unknown(Reason::InvalidProviderResponse),
            Word::Refused(code) => {
                let found = self.vk.answers.classify(&api_error(code, About::Peer));
                self.vk.tell(&call.order, found, code);
                self.outcome(found, code, sent).await
            }
        }
    }

    /// The outcome of an error for the envelopes it concerns; `Failed` also where they may be sent apart.
    async fn outcome(&mut self, found: VkClassification<'_>, number: u32, sent: Instant) -> Outcome {
        let reason = found.coded();
        match found.outcome(|| format!("{} ({number})", found.cause)) {
            Ok(Outcome::Throttled { scope, wait }) => {
                Outcome::Throttled { scope, wait: self.vk.throttled(sent, wait, number) }
            }
            Ok(outcome) => outcome,
            Err(VkAction::Split) => Outcome::Unknown(found.reason),
            Err(VkAction::Apart) => Outcome::Failed(reason),
            Err(VkAction::Look) => match self.look().await {
                Token::Good => Outcome::Failed(reason),
                Token::Bad(why) => Outcome::Stop(why),
                Token::Busy | Token::CannotTell(_) => Outcome::Retry { after: None, reason },
            },
        }
    }

    /// Checks the token, once per call.
    async fn look(&mut self) -> Token {
        if let Some(token) = &self.token {
            return token.clone();
        }
        let until = self.deadline.min(Instant::now() + LOOK_WITHIN);
        let until = until.checked_sub(Duration::from_millis(50)).unwrap_or(until);
        let token = self.vk.api.look_at_token(&self.vk.answers, until).await;
        self.token.insert(token).clone()
    }

    fn settle_all(&mut self, calls: &[Call], doubt: Option<Reason>, outcome: &Outcome) {
        for call in calls {
            self.settle_peers(&call.peers, doubt, outcome);
        }
    }

    fn settle_peers(&mut self, peers: &Peers, doubt: Option<Reason>, outcome: &Outcome) {
        for (_, deliveries) in peers {
            self.settle(deliveries, doubt, outcome);
        }
    }

    fn settle(&mut self, deliveries: &[usize], doubt: Option<Reason>, outcome: &Outcome) {
        let nothing_left = matches!(
            outcome,
            Outcome::NotSent { .. } | Outcome::Throttled { .. } | Outcome::Retry { .. } | Outcome::Stop(_)
        );
        let outcome = match doubt {
            Some(reason) if nothing_left => Outcome::Unknown(reason),
            _ => outcome.clone(),
        };
        for delivery in deliveries {
            self.outcomes[*delivery] = Some(outcome.clone());
        }
    }
}

fn stops(outcome: Outcome) -> Option<Outcome> {
    matches!(outcome, Outcome::Stop(_)).then_some(outcome)
}
