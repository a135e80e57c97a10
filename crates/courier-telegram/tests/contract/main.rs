//! Requests compared with the Bot API's machine-readable contract, if available. Run by name:
//!
//! ```text
//! PROVIDER_CONTRACTS=<folder> cargo test -p posthaste-courier-telegram --test contract
//! ```
//!
//! The folder holds `telegram/bot-api.trimmed.json`, made from github.com/PaulSonOfLars/telegram-bot-api-spec.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

#[path = "../it/bench.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod bench;
#[path = "../it/provider.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod provider;

use posthaste_courier::{Envelope, Outcome};
use posthaste_model::{Content, Text};
use serde_json::Value;

use bench::{envelope, send, transport};
use provider::{Provider, Request};

/// The contract: its methods and types.
struct Contract(Value);

impl Contract {
    fn read() -> Self {
        let folder =
            std::env::var("PROVIDER_CONTRACTS").expect("PROVIDER_CONTRACTS names the folder of contracts");
        let text = std::fs::read_to_string(format!("{folder}/telegram/bot-api.trimmed.json")).unwrap();
        Self(serde_json::from_str(&text).unwrap())
    }

    /// Whether an object has all required fields, no unknown ones, and the right types.
    fn fits(&self, of: &Value, value: &Value, at: &str) -> Result<(), String> {
        let fields = of["fields"].as_array().ok_or_else(|| format!("{at}: has no fields"))?;
        let given = value.as_object().ok_or_else(|| format!("{at}: is no object"))?;
        for (name, value) in given {
            let field = fields.iter().find(|field| field["name"] == name.as_str());
            let field = field.ok_or_else(|| format!("{at}.{name}: is not in the contract"))?;
            let types = field["types"].as_array().unwrap();
            let misfits: Vec<String> = types
                .iter()
                .filter_map(|name_of| {
                    self.is(name_of.as_str().unwrap(), value, &format!("{at}.{name}")).err()
                })
                .collect();
            if misfits.len() == types.len() {
                return Err(misfits.join("; "));
            }
        }
        let missing = fields
            .iter()
            .find(|field| field["required"] == true && !given.contains_key(field["name"].as_str().unwrap()));
        missing.map_or(Ok(()), |field| Err(format!("{at}: {} is missing", field["name"])))
    }

    fn is(&self, kind: &str, value: &Value, at: &str) -> Result<(), String> {
        if let Some(kind) = kind.strip_prefix("Array of ") {
            let items = value.as_array().ok_or_else(|| format!("{at}: is no array"))?;
            return items.iter().try_for_each(|item| self.is(kind, item, at));
        }
        let right = match kind {
            "Integer" => value.is_i64() || value.is_u64(),
            "Float" => value.is_number(),
            "String" => value.is_string(),
            "Boolean" => value.is_boolean(),
            "True" => *value == Value::Bool(true),
            named => return self.fits(&self.0["types"][named], value, at),
        };
        if right { Ok(()) } else { Err(format!("{at}: is no {kind}")) }
    }

    fn checks(&self, request: &Request) {
        assert!(request.head.starts_with("POST "));
        let methods = self.0["methods"].as_object().unwrap();
        let (name, method) =
            methods.iter().find(|(name, _)| name.eq_ignore_ascii_case(&request.method)).unwrap();
        if let Err(misfit) = self.fits(method, &request.body, name) {
            panic!("{misfit}");
        }
    }
}

#[tokio::test]
async fn requests_fit_the_contract() {
    let (contract, provider) = (Contract::read(), Provider::start().await);
    let on = "true";
    for changes in [
        &[("chat_messages", "100")][..],
        &[("silent", on), ("protect_content", on), ("paid", on), ("link_previews", "false")],
    ] {
        let telegram = transport(&provider, changes);
        for chat in ["7", "-1001234567890", "@channel"] {
            let subject =
                Content { subject: Text::new("Сбор"), text: Text::new("at nine"), ..Content::default() };
            let with = Envelope { content: subject.into(), ..envelope(chat, "") };
            assert_eq!(send(&telegram, with).await, Outcome::Sent);
            assert_eq!(send(&telegram, envelope(chat, "_*[x](y) https://example.org")).await, Outcome::Sent);
        }
    }
    let messages = provider.messages();
    assert_eq!(messages.len(), 12);
    for message in &messages {
        contract.checks(message);
    }
}

#[test]
fn violations_of_the_contract_are_found() {
    let contract = Contract::read();
    let method = &contract.0["methods"]["sendMessage"];
    for (body, misfit) in [
        (serde_json::json!({"chat_id": 7}), "sendMessage: \"text\" is missing"),
        (serde_json::json!({"chat_id": 7, "text": 1}), "sendMessage.text: is no String"),
        (serde_json::json!({"chat_id": 7, "text": "x", "txt": 1}), "sendMessage.txt: is not in the contract"),
        (
            serde_json::json!({"chat_id": 7, "text": "x", "entities": [{"type": "bold", "offset": 0}]}),
            "sendMessage.entities: \"length\" is missing",
        ),
    ] {
        assert_eq!(contract.fits(method, &body, "sendMessage").unwrap_err(), misfit);
    }
}
