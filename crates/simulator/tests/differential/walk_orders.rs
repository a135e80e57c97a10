//! Steps of the queue and the resolver on a walk: accept, cancel, move, decide, reserve.

use std::time::Duration;

use posthaste_model::{
    Address, Channel, Content, Delivery, OnUnknown, OrderId, OutcomeKind, ParcelId, Priority, Reason,
    SenderId, Text, UnixMs,
};
use posthaste_protocol::record::{
    Inline, KeyId, KeyScope, NewKey, NoticeId, SecretHash, SendAs, encode_content, encode_parcel,
};
use posthaste_protocol::scripts::apply_receipt::{ApplyReceipt, ReceiptStatus};
use posthaste_protocol::scripts::bind_idempotency_key::BindIdempotencyKey;
use posthaste_protocol::scripts::cancel::Cancel;
use posthaste_protocol::scripts::create_key::CreateKey;
use posthaste_protocol::scripts::enqueue::Enqueue;
use posthaste_protocol::scripts::free_idempotency_key::FreeIdempotencyKey;
use posthaste_protocol::scripts::limit_rate::LimitRate;
use posthaste_protocol::scripts::limit_sms::{LimitSms, QuotaStep, SmsLimits};
use posthaste_protocol::scripts::measure_backlog::{BacklogPlace, MeasureBacklog};
use posthaste_protocol::scripts::put_alias::PutAlias;
use posthaste_protocol::scripts::repair_indexes::RepairIndexes;
use posthaste_protocol::scripts::report_courier::{CourierState, ReportCourier};
use posthaste_protocol::scripts::reschedule::Reschedule;
use posthaste_protocol::scripts::resolve::{Decision, Resolve};
use posthaste_protocol::scripts::return_daily_places::ReturnDailyPlaces;
use posthaste_protocol::scripts::revoke_key::RevokeKey;
use posthaste_protocol::scripts::scan_orders::ScanOrders;
use posthaste_protocol::scripts::stage_parcels::StageParcels;
use posthaste_protocol::scripts::take_daily_places::{DailyPlace, TakeDailyPlaces};
use posthaste_protocol::scripts::touch_key::TouchKey;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::walk::{DAY, Differ, Walk};

