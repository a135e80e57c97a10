//! Requests and codes compared with VK's machine-readable schema, if available. Run by name:
//!
//! ```text
//! PROVIDER_CONTRACTS=<folder> cargo test -p posthaste-courier-vk --test contract
//! ```
//!
//! The folder holds `vk/messages_send.schema.json` and `vk/errors.json`, made from github.com/VKCOM/vk-api-schema.

#![expect(clippy::unwrap_used, reason = "the helpers of tests fail as the tests do")]

#[path = "../it/bench.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod bench;
#[path = "../it/provider.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod provider;

use std::collections::BTreeSet;

use posthaste_courier::response_rules::ResponseAction;
use posthaste_courier::{Envelope, Outcome};
use posthaste_courier_vk::response_rules::{About, TABLE, VkRules, api_error};
use posthaste_model::{Content, Text};
use serde_json::{Value, json};

use bench::{send, to_many, transport};
use provider::Provider;

fn read(name: &str) -> Value {
    let folder =
        std::env::var("PROVIDER_CONTRACTS").expect("PROVIDER_CONTRACTS names the folder of contracts");
    serde_json::from_str(&std::fs::read_to_string(format!("{folder}/vk/{name}")).unwrap()).unwrap()
}

/// The parameters of messages.send by the schema.
fn parameters() -> Vec<Value> {
    let schema = read("messages_send.schema.json");
    let methods = schema["methods"].as_array().unwrap();
    let method = methods.iter().find(|method| method["name"] == "messages.send").unwrap();
    method["parameters"].as_array().unwrap().clone()
}

/// Whether each parameter is in the schema, of its type and within its bounds.
fn fits(parameters: &[Value], call: &Value) -> Result<(), String> {
    for (name, value) in call.as_object().ok_or("is no object")? {
        let of = parameters.iter().find(|parameter| parameter["name"] == name.as_str());
        let of = of.ok_or_else(|| format!("{name}: is not in the contract"))?;
        is(of, value).map_err(|misfit| format!("{name}: {misfit}"))?;
    }
    let given = |parameter: &&Value| call.get(parameter["name"].as_str().unwrap()).is_none();
    let missing = parameters.iter().filter(|parameter| parameter["required"] == true).find(given);
    missing.map_or(Ok(()), |parameter| Err(format!("{} is missing", parameter["name"])))
}

fn is(of: &Value, value: &Value) -> Result<(), String> {
    let kind = of["type"].as_str().unwrap();
    let right = match kind {
        "integer" => value.as_i64().is_some_and(|n| {
            // Without a format it has 32 bits.
            (of["format"] == "int64" || i32::try_from(n).is_ok())
                && of["minimum"].as_i64().is_none_or(|least| n >= least)
                && of["maximum"].as_i64().is_none_or(|most| n <= most)
        }),
        "string" => value.as_str().is_some_and(|text| {
            let allowed = of["enum"].as_array().is_none_or(|all| all.contains(value));
            let longest = of["maxLength"].as_u64().unwrap_or(u64::MAX);
            allowed && text.chars().count() as u64 <= longest
        }),
        "boolean" => value.is_boolean(),
        // Lists are separated by commas.
        "array" => {
            let items: Option<Vec<Value>> = value.as_str().map(|list| {
                list.split(',').map(|one| one.parse::<i64>().map_or(json!(one), Into::into)).collect()
            });
            let items = items.ok_or("is no list")?;
            let most = of["maxItems"].as_u64().unwrap_or(u64::MAX);
            if items.len() as u64 > most {
                return Err(format!("has more than {most}"));
            }
            return items.iter().try_for_each(|item| is(&of["items"], item));
        }
        other => return Err(format!("the contract has a type {other:?}")),
    };
    if right { Ok(()) } else { Err(format!("is no {kind} of the contract")) }
}

