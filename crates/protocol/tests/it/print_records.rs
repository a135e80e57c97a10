//! Prints packed records as words, so that a table of changes is readable.

use posthaste_model::{ProviderCode, Reason, State, UnixMs};
use posthaste_protocol::record::{DeliveryRecords, Head, SuppressionRecord, decode_counters};

use crate::snapshot::{Held, Snapshot};

/// Prints the value of one key.
pub(crate) struct Printer<'a> {
    family: &'a str,
    head: Option<Head>,
    parcel: Option<(String, u32)>,
    moments: &'a [u64],
}

impl<'a> Printer<'a> {
    /// For one key of a snapshot.
    pub(crate) fn of(all: &Snapshot, key: &'a str, moments: &'a [u64]) -> Self {
        let parts: Vec<&str> = key.split(':').collect();
        let family = parts[0];
        let head = match (family, parts.as_slice()) {
            ("history" | "outcome", [_, tag, sender, ns, ..]) => {
                match all.get(&format!("history:{tag}:{sender}:{ns}")) {
                    Some(Held::Hash(fields)) => fields.get("h").and_then(|h| Head::decode(h).ok()),
                    _ => None,
                }
            }
            _ => None,
        };
        let parcel = match parts.as_slice() {
            [_, _, _, _, channel, n] => n.parse().ok().map(|n| ((*channel).to_owned(), n)),
            _ => None,
        };
        Self { family, head, parcel, moments }
    }

    /// A string.
    pub(crate) fn text(&self, value: &[u8]) -> String {
        match (self.family, &self.parcel) {
            ("outcome", Some((channel, n))) => {
                let deliveries = self
                    .head
                    .as_ref()
                    .zip(channel.parse().ok())
                    .map(|(head, c)| head.parcel_deliveries(&c, *n));
                self.outcomes(value, deliveries.unwrap_or(0))
            }
            _ => plain(value),
        }
    }

    /// A field of a hash.
    pub(crate) fn field(&self, field: &str, value: &[u8]) -> String {
        if self.family == "suppressed" {
            return SuppressionRecord::decode(value).map_or_else(|_| plain(value), |record| entry(&record));
        }
        if self.family == "consent" {
            return consent(value);
        }
        if self.family != "history" {
            return plain(value);
        }
        match field {
            "h" => self.head.as_ref().map_or_else(|| plain(value), head),
            "o" => {
                let deliveries = self
                    .head
                    .as_ref()
                    .map_or(0, |h| h.channels.iter().map(|(_, deliveries)| *deliveries).sum());
                self.outcomes(value, deliveries)
            }
            _ if field.starts_with("c:") => counters(value),
            _ => plain(value),
        }
    }

    fn outcomes(&self, record: &[u8], deliveries: u32) -> String {
        let due = self.head.as_ref().map_or(UnixMs(0), |head| head.due);
        let Ok(outcomes) = DeliveryRecords::decode(Some(record), deliveries, due) else {
            return plain(record);
        };
        let (pending, sending, unresolved) = outcomes.counts();
        let mut out = format!("{pending}/{sending}/{unresolved}");
        let reported: Vec<String> =
            outcomes.deliveries().map(|delivery| self.delivery(&delivery, due)).collect();
        let mut at = 0;
        while at < reported.len() {
            let same = reported[at..].iter().take_while(|delivery| **delivery == reported[at]).count();
            out.push_str(&format!(" {}", reported[at]));
            if same > 1 {
                out.push_str(&format!("x{same}"));
            }
            at += same;
        }
        out
    }

    fn delivery(&self, delivery: &posthaste_protocol::record::DeliveryRecord, due: UnixMs) -> String {
        let mut out = format!("{:?}#{}", delivery.state, delivery.attempt).to_lowercase();
        if delivery.tries > 0 {
            out.push_str(&format!(",tries={}", delivery.tries));
        }
        if delivery.repeated {
            out.push_str(",repeated");
        }
        if delivery.reason != Reason::None {
            out.push_str(&format!(",{}", delivery.reason.word()));
        }
        let seconds = delivery.changed.0.saturating_sub(due.0) / 1000;
        let of_a_call = self.moments.iter().any(|moment| moment.saturating_sub(due.0) / 1000 == seconds);
        if !of_a_call && seconds > 0 {
            out.push_str(&format!(",s={seconds}"));
        }
        if delivery.code != ProviderCode::NONE {
            out.push_str(&format!(",code={}", delivery.code));
        }
        if let Some(token) = delivery.token {
            out.push_str(&format!(",token={token}"));
        } else if let Some(until) = delivery.not_before {
            out.push_str(&format!(",wait={}", until.0));
        }
        out
    }
}

fn head(head: &Head) -> String {
    let channels: Vec<String> =
        head.channels.iter().map(|(c, deliveries)| format!("{c}={deliveries}")).collect();
    format!(
        "{} {} {} accepted {} due {} until {} digest {} {}",
        if head.inline { "inline" } else { "parcels" },
        head.priority.as_str(),
        char::from(head.on_unknown.letter()),
        head.accepted.0,
        head.due.0,
        head.not_after.0,
        head.digest[0],
        channels.join(" ")
    )
}

fn entry(record: &SuppressionRecord) -> String {
    format!(
        "{} {} {} {} {} {} {}",
        format!("{:?}", record.status).to_lowercase(),
        record.reason.word(),
        record.source.word(),
        if record.of_sender { "sender" } else { "channel" },
        record.strikes,
        record.first.0,
        record.last.0
    )
}

/// Said, clock, moment, the entry beneath, number of notices received.
fn consent(record: &[u8]) -> String {
    if record.len() < 12 || record[0] != 1 || !(record.len() - 12).is_multiple_of(8) {
        return plain(record);
    }
    let moment = record[3..9].iter().fold(0, |n, b| n << 8 | u64::from(*b));
    let beneath = match record[11] {
        b'-' => "nothing".to_owned(),
        source => {
            let reason = Reason::from_code(u16::from_be_bytes([record[9], record[10]]));
            format!("{},{}", reason.word(), char::from(source))
        }
    };
    let (said, clock, received) = (char::from(record[1]), char::from(record[2]), (record.len() - 12) / 8);
    format!("{said} {clock} {moment} over {beneath} heard {received}")
}

fn counters(value: &[u8]) -> String {
    let Ok(counters) = decode_counters(value) else { return plain(value) };
    let mut reported: Vec<String> = State::ALL
        .into_iter()
        .filter(|state| counters[*state] > 0)
        .map(|state| format!("{}={}", format!("{state:?}").to_lowercase(), counters[state]))
        .collect();
    if counters.no_contact > 0 {
        reported.push(format!("no_contact={}", counters.no_contact));
    }
    reported.join(" ")
}

fn plain(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if text.len() <= 40 && !text.contains(|c: char| c.is_control()) => text.to_owned(),
        _ => format!("<{} bytes>", value.len()),
    }
}
