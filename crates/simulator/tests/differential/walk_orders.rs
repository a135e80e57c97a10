//! What the queue and the resolver do on a walk: accept, cancel, move, decide, reserve.

use std::time::Duration;

use posthaste_model::{
    Address, Channel, Content, Lane, Member, OnUnknown, Reason, Row, SenderId, Suffix, Text, UnixMs, Verdict,
};
use posthaste_protocol::record::{
    Inline, KeyId, NewKey, Scope, SecretHash, SendAs, encode_content, encode_parcel,
};
use posthaste_protocol::scripts::audit::Audit;
use posthaste_protocol::scripts::bind::Bind;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::create_key::CreateKey;
use posthaste_protocol::scripts::enqueue::Enqueue;
use posthaste_protocol::scripts::patrol::Patrol;
use posthaste_protocol::scripts::rate::Rate;
use posthaste_protocol::scripts::receipt::{Receipt, Word};
use posthaste_protocol::scripts::remember::Remember;
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::reserve::{Place, Reserve};
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::revoke_key::RevokeKey;
use posthaste_protocol::scripts::stage::Stage;
use posthaste_protocol::scripts::touch_key::TouchKey;
use posthaste_protocol::scripts::unbind::Unbind;
use posthaste_protocol::scripts::unreserve::Unreserve;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::walk::{DAY, Differ, Walk};

impl Walk<'_> {
    pub(crate) fn accept(&mut self) -> Differ {
        let keys = self.keys.clone();
        let suffix: Suffix =
            format!("u{}:{}", self.orders.len() % 3, self.orders.len() + 1).parse().expect("a suffix");
        let (email, sms): (Channel, Channel) = ("email".parse().expect("one"), "sms".parse().expect("one"));
        let big = self.rng.random_bool(0.3);
        let rows = if big && self.rng.random_bool(0.2) { 502 } else { self.rng.random_range(1..4) };
        let channels = match self.rng.random_range(0..4) {
            0 => vec![(email, rows), (sms, 2)],
            1 => vec![(sms, rows)],
            _ => vec![(email, rows)],
        };
        let all: u32 = channels.iter().map(|(_, rows)| rows).sum();
        let content = Content { text: Text::new("some text of a message"), ..Content::default() };
        let pieces = if big { None } else { Inline::encode(&content, &some_rows(0, all)) };
        let upload = if pieces.is_some() { "" } else { ["a", "b"][self.rng.random_range(0..2)] };
        if pieces.is_none() {
            let mut parcels = Vec::new();
            for (channel, rows) in &channels {
                for n in 0..rows.div_ceil(500) {
                    parcels.push((
                        channel.clone(),
                        n,
                        encode_parcel(&some_rows(n * 500, (rows - n * 500).min(500))),
                    ));
                }
            }
            let open = encode_content(&content);
            self.call(&Stage { keys: &keys, suffix: &suffix, upload, open: Some(&open), parcels: &parcels })?
                .ok();
            if self.rng.random_bool(0.1) {
                return Ok(());
            }
        }
        let due = [None, None, Some(self.now + 5_000), Some(self.now + 60_000), Some(self.now - 1)];
        let enqueue = Enqueue {
            keys: &keys,
            suffix: &suffix,
            due: due.choose(&mut self.rng).copied().flatten().map(UnixMs),
            lane: if self.rng.random_bool(0.3) { Lane::Urgent } else { Lane::Bulk },
            on_unknown: [OnUnknown::Default, OnUnknown::Retry, OnUnknown::Hold][self.rng.random_range(0..3)],
            not_after: None,
            span: Duration::from_secs(if self.rng.random_bool(0.2) { 30 } else { 259_200 }),
            digest: [self.rng.random_range(0..2); 12],
            channels: &channels,
            no_contact: &[],
            inline: pieces.as_deref(),
            upload,
        };
        self.call(&enqueue)?.ok();
        if self.rng.random_bool(0.1) {
            self.call(&enqueue)?.ok();
        }
        self.orders.push((suffix, channels.into_iter().map(|(channel, _)| channel).collect()));
        Ok(())
    }

    pub(crate) fn of_order(&mut self, act: u32) -> Differ {
        let keys = self.keys.clone();
        let Some((suffix, channels)) = self.order() else { return Ok(()) };
        let channel = channels[0].clone();
        let member = Member { suffix: suffix.clone(), number: 0 };
        let attempts = self.attempts(&member, &channel);
        let rows = self.rows(&attempts);
        match act {
            0 => drop(self.call(&Cancel { keys: &keys, suffix: &suffix })?),
            1 => {
                let due = UnixMs(self.now + self.rng.random_range(0..90_000));
                let revision = self.rng.random_range(0..3);
                self.call(&Reschedule { keys: &keys, suffix: &suffix, due, not_after: None, revision })?.ok();
            }
            2 => {
                let decide = |rng: &mut StdRng| match rng.random_range(0..6) {
                    0 => Decision::Retry,
                    1 => Decision::Repeat,
                    2 => Decision::Hold(Reason::Held),
                    3 => Decision::Found(Verdict::Delivered, Reason::None),
                    4 => Decision::Found(Verdict::Failed, Reason::Rejected),
                    _ => Decision::Found(Verdict::Sent, Reason::None),
                };
                let decisions: Vec<_> =
                    rows.into_iter().map(|(row, attempt)| (row, attempt, decide(&mut self.rng))).collect();
                self.call(&Resolve {
                    keys: &keys,
                    channel: &channel,
                    member: &member,
                    decisions: &decisions,
                })?
                .ok();
            }
            3 => {
                let Some((row, attempt)) = rows.choose(&mut self.rng).copied() else { return Ok(()) };
                let word = [Word::Sent, Word::Delivered, Word::Failed][self.rng.random_range(0..3)];
                let reason = Reason::None;
                self.call(&Receipt {
                    keys: &keys,
                    channel: &channel,
                    member: &member,
                    row,
                    attempt,
                    word,
                    reason,
                })?
                .ok();
            }
            _ => {
                drop(self.call(&Patrol { keys: &keys, from: 0, limit: 20 })?);
                drop(self.call(&Audit { keys: &keys, channel: &channel, suffix: &suffix, from: 0 })?);
            }
        }
        Ok(())
    }

    pub(crate) fn of_sender(&mut self, act: u32) -> Differ {
        let sender: SenderId = format!("u{}", self.rng.random_range(0..2)).parse().expect("an id");
        let suffix = Suffix::new(&sender, self.rng.random_range(1..5));
        match act {
            0 => {
                let (key_digest, digest) =
                    (["a", "b"][self.rng.random_range(0..2)], [self.rng.random_range(0..2); 12]);
                let ttl = Duration::from_millis(DAY * 100_000);
                self.call(&Bind { owner: "o", key_digest, suffix: &suffix, digest, ttl })?.ok();
            }
            1 => {
                let day_start = UnixMs(self.now - self.now % DAY);
                self.call(&Reserve { sender: &sender, suffix: &suffix, daily: 2, day_start })?.ok();
            }
            _ => {
                let taken = UnixMs(self.now - self.rng.random_range(0..2));
                self.call(&Unreserve { sender: &sender, places: &[Place { suffix, taken }] })?.ok();
            }
        }
        Ok(())
    }
}