#[tokio::test]
async fn requests_fit_the_contract() {
    let (parameters, provider) = (parameters(), Provider::start().await);
    let on = "true";
    let longest = "😀".repeat(4096);
    let intents = parameters.iter().find(|parameter| parameter["name"] == "intent").unwrap();
    let intents: Vec<&str> =
        intents["enum"].as_array().unwrap().iter().map(|intent| intent.as_str().unwrap()).collect();
    assert!(intents.len() > 10);
    for intent in intents {
        let changes = [("intent", intent), ("dont_parse_links", on), ("disable_mentions", on)];
        for changes in [&[][..], &changes] {
            let vk = transport(&provider, changes);
            let subject =
                Content { subject: Text::new("Сбор"), text: Text::new("at nine"), ..Content::default() };
            let subject = std::sync::Arc::new(subject);
            let with = to_many(1..=150, "", 1 << 30);
            let mut batch: Vec<Envelope> =
                with.into_iter().map(|one| Envelope { content: subject.clone(), ..one }).collect();
            batch.extend(to_many(-100..=-1, &longest, (1 << 31) - 1));
            batch.extend(to_many(2_000_000_001..=2_000_000_003, "\"});//\u{2028}", 7));
            assert!(send(&vk, &batch).await.iter().all(|outcome| *outcome == Outcome::Sent));
        }
    }
    let requests = provider.messages();
    assert!(requests.len() > 20);
    for call in requests.iter().flat_map(|request| request.calls.as_ref().expect("a flat program")) {
        if let Err(misfit) = fits(&parameters, call) {
            panic!("{misfit}");
        }
    }
}

#[test]
fn violations_of_the_contract_are_found() {
    let parameters = parameters();
    let many = vec!["1"; 101].join(",");
    for (call, misfit) in [
        (json!({"user_ids": "1"}), "user_ids: is not in the contract"),
        (json!({"random_id": "1"}), "random_id: is no integer of the contract"),
        (json!({"random_id": 1_u64 << 31}), "random_id: is no integer of the contract"),
        (json!({ "peer_ids": many }), "peer_ids: has more than 100"),
        (json!({"peer_ids": "1,x"}), "peer_ids: is no integer of the contract"),
        (json!({"intent": "spam"}), "intent: is no string of the contract"),
        (json!({"message": "x".repeat(9001)}), "message: is no string of the contract"),
        (json!({"dont_parse_links": 1}), "dont_parse_links: is no boolean of the contract"),
    ] {
        assert_eq!(fits(&parameters, &call).unwrap_err(), misfit);
    }
}

#[test]
fn every_code_of_vk_is_judged_and_those_of_this_method_are_named() {
    let (errors, schema, answers) =
        (read("errors.json"), read("messages_send.schema.json"), VkRules::embedded(&TABLE).unwrap());
    let errors = errors["errors"].as_object().unwrap();
    let codes: BTreeSet<u32> =
        errors.values().map(|error| u32::try_from(error["code"].as_u64().unwrap()).unwrap()).collect();
    assert!(codes.len() > 200, "{}", codes.len());
    for code in &codes {
        for about in About::ALL {
            let action = answers.classify(&api_error(*code, about)).action;
            // No error of a whole request fails a message or suppresses an address.
            let final_for_all = matches!(action, ResponseAction::Reject | ResponseAction::Suppress);
            assert!(!(final_for_all && about == About::Request), "{code}");
        }
    }
    let of_method =
        schema["methods"].as_array().unwrap().iter().find(|method| method["name"] == "messages.send");
    let of_method = of_method.unwrap()["errors"].as_array().unwrap();
    assert!(of_method.len() > 20);
    for reference in of_method {
        let name = reference["$ref"].as_str().unwrap().rsplit('/').next().unwrap();
        let code = u32::try_from(errors[name]["code"].as_u64().unwrap()).unwrap();
        assert!(answers.names(&code.to_string()), "{code} {name}");
    }
    // Every code in the table is one of VK's.
    for code in (0..12_000).filter(|code| answers.names(&code.to_string())) {
        assert!(codes.contains(&code), "{code}");
    }
}
