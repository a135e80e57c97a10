//! The digest of an order as given: it identifies a repeat of the same order, and detects a different one under the
//! same id or key.
//!
//! It covers the parsed content, not its spelling: white space and the order of fields do not matter, and a list of
//! recipients has the same digest in JSON and in NDJSON.

use posthaste_model::Priority;
use sha2::{Digest as _, Sha256};

use super::address::Given;
use super::order::{
    AddressMode, Few, Named, OnInvalid, OnUnknownWord, OrderBody, OverrideBody, RecipientBody, SenderBody,
};

/// The sender of an order that names none.
const NO_SENDER: SenderBody =
    SenderBody { id: None, name: None, role: None, from_email: None, reply_to: None };

/// An incremental digest. Each part is preceded by its length, so that no two orders feed the same bytes.
#[derive(Clone)]
pub(crate) struct Digest(Sha256);

impl Digest {
    /// Digest of the order without its recipients.
    ///
    /// Every body is taken apart without `..`: a new field does not compile until it is part of the digest. The order
    /// of the parts never changes, because stored orders and idempotency keys hold the digest.
    pub(crate) fn of(order: &OrderBody<'_>) -> Self {
        let OrderBody {
            // Not content: the id under which the digest is stored.
            id: _,
            sender,
            // One by one, with `recipient` and `unread`.
            recipients: _,
            text,
            subject,
            html,
            overrides,
            channels,
            deliver_at,
            expires_at,
            priority,
            on_unknown,
            address_mode,
            on_invalid,
            source,
            metadata,
        } = order;
        let SenderBody { id, name, role, from_email, reply_to } = sender.as_ref().unwrap_or(&NO_SENDER);
        let mut digest = Self(Sha256::new());
        for single in [id, name, role, from_email, text, subject, html, deliver_at, expires_at, source] {
            digest.maybe(single.as_deref());
        }
        // Sorted by name; unreadable metadata is refused anyway.
        let metadata = metadata.map(|raw| serde_json::from_str::<serde_json::Value>(raw.get()));
        let metadata = metadata.map(|read| read.map(|read| read.to_string()).unwrap_or_default());
        digest.maybe(metadata.as_deref());
        digest.maybe(priority.map(Priority::as_str));
        digest.maybe(on_unknown.map(|policy| match policy {
            OnUnknownWord::Retry => "r",
            OnUnknownWord::Hold => "h",
        }));
        digest.maybe(address_mode.map(|used| match used {
            AddressMode::First => "first",
            AddressMode::All => "all",
        }));
        digest.maybe(on_invalid.map(|invalid| match invalid {
            OnInvalid::Reject => "reject",
            OnInvalid::Skip => "skip",
        }));
        for channel in channels.iter().flatten() {
            digest.maybe(Some(channel));
        }
        digest.maybe(None);
        for (channel, OverrideBody { text }) in overrides.iter().flat_map(|Named(overrides)| overrides) {
            digest.maybe(Some(channel));
            digest.maybe(text.as_deref());
        }
        digest.maybe(None);
        // Newer than the others: an order without it keeps its digest. Recipients begin with 0, 1 or 2.
        if reply_to.is_some() {
            digest.0.update([3]);
            digest.maybe(reply_to.as_deref());
        }
        digest
    }