impl Walk<'_> {
    pub(crate) fn accept(&mut self) -> Differ {
        let keys = self.keys.clone();
        let order_id: OrderId =
            format!("u{}:{}", self.orders.len() % 3, self.orders.len() + 1).parse().expect("an order id");
        let (email, sms): (Channel, Channel) = ("email".parse().expect("one"), "sms".parse().expect("one"));
        let big = self.rng.random_bool(0.3);
        let deliveries = if big && self.rng.random_bool(0.2) { 502 } else { self.rng.random_range(1..4) };
        let channels = match self.rng.random_range(0..4) {
            0 => vec![(email, deliveries), (sms, 2)],
            1 => vec![(sms, deliveries)],
            _ => vec![(email, deliveries)],
        };
        let all: u32 = channels.iter().map(|(_, deliveries)| deliveries).sum();
        let content = Content { text: Text::new("some text of a message"), ..Content::default() };
        let pieces = if big { None } else { Inline::encode(&content, &some_deliveries(0, all)) };
        let upload = if pieces.is_some() { "" } else { ["a", "b"][self.rng.random_range(0..2)] };
        if pieces.is_none() {
            let mut parcels = Vec::new();
            for (channel, deliveries) in &channels {
                for n in 0..deliveries.div_ceil(500) {
                    parcels.push((
                        channel.clone(),
                        n,
                        encode_parcel(&some_deliveries(n * 500, (deliveries - n * 500).min(500))),
                    ));
                }
            }
            let open = encode_content(&content);
            self.call(&StageParcels {
                keys: &keys,
                order_id: &order_id,
                upload,
                open: Some(&open),
                parcels: &parcels,
            })?
            .ok();
            if self.rng.random_bool(0.1) {
                return Ok(());
            }
        }
        let due = [None, None, Some(self.now + 5_000), Some(self.now + 60_000), Some(self.now - 1)];
        let enqueue = Enqueue {
            keys: &keys,
            order_id: &order_id,
            due: due.choose(&mut self.rng).copied().flatten().map(UnixMs),
            priority: if self.rng.random_bool(0.3) { Priority::Urgent } else { Priority::Bulk },
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
        self.orders.push((order_id, channels.into_iter().map(|(channel, _)| channel).collect()));
        Ok(())
    }

    pub(crate) fn of_order(&mut self, act: u32) -> Differ {
        let keys = self.keys.clone();
        let Some((order_id, channels)) = self.order() else { return Ok(()) };
        let channel = channels[0].clone();
        let parcel_id = ParcelId { order_id: order_id.clone(), number: 0 };
        let attempts = self.attempts(&parcel_id, &channel);
        let deliveries = self.deliveries(&attempts);
        match act {
            0 => drop(self.call(&Cancel { keys: &keys, order_id: &order_id })?),
            1 => {
                let due = UnixMs(self.now + self.rng.random_range(0..90_000));
                let revision = self.rng.random_range(0..3);
                self.call(&Reschedule { keys: &keys, order_id: &order_id, due, not_after: None, revision })?
                    .ok();
            }
            2 => {
                let decide = |rng: &mut StdRng| match rng.random_range(0..6) {
                    0 => Decision::Retry,
                    1 => Decision::Repeat,
                    2 => Decision::Hold(Reason::NotRetried),
                    3 => Decision::Found(OutcomeKind::Delivered, Reason::None.into()),
                    4 => Decision::Found(OutcomeKind::Failed, Reason::Rejected.into()),
                    _ => Decision::Found(OutcomeKind::Sent, Reason::None.into()),
                };
                let decisions: Vec<_> = deliveries
                    .into_iter()
                    .map(|(delivery, attempt)| (delivery, attempt, decide(&mut self.rng)))
                    .collect();
                self.call(&Resolve {
                    keys: &keys,
                    channel: &channel,
                    parcel_id: &parcel_id,
                    decisions: &decisions,
                })?
                .ok();
            }
            3 => {
                let Some((delivery, attempt)) = deliveries.choose(&mut self.rng).copied() else {
                    return Ok(());
                };
                let word = [ReceiptStatus::Sent, ReceiptStatus::Delivered, ReceiptStatus::Failed]
                    [self.rng.random_range(0..3)];
                let reason = Reason::None;
                self.call(&ApplyReceipt {
                    keys: &keys,
                    channel: &channel,
                    parcel_id: &parcel_id,
                    delivery,
                    attempt,
                    status: word,
                    reason: reason.into(),
                })?
                .ok();
            }
            _ => {
                drop(self.call(&ScanOrders { keys: &keys, from: 0, limit: 20 })?);
                drop(self.call(&RepairIndexes {
                    keys: &keys,
                    channel: &channel,
                    order_id: &order_id,
                    from: 0,
                })?);
            }
        }
        Ok(())
    }

    pub(crate) fn of_sender(&mut self, act: u32) -> Differ {
        let sender: SenderId = format!("u{}", self.rng.random_range(0..2)).parse().expect("an id");
        let order_id = OrderId::new(&sender, self.rng.random_range(1..5));
        match act {
            0 => {
                let (key_digest, digest) =
                    (["a", "b"][self.rng.random_range(0..2)], [self.rng.random_range(0..2); 12]);
                let ttl = Duration::from_millis(DAY * 100_000);
                self.call(&BindIdempotencyKey { owner: "o", key_digest, order_id: &order_id, digest, ttl })?
                    .ok();
            }
            1 => {
                let day_start = UnixMs(self.now - self.now % DAY);
                self.call(&TakeDailyPlaces { sender: &sender, order_id: &order_id, daily: 2, day_start })?
                    .ok();
            }
            _ => {
                let taken = UnixMs(self.now - self.rng.random_range(0..2));
                self.call(&ReturnDailyPlaces { sender: &sender, places: &[DailyPlace { order_id, taken }] })?
                    .ok();
            }
        }
        Ok(())
    }
}

