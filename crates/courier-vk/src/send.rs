//! One call of the transport: its requests one after another, cut smaller where VK wants it, and what became of each envelope.

use std::collections::VecDeque;
use std::time::Duration;

use posthaste_courier::budget::Admission;
use posthaste_courier::exchange::Ended;
use posthaste_courier::{Outcome, Scope};
use posthaste_model::Reason;
use tokio::time::Instant;

use crate::answer::{self, Became, Said, Word};
use crate::answers::{About, Meaning, Verdict};
use crate::api::{LOOK_WITHIN, Token};
use crate::calls::{Call, Peers};
use crate::code;
use crate::transport::Vk;

/// Failed requests that one call of the transport goes on from, to find who makes VK fail.
const SEARCHES: u8 = 16;

/// Calls that go in one request.
struct Request {
    calls: Vec<Call>,
    /// It went once, and may have been done: what is told of it now can't be "not sent".
    doubt: Option<Reason>,
}

/// What goes on after a request.
enum Then {
    /// The next one.
    Next,
    /// No other: this is told of the rest.
    End(Outcome),
}

/// The sending of a batch.
pub(crate) struct Sending<'a> {
    vk: &'a Vk,
    deadline: Instant,
    /// A request that begins later may not be answered in time.
    last_start: Instant,
    queue: VecDeque<Request>,
    outcomes: Vec<Option<Outcome>>,
    /// What a look at the token found, in this call.
    token: Option<Token>,
    /// How many failed requests may still be gone on from.
    searches: u8,
}

impl<'a> Sending<'a> {
    /// Of these calls; what can't be sent has its outcome already.
    pub(crate) fn new(
        vk: &'a Vk,
        calls: Vec<Call>,
        outcomes: Vec<Option<Outcome>>,
        deadline: Instant,
    ) -> Self {
        let now = Instant::now();
        let last_start = now + deadline.saturating_duration_since(now) / 2;
        let queue = VecDeque::from([Request { calls, doubt: None }]);
        Self { vk, deadline, last_start, queue, outcomes, token: None, searches: SEARCHES }
    }

