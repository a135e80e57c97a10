//! Every key name, made here and nowhere else in Rust. All keys of a partition share the hash tag `{p}`.

use posthaste_model::{Channel, Lane, SenderId, Suffix, UnixMs};

use crate::record::KeyId;

/// The keys of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    tag: String,
}

impl Keys {
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

    /// `fence:{p}`: counts claims and every other acknowledged change; only grows.
    #[must_use]
    pub fn fence(&self) -> String {
        self.plain("fence")
    }

    /// `runs:{p}`: a list of the server's runs: run id, mark found, fence it was raised to, opened ms.
    #[must_use]
    pub fn runs(&self) -> String {
        self.plain("runs")
    }

    /// `halted:{p}`: what is known of a database that went back or was wiped.
    #[must_use]
    pub fn halted(&self) -> String {
        self.plain("halted")
    }

    /// `lost:{p}`: suffix → accepted ms of orders that were acknowledged and are lost.
    #[must_use]
    pub fn lost(&self) -> String {
        self.plain("lost")
    }

    /// `schema:{p}`: current schema, oldest program allowed, number of partitions.
    #[must_use]
    pub fn schema(&self) -> String {
        self.plain("schema")
    }

    /// `due:{p}:<lane>`: suffix → due ms.
    #[must_use]
    pub fn due(&self, lane: Lane) -> String {
        self.of("due", lane.as_str())
    }

    /// `ready:{p}:<channel>:<lane>`: parcel → ready ms.
    #[must_use]
    pub fn ready(&self, channel: &Channel, lane: Lane) -> String {
        self.of("ready", &format!("{channel}:{}", lane.as_str()))
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

    /// `parked_why:{p}`: `<channel>:<parcel>`, or the suffix of an order → why it is parked.
    #[must_use]
    pub fn parked_why(&self) -> String {
        self.plain("parked_why")
    }

    /// `token:{p}:<channel>`: the last token given out.
    #[must_use]
    pub fn token(&self, channel: &Channel) -> String {
        self.of("token", channel.as_str())
    }

    /// `channels:{p}`: channel → last seen ms of a courier; `<channel>:receipts` → 1 or 0, as its last courier said when it
    /// came.
    #[must_use]
    pub fn channels(&self) -> String {
        self.plain("channels")
    }

    /// `orders:{p}`: a list of suffixes in the order of acceptance; those of retired orders are passed over.
    #[must_use]
    pub fn orders(&self) -> String {
        self.plain("orders")
    }

    /// `sender:{p}:<id>`: the same of one sender.
    #[must_use]
    pub fn sender(&self, sender: &str) -> String {
        self.of("sender", sender)
    }

    /// `staging:{p}`: suffix → last progress ms.
    #[must_use]
    pub fn staging(&self) -> String {
        self.plain("staging")
    }

    /// `staged:{p}:<suffix>`: channel → parcels staged.
    #[must_use]
    pub fn staged(&self, suffix: &Suffix) -> String {
        self.of("staged", suffix.as_str())
    }

    /// `retire:{p}:<day>`: orders final that day.
    #[must_use]
    pub fn retire(&self, day: u64) -> String {
        self.of("retire", &day.to_string())
    }

    /// `delivery:{p}:<suffix>`: the bell of an order.
    #[must_use]
    pub fn delivery(&self, suffix: &Suffix) -> String {
        self.of("delivery", suffix.as_str())
    }

    /// `history:{p}:<suffix>`: the record of an order.
    #[must_use]
    pub fn history(&self, suffix: &Suffix) -> String {
        self.of("history", suffix.as_str())
    }

    /// `text:{p}:<suffix>`: content of a big order.
    #[must_use]
    pub fn text(&self, suffix: &Suffix) -> String {
        self.of("text", suffix.as_str())
    }

    /// `parcel:{p}:<suffix>:<channel>:<n>`: rows of a big order.
    #[must_use]
    pub fn parcel(&self, suffix: &Suffix, channel: &Channel, n: u32) -> String {
        self.of("parcel", &format!("{suffix}:{channel}:{n}"))
    }

    /// `outcome:{p}:<suffix>:<channel>:<n>`: their outcomes.
    #[must_use]
    pub fn outcome(&self, suffix: &Suffix, channel: &Channel, n: u32) -> String {
        self.of("outcome", &format!("{suffix}:{channel}:{n}"))
    }

    /// `bell:{p}`: fires when something became due earlier than was known.
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

    /// `address_key:{p}`: the key under which addresses are hashed, or a check value of it. In partition 0.
    #[must_use]
    pub fn address_key(&self) -> String {
        self.plain("address_key")
    }

    /// `suppressed:{p}:<channel>`: hash of an address → why it gets nothing. All are in partition 0.
    #[must_use]
    pub fn suppressed(&self, channel: &Channel) -> String {
        self.of("suppressed", channel.as_str())
    }

    /// `consent:{p}:<channel>`: hash of an address → what its person said last, and which notices were heard. In partition 0.
    #[must_use]
    pub fn consent(&self, channel: &Channel) -> String {
        self.of("consent", channel.as_str())
    }

    /// `order-names:{n<shard>}:<place in the circle>`: where the order of a name that is kept for an hour may be, as a field of a
    /// hash. All in one slot.
    #[must_use]
    pub fn order_names(name: &str) -> [String; 8] {
        let shard = crc16(name.as_bytes()) % NAME_SHARDS;
        std::array::from_fn(|place| format!("order-names:{{n{shard}}}:{place}"))
    }

    /// `order-name:{<name>}`: the order of a short name; in a slot of its own.
    #[must_use]
    pub fn order_name(name: &str) -> String {
        format!("order-name:{{{name}}}")
    }

    /// `idem:{<owner>:<key>}`: in a slot of its own.
    #[must_use]
    pub fn idempotency(owner: &str, key_digest: &str) -> String {
        format!("idem:{{{owner}:{key_digest}}}")
    }

    /// `limit:{<sender>}`: in a slot of its own.
    #[must_use]
    pub fn limit(sender: &SenderId) -> String {
        format!("limit:{{{sender}}}")
    }

    /// `quota:{<channel>}:<d or h><ms>`: what was sent on a channel in the day, or the hour, that began then; in a slot of its own.
    #[must_use]
    pub fn quota(channel: &Channel, span: &str, began: UnixMs) -> String {
        format!("quota:{{{channel}}}:{span}{}", began.0)
    }

    /// `rate:{<key id>}`: in a slot of its own.
    #[must_use]
    pub fn rate(id: &KeyId) -> String {
        format!("rate:{{{id}}}")
    }
}

/// Shards of names that are kept for an hour: so many that a hash is freed at once when its time is over.
const NAME_SHARDS: u16 = 256;

/// CRC16 (XMODEM) as Redis Cluster computes its slots.
#[must_use]
pub fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// The partition of an order, of `partitions` in all.
#[must_use]
pub fn partition_of(suffix: &Suffix, partitions: u16) -> u16 {
    crc16(suffix.as_str().as_bytes()) % partitions.max(1)
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
        let keys = Keys::of_partition(7);
        let suffix: Suffix = "u1:5".parse().unwrap();
        let email: Channel = "email".parse().unwrap();
        for key in [keys.epoch(), keys.due(Lane::Bulk), keys.parcel(&suffix, &email, 3), keys.sender("u1")] {
            assert!(key.contains("{7}"), "{key}");
        }
        assert_eq!(keys.ready(&email, Lane::Urgent), "ready:{7}:email:urgent");
        assert_eq!(keys.outcome(&suffix, &email, 3), "outcome:{7}:u1:5:email:3");
    }
}
