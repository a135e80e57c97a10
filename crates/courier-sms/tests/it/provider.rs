//! A fake provider on loopback: reads and records every request, then responds as the test wants. By default it
//! behaves like Twilio: accepts messages, lists them, and shows the account.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::sync::Mutex;

use posthaste_model::{Clock, SystemClock, UnixMs};
pub(crate) use posthaste_rig::http::HttpReply as Reply;
use posthaste_rig::http::HttpRequest;
use posthaste_rig::{FakeProvider, ProviderApi};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::form_urlencoded;

/// Our account.
pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

/// A recorded request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    pub(crate) verb: String,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Request {
    /// Name and value of each field of the form.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(self.body.as_bytes()).into_owned().collect()
    }

    /// The value of a field of the form; empty if missing.
    pub(crate) fn field(&self, name: &str) -> String {
        of(&self.form(), name)
    }

    pub(crate) fn requested(&self, name: &str) -> String {
        of(&self.query, name)
    }

    pub(crate) fn is_message(&self) -> bool {
        self.verb != "GET"
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = self
            .head
            .lines()
            .find(|line| line.split_once(':').is_some_and(|(known, _)| known.eq_ignore_ascii_case(name)));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim())
    }
}

fn of(pairs: &[(String, String)], name: &str) -> String {
    pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

/// Part of a response, then a reset.
pub(crate) fn half() -> Reply {
    Reply::Half("{\"sid\":\"SM01".to_owned())
}

pub(crate) fn refusal(status: u16, code: u32) -> Reply {
    Reply::json(
        status,
        &json!({"code": code, "message": "said", "more_info": "https://www.twilio.com/docs/errors", "status": status}),
    )
}

pub(crate) fn rate_limited(seconds: u64) -> Reply {
    let Reply::Say(status, headers, body) = refusal(429, 20429) else { panic!("it says") };
    Reply::Say(status, format!("{headers}retry-after: {seconds}\r\n"), body)
}

/// A message that Twilio accepted.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) sid: String,
    pub(crate) to: String,
    pub(crate) from: String,
    pub(crate) service: String,
    pub(crate) body: String,
    pub(crate) status: String,
    pub(crate) error_code: Option<u32>,
    pub(crate) created: UnixMs,
    /// Still queued: a search by sending time does not find it.
    pub(crate) waits: bool,
}

impl Message {
    /// The message of a request, as the `n`-th one.
    pub(crate) fn new(request: &Request, n: usize) -> Self {
        Self {
            sid: format!("SM{n:032x}"),
            to: request.field("To"),
            from: request.field("From"),
            service: request.field("MessagingServiceSid"),
            body: request.field("Body"),
            status: "queued".to_owned(),
            error_code: None,
            created: SystemClock.now(),
            waits: false,
        }
    }

    pub(crate) fn shown(&self) -> Value {
        let date = jiff::Timestamp::from_second((self.created.0 / 1000) as i64).unwrap();
        let date = date.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
        let or_null = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        json!({
            "sid": self.sid, "account_sid": ACCOUNT, "to": self.to, "from": or_null(&self.from),
            "messaging_service_sid": or_null(&self.service), "body": self.body, "status": self.status,
            "error_code": self.error_code, "error_message": null, "num_segments": "1", "num_media": "0",
            "direction": "outbound-api", "date_created": date, "price": null, "uri": "/x",
            "date_sent": if self.waits { Value::Null } else { json!(date) },
        })
    }
}

/// The fake provider.
pub(crate) type Provider = FakeProvider<Twilio>;

/// The messages at Twilio, and its normal responses.
#[derive(Default)]
pub(crate) struct Twilio(Mutex<Vec<Message>>);

impl Twilio {
    pub(crate) fn all(&self) -> Vec<Message> {
        self.0.lock().unwrap().clone()
    }

    /// Adds a message, changed before it is shown.
    pub(crate) fn add(&self, request: &Request, change: impl FnOnce(&mut Message)) -> Message {
        let mut messages = self.0.lock().unwrap();
        let mut message = Message::new(request, messages.len() + 1);
        change(&mut message);
        messages.push(message.clone());
        message
    }

    /// Changes all messages.
    pub(crate) fn change(&self, change: impl FnMut(&mut Message)) {
        self.0.lock().unwrap().iter_mut().for_each(change);
    }

    /// A page of at most `most` messages, the newest first.
    pub(crate) fn list(&self, request: &Request, most: usize) -> Reply {
        let since = request.requested("DateSent>");
        let since: Option<jiff::Timestamp> = (!since.is_empty()).then(|| since.parse().unwrap());
        let since = since.map(|since| since.as_millisecond() as u64);
        let from = request.requested("From");
        let fits = |message: &&Message| {
            message.to == request.requested("To")
                && (from.is_empty() || message.from == from)
                && since.is_none_or(|since| !message.waits && message.created.0 >= since)
        };
        let page: usize = request.requested("Page").parse().unwrap_or(0);
        let all = self.all();
        let found: Vec<Value> = all.iter().rev().filter(fits).map(Message::shown).collect();
        let rest = found.len() > (page + 1) * most;
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(request.query.iter().filter(|(name, _)| name != "Page"))
            .append_pair("Page", &(page + 1).to_string())
            .finish();
        let next = rest.then(|| format!("{}?{query}", request.path));
        let messages: Vec<Value> = found.into_iter().skip(page * most).take(most).collect();
        Reply::json(
            200,
            &json!({"messages": messages, "next_page_uri": next, "page": page, "page_size": most}),
        )
    }
}

impl ProviderApi for Twilio {
    type Request = Request;

    fn read(raw: &HttpRequest) -> Request {
        let (path, query) = raw.target.split_once('?').unwrap_or((&raw.target, ""));
        Request {
            at: raw.at,
            verb: raw.verb.clone(),
            path: path.to_owned(),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            head: raw.head.clone(),
            body: String::from_utf8_lossy(&raw.body).into_owned(),
        }
    }

    fn is_message(request: &Request) -> bool {
        request.is_message()
    }

    fn accept(&self, request: &Request) -> Reply {
        if request.is_message() {
            return Reply::json(201, &self.add(request, |_| {}).shown());
        }
        if let Some((_, reply)) = request.path.split_once("/Messages/") {
            // A reply of a recipient, made at the second of its number.
            let seconds = i64::from_str_radix(reply.trim_start_matches("SM").trim_end_matches(".json"), 16);
            let made =
                jiff::Timestamp::from_second(seconds.unwrap()).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
            let made = jiff::fmt::rfc2822::to_string(&made).unwrap();
            return Reply::json(200, &json!({"sid": "SM", "direction": "inbound", "date_created": made}));
        }
        if request.path.ends_with("/Messages.json") {
            return self.list(request, 50);
        }
        Reply::json(
            200,
            &json!({"sid": ACCOUNT, "status": "active", "friendly_name": "Office", "type": "Full"}),
        )
    }
}
