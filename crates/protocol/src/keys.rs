//! Every key name; no other Rust code builds one. All keys of a partition share the hash tag `{p}`.

use posthaste_model::{Channel, OrderId, Priority, SenderId, UnixMs};

use crate::record::KeyId;

/// The keys of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionKeys {
    tag: String,
}

impl PartitionKeys {
    /// The keys of partition `p`.
    #[must_use]
    pub fn of_partition(p: u16) -> Self {
        Self { tag: format!("{{{p}}}") }
    }

    /// The hash tag, braces included.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    fn plain(&self, family: &str) -> String {
        format!("{family}:{}", self.tag)
    }

    fn of(&self, family: &str, rest: &str) -> String {
        format!("{family}:{}:{rest}", self.tag)
    }

    /// `epoch:{p}`: the random id of this database.
    #[must_use]
    pub fn epoch(&self) -> String {
        self.plain("epoch")
    }

    /// `fence:{p}`: counts claims and every other confirmed change; never decreases.
    #[must_use]
    pub fn fence(&self) -> String {
        self.plain("fence")
    }

    /// `runs:{p}`: a list of the server's runs: run id, mark found, fence it was raised to, opened ms.
    #[must_use]
    pub fn runs(&self) -> String {
        self.plain("runs")
    }

    /// `halted:{p}`: what is known about a database that went back or was wiped.
    #[must_use]
    pub fn halted(&self) -> String {
        self.plain("halted")
    }

    /// `lost:{p}`: order id → accepted ms of orders that were accepted and are lost.
    #[must_use]
    pub fn lost(&self) -> String {
        self.plain("lost")
    }

    /// `schema:{p}`: current schema, oldest program allowed, number of partitions.
    #[must_use]
    pub fn schema(&self) -> String {
        self.plain("schema")
    }

    /// `due:{p}:<priority>`: order id → due ms.
    #[must_use]
    pub fn due(&self, priority: Priority) -> String {
        self.of("due", priority.as_str())
    }

    /// `ready:{p}:<channel>:<priority>`: parcel → ready ms.
    #[must_use]
    pub fn ready(&self, channel: &Channel, priority: Priority) -> String {
        self.of("ready", &format!("{channel}:{}", priority.as_str()))
    }

    /// `leased:{p}:<channel>`: parcel → lease end ms.
    #[must_use]
    pub fn leased(&self, channel: &Channel) -> String {
        self.of("leased", channel.as_str())
    }

    /// `lease:{p}:<channel>`: parcel → fence, begun, alone, send_by, courier.
    #[must_use]
    pub fn lease(&self, channel: &Channel) -> String {
        self.of("lease", channel.as_str())
    }

    /// `request:{p}:<channel>`: courier → number, fence and parcels of its last claim.
    #[must_use]
    pub fn request(&self, channel: &Channel) -> String {
        self.of("request", channel.as_str())
    }

    /// `couriers:{p}:<channel>`: courier → last seen ms.
    #[must_use]
    pub fn couriers(&self, channel: &Channel) -> String {
        self.of("couriers", channel.as_str())
    }

    /// `courier_states:{p}`: `<channel>:<courier>` → its last report. All are in partition 0.
    #[must_use]
    pub fn courier_states(&self) -> String {
        self.plain("courier_states")
    }

    /// `courier_ends:{p}`: `<channel>:<courier>` → until when its last report holds, in ms. In partition 0.
    #[must_use]
    pub fn courier_ends(&self) -> String {
        self.plain("courier_ends")
    }

    /// `crashes:{p}:<channel>`: parcel → crashes without progress, since ms.
    #[must_use]
    pub fn crashes(&self, channel: &Channel) -> String {
        self.of("crashes", channel.as_str())
    }

    /// `unresolved:{p}:<channel>`: parcel → send_by ms.
    #[must_use]
    pub fn unresolved(&self, channel: &Channel) -> String {
        self.of("unresolved", channel.as_str())
    }

    /// `parked:{p}:<channel>`: parcel whose record can't be read → since ms.
    #[must_use]
    pub fn parked(&self, channel: &Channel) -> String {
        self.of("parked", channel.as_str())
    }

    /// `parked:{p}`: order whose head can't be read → since ms.
    #[must_use]
    pub fn parked_orders(&self) -> String {
        self.plain("parked")
    }

    /// `parked_why:{p}`: `<channel>:<parcel>`, or an order id → why it is parked.
    #[must_use]
    pub fn parked_why(&self) -> String {
        self.plain("parked_why")
    }

    /// `token:{p}:<channel>`: the last token used.
    #[must_use]
    pub fn token(&self, channel: &Channel) -> String {
        self.of("token", channel.as_str())
    }

    /// `channels:{p}`: channel → last seen ms of a courier; `<channel>:receipts` → 1 or 0, as its last courier
    /// reported at registration.
    #[must_use]
    pub fn channels(&self) -> String {
        self.plain("channels")
    }

    /// `orders:{p}`: a list of order ids in order of acceptance; those of retired orders are skipped.
    #[must_use]
    pub fn orders(&self) -> String {
        self.plain("orders")
    }

    /// `sender:{p}:<id>`: the same of one sender.
    #[must_use]
    pub fn sender(&self, sender: &str) -> String {
        self.of("sender", sender)
    }

    /// `staging:{p}`: order id → last progress ms.
    #[must_use]
    pub fn staging(&self) -> String {
        self.plain("staging")
    }

    /// `staged:{p}:<order_id>`: channel → parcels staged.
    #[must_use]
    pub fn staged(&self, order_id: &OrderId) -> String {
        self.of("staged", order_id.as_str())
    }

    /// `retire:{p}:<day>`: orders final that day.
    #[must_use]
    pub fn retire(&self, day: u64) -> String {
        self.of("retire", &day.to_string())
    }

    /// `delivery:{p}:<order_id>`: the bell of an order.
    #[must_use]
    pub fn bell_of(&self, order_id: &OrderId) -> String {
        self.of("delivery", order_id.as_str())
    }

    /// `history:{p}:<order_id>`: the record of an order.
    #[must_use]
    pub fn history(&self, order_id: &OrderId) -> String {
        self.of("history", order_id.as_str())
    }

    /// `text:{p}:<order_id>`: content of a big order.
    #[must_use]
    pub fn text(&self, order_id: &OrderId) -> String {
        self.of("text", order_id.as_str())
    }

    /// `parcel:{p}:<order_id>:<channel>:<n>`: deliveries of a big order.
    #[must_use]
    pub fn parcel(&self, order_id: &OrderId, channel: &Channel, n: u32) -> String {
        self.of("parcel", &format!("{order_id}:{channel}:{n}"))
    }

    /// `outcome:{p}:<order_id>:<channel>:<n>`: their outcomes.
    #[must_use]
    pub fn outcome(&self, order_id: &OrderId, channel: &Channel, n: u32) -> String {
        self.of("outcome", &format!("{order_id}:{channel}:{n}"))
    }

    /// `bell:{p}`: fires when something is due earlier than was known before.
    #[must_use]
    pub fn bell(&self) -> String {
        self.plain("bell")
    }

    /// `keys:{p}`: id of an API key → created ms. All are in partition 0.
    #[must_use]
    pub fn api_keys(&self) -> String {
        self.plain("keys")
    }

    /// `key:{p}:<id>`: the record of an API key.
    #[must_use]
    pub fn api_key(&self, id: &KeyId) -> String {
        self.of("key", id.as_str())
    }

    /// `address_key:{p}`: the key used to hash addresses, or a check value of it. In partition 0.
    #[must_use]
    pub fn address_key(&self) -> String {
        self.plain("address_key")
    }

    /// `suppressed:{p}:<channel>`: hash of an address → why it gets nothing. All are in partition 0.
    #[must_use]
    pub fn suppressed(&self, channel: &Channel) -> String {
        self.of("suppressed", channel.as_str())
    }

    /// `consent:{p}:<channel>`: hash of an address → the person's latest opt-in or opt-out, and which notices were
    /// received. In partition 0.
    #[must_use]
    pub fn consent(&self, channel: &Channel) -> String {
        self.of("consent", channel.as_str())
    }

    /// `order-names:{n<shard>}:<place in the cycle>`: hashes that may hold, as a field, the order of a name stored
    /// for an hour. All in one slot.
    #[must_use]
    pub fn order_names(name: &str) -> [String; 8] {
        let shard = crc16(name.as_bytes()) % NAME_SHARDS;
        std::array::from_fn(|place| format!("order-names:{{n{shard}}}:{place}"))
    }

    /// `order-name:{<name>}`: the order of a short name; in its own slot.
    #[must_use]
    pub fn order_name(name: &str) -> String {
        format!("order-name:{{{name}}}")
    }

    /// `idem:{<owner>:<key>}`: in its own slot.
    #[must_use]
    pub fn idempotency(owner: &str, key_digest: &str) -> String {
        format!("idem:{{{owner}:{key_digest}}}")
    }

    /// `limit:{<sender>}`: in its own slot.
    #[must_use]
    pub fn limit(sender: &SenderId) -> String {
        format!("limit:{{{sender}}}")
    }

    /// `quota:{<channel>}:<d or h><ms>`: what was sent on a channel in the day or hour that began at that time; in
    /// its own slot.
    #[must_use]
    pub fn quota(channel: &Channel, span: &str, began: UnixMs) -> String {
        format!("quota:{{{channel}}}:{span}{}", began.0)
    }

    /// `rate:{<key id>}`: in its own slot.
    #[must_use]
    pub fn rate(id: &KeyId) -> String {
        format!("rate:{{{id}}}")
    }
}

/// Shards of names that are stored for an hour: enough that an expired hash is freed in one step.
const NAME_SHARDS: u16 = 256;

/// CRC16 (XMODEM), by which Redis Cluster computes slots.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// The partition of an order, out of `partitions`.
#[must_use]
pub fn partition_of(order_id: &OrderId, partitions: u16) -> u16 {
    crc16(order_id.as_str().as_bytes()) % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc16_is_the_one_of_redis_cluster() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn all_keys_of_a_partition_share_its_tag() {
        let keys = PartitionKeys::of_partition(7);
        let order_id: OrderId = "u1:5".parse().unwrap();
        let email: Channel = "email".parse().unwrap();
        for key in
            [keys.epoch(), keys.due(Priority::Bulk), keys.parcel(&order_id, &email, 3), keys.sender("u1")]
        {
            assert!(key.contains("{7}"), "{key}");
        }
        assert_eq!(keys.ready(&email, Priority::Urgent), "ready:{7}:email:urgent");
        assert_eq!(keys.outcome(&order_id, &email, 3), "outcome:{7}:u1:5:email:3");
    }
}
