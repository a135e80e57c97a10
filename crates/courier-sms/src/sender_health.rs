//! The health of the sender, judged by the responses and receipts of its messages. A rejection may be the fault of
//! the number or the text; if another number is rejected this way right after it, or too many of the last messages
//! are, it is the fault of the sender, and each further message makes it worse.

use std::sync::{Mutex, MutexGuard, PoisonError};

use posthaste_courier::ReceiptStatus;
use posthaste_courier::rejection_window::{LAST, RejectionWindow};

use crate::sender_fault_detector::SenderFaultDetector;

/// The sender of a channel.
#[derive(Debug)]
pub(crate) struct SenderHealth {
    streak: SenderFaultDetector,
    rejections: RejectionWindow,
    /// Why the channel must stop, set by a receipt; the next message returns it, because no call waits for a receipt.
    stop: Mutex<Option<String>>,
}

impl SenderHealth {
    /// Tolerates rejections by policy up to this share of the last responses and receipts, 0 to 1.
    pub(crate) fn new(policy_share: f64) -> Self {
        let rejections = RejectionWindow::new(policy_share);
        Self { streak: SenderFaultDetector::default(), rejections, stop: Mutex::default() }
    }

    /// The provider accepted a message.
    pub(crate) fn took(&self) {
        self.streak.ends();
        self.rejections.took();
    }

    /// A message was delivered, or failed for a reason that is not the sender's fault.
    pub(crate) fn ended(&self) {
        self.rejections.took();
    }

    /// This number was rejected for what may be its fault or the sender's. Returns whether a different number was,
    /// just before.
    pub(crate) fn is_second(&self, number: &str) -> bool {
        self.streak.grows(number)
    }

    /// A response rejected a message by policy; `by` names provider and code. If there are too many: why the channel
    /// must stop.
    pub(crate) fn refused(&self, by: &str) -> Option<String> {
        self.rejections.refused().map(|refused| {
            format!(
                "{refused} of the last {LAST} responses and receipts are policy rejections, the last by {by}"
            )
        })
    }

    /// A receipt for an accepted message; `by_policy` names provider and code if the failure may be the sender's fault.
    pub(crate) fn record_status(&self, word: ReceiptStatus, by_policy: Option<&str>) {
        match by_policy {
            Some(by) => self.refused_late(by),
            None if word != ReceiptStatus::Sent => self.ended(),
            None => {}
        }
    }

    /// A receipt reports a rejection by policy of an accepted message. If there are too many, the next message stops
    /// the channel.
    fn refused_late(&self, by: &str) {
        // Once more, to offset the response that accepted it.
        let _ = self.rejections.refused();
        if let Some(why) = self.refused(by) {
            *self.stop() = Some(why);
        }
    }

    /// Why the channel must stop now, if it must.
    pub(crate) fn stops(&self) -> Option<String> {
        self.stop().clone()
    }

    /// The channel is to be tried again. Earlier rejections still count.
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

    /// Accepted messages, of which this many of a hundred fail by policy; the others are delivered or have no receipt.
    fn stops(of_a_hundred: u32, delivered: bool) -> bool {
        let sender = SenderHealth::new(0.5);
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
    fn most_messages_have_to_fail_whether_the_others_are_reported_of_or_not() {
        assert!(stops(100, true) && stops(75, true) && stops(60, false));
        assert!(!stops(50, true) && !stops(30, false) && !stops(0, false));
    }

    #[test]
    fn it_stops_until_it_is_tried_again_and_soon_after_if_nothing_is_mended() {
        let sender = SenderHealth::new(0.5);
        (0..12).for_each(|_| sender.refused_late("Twilio (30007)"));
        assert_eq!(sender.stops(), None);
        sender.refused_late("Twilio (30034)");
        let why =
            "26 of the last 50 responses and receipts are policy rejections, the last by Twilio (30034)";
        assert_eq!(sender.stops().as_deref(), Some(why));
        assert_eq!(sender.stops().as_deref(), Some(why), "every message gets it");
        sender.try_again();
        assert_eq!(sender.stops(), None);
        sender.took();
        sender.refused_late("Twilio (30034)");
        assert!(sender.stops().is_some());
        sender.try_again();
        (0..50).for_each(|_| sender.took());
        sender.refused_late("Twilio (30034)");
        assert_eq!(sender.stops(), None, "fixed");
    }
}
