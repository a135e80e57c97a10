//! Compares requests with Twilio's OpenAPI contract, if it is available. Run it by name:
//!
//! ```text
//! PROVIDER_CONTRACTS=<folder> cargo test -p posthaste-courier-sms --test contract
//! ```
//!
//! The folder contains `twilio/messages.openapi.json`, a part of github.com/twilio/twilio-oai.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

#[path = "../it/bench.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod bench;
#[path = "../it/provider.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod provider;

use std::time::Duration;

use posthaste_courier::{LookupResult, Outcome, Transport};
use serde_json::Value;

use bench::{envelope, send, transport};
use provider::{ACCOUNT, Message, Provider, Request};

/// The contract: its paths and schemas.
struct Contract(Value);

const MESSAGES: &str = "/2010-04-01/Accounts/{AccountSid}/Messages.json";

impl Contract {
    fn read() -> Self {
        let folder =
            std::env::var("PROVIDER_CONTRACTS").expect("PROVIDER_CONTRACTS names the folder of contracts");
        let text = std::fs::read_to_string(format!("{folder}/twilio/messages.openapi.json")).unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    fn of(&self, verb: &str) -> &Value {
        &self.0["paths"][MESSAGES][verb]
    }

    /// Whether a text matches a schema.
    fn fits(&self, schema: &Value, text: &str) -> bool {
        let schema = match schema["$ref"].as_str() {
            Some(name) => &self.0["components"]["schemas"][name.rsplit('/').next().unwrap()],
            None => schema,
        };
        let long = |key: &str| schema[key].as_u64().map(|n| usize::try_from(n).unwrap());
        if long("minLength").is_some_and(|least| text.len() < least)
            || long("maxLength").is_some_and(|most| text.len() > most)
        {
            return false;
        }
        let sid = |pattern: &str| {
            // `^MG[0-9a-fA-F]{32}$`: the only pattern in use.
            let begin = pattern.trim_start_matches('^').split('[').next().unwrap();
            text.strip_prefix(begin).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        };
        if schema["pattern"].as_str().is_some_and(|pattern| !sid(pattern)) {
            return false;
        }
        match (schema["type"].as_str().unwrap(), schema["format"].as_str()) {
            ("integer", _) => text.parse::<i64>().is_ok_and(|number| {
                schema["minimum"].as_i64().is_none_or(|least| number >= least)
                    && schema["maximum"].as_i64().is_none_or(|most| number <= most)
            }),
            ("boolean", _) => matches!(text, "true" | "false"),
            ("string", Some("uri")) => url::Url::parse(text).is_ok(),
            ("string", Some("date-time")) => text.parse::<jiff::Timestamp>().is_ok(),
            ("string", _) => true,
            other => panic!("unsupported type {other:?}"),
        }
    }

    fn checks_creation(&self, form: &[(String, String)]) -> Result<(), String> {
        let schema =
            &self.of("post")["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
        for (name, value) in form {
            let known = &schema["properties"][name];
            if known.is_null() {
                return Err(format!("{name} is not in the contract"));
            }
            if !self.fits(known, value) {
                return Err(format!("{name} does not fit"));
            }
        }
        let missing = schema["required"]
            .as_array()
            .unwrap()
            .iter()
            .find(|required| !form.iter().any(|(name, _)| required.as_str() == Some(name)));
        missing.map_or(Ok(()), |name| Err(format!("{name} is missing")))
    }

    fn checks_look(&self, look: &Request) -> Result<(), String> {
        for (name, value) in &look.query {
            let parameters = self.of("get")["parameters"].as_array().unwrap();
            let known =
                parameters.iter().find(|known| known["name"] == name.as_str() && known["in"] == "query");
            let known = known.ok_or_else(|| format!("{name} is not in the contract"))?;
            if !self.fits(&known["schema"], value) {
                return Err(format!("{name} does not fit"));
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn requests_fit_the_contract() {
    let (contract, provider) = (Contract::read(), Provider::start().await);
    let service = "MG0123456789abcdef0123456789abcdef";
    let place = [("sms.listen", "127.0.0.1:0"), ("sms.public_url", "https://sms.example.org/x")];
    let all = [
        ("twilio.from", ""),
        ("twilio.messaging_service_sid", service),
        ("twilio.valid_for", "10h"),
        ("twilio.smart_encoding", "true"),
    ];
    for changes in [Vec::new(), place.to_vec(), [&place[..], &all].concat()] {
        let twilio = transport(&provider, &changes);
        let message = envelope("+79160000001", "Встреча в девять");
        assert_eq!(send(&twilio, &message).await, Outcome::Sent);
        let later = message.due.after(Duration::from_secs(120));
        assert!(matches!(twilio.look_up(&message, message.due, later).await, LookupResult::Known(..)));
        assert_eq!(
            twilio.look_up(&envelope("+79160000002", "x"), message.due, later).await,
            LookupResult::Never
        );
    }
    assert_eq!(provider.messages().len(), 3);
    for request in provider.messages() {
        assert_eq!(request.path, MESSAGES.replace("{AccountSid}", ACCOUNT));
        assert_eq!(contract.checks_creation(&request.form()), Ok(()));
    }
    assert!(provider.lookups().len() >= 6);
    for look in provider.lookups() {
        assert_eq!(look.path, MESSAGES.replace("{AccountSid}", ACCOUNT));
        assert_eq!(contract.checks_look(&look), Ok(()));
    }
}

/// The fake provider shows messages with the fields and status words of the contract.
#[tokio::test]
async fn the_stand_in_fits_the_contract() {
    let (contract, provider) = (Contract::read(), Provider::start().await);
    let twilio = transport(&provider, &[]);
    assert_eq!(send(&twilio, &envelope("+79160000001", "x")).await, Outcome::Sent);
    let shown = provider.api().all().first().map(Message::shown).unwrap();
    let schemas = &contract.0["components"]["schemas"];
    let fields = schemas["api.v2010.account.message"]["properties"].as_object().unwrap();
    for name in shown.as_object().unwrap().keys() {
        assert!(fields.contains_key(name), "{name}");
    }
    assert!(schemas["message_enum_status"]["enum"].as_array().unwrap().contains(&shown["status"]));
}

#[test]
fn what_is_not_in_the_contract_is_found() {
    let contract = Contract::read();
    let form = |pairs: &[(&str, &str)]| {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        contract.checks_creation(&pairs).unwrap_err()
    };
    assert_eq!(form(&[("Body", "x")]), "\"To\" is missing");
    assert_eq!(form(&[("To", "+1"), ("Text", "x")]), "Text is not in the contract");
    assert_eq!(form(&[("To", "+1"), ("ValidityPeriod", "10h")]), "ValidityPeriod does not fit");
    assert_eq!(form(&[("To", "+1"), ("SmartEncoded", "yes")]), "SmartEncoded does not fit");
    assert_eq!(form(&[("To", "+1"), ("StatusCallback", "/x")]), "StatusCallback does not fit");
    assert_eq!(form(&[("To", "+1"), ("MessagingServiceSid", "MG01")]), "MessagingServiceSid does not fit");
}
