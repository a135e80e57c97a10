//! Transports to the fake provider, and the benches of the conformance suite.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
pub(crate) use posthaste_courier::conformance::sample::envelope;
use posthaste_courier::conformance::{
    Behaviour, Bench, Shown, TakenMessage, TextCase, TextFate, Toward, sample,
};
use posthaste_courier::{Envelope, Outcome, Transport};
use posthaste_courier_sms::{Args, SmsTransport};
use posthaste_model::{Address, Delivery, Text};
use posthaste_rig::ProviderApi;
use tokio::time::Instant;

use super::provider::{ACCOUNT, Provider, Reply, Request, half, rate_limited, refusal};

/// The token in these tests; no log may show it.
pub(crate) const CANARY: &str = "CANARYcanaryCANARYcanaryCANARY42";
/// The sender.
pub(crate) const FROM: &str = "+12025550199";

/// A transport with these settings instead of the defaults, given by dotted keys as in the environment.
pub(crate) fn try_transport(
    file: Option<&str>,
    changes: &[(&str, &str)],
) -> Result<SmsTransport, Box<dyn Error + Send + Sync>> {
    sample::transport::<Args>(file.map(Path::new), changes)
}

/// The settings that Twilio needs.
pub(crate) fn for_twilio(url: &str) -> Vec<(&str, &str)> {
    vec![
        ("twilio.api_url", url),
        ("twilio.account_sid", ACCOUNT),
        ("twilio.auth_token", CANARY),
        ("twilio.from", FROM),
    ]
}

/// A transport to the fake provider as Twilio.
pub(crate) fn transport(provider: &Provider, changes: &[(&str, &str)]) -> SmsTransport {
    let url = provider.url();
    try_transport(None, &[&for_twilio(&url), changes].concat()).unwrap()
}

/// Credentials as in a request.
pub(crate) fn basic(user: &str, password: &str) -> String {
    let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Basic {both}")
}

/// Sends one message and returns its outcome without the provider's code: `coded` keeps it.
pub(crate) async fn send(transport: &SmsTransport, envelope: &Envelope) -> Outcome {
    coded(transport, envelope).await.uncoded()
}

/// Sends one message and returns its outcome.
pub(crate) async fn coded(transport: &SmsTransport, envelope: &Envelope) -> Outcome {
    let deadline = Instant::now() + posthaste_rig::patience();
    transport.send(std::slice::from_ref(envelope), deadline).await.pop().unwrap()
}

/// The provider of a bench.
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
    taken: Arc<Mutex<Vec<TakenMessage>>>,
}

impl SmsBench {
    pub(crate) async fn start(kind: Kind) -> Self {
        let bench = Self { kind, provider: Provider::start().await, taken: Arc::default() };
        bench.behave(Behaviour::Accept, Toward::Everyone).await;
        bench
    }

    /// A transport with this many segments per second; 0 is no limit.
    fn at_rate(&self, rate: &str) -> Arc<dyn Transport> {
        let quick =
            [("sms.connect_within", "2s"), ("twilio.lookup_after", "0s"), ("sms.segments_per_second", rate)];
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

/// The settings of the example, with the fake provider.
pub(crate) fn for_smsc(url: &str) -> [(String, String); 4] {
    let answers = format!("{}/smsc-response-rules.toml", examples());
    [
        ("gateway.url".to_owned(), format!("{url}/sys/send.php")),
        ("gateway.check_url".to_owned(), format!("{url}/sys/balance.php?login=office&psw={{secret}}&fmt=3")),
        ("gateway.secret".to_owned(), CANARY.to_owned()),
        ("sms.response_rules_file".to_owned(), answers),
    ]
}

/// The folder with the examples.
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
            (Behaviour::Refuse, Self::Twilio) => refusal(400, 21408),
            (Behaviour::Refuse, Self::Smsc) => smsc(6),
            (Behaviour::RefuseForNow, Self::Twilio) => refusal(400, 30008),
            (Behaviour::SuppressAddress, Self::Twilio) => refusal(400, 21610),
            (Behaviour::SuppressAddress, Self::Smsc) => smsc(7),
            (Behaviour::BadCredential, Self::Twilio) => refusal(401, 20003),
            (Behaviour::BadCredential, Self::Smsc) => smsc(2),
            (Behaviour::Throttle(wait), _) => rate_limited(wait.as_secs()),
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
        self.provider.open().await.unwrap();
        let only = toward.only();
        let (taken, kind, twilio) = (Arc::clone(&self.taken), self.kind, self.provider.api());
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
            taken
                .lock()
                .unwrap()
                .push(TakenMessage { text: Some(kind.text(request)), ..TakenMessage::new(to) });
            let answer = match kind {
                Kind::Twilio => twilio.accept(request),
                Kind::Smsc => Reply::json(200, &serde_json::json!({"id": 1, "cnt": 1})),
            };
            if behaviour == Behaviour::Accept { answer } else { half() }
        });
        Shown::Yes
    }

    async fn taken(&self) -> Vec<TakenMessage> {
        self.taken.lock().unwrap().clone()
    }

    async fn arrivals(&self) -> Vec<Instant> {
        self.provider.messages().iter().map(|request| request.at).collect()
    }

    fn delivery(&self, n: u32) -> Delivery {
        sample::delivery(n, format!("+7916{:07}", n + 1))
    }

    fn texts(&self) -> Vec<TextCase> {
        vec![
            TextCase::new("as long as a text may be", "😀".repeat(1600), TextFate::Taken),
            TextCase::new("a letter too long", "x".repeat(1601), TextFate::Rejected),
            TextCase::new("nothing", "", TextFate::Rejected),
            TextCase::new("nothing to be seen", " \n\t ".repeat(99), TextFate::Rejected),
        ]
    }

    fn patience(&self) -> Duration {
        posthaste_rig::patience()
    }
}
