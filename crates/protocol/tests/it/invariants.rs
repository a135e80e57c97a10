//! Invariants of every database at all times: sums are right, and each parcel is in exactly the indexes where its
//! record belongs.

use std::collections::{BTreeMap, BTreeSet};

use posthaste_model::{Channel, Counters, OrderId, Priority, State};
use posthaste_protocol::PartitionKeys;
use posthaste_protocol::record::{DeliveryRecords, Head, decode_counters};

use crate::db::Db;
use crate::snapshot::{Held, Snapshot};

/// One readable order.
struct Seen<'a> {
    all: &'a Snapshot,
    keys: &'a PartitionKeys,
    order_id: OrderId,
    head: Head,
    fields: BTreeMap<String, Vec<u8>>,
}

impl Db {
    /// Fails with everything that is wrong in the database.
    #[track_caller]
    pub(crate) fn check_invariants(&self) {
        let faults = self.faults();
        assert!(faults.is_empty(), "{faults:#?}\n{:#?}", self.snapshot().since(&Snapshot::default(), &[]));
    }

    /// Everything that is wrong in the database.
    pub(crate) fn faults(&self) -> Vec<String> {
        let all = self.snapshot();
        let mut faults = Vec::new();
        let mut known = BTreeSet::new();
        for name in all.names().filter(|name| name.starts_with("history:")) {
            let (order_id, fields) = (order_id_in(name), all.hash(name));
            let Some(head) = fields.get("h").and_then(|h| Head::decode(h).ok()) else { continue };
            known.insert(order_id.to_string());
            Seen { all: &all, keys: &self.keys, order_id, head, fields }.check(&mut faults);
        }
        strays(&all, &known, &mut faults);
        faults
    }
}

fn order_id_in(name: &str) -> OrderId {
    let parts: Vec<&str> = name.split(':').collect();
    format!("{}:{}", parts[2], parts[3]).parse().expect("an order id")
}

