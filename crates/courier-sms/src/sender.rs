//! The sender, as answers and receipts about its messages show it. A refusal may be the number's fault or the text's; when
//! another number is refused so right after it, or too many of the last messages are, it is the sender's, and each further
//! message makes it worse.

use std::sync::{Mutex, MutexGuard, PoisonError};

use posthaste_courier::Word;
use posthaste_courier::standing::{LAST, Standing};

use crate::streak::Streak;

/// The sender of a channel.
#[derive(Debug)]
pub(crate) struct Sender {
    streak: Streak,
    standing: Standing,
    /// Why the channel is to stop. A receipt says so, and nobody waits for its answer: the next message does.
    stop: Mutex<Option<String>>,
}

impl Sender {
    /// Bears refusals by policy up to this share of the last answers and receipts, 0 to 1.
    pub(crate) fn new(policy_share: f64) -> Self {
        let standing = Standing::new(policy_share);
        Self { streak: Streak::default(), standing, stop: Mutex::default() }
    }

    /// The provider took a message.
    pub(crate) fn took(&self) {
        self.streak.ends();
        self.standing.took();
    }

    /// A message was delivered, or failed for a reason that is not the sender's.
    pub(crate) fn ended(&self) {
        self.standing.took();
    }

    /// This number was refused for what may be its fault or the sender's. Whether another number was so just before.
    pub(crate) fn is_second(&self, number: &str) -> bool {
        self.streak.grows(number)
    }

    /// An answer refused a message by policy; `by` is who and how. When it is one too many: why the channel is to stop.
    pub(crate) fn refused(&self, by: &str) -> Option<String> {
        self.standing.refused().map(|refused| {
            format!(
                "{refused} of the last {LAST} answers and receipts are refusals by policy, the last of {by}"
            )
        })
    }

    /// What the provider told later of a message it took; `by_policy` is who refused it and how, if it may be the sender's fault.
    pub(crate) fn is_told(&self, word: Word, by_policy: Option<&str>) {
        match by_policy {
            Some(by) => self.refused_late(by),
            None if word != Word::Sent => self.ended(),
            None => {}
        }
    }

    /// A receipt says so of a message that was taken. When it is one too many, the next message stops the channel.
    fn refused_late(&self, by: &str) {
        // Once for the answer that took it, which was a good one.
        let _ = self.standing.refused();
        if let Some(why) = self.refused(by) {
            *self.stop() = Some(why);
        }
    }

    /// Why the channel is to stop now, if it is.
    pub(crate) fn stops(&self) -> Option<String> {
        self.stop().clone()
    }

    /// The channel is to be tried again. What was before still counts.
    pub(crate) fn try_again(&self) {
        *self.stop() = None;
    }

    fn stop(&self) -> MutexGuard<'_, Option<String>> {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages that are taken, of which so many of a hundred fail by policy and the others are delivered, or have no receipt.
    fn stops(of_a_hundred: u32, delivered: bool) -> bool {
        let sender = Sender::new(0.5);
        let mut owed = 0;
        for _ in 0..200 {
            sender.took();
            owed += of_a_hundred;
            if owed >= 100 {
                owed -= 100;
                sender.refused_late("Twilio (30007)");
            } else if delivered {
                sender.ended();
            }
        }
        sender.stops().is_some()
    }

    #[test]
    fn most_messages_have_to_fail_whether_the_others_are_told_of_or_not() {
        assert!(stops(100, true) && stops(75, true) && stops(60, false));
        assert!(!stops(50, true) && !stops(30, false) && !stops(0, false));
    }

    #[test]
    fn it_stops_until_it_is_tried_again_and_soon_after_if_nothing_is_mended() {
        let sender = Sender::new(0.5);
        (0..12).for_each(|_| sender.refused_late("Twilio (30007)"));
        assert_eq!(sender.stops(), None);
        sender.refused_late("Twilio (30034)");
        let why = "26 of the last 50 answers and receipts are refusals by policy, the last of Twilio (30034)";
        assert_eq!(sender.stops().as_deref(), Some(why));
        assert_eq!(sender.stops().as_deref(), Some(why), "every message is told");
        sender.try_again();
        assert_eq!(sender.stops(), None);
        sender.took();
        sender.refused_late("Twilio (30034)");
        assert!(sender.stops().is_some());
        sender.try_again();
        (0..50).for_each(|_| sender.took());
        sender.refused_late("Twilio (30034)");
        assert_eq!(sender.stops(), None, "mended");
    }
}