    /// Sends all there is time for.
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
        let unclear = || Outcome::Unknown(Reason::BadAnswer);
        self.outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(unclear)).collect()
    }

    /// The next request, no larger than requests are now.
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

    /// Waits until a request may go; `Err` is told of all that can't.
    async fn turn(&self) -> Result<Instant, Outcome> {
        // Not in the head of the match: the budget would stay locked in its arms.
        let admission = self.vk.budget().admit(Instant::now(), self.last_start);
        let at = match admission {
            Admission::At(at) => at,
            Admission::Spent(wait) => {
                return Err(Outcome::NotSent { after: Some(wait), reason: Reason::Throttled });
            }
            Admission::Paused(wait) => return Err(Outcome::Throttled { scope: Scope::Channel, wait }),
        };
        tokio::time::sleep_until(at).await;
        // A pause may have begun meanwhile.
        let now = Instant::now();
        let pause = self.vk.budget().pause(now);
        pause.map_or(Ok(now), |wait| Err(Outcome::Throttled { scope: Scope::Channel, wait }))
    }

    async fn one(&mut self, request: Request, sent: Instant) -> Then {
        let Request { calls, doubt } = request;
        let Ok(program) = code::program(&calls, &self.vk.settings) else {
            self.settle_all(&calls, doubt, &Outcome::Rejected(Reason::Rejected));
            return Then::Next;
        };
        let answer = match self.vk.api.execute(&program, self.deadline).await {
            Ended::Answered(answer) => answer,
            Ended::NotConnected => {
                let not_sent = Outcome::NotSent { after: None, reason: Reason::NotConnected };
                self.settle_all(&calls, doubt, &not_sent);
                return Then::End(not_sent);
            }
            Ended::Lost(reason) => {
                self.settle_all(&calls, doubt, &Outcome::Unknown(reason));
                return Then::End(Outcome::NotSent { after: None, reason });
            }
        };
        let said =
            if answer.status < 500 { answer::read(&answer.body, calls.len()) } else { Said::Senseless };
        let (verdict, number) = match said {
            Said::Results(became) => {
                self.vk.groups().went(calls.len());
                return self.results(calls, became, doubt, sent).await;
            }
            Said::Refused(code) => {
                let verdict = self.vk.answers.judge(code, About::Request);
                if self.searches_in(&calls, verdict) {
                    return Then::Next;
                }
                (verdict, code)
            }
            Said::Senseless => {
                let verdict = self.vk.answers.judge_status(answer.status, answer.retry_after);
                (verdict, u32::from(answer.status))
            }
        };
        if verdict.shrink {
            self.vk.groups().too_many(calls.len());
        }
        self.refused(Request { calls, doubt }, verdict, number, sent).await
    }

    /// VK fails again: it does so too of some peers that can't be, and those with them must not be lost. VK knows what it took,
    /// so all may go again in smaller pieces. Not without end, for VK may be ill.
    fn searches_in(&mut self, calls: &[Call], verdict: Verdict<'_>) -> bool {
        let peers: usize = calls.iter().map(|call| call.peers.len()).sum();
        let again = verdict.meaning == Meaning::Unknown && calls.iter().any(|call| call.repeat);
        if !again || peers < 2 || self.searches == 0 {
            return false;
        }
        self.searches -= 1;
        let doubt = Some(verdict.reason);
        let pieces = match calls {
            [one] => vec![one.clone().apart().collect()],
            many => many.chunks(many.len().div_ceil(2)).map(<[Call]>::to_vec).collect(),
        };
        for calls in pieces.into_iter().rev() {
            self.queue.push_front(Request { calls, doubt });
        }
        true
    }

    /// The request failed as a whole.
    async fn refused(&mut self, request: Request, verdict: Verdict<'_>, number: u32, sent: Instant) -> Then {
        let Request { mut calls, doubt } = request;
        match verdict.meaning {
            Meaning::Split if calls.len() > 1 => {
                let doubt = Some(verdict.reason);
                let rest = calls.split_off(calls.len() / 2);
                self.queue.push_front(Request { calls: rest, doubt });
                self.queue.push_front(Request { calls, doubt });
                return Then::Next;
            }
            Meaning::Apart if calls.len() > 1 => {
                for call in calls.into_iter().rev() {
                    self.queue.push_front(Request { calls: vec![call], doubt });
                }
                return Then::Next;
            }
            _ => {}
        }
        if let Some(call) = calls.first() {
            self.vk.tell(&call.order, verdict, number);
        }
        let outcome = self.outcome(verdict, number, sent).await;
        self.settle_all(&calls, doubt, &outcome);
        let found = matches!(calls.as_slice(), [one] if one.repeat && one.peers.len() == 1);
        match outcome {
            // One call alone was looked at: the others have their own fate.
            Outcome::Rejected(_) => Then::Next,
            Outcome::Unknown(_) if found && self.searches > 0 => {
                self.searches -= 1;
                Then::Next
            }
            Outcome::Throttled { .. } | Outcome::Stop(_) => Then::End(outcome),
            Outcome::Retry { after, reason } => Then::End(Outcome::NotSent { after, reason }),
            _ => Then::End(Outcome::NotSent { after: None, reason: verdict.reason }),
        }
    }

    /// Each call has its own result.
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
                    for (peer, rows) in &call.peers {
                        let word = words.get(&peer.get()).copied().unwrap_or(Word::Unclear);
                        let outcome = self.word(&call, word, sent).await;
                        self.settle(rows, doubt, &outcome);
                        stop = stop.or(stops(outcome));
                    }
                    continue;
                }
                Became::Taken if about == About::One => Outcome::Accepted,
                Became::Taken | Became::Unclear(None) => Outcome::Unknown(Reason::BadAnswer),
                Became::Unclear(Some(code)) => {
                    // Whose it is nobody knows; that all have to wait holds for each.
                    let verdict = self.vk.answers.judge(code, about);
                    if verdict.meaning == Meaning::Wait {
                        self.vk.throttled(sent, verdict.wait(), code);
                    }
                    Outcome::Unknown(Reason::BadAnswer)
                }
                Became::Failed(code) => {
                    let verdict = self.vk.answers.judge(code, about);
                    if self.searches_in(std::slice::from_ref(&call), verdict) {
                        continue;
                    }
                    let outcome = self.outcome(verdict, code, sent).await;
                    let apart = matches!(verdict.meaning, Meaning::Apart | Meaning::Look);
                    if apart && about == About::Many && matches!(outcome, Outcome::Rejected(_)) {
                        again.extend(call.apart());
                        continue;
                    }
                    self.vk.tell(&call.order, verdict, code);
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
            Word::Taken => Outcome::Accepted,
            Word::RefusedSomehow => Outcome::Rejected(Reason::Rejected),
            Word::Unclear => Outcome::Unknown(Reason::BadAnswer),
            Word::Refused(code) => {
                let verdict = self.vk.answers.judge(code, About::Peer);
                self.vk.tell(&call.order, verdict, code);
                self.outcome(verdict, code, sent).await
            }
        }
    }

    /// What a verdict is for those it is about; `Rejected` also where they may go apart.
    async fn outcome(&mut self, verdict: Verdict<'_>, number: u32, sent: Instant) -> Outcome {
        let Verdict { meaning, after, reason, .. } = verdict;
        match meaning {
            Meaning::Wait => {
                let wait = self.vk.throttled(sent, verdict.wait(), number);
                Outcome::Throttled { scope: Scope::Channel, wait }
            }
            Meaning::Retry => Outcome::Retry { after, reason },
            Meaning::Split | Meaning::Unknown => Outcome::Unknown(reason),
            Meaning::Apart | Meaning::Reject => Outcome::Rejected(reason),
            Meaning::Suppress => Outcome::Suppress(reason),
            Meaning::Stop => Outcome::Stop(format!("{} ({number})", verdict.says)),
            Meaning::Look => match self.look().await {
                Token::Good => Outcome::Rejected(reason),
                Token::Bad(why) => Outcome::Stop(why),
                Token::Busy | Token::CannotTell(_) => Outcome::Retry { after: None, reason },
            },
        }
    }

    /// Looks at the token, once a call.
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
        for (_, rows) in peers {
            self.settle(rows, doubt, outcome);
        }
    }

    fn settle(&mut self, rows: &[usize], doubt: Option<Reason>, outcome: &Outcome) {
        let nothing_left = matches!(
            outcome,
            Outcome::NotSent { .. } | Outcome::Throttled { .. } | Outcome::Retry { .. } | Outcome::Stop(_)
        );
        let outcome = match doubt {
            Some(reason) if nothing_left => Outcome::Unknown(reason),
            _ => outcome.clone(),
        };
        for row in rows {
            self.outcomes[*row] = Some(outcome.clone());
        }
    }
}

fn stops(outcome: Outcome) -> Option<Outcome> {
    matches!(outcome, Outcome::Stop(_)).then_some(outcome)
}
