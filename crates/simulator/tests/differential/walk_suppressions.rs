//! Who gets nothing, on a walk: a key agreed on, addresses put on a list, struck and lifted.

use posthaste_model::{Channel, Reason, UnixMs};
use posthaste_protocol::record::{AddressKey, Source, SuppressionId};
use posthaste_protocol::scripts::address_key::AgreeOnKey;
use posthaste_protocol::scripts::lift::{LiftSuppression, Lifted};
use posthaste_protocol::scripts::suppress::{NewSuppression, PutSuppressions};
use rand::Rng;

use crate::walk::{Differ, Walk};

impl Walk<'_> {
    /// Some calls about suppressions. One call alone would mostly meet an empty list.
    pub(crate) fn of_suppressions(&mut self) -> Differ {
        let keys = self.keys.clone();
        let channel: Channel = "email".parse().expect("one");
        for _ in 0..12 {
            let key = AddressKey::new(&[self.rng.random_range(0..8) / 7; 32]);
            let id = [self.rng.random_range(0..3); 16];
            let id = SuppressionId::from_field(&id).expect("an id");
            match self.rng.random_range(0..8) {
                0 | 1 => {
                    let made = self.rng.random_bool(0.7);
                    self.call(&AgreeOnKey { keys: &keys, key: &key, made })?.ok();
                }
                2..6 => {
                    let entry = NewSuppression {
                        id,
                        of_sender: self.rng.random_bool(0.3),
                        reason: Reason::from_code(self.rng.random_range(0..2_000)),
                        source: Source::ALL[self.rng.random_range(0..5)],
                        after: self.rng.random_range(0..3),
                        lift_seen: self.rng.random_bool(0.3).then_some(UnixMs(self.now)),
                    };
                    // The second one of an address sees what the first one did.
                    let entries = vec![entry; self.rng.random_range(1..3)];
                    let (keys, channel, key) = (&keys, &channel, &key);
                    self.call(&PutSuppressions { keys, key, channel, entries: &entries })?.ok();
                }
                _ => {
                    let only_reason = self.rng.random_bool(0.2).then_some(Reason::Blocked);
                    let lift = |seen| LiftSuppression {
                        keys: &keys,
                        key: &key,
                        channel: &channel,
                        id,
                        seen,
                        only_reason,
                    };
                    let first = self.call(&lift(UnixMs(0)))?;
                    if let Ok(Lifted::Changed(last)) = first.map(|answer| answer.reply) {
                        self.call(&lift(last))?.ok();
                    }
                }
            }
        }
        Ok(())
    }
}