    /// Adds a recipient.
    pub(crate) fn recipient(&mut self, recipient: &RecipientBody<'_>) {
        let RecipientBody { id, name, contacts } = recipient;
        self.maybe(id.as_deref());
        self.maybe(name.as_deref());
        for (channel, Few(addresses)) in contacts.iter().flat_map(|Named(contacts)| contacts) {
            self.maybe(Some(channel));
            for address in addresses {
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

    /// An order with every field set.
    const FIELDS: &[(&str, &str)] = &[
        (
            "sender",
            r#"{"id":"u1","name":"Ann","role":"staff","from_email":"ann@example.org","reply_to":"bo@example.org"}"#,
        ),
        ("text", "\"a\""),
        ("subject", "\"b\""),
        ("html", "\"c\""),
        ("overrides", r#"{"sms":{"text":"d"}}"#),
        ("channels", r#"["email"]"#),
        ("deliver_at", "\"2030-01-01T00:00:00Z\""),
        ("expires_at", "\"2030-01-02T00:00:00Z\""),
        ("priority", "\"urgent\""),
        ("on_unknown", "\"hold\""),
        ("address_mode", "\"all\""),
        ("on_invalid", "\"skip\""),
        ("source", "\"e\""),
        ("metadata", r#"{"f":1}"#),
    ];
    const SENDER: &[(&str, &str)] = &[
        ("id", "\"u1\""),
        ("name", "\"Ann\""),
        ("role", "\"staff\""),
        ("from_email", "\"ann@example.org\""),
        ("reply_to", "\"bo@example.org\""),
    ];
    const RECIPIENT: &[(&str, &str)] =
        &[("id", "\"1\""), ("name", "\"Bo\""), ("contacts", r#"{"sms":["+1"]}"#)];

    fn json(fields: &[(&str, &str)]) -> String {
        let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    }

    /// The object, then copies of it: without each field, and with each of these other values of a field.
    fn changed(fields: &[(&str, &str)], others: &[(&str, &str)]) -> Vec<String> {
        for (name, _) in fields {
            assert!(others.iter().any(|(other, _)| other == name), "{name} is not changed");
        }
        let without = fields.iter().map(|(left_out, _)| {
            let rest = fields.iter().copied().filter(|(name, _)| name != left_out);
            json(&rest.collect::<Vec<_>>())
        });
        let with = others.iter().map(|(changed, other)| {
            let same =
                fields.iter().map(|(name, value)| (*name, if name == changed { *other } else { *value }));
            json(&same.collect::<Vec<_>>())
        });
        std::iter::once(json(fields)).chain(without).chain(with).collect()
    }

    #[test]
    fn every_change_of_a_field_is_another_order() {
        let senders = [
            ("id", "\"u2\""),
            ("name", "\"\""),
            ("role", "\"x\""),
            ("from_email", "\"x@example.org\""),
            ("from_email", "\"bo@example.org\""),
            ("reply_to", "\"x@example.org\""),
            ("reply_to", "\"ann@example.org\""),
        ];
        let mut others: Vec<(&str, String)> =
            changed(SENDER, &senders)[1..].iter().map(|sender| ("sender", sender.clone())).collect();
        let values = [
            ("text", "\"x\""),
            ("subject", "\"x\""),
            ("html", "\"x\""),
            ("overrides", r#"{"sms":{"text":"x"}}"#),
            ("overrides", r#"{"vk":{"text":"d"}}"#),
            ("overrides", r#"{"sms":{"text":"d"},"vk":{"text":"d"}}"#),
            ("channels", r#"["sms"]"#),
            ("channels", r#"["email","sms"]"#),
            ("deliver_at", "\"2030-01-01T00:00:01Z\""),
            ("expires_at", "\"2030-01-02T00:00:01Z\""),
            ("priority", "\"bulk\""),
            ("on_unknown", "\"retry\""),
            ("address_mode", "\"first\""),
            ("on_invalid", "\"reject\""),
            ("source", "\"x\""),
            ("metadata", r#"{"f":2}"#),
        ];
        others.extend(values.map(|(name, value)| (name, value.to_owned())));
        let others: Vec<_> = others.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let recipient = json(RECIPIENT);
        let mut digests: Vec<_> =
            changed(FIELDS, &others).iter().map(|order| digest(order, &[&recipient])).collect();

        let others = [
            ("id", "\"2\""),
            ("name", "\"x\""),
            ("contacts", r#"{"sms":["+2"]}"#),
            ("contacts", r#"{"vk":["+1"]}"#),
            ("contacts", r#"{"sms":["+1","+2"]}"#),
            ("contacts", r#"{"sms":["+1"],"vk":[7]}"#),
        ];
        let order = json(FIELDS);
        digests.extend(changed(RECIPIENT, &others)[1..].iter().map(|other| digest(&order, &[other])));
        assert_eq!(digests.len(), 1 + 14 + 12 + 16 + 3 + 6);
        for (at, one) in digests.iter().enumerate() {
            assert!(digests[..at].iter().all(|other| other != one), "{at}");
        }
    }

    /// Stored orders and idempotency keys hold digests of earlier versions.
    #[test]
    fn the_digest_of_an_order_stays_the_same() {
        let sender = json(&SENDER[..4]);
        let fields: Vec<_> =
            std::iter::once(("sender", &*sender)).chain(FIELDS[1..].iter().copied()).collect();
        let without_reply_to = digest(&json(&fields), &[&json(RECIPIENT), "{\"id\":5}"]);
        assert_eq!(without_reply_to, [26, 181, 151, 200, 29, 83, 152, 118, 189, 5, 225, 109]);
        assert_eq!(digest("{}", &[]), [10, 136, 17, 24, 82, 9, 92, 174, 4, 83, 64, 234]);
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
