//! Transports on the stand-in, and the benches of the conformance suite.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use posthaste_courier::conformance::{Behaviour, Bench, Shown, Taken, TextCase, TextFate, Toward};
use posthaste_courier::process::{self, Section};
use posthaste_courier::{Envelope, Outcome, Transport};
use posthaste_courier_sms::settings::{self, Settings};
use posthaste_courier_sms::{Sms, Unusable};
use posthaste_model::{Address, Channel, Clock, Content, Row, Suffix, SystemClock, Text};
use posthaste_ops::config::Sources;
use serde::Deserialize;
use tokio::time::Instant;

use super::provider::{ACCOUNT, Provider, Reply, Request};

/// The token of these tests; no log may show it.
pub(crate) const CANARY: &str = "CANARYcanaryCANARYcanaryCANARY42";
/// From whom.
pub(crate) const FROM: &str = "+12025550199";

#[derive(Deserialize)]
struct Courier {
    courier: Section,
}

/// A transport with these settings in place of the defaults, given by dotted keys as the environment has them; of two with one
/// key the later counts.
pub(crate) fn try_transport(file: Option<&str>, changes: &[(&str, &str)]) -> Result<Sms, Unusable> {
    let changes: std::collections::BTreeMap<&str, &str> = changes.iter().copied().collect();
    let sources = || {
        let name = |key: &str| format!("POSTHASTE_{}", key.replace('.', "__").to_ascii_uppercase());
        let sources = Sources::new(process::DEFAULTS)
            .defaults(settings::DEFAULTS)
            .secrets(settings::SECRETS)
            .environment(changes.iter().map(|(key, value)| (name(key).into(), (*value).into())));
        match file {
            Some(file) => sources.file(file),
            None => sources,
        }
    };
    let settings: Settings = sources().load().unwrap().settings;
    let courier = sources().load::<Courier>().unwrap().settings.courier;
    Sms::new(&settings, &courier, channel())
}

/// What Twilio needs.
pub(crate) fn for_twilio(url: &str) -> Vec<(&str, &str)> {
    vec![
        ("twilio.api_url", url),
        ("twilio.account_sid", ACCOUNT),
        ("twilio.auth_token", CANARY),
        ("twilio.from", FROM),
    ]
}

/// A transport to the stand-in as Twilio.
pub(crate) fn transport(provider: &Provider, changes: &[(&str, &str)]) -> Sms {
    let url = provider.url();
    try_transport(None, &[&for_twilio(&url), changes].concat()).unwrap()
}

/// A credential as a request has it.
pub(crate) fn basic(user: &str, password: &str) -> String {
    let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {both}")
}

pub(crate) fn channel() -> Channel {
    "sms".parse().unwrap()
}

/// A message to this number, on its first attempt, of an order of its own.
pub(crate) fn envelope(number: &str, text: &str) -> Envelope {
    static ORDERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let order = ORDERS.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    Envelope {
        suffix: Suffix::new(&"u1".parse().unwrap(), SystemClock.now_ns() + order),
        parcel: 0,
        row: 0,
        attempt: 1,
        to: Row { index: 0, recipient: "r0".to_owned(), name: String::new(), address: Address::new(number) },
        content: Arc::new(Content { text: Text::new(text), ..Content::default() }),
        due: SystemClock.now(),
        token: None,
        tries: 0,
        repeat: false,
    }
}

/// Sends one message and gives its outcome.
pub(crate) async fn send(transport: &Sms, envelope: &Envelope) -> Outcome {
    let deadline = Instant::now() + posthaste_rig::patience();
    transport.send(std::slice::from_ref(envelope), deadline).await.pop().unwrap()
}

/// Which provider a bench has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Twilio,
    /// The example of an SMSC-like gateway.
    Smsc,
}

/// The bench of the suite.
pub(crate) struct SmsBench {
    kind: Kind,
    provider: Arc<Provider>,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl SmsBench {
    pub(crate) async fn start(kind: Kind) -> Self {
        let bench = Self { kind, provider: Provider::start().await, taken: Arc::default() };
        bench.behave(Behaviour::Accept, Toward::Everyone).await;
        bench
    }

    /// A transport of so many segments a second; 0 is no limit.
    fn at_rate(&self, rate: &str) -> Arc<dyn Transport> {
        let quick =
            [("sms.connect_within", "2s"), ("twilio.ask_after", "0s"), ("sms.segments_per_second", rate)];
        Arc::new(match self.kind {
            Kind::Twilio => transport(&self.provider, &quick),
            Kind::Smsc => {
                let smsc = for_smsc(&self.provider.url());
                let smsc = smsc.iter().map(|(key, value)| (key.as_str(), value.as_str()));
                let changes: Vec<_> = smsc.chain([("sms.segments_per_second", rate)]).collect();
                try_transport(Some(&format!("{}/smsc.toml", examples())), &changes).unwrap()
            }
        })
    }
}

/// Settings of the example, with the stand-in in place of its provider.
pub(crate) fn for_smsc(url: &str) -> [(String, String); 4] {
    let answers = format!("{}/smsc-answers.toml", examples());
    [
        ("gateway.url".to_owned(), format!("{url}/sys/send.php")),
        ("gateway.check_url".to_owned(), format!("{url}/sys/balance.php?login=office&psw={{secret}}&fmt=3")),
        ("gateway.secret".to_owned(), CANARY.to_owned()),
        ("sms.answers_file".to_owned(), answers),
    ]
}

/// The folder of examples.
pub(crate) fn examples() -> String {
    format!("{}/examples", env!("CARGO_MANIFEST_DIR"))
}

impl Kind {
    fn to(self, request: &Request) -> Address {
        Address::new(match self {
            Self::Twilio => request.field("To"),
            Self::Smsc => format!("+{}", request.field("phones")),
        })
    }