impl Seen<'_> {
    fn check(&self, faults: &mut Vec<String>) {
        let mut open = 0;
        let mut before = 0;
        let fault = |text: String| format!("{}: {text}", self.order_id);
        for (channel, _) in &self.head.channels {
            let mut sum = Counters::default();
            for n in 0..self.head.parcels(channel) {
                match self.parcel(channel, n, before + n) {
                    Ok(counters) => State::ALL.into_iter().for_each(|state| sum[state] += counters[state]),
                    Err(text) => faults.push(fault(format!("{channel} parcel {n}: {text}"))),
                }
            }
            before += self.head.parcels(channel);
            open += sum.open();
            if let Some(stored) = self.fields.get(&format!("c:{channel}")) {
                let stored = decode_counters(stored).expect("counters");
                sum.no_contact = stored.no_contact;
                if stored != sum {
                    faults.push(fault(format!("{channel} counts {stored:?}, has {sum:?}")));
                }
            } else if !self.head.inline {
                faults.push(fault(format!("no counters of {channel}")));
            }
        }
        if !self.head.inline && self.number("l") != Some(open) {
            faults.push(fault(format!("says {:?} open deliveries, has {open}", self.number("l"))));
        }
        let retired =
            self.all.names().filter(|name| name.starts_with("retire:")).map(|name| self.in_list(name));
        let retired: usize = retired.sum();
        if self.fields.contains_key("f") != (open == 0) || retired != usize::from(open == 0) {
            faults.push(fault(format!(
                "{open} open deliveries, {retired} times to be retired, {:?}",
                self.fields.get("f")
            )));
        }
        let due = self.due();
        if due.is_some_and(|at| at != self.head.due.0) || (due.is_some() && open == 0) {
            faults.push(fault(format!("in due at {due:?} with {open} open deliveries")));
        }
        for index in [self.keys.orders(), self.keys.sender(self.order_id.sender())] {
            if self.in_list(&index) != 1 {
                faults.push(fault(format!("{} times in {index}", self.in_list(&index))));
            }
        }
    }

    fn number(&self, field: &str) -> Option<u64> {
        std::str::from_utf8(self.fields.get(field)?).ok()?.parse().ok()
    }

    fn in_list(&self, key: &str) -> usize {
        let Some(Held::List(items)) = self.all.get(key) else { return 0 };
        items.iter().filter(|item| **item == self.order_id.as_str()).count()
    }

    fn due(&self) -> Option<u64> {
        self.all.sorted(&self.keys.due(self.head.priority)).get(self.order_id.as_str()).copied()
    }

    fn outcomes(&self, channel: &Channel, n: u32) -> Result<DeliveryRecords, String> {
        let record = if self.head.inline {
            self.fields.get("o")
        } else {
            match self.all.get(&self.keys.outcome(&self.order_id, channel, n)) {
                Some(Held::Text(record)) => Some(record),
                _ => None,
            }
        };
        let deliveries = self.head.parcel_deliveries(channel, n);
        DeliveryRecords::decode(record.map(Vec::as_slice), deliveries, self.head.due)
            .map_err(|e| e.to_string())
    }

    /// The counters of one parcel, the `number`th of the order, if everything about it is right.
    fn parcel(&self, channel: &Channel, n: u32, number: u32) -> Result<Counters, String> {
        let outcomes = self.outcomes(channel, n)?;
        let mut counters = outcomes.counters();
        let counted = [State::Pending, State::Sending, State::Unresolved].map(|state| counters[state]);
        let (pending, sending, unresolved) = outcomes.counts();
        if counted != [u32::from(pending), u32::from(sending), u32::from(unresolved)] {
            return Err(format!("counts {:?}, has {counted:?}", outcomes.counts()));
        }
        let key = self.keys.outcome(&self.order_id, channel, n);
        if !self.head.inline
            && self.all.get(&key).is_none()
            && self.fields.contains_key("f")
            && self.fields.contains_key("x")
        {
            // Cancelled before it was due: it never got a record.
            counters = Counters::default();
            counters[State::Cancelled] = self.head.parcel_deliveries(channel, n);
        }
        self.places(channel, n, number, &counters)?;
        Ok(counters)
    }

    fn places(&self, channel: &Channel, n: u32, number: u32, counters: &Counters) -> Result<(), String> {
        let parcel_id = format!("{}:{n}", self.order_id);
        let has = |key: &str| self.all.sorted(key).contains_key(&parcel_id);
        let ready = has(&self.keys.ready(channel, self.head.priority));
        let other = if self.head.priority == Priority::Urgent { Priority::Bulk } else { Priority::Urgent };
        let leased = has(&self.keys.leased(channel));
        let unresolved = has(&self.keys.unresolved(channel));
        let lease = self.all.hash(&self.keys.lease(channel)).contains_key(&parcel_id);
        let crashed = self.all.hash(&self.keys.crashes(channel)).contains_key(&parcel_id);
        let promoted = self.due().is_none() || self.number("g").is_some_and(|g| u64::from(number) < g);
        let (pending, sending) = (counters[State::Pending] > 0, counters[State::Sending] > 0);
        let rules = [
            (!has(&self.keys.ready(channel, other)), "of the other priority"),
            (leased == lease, "leased without a lease, or the other way round"),
            (!(ready && leased), "ready and leased"),
            (promoted || !(ready || leased || unresolved || crashed), "in an index before it was promoted"),
            (!(promoted && pending) || ready || leased, "pending deliveries that will never be claimed"),
            (!ready || pending, "ready without pending deliveries"),
            (!sending || leased, "sending without a lease"),
            (unresolved == (counters[State::Unresolved] > 0), "unresolved deliveries and index differ"),
            (!crashed || counters.open() > 0 || leased, "a crash mark without open deliveries"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, text)) => Err(format!("{text}: {counters:?}")),
            None => Ok(()),
        }
    }
}

/// Keys and entries that belong to no order.
fn strays(all: &Snapshot, known: &BTreeSet<String>, faults: &mut Vec<String>) {
    let staging =
        all.names().find(|name| name.starts_with("staging:")).map_or_else(BTreeMap::new, |n| all.sorted(n));
    for name in all.names() {
        let family = name.split(':').next().unwrap_or_default();
        let owners: Vec<String> = match (family, all.get(name)) {
            ("ready" | "leased" | "unresolved", Some(Held::Sorted(parcel_ids))) => {
                parcel_ids.keys().map(|m| m.rsplit_once(':').expect("a parcel").0.to_owned()).collect()
            }
            ("lease" | "crashes", Some(Held::Hash(parcel_ids))) => {
                parcel_ids.keys().map(|m| m.rsplit_once(':').expect("a parcel").0.to_owned()).collect()
            }
            ("due", Some(Held::Sorted(parcel_ids))) => parcel_ids.keys().cloned().collect(),
            ("outcome" | "delivery", _) => vec![order_id_in(name).to_string()],
            ("text" | "parcel" | "staged", _) => {
                let order_id = order_id_in(name).to_string();
                let there = if family == "staged" {
                    staging.contains_key(&order_id)
                } else {
                    known.contains(&order_id)
                };
                if !there && !staging.contains_key(&order_id) {
                    faults.push(format!("{name} belongs to no order"));
                }
                vec![]
            }
            _ => vec![],
        };
        for owner in owners.into_iter().filter(|owner| !known.contains(owner)) {
            faults.push(format!("{name} names {owner}, which does not exist"));
        }
        if all.until(name).is_some() && family != "delivery" && family != "bell" && family != "idem" {
            faults.push(format!("{name} expires"));
        }
    }
}