impl Walk<'_> {
    /// What a queue stores about its callers.
    pub(crate) fn of_caller(&mut self, act: u32) -> Differ {
        let keys = self.keys.clone();
        let id: KeyId = format!("key{:09}", self.rng.random_range(0..4)).parse().expect("an id");
        match act {
            0 => {
                let order_id: OrderId =
                    format!("u1:{}", self.rng.random_range(1..5)).parse().expect("an order id");
                let key_digest = ["a", "b"][self.rng.random_range(0..2)];
                self.call(&FreeIdempotencyKey { owner: "o", key_digest, order_id: &order_id })?.ok();
            }
            1 => {
                // So slow that nothing becomes free during the walk.
                let cost = self.rng.random_range(0..4) * 1_000_000;
                self.call(&LimitRate { id: &id, cost, per_second: 1, burst: 3_000_000 })?.ok();
            }
            2 => {
                let key = NewKey {
                    hash: SecretHash::new([self.rng.random_range(0..2); 32]),
                    name: ["a", "b"][self.rng.random_range(0..2)].to_owned(),
                    scopes: KeyScope::ALL.into_iter().filter(|_| self.rng.random_bool(0.5)).collect(),
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
                let order: OrderId =
                    format!("u1:{}", self.rng.random_range(1..5)).parse().expect("an order id");
                self.call(&PutAlias { name, order: &order })?.ok();
            }
            5 => {
                let sms: Channel = "sms".parse().expect("a channel");
                let order_id: OrderId =
                    format!("u1:{}", self.rng.random_range(1..5)).parse().expect("an order id");
                let shares = [QuotaStep::Take, QuotaStep::Take, QuotaStep::Check, QuotaStep::Return];
                let prefix = NoticeId::random([self.rng.random_range(0..3); 8]);
                let messages = self.rng.random_range(1..4);
                let share = *shares.choose(&mut self.rng).expect("a share");
                let taking = [self.rng.random_range(0..3); 8];
                self.call(&LimitSms {
                    channel: &sms,
                    day: UnixMs(self.now - self.now % DAY),
                    hour: UnixMs(self.now - self.now % 3_600_000),
                    share,
                    order_id: &order_id,
                    segments: u64::from(messages) * 2,
                    messages: messages.into(),
                    key: &id,
                    limits: SmsLimits { segments_a_day: 12, messages_an_hour: 4, to_prefix_an_hour: 5 },
                    taking,
                    prefixes: &[(prefix, messages)],
                })?
                .ok();
            }
            7 => {
                let (channel, courier) = ("sms".parse().expect("a channel"), "c1".parse().expect("an id"));
                let states = [None, Some(CourierState::Working), Some(CourierState::Stopped)];
                let report = ReportCourier {
                    keys: &keys,
                    channel: &channel,
                    courier: &courier,
                    number: self.rng.random_range(1..9),
                    state: states[self.rng.random_range(0..3)],
                    ends_in: self.rng.random_bool(0.5).then(|| Duration::from_secs(5)),
                    holds: Duration::from_millis(self.rng.random_range(1..9_000)),
                    why: "some reason",
                };
                self.call(&report)?.ok();
            }
            8 => {
                let channel = ["email", "sms"][self.rng.random_range(0..2)].parse().expect("a channel");
                let limit = self.rng.random_range(1..9);
                let from = BacklogPlace::START;
                self.call(&MeasureBacklog { keys: &keys, channel: &channel, from, limit })?.ok();
            }
            _ => drop(self.call(&TouchKey { keys: &keys, id: &id })?),
        }
        Ok(())
    }
}

fn some_deliveries(first: u32, count: u32) -> Vec<Delivery> {
    let delivery = |index| Delivery {
        index,
        recipient: format!("r{index}"),
        name: String::new(),
        address: Address::new(format!("a{index}@b.c")),
    };
    (first..first + count).map(delivery).collect()
}
