//! What holds in every database at every moment: sums are right, and each parcel is in exactly the indexes its record asks
//! for.

use std::collections::{BTreeMap, BTreeSet};

use posthaste_model::{Channel, Counters, Lane, State, Suffix};
use posthaste_protocol::Keys;
use posthaste_protocol::record::{Head, Outcomes, decode_counters};

use crate::db::Db;
use crate::snapshot::{Held, Snapshot};

/// One readable order.
struct Seen<'a> {
    all: &'a Snapshot,
    keys: &'a Keys,
    suffix: Suffix,
    head: Head,
    fields: BTreeMap<String, Vec<u8>>,
}

impl Db {
    /// Fails with all that is wrong in the database.
    #[track_caller]
    pub(crate) fn sound(&self) {
        let faults = self.faults();
        assert!(faults.is_empty(), "{faults:#?}\n{:#?}", self.snapshot().since(&Snapshot::default(), &[]));
    }

    /// All that is wrong in the database.
    pub(crate) fn faults(&self) -> Vec<String> {
        let all = self.snapshot();
        let mut faults = Vec::new();
        let mut known = BTreeSet::new();
        for name in all.names().filter(|name| name.starts_with("history:")) {
            let (suffix, fields) = (suffix_in(name), all.hash(name));
            let Some(head) = fields.get("h").and_then(|h| Head::decode(h).ok()) else { continue };
            known.insert(suffix.to_string());
            Seen { all: &all, keys: &self.keys, suffix, head, fields }.check(&mut faults);
        }
        strays(&all, &known, &mut faults);
        faults
    }
}

fn suffix_in(name: &str) -> Suffix {
    let parts: Vec<&str> = name.split(':').collect();
    format!("{}:{}", parts[2], parts[3]).parse().expect("a suffix")
}

