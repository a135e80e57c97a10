//! The OpenAPI description and the reference page.

use std::path::Path;

use posthaste_queue::api::openapi_json;
use serde_json::Value;

use crate::client::get;
use crate::service::Service;

/// If set, the description in the repository is regenerated.
const REWRITE: &str = "POSTHASTE_REWRITE_OPENAPI";

#[test]
fn the_description_in_the_repository_matches_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let code = openapi_json();
    if std::env::var_os(REWRITE).is_some() {
        std::fs::write(&path, &code).expect("the file is written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let line = kept.lines().zip(code.lines()).position(|(kept, code)| kept != code);
    assert!(
        kept == code,
        "crates/queue/openapi.json differs from the code (first at line {:?}); regenerate it with\n    {REWRITE}=1 cargo \
         test -p posthaste-queue --test it description\nand review the changes",
        line.map(|line| line + 1)
    );
}

#[tokio::test]
async fn the_description_is_served_and_names_every_path() {
    let service = Service::start().await;
    let answer = service.ask(get("/openapi.json")).await;
    assert_eq!((answer.status, answer.header("content-type").as_deref()), (200, Some("application/json")));
    assert_eq!(answer.text(), openapi_json());
    let api = answer.json();
    assert!(api["openapi"].as_str().expect("a version").starts_with("3.1"), "{}", api["openapi"]);
    for (path, methods) in [
        ("/v1/order-ids", &["post"][..]),
        ("/v1/orders", &["get", "post"]),
        ("/v1/orders/batch", &["post"]),
        ("/v1/orders/{id}", &["get", "put", "patch"]),
        ("/v1/orders/{id}/cancel", &["post"]),
        ("/v1/orders/{id}/retry", &["post"]),
        ("/v1/orders/{id}/deliveries", &["get"]),
        ("/v1/orders/{id}/wait", &["get"]),
        ("/v1/orders/{id}/events", &["get"]),
        ("/v1/senders/{id}/daily-limit", &["get"]),
        ("/v1/couriers", &["get"]),
        ("/v1/suppressions", &["get", "post"]),
        ("/v1/suppressions/lookup", &["post"]),
        ("/v1/suppressions/delete", &["post"]),
        ("/v1/suppressions/{channel}/{id}", &["delete"]),
        ("/v1/api-keys", &["get", "post"]),
        ("/v1/api-keys/{id}", &["delete"]),
        ("/history_key", &["get"]),
        ("/queue", &["put"]),
        ("/queue/limit", &["get"]),
        ("/track", &["post"]),
    ] {
        for method in methods {
            let operation = &api["paths"][path][method];
            assert!(operation["operationId"].is_string(), "{method} {path}");
            assert!(operation["summary"].is_string(), "{method} {path}");
        }
    }
}

#[test]
fn every_body_has_an_example_that_fits_its_schema() {
    let api: serde_json::Value = serde_json::from_str(&openapi_json()).expect("JSON");
    let schemas = &api["components"]["schemas"];
    for item in api["paths"].as_object().expect("paths").values() {
        for operation in item.as_object().expect("operations").values() {
            let id = operation["operationId"].as_str().expect("an id");
            for (media_type, body) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                let example = &body["example"];
                assert!(!example.is_null(), "{id} {media_type}");
                let Some(name) = body["schema"]["$ref"].as_str().and_then(|path| path.rsplit('/').next())
                else {
                    assert!(example.as_str().is_some_and(|lines| lines.ends_with('\n')), "{id} {media_type}");
                    continue;
                };
                let given = example.as_object().expect("an object");
                let known = schemas[name]["properties"].as_object().expect("members");
                assert!(given.keys().all(|member| known.contains_key(member)), "{id}: {example}");
                let required = schemas[name]["required"].as_array().into_iter().flatten();
                for member in required {
                    assert!(given.contains_key(member.as_str().expect("a name")), "{id} lacks {member}");
                }
            }
            for (status, response) in operation["responses"].as_object().expect("responses") {
                for (media_type, body) in response["content"].as_object().into_iter().flatten() {
                    let is_good = !status.starts_with('2') || !body["example"].is_null();
                    assert!(is_good, "{id} {status} {media_type}");
                }
            }
        }
    }
    assert_eq!(schemas["Order"]["required"], serde_json::json!(["recipients"]));
}

/// The example of the description is an order that is accepted.
/// A number without a bound in the description is one that clients and the parser may see differently.
#[test]
fn every_number_in_a_query_has_its_bounds() {
    let description: Value = serde_json::from_str(&openapi_json()).expect("JSON");
    let paths = description["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, ops)| {
        ops.as_object().into_iter().flat_map(|ops| ops.values()).map(move |one| (path, one))
    });
    let mut found = 0;
    for (path, operation) in operations {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let schema = &parameter["schema"];
            if schema["type"] == "integer" {
                found += 1;
                let both = schema["minimum"].is_u64() && schema["maximum"].is_u64();
                assert!(both, "{path} {}: {schema}", parameter["name"]);
            }
        }
    }
    assert!(found >= 5, "{found} numbers");
}

#[tokio::test]
async fn the_example_of_an_order_is_accepted() {
    let service = Service::start().await;
    let key = service.master().await;
    let api: serde_json::Value = serde_json::from_str(&openapi_json()).expect("JSON");
    let example =
        &api["paths"]["/v1/orders"]["post"]["requestBody"]["content"]["application/json"]["example"];
    let request = crate::client::ask("POST", "/v1/orders").key(&key).json(&example.to_string());
    assert_eq!(service.ask(request).await.status, 200);
}

#[tokio::test]
async fn the_reference_page_is_complete_and_loads_nothing() {
    let service = Service::start().await;
    let answer = service.ask(get("/docs")).await;
    assert_eq!(answer.status, 200);
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    let page = answer.text();
    for loading in ["<script", "<link", "<img", "<iframe", "src=", "@import", "url(", "http://", "https://"] {
        assert!(!page.contains(loading), "{loading}");
    }
    let api: serde_json::Value = serde_json::from_str(&openapi_json()).expect("JSON");
    for (path, item) in api["paths"].as_object().expect("paths") {
        assert!(page.contains(path.as_str()), "{path}");
        for operation in item.as_object().expect("operations").values() {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(
                page.contains(&format!("<section id=\"{id}\">")),
                "{id} of {path}: its tag is not described"
            );
        }
    }
    for reason in posthaste_model::Reason::ALL.iter().filter(|reason| reason.code() != 0) {
        assert!(page.contains(&format!("<tr id=\"reason-{}\">", reason.word())), "{reason:?}");
    }
    for said in ["Authorization: Bearer", "posthaste key create", "any_sender", "reason-provider_error"] {
        assert!(page.contains(said), "{said}");
    }
    for code in posthaste_queue::problem::Code::ALL {
        assert!(page.contains(&format!("<tr id=\"{}\">", code.word())), "{code:?}");
    }
}