    fn text(self, request: &Request) -> Text {
        Text::new(request.field(if self == Self::Twilio { "Body" } else { "mes" }))
    }

    fn refusal(self, behaviour: Behaviour) -> Reply {
        let smsc = |code: u32| Reply::json(200, &serde_json::json!({"error": "said", "error_code": code}));
        match (behaviour, self) {
            (Behaviour::Refuse, Self::Twilio) => Reply::refusal(400, 21408),
            (Behaviour::Refuse, Self::Smsc) => smsc(6),
            (Behaviour::RefuseForNow, Self::Twilio) => Reply::refusal(400, 30008),
            (Behaviour::SuppressAddress, Self::Twilio) => Reply::refusal(400, 21610),
            (Behaviour::SuppressAddress, Self::Smsc) => smsc(7),
            (Behaviour::BadCredential, Self::Twilio) => Reply::refusal(401, 20003),
            (Behaviour::BadCredential, Self::Smsc) => smsc(2),
            (Behaviour::Throttle(wait), _) => Reply::wait(wait.as_secs()),
            (Behaviour::RefuseForNow, Self::Smsc) => {
                Reply::Say(302, "location: /x\r\n".to_owned(), String::new())
            }
            (Behaviour::Hang, _) => Reply::Hang,
            (Behaviour::ResetAfterRequest, _) => Reply::Reset,
            _ => Reply::Say(200, String::new(), "<html>log in</html>".to_owned()),
        }
    }
}

#[async_trait]
impl Bench for SmsBench {
    async fn transport(&self) -> Arc<dyn Transport> {
        self.at_rate("0")
    }

    async fn paced_transport(&self) -> Arc<dyn Transport> {
        self.at_rate("40")
    }

    async fn behave(&self, behaviour: Behaviour, toward: Toward<'_>) -> Shown {
        if behaviour == Behaviour::Unreachable {
            self.provider.close().await;
            return Shown::Yes;
        }
        self.provider.open().await;
        let only: Option<BTreeSet<String>> = match toward {
            Toward::Everyone => None,
            Toward::Only(rows) => Some(rows.iter().map(|row| row.address.expose().to_owned()).collect()),
        };
        let (taken, kind, twilio) = (Arc::clone(&self.taken), self.kind, self.provider.twilio());
        self.provider.answer(move |request| {
            if !request.is_message() {
                return match (behaviour, kind) {
                    (Behaviour::BadCredential, _) => kind.refusal(behaviour),
                    (_, Kind::Twilio) => twilio.accept(request),
                    _ => Reply::json(200, &serde_json::json!({"balance": "100.01"})),
                };
            }
            let to = kind.to(request);
            let behaviour = match &only {
                Some(only) if !only.contains(to.expose()) => Behaviour::Accept,
                _ => behaviour,
            };
            if !matches!(behaviour, Behaviour::Accept | Behaviour::AcceptThenLoseAnswer) {
                return kind.refusal(behaviour);
            }
            taken.lock().unwrap().push(Taken { text: Some(kind.text(request)), ..Taken::new(to) });
            let answer = match kind {
                Kind::Twilio => twilio.accept(request),
                Kind::Smsc => Reply::json(200, &serde_json::json!({"id": 1, "cnt": 1})),
            };
            if behaviour == Behaviour::Accept { answer } else { Reply::Half }
        });
        Shown::Yes
    }

    async fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    async fn arrivals(&self) -> Vec<Instant> {
        self.provider.messages().iter().map(|request| request.at).collect()
    }

    fn row(&self, n: u32) -> Row {
        let address = Address::new(format!("+7916{:07}", n + 1));
        Row { index: n, recipient: format!("r{n}"), name: String::new(), address }
    }

    fn texts(&self) -> Vec<TextCase> {
        let of = |text: String| Content { text: Text::new(text), ..Content::default() };
        let case = |what, text, fate| TextCase { what, content: of(text), fate };
        vec![
            case("as long as a text may be", "😀".repeat(1600), TextFate::Taken),
            case("a letter too long", "x".repeat(1601), TextFate::Rejected),
            case("nothing", String::new(), TextFate::Rejected),
            case("nothing to be seen", " \n\t ".repeat(99), TextFate::Rejected),
        ]
    }

    fn hang_for(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn patience(&self) -> Duration {
        posthaste_rig::patience()
    }
}