impl Walk<'_> {
    /// What a queue keeps of those who call it.
    pub(crate) fn of_caller(&mut self, act: u32) -> Differ {
        let keys = self.keys.clone();
        let id: KeyId = format!("key{:09}", self.rng.random_range(0..4)).parse().expect("an id");
        match act {
            0 => {
                let suffix: Suffix = format!("u1:{}", self.rng.random_range(1..5)).parse().expect("a suffix");
                let key_digest = ["a", "b"][self.rng.random_range(0..2)];
                self.call(&Unbind { owner: "o", key_digest, suffix: &suffix })?.ok();
            }
            1 => {
                // So slow that nothing comes free while the walk lasts.
                let cost = self.rng.random_range(0..4) * 1_000_000;
                self.call(&Rate { id: &id, cost, per_second: 1, burst: 3_000_000 })?.ok();
            }
            2 => {
                let key = NewKey {
                    hash: SecretHash::new([self.rng.random_range(0..2); 32]),
                    name: ["a", "b"][self.rng.random_range(0..2)].to_owned(),
                    scopes: Scope::ALL.into_iter().filter(|_| self.rng.random_bool(0.5)).collect(),
                    sender: self.rng.random_bool(0.5).then(|| "u1".parse().expect("an id")),
                    role: None,
                    send_as: match self.rng.random_bool(0.3) {
                        true => SendAs::any(),
                        false => SendAs::default(),
                    },
                    expires: self.rng.random_bool(0.3).then(|| UnixMs(self.now + 20_000)),
                    id,
                };
                self.call(&CreateKey { keys: &keys, key: &key })?.ok();
            }
            3 => drop(self.call(&RevokeKey { keys: &keys, id: &id })?),
            4 => {
                let name = ["a", "b"][self.rng.random_range(0..2)];
                let order: Suffix = format!("u1:{}", self.rng.random_range(1..5)).parse().expect("a suffix");
                self.call(&Remember { name, order: &order })?.ok();
            }
            _ => drop(self.call(&TouchKey { keys: &keys, id: &id })?),
        }
        Ok(())
    }
}

fn some_rows(first: u32, count: u32) -> Vec<Row> {
    let row = |index| Row {
        index,
        recipient: format!("r{index}"),
        name: String::new(),
        address: Address::new(format!("a{index}@b.c")),
    };
    (first..first + count).map(row).collect()
}