impl Seen<'_> {
    fn check(&self, faults: &mut Vec<String>) {
        let mut open = 0;
        let mut before = 0;
        let fault = |text: String| format!("{}: {text}", self.suffix);
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
            faults.push(fault(format!("says {:?} open rows, has {open}", self.number("l"))));
        }
        let retired =
            self.all.names().filter(|name| name.starts_with("retire:")).map(|name| self.in_list(name));
        let retired: usize = retired.sum();
        if self.fields.contains_key("f") != (open == 0) || retired != usize::from(open == 0) {
            faults.push(fault(format!(
                "{open} open rows, {retired} times to be retired, {:?}",
                self.fields.get("f")
            )));
        }
        let due = self.due();
        if due.is_some_and(|at| at != self.head.due.0) || (due.is_some() && open == 0) {
            faults.push(fault(format!("in due at {due:?} with {open} open rows")));
        }
        for index in [self.keys.orders(), self.keys.sender(self.suffix.sender())] {
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
        items.iter().filter(|item| **item == self.suffix.as_str()).count()
    }

    fn due(&self) -> Option<u64> {
        self.all.sorted(&self.keys.due(self.head.lane)).get(self.suffix.as_str()).copied()
    }

    fn outcomes(&self, channel: &Channel, n: u32) -> Result<Outcomes, String> {
        let record = if self.head.inline {
            self.fields.get("o")
        } else {
            match self.all.get(&self.keys.outcome(&self.suffix, channel, n)) {
                Some(Held::Text(record)) => Some(record),
                _ => None,
            }
        };
        let rows = self.head.parcel_rows(channel, n);
        Outcomes::decode(record.map(Vec::as_slice), rows, self.head.due).map_err(|e| e.to_string())
    }

    /// The counters of one parcel, the `number`th of the order, if all about it is right.
    fn parcel(&self, channel: &Channel, n: u32, number: u32) -> Result<Counters, String> {
        let outcomes = self.outcomes(channel, n)?;
        let mut counters = outcomes.counters();
        let counted = [State::Pending, State::Sending, State::Unresolved].map(|state| counters[state]);
        let (pending, sending, unresolved) = outcomes.counts();
        if counted != [u32::from(pending), u32::from(sending), u32::from(unresolved)] {
            return Err(format!("counts {:?}, has {counted:?}", outcomes.counts()));
        }
        let key = self.keys.outcome(&self.suffix, channel, n);
        if !self.head.inline
            && self.all.get(&key).is_none()
            && self.fields.contains_key("f")
            && self.fields.contains_key("x")
        {
            // Cancelled before it was due: no record was ever made.
            counters = Counters::default();
            counters[State::Cancelled] = self.head.parcel_rows(channel, n);
        }
        self.places(channel, n, number, &counters)?;
        Ok(counters)
    }

    fn places(&self, channel: &Channel, n: u32, number: u32, counters: &Counters) -> Result<(), String> {
        let member = format!("{}:{n}", self.suffix);
        let has = |key: &str| self.all.sorted(key).contains_key(&member);
        let ready = has(&self.keys.ready(channel, self.head.lane));
        let other = if self.head.lane == Lane::Urgent { Lane::Bulk } else { Lane::Urgent };
        let leased = has(&self.keys.leased(channel));
        let unresolved = has(&self.keys.unresolved(channel));
        let lease = self.all.hash(&self.keys.lease(channel)).contains_key(&member);
        let crashed = self.all.hash(&self.keys.crashes(channel)).contains_key(&member);
        let rung = self.due().is_none() || self.number("g").is_some_and(|g| u64::from(number) < g);
        let (pending, sending) = (counters[State::Pending] > 0, counters[State::Sending] > 0);
        let rules = [
            (!has(&self.keys.ready(channel, other)), "in the other lane"),
            (leased == lease, "leased without a lease, or the other way round"),
            (!(ready && leased), "ready and leased"),
            (rung || !(ready || leased || unresolved || crashed), "in an index before it was rung"),
            (!(rung && pending) || ready || leased, "pending rows nobody will come for"),
            (!ready || pending, "ready without pending rows"),
            (!sending || leased, "sending without a lease"),
            (unresolved == (counters[State::Unresolved] > 0), "unresolved rows and index differ"),
            (!crashed || counters.open() > 0 || leased, "a crash mark without open rows"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, text)) => Err(format!("{text}: {counters:?}")),
            None => Ok(()),
        }
    }
}

/// What belongs to no order.
fn strays(all: &Snapshot, known: &BTreeSet<String>, faults: &mut Vec<String>) {
    let staging =
        all.names().find(|name| name.starts_with("staging:")).map_or_else(BTreeMap::new, |n| all.sorted(n));
    for name in all.names() {
        let family = name.split(':').next().unwrap_or_default();
        let owners: Vec<String> = match (family, all.get(name)) {
            ("ready" | "leased" | "unresolved", Some(Held::Sorted(members))) => {
                members.keys().map(|m| m.rsplit_once(':').expect("a parcel").0.to_owned()).collect()
            }
            ("lease" | "crashes", Some(Held::Hash(members))) => {
                members.keys().map(|m| m.rsplit_once(':').expect("a parcel").0.to_owned()).collect()
            }
            ("due", Some(Held::Sorted(members))) => members.keys().cloned().collect(),
            ("outcome" | "delivery", _) => vec![suffix_in(name).to_string()],
            ("text" | "parcel" | "staged", _) => {
                let suffix = suffix_in(name).to_string();
                let there =
                    if family == "staged" { staging.contains_key(&suffix) } else { known.contains(&suffix) };
                if !there && !staging.contains_key(&suffix) {
                    faults.push(format!("{name} belongs to nobody"));
                }
                vec![]
            }
            _ => vec![],
        };
        for owner in owners.into_iter().filter(|owner| !known.contains(owner)) {
            faults.push(format!("{name} names {owner}, which is not there"));
        }
        if all.until(name).is_some() && family != "delivery" && family != "bell" && family != "idem" {
            faults.push(format!("{name} expires"));
        }
    }
}
