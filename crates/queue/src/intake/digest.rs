//! The digest of an order as given: it identifies a repeat of the same order, and detects a different one under the
//! same id or key.
//!
//! It covers the parsed content, not its spelling: white space and the order of fields do not matter, and a list of
//! recipients has the same digest in JSON and in NDJSON.

use sha2::{Digest as _, Sha256};

use super::address::Given;
use super::order::{AddressMode, OnInvalid, OnUnknownWord, OrderBody, RecipientBody};

/// An incremental digest. Each part is preceded by its length, so that no two orders feed the same bytes.
#[derive(Clone)]
pub(crate) struct Digest(Sha256);

impl Digest {
    /// Digest of the order without its recipients.
    pub(crate) fn of(order: &OrderBody<'_>) -> Self {
        let mut digest = Self(Sha256::new());
        let sender = order.sender.clone().unwrap_or_default();
        let singles = [
            &sender.id,
            &sender.name,
            &sender.role,
            &sender.email,
            &order.text,
            &order.subject,
            &order.html,
            &order.deliver_at,
            &order.expires_at,
            &order.source,
        ];
        for single in singles {
            digest.maybe(single.as_deref());
        }
        // Sorted by name; unreadable metadata is refused anyway.
        let metadata = order.metadata.map(|raw| serde_json::from_str::<serde_json::Value>(raw.get()));
        let metadata = metadata.map(|read| read.map(|read| read.to_string()).unwrap_or_default());
        digest.maybe(metadata.as_deref());
        let words = [
            order.priority.map(|priority| priority.as_str()),
            order.on_unknown.map(|policy| if policy == OnUnknownWord::Retry { "r" } else { "h" }),
            order.address_mode.map(|used| if used == AddressMode::All { "all" } else { "first" }),
            order.on_invalid.map(|invalid| if invalid == OnInvalid::Skip { "skip" } else { "reject" }),
        ];
        for word in words {
            digest.maybe(word);
        }
        for channel in order.channels.iter().flatten() {
            digest.maybe(Some(channel));
        }
        digest.maybe(None);
        for (channel, changed) in order.overrides.iter().flat_map(|overrides| &overrides.0) {
            digest.maybe(Some(channel));
            digest.maybe(changed.text.as_deref());
        }
        digest.maybe(None);
        digest
    }

    /// Adds a recipient.
    pub(crate) fn recipient(&mut self, recipient: &RecipientBody<'_>) {
        self.maybe(recipient.id.as_deref());
        self.maybe(recipient.name.as_deref());
        for (channel, addresses) in recipient.contacts.iter().flat_map(|contacts| &contacts.0) {
            self.maybe(Some(channel));
            for address in &addresses.0 {
                match address {
                    Given::Text(text) => self.maybe(Some(text)),
                    Given::Number(number) => self.maybe(Some(&number.to_string())),
                }
            }
            self.maybe(None);
        }
        self.maybe(None);
    }

    /// Adds a recipient that could not be parsed.
    pub(crate) fn unread(&mut self, raw: &str) {
        self.0.update([2]);
        self.maybe(Some(raw));
    }

    fn maybe(&mut self, part: Option<&str>) {
        match part {
            Some(part) => {
                self.0.update([1]);
                self.0.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
                self.0.update(part);
            }
            None => self.0.update([0]),
        }
    }

    /// The digest as stored.
    pub(crate) fn finish(self) -> [u8; 12] {
        short(&self.0.finalize())
    }
}

/// The digest of a small request.
pub(crate) fn of_bytes(parts: &[&[u8]]) -> [u8; 12] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    short(&hash.finalize())
}

fn short(long: &[u8]) -> [u8; 12] {
    let mut short = [0; 12];
    short.copy_from_slice(&long[..12]);
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::json;

    fn digest(order: &str, recipients: &[&str]) -> [u8; 12] {
        let order: OrderBody<'_> = json::object(order.as_bytes()).unwrap_or_default();
        let mut digest = Digest::of(&order);
        for raw in recipients {
            match json::object::<RecipientBody<'_>>(raw.as_bytes()) {
                Ok(recipient) => digest.recipient(&recipient),
                Err(_) => digest.unread(raw),
            }
        }
        digest.finish()
    }

    #[test]
    fn spelling_does_not_matter() {
        let one = digest(
            "{\"text\":\"a\",\"priority\":\"bulk\",\"metadata\":{\"a\":1,\"b\":2}}",
            &["{\"id\":\"1\",\"name\":\"b\"}"],
        );
        let two = digest(
            "{ \"metadata\": {\"b\":2, \"a\":1}, \"priority\":\"bulk\", \"text\":\"\\u0061\" }",
            &["{ \"name\":\"b\",\"id\":\"1\" }"],
        );
        assert_eq!(one, two);
    }

    #[test]
    fn every_part_of_the_content_matters() {
        let recipient = "{\"id\":\"1\",\"contacts\":{\"sms\":[\"a\",\"b\"]}}";
        let all = [
            digest("{\"text\":\"a\"}", &[]),
            digest("{\"subject\":\"a\"}", &[]),
            digest("{\"text\":\"b\"}", &[]),
            digest("{\"text\":\"a\",\"channels\":[\"sms\"]}", &[]),
            digest("{\"text\":\"a\",\"overrides\":{\"sms\":{\"text\":\"b\"}}}", &[]),
            digest("{\"text\":\"a\",\"priority\":\"urgent\"}", &[]),
            digest("{\"text\":\"a\",\"on_unknown\":\"hold\"}", &[]),
            digest("{\"text\":\"a\",\"on_invalid\":\"skip\"}", &[]),
            digest("{\"text\":\"a\",\"address_mode\":\"all\"}", &[]),
            digest("{\"text\":\"a\",\"metadata\":{}}", &[]),
            digest("{\"text\":\"a\",\"sender\":{\"id\":\"a\"}}", &[]),
            digest("{\"text\":\"a\"}", &[recipient]),
            digest("{\"text\":\"a\"}", &[recipient, recipient]),
            digest("{\"text\":\"a\"}", &["{\"id\":\"1\",\"contacts\":{\"sms\":[\"ab\"]}}"]),
            digest("{\"text\":\"a\"}", &["{\"id\":\"1\",\"contacts\":{\"sms\":[\"a\"],\"vk\":[\"b\"]}}"]),
            digest("{\"text\":\"a\"}", &["{\"id\":5}"]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|other| other != one), "{at}");
        }
    }
}
