//! Suppressions on a walk: agreeing on a key, addresses added to a list, struck and removed.

use std::time::Duration;

use posthaste_model::{Channel, Reason, UnixMs};
use posthaste_protocol::record::{
    AddressKey, Notice, NoticeId, NoticeTime, SuppressionId, SuppressionSource,
};
use posthaste_protocol::scripts::address_key::AgreeOnKey;
use posthaste_protocol::scripts::delete_suppression::{DeleteSuppression, SuppressionDeletion};
use posthaste_protocol::scripts::opt_in::OptIn;
use posthaste_protocol::scripts::suppress::{NewSuppression, PutSuppressions};
use rand::Rng;

use crate::walk::{Differ, Walk};

impl Walk<'_> {
    /// Some calls about suppressions. A single call would mostly meet an empty list.
    pub(crate) fn of_suppressions(&mut self) -> Differ {
        let keys = self.keys.clone();
        let channel: Channel = "email".parse().expect("one");
        for _ in 0..12 {
            let key = AddressKey::new(&[self.rng.random_range(0..8) / 7; 32]);
            let id = [self.rng.random_range(0..3); 16];
            let id = SuppressionId::from_field(&id).expect("an id");
            match self.rng.random_range(0..11) {
                0 | 1 => {
                    let made = self.rng.random_bool(0.7);
                    self.call(&AgreeOnKey { keys: &keys, key: &key, made })?.ok();
                }
                2..6 => {
                    let entry = NewSuppression {
                        id,
                        of_sender: self.rng.random_bool(0.3),
                        reason: match self.rng.random_bool(0.5) {
                            true => Reason::Blocked,
                            false => Reason::from_code(self.rng.random_range(0..2_000)),
                        },
                        source: SuppressionSource::ALL[self.rng.random_range(0..5)],
                        after: self.rng.random_range(0..3),
                        notice: self.notice(false),
                    };
                    // The second entry for an address sees the effect of the first one.
                    let entries = vec![entry; self.rng.random_range(1..3)];
                    let (keys, channel, key) = (&keys, &channel, &key);
                    self.call(&PutSuppressions { keys, key, channel, entries: &entries })?.ok();
                }
                6..9 => {
                    let notice = self.notice(true);
                    let reasons = [Reason::from_code(self.rng.random_range(0..2_000)), Reason::Blocked];
                    let remember = self.rng.random_bool(0.5);
                    let (keys, channel, key, reasons) = (&keys, &channel, &key, &reasons);
                    self.call(&OptIn { keys, key, channel, id, notice, reasons, remember })?.ok();
                }
                _ => {
                    let delete =
                        |seen| DeleteSuppression { keys: &keys, key: &key, channel: &channel, id, seen };
                    let first = self.call(&delete(UnixMs(0)))?;
                    if let Ok(SuppressionDeletion::Changed(last)) = first.map(|answer| answer.reply) {
                        self.call(&delete(last))?.ok();
                    }
                }
            }
        }
        Ok(())
    }

    /// From few ids and times, so that copies occur, and notices with the same time.
    fn notice(&mut self, back: bool) -> Notice {
        let moment = UnixMs(self.now.saturating_sub(1000 * self.rng.random_range(0..8)));
        let said = match self.rng.random_range(0..4) {
            0 => NoticeTime::Unknown,
            1 => NoticeTime::Provider(moment),
            _ if back => NoticeTime::NotBefore(moment),
            _ => NoticeTime::Ago(Duration::from_secs(self.rng.random_range(0..8))),
        };
        Notice { id: NoticeId::random([self.rng.random_range(0..40); 8]), said }
    }
}
