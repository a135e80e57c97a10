//! Accepts an order of the scenario.

use posthaste_model::{Address, Content, Delivery, Text, UnixMs};
use posthaste_protocol::record::{Inline, encode_content, encode_parcel};
use posthaste_protocol::scripts::enqueue::Enqueue;
use posthaste_protocol::scripts::stage_parcels::StageParcels;

use super::command::{CallFault, ScriptServer, ServerAnswer};
use super::scenario::ms;
use crate::FakeRedis;
use crate::fake_redis::Event;

impl ScriptServer<'_> {
    /// Accepts an order, including everything that is staged before.
    pub(super) fn enqueue(
        &self,
        world: &mut FakeRedis,
        events: &mut Vec<Event>,
        order: usize,
    ) -> Result<ServerAnswer, CallFault> {
        let s = self.scenario;
        let spec = &s.orders[order];
        let content = Content { text: Text::new("x"), ..Content::default() };
        let now = world.clock().ms();
        let delivery = |index| Delivery {
            index,
            recipient: String::new(),
            name: String::new(),
            address: Address::new(index.to_string()),
        };
        let mut inline = None;
        if spec.big {
            let parcels: Vec<_> = s.parcels.iter().filter(|parcel| parcel.order == order).collect();
            let staged: Vec<_> = parcels
                .iter()
                .map(|parcel| {
                    let deliveries: Vec<Delivery> = (0..parcel.deliveries).map(delivery).collect();
                    (s.channels[parcel.channel].clone(), parcel.parcel_id.number, encode_parcel(&deliveries))
                })
                .collect();
            let open = encode_content(&content);
            let stage = StageParcels {
                keys: &s.keys,
                order_id: &spec.order_id,
                upload: "1",
                open: Some(&open),
                parcels: &staged,
            };
            self.call(world, events, &stage)?;
        } else {
            let deliveries: Vec<Delivery> =
                (0..spec.channels.iter().map(|(_, deliveries)| *deliveries).sum()).map(delivery).collect();
            inline = Inline::encode(&content, &deliveries);
        }
        let channels: Vec<_> = spec
            .channels
            .iter()
            .map(|(channel, deliveries)| (s.channels[*channel].clone(), *deliveries))
            .collect();
        let enqueue = Enqueue {
            keys: &s.keys,
            order_id: &spec.order_id,
            due: spec.due_in.map(|span| UnixMs(u64::try_from(now).unwrap_or(0)).after(span)),
            priority: spec.priority,
            on_unknown: spec.on_unknown,
            not_after: None,
            span: ms(s.life_ms),
            digest: [1; 12],
            channels: &channels,
            no_contact: &[],
            inline: inline.as_deref(),
            upload: if spec.big { "1" } else { "" },
        };
        self.call(world, events, &enqueue)?;
        Ok(ServerAnswer::Done)
    }
}
