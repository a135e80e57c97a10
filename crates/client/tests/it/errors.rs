//! Errors are named by what the caller does next, and show nothing of request or response.

use std::time::Duration;

use posthaste_client::{ApiError, OrderQuery};
use posthaste_rig::http::HttpReply;
use serde_json::json;

use crate::server::{Scene, client, header, json, refused};

#[tokio::test]
async fn a_problem_is_reported_with_all_its_members() {
    let problem = json!({"type": "about:blank", "title": "Invalid order", "status": 422, "detail": "two parts are wrong",
        "code": "validation_failed", "trace_id": "7f3a", "errors": [{"line": 7, "pointer": "/contacts/email/0",
        "code": "invalid_email", "detail": "one mailbox"}]});
    let scene = Scene::with([json(422, problem)]).await;
    let error = refused(scene.client.order("dev.17").await);
    let ApiError::FixRequest(problem) = &error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "two parts are wrong (422 validation_failed)");
    assert_eq!((problem.code.as_str(), problem.trace_id.as_deref()), ("validation_failed", Some("7f3a")));
    let part = &problem.errors[0];
    assert_eq!((part.line, part.pointer.as_deref()), (Some(7), Some("/contacts/email/0")));
    assert_eq!((part.code.as_str(), part.reason()), ("invalid_email", "one mailbox"));
}

#[tokio::test]
async fn a_server_that_is_busy_says_how_long_to_wait() {
    for status in [429, 503] {
        let reply =
            HttpReply::Say(status, "retry-after: 3\r\n".to_owned(), "{\"code\": \"busy\"}".to_owned());
        let scene = Scene::with([reply]).await;
        let error = refused(scene.client.couriers().await);
        assert!(matches!(error, ApiError::RetryLater(_)), "{error:?}");
        assert_eq!(error.problem().and_then(|problem| problem.retry_after), Some(3));
    }
}

#[tokio::test]
async fn a_key_that_may_not_is_distinguished_from_a_name_that_is_not_there() {
    let answers = [json(401, json!({})), json(403, json!({})), json(404, json!({}))];
    let scene = Scene::with(answers).await;
    let (first, second, third) = (
        refused(scene.client.keys().await),
        refused(scene.client.keys().await),
        refused(scene.client.keys().await),
    );
    assert!(matches!(first, ApiError::NotAuthorised(_)), "{first:?}");
    assert!(matches!(second, ApiError::NotAuthorised(_)), "{second:?}");
    assert!(matches!(third, ApiError::NotFound(_)), "{third:?}");
    for request in scene.requests() {
        assert_eq!(
            header(&request, "authorization"),
            Some(format!("Bearer {}", crate::server::KEY).as_str())
        );
    }
}

#[tokio::test]
async fn a_proxy_without_a_problem_document_is_known_by_its_status() {
    let reply = HttpReply::Say(502, String::new(), "<html>canary</html>".to_owned());
    let scene = Scene::with([reply]).await;
    let error = refused(scene.client.couriers().await);
    assert!(matches!(error, ApiError::RetryLater(_)), "{error:?}");
    assert_eq!(error.to_string(), "Bad Gateway (502)");
}

#[tokio::test]
async fn a_server_that_is_away_is_named() {
    let scene = Scene::with([HttpReply::Hang]).await;
    let error = refused(scene.client_within(Duration::from_millis(200)).order("dev.17").await);
    assert!(matches!(error, ApiError::CannotReach { .. }), "{error:?}");
    scene.close().await;
    // Its query is not in the error.
    let query = OrderQuery { status: Some("canary".to_owned()), ..OrderQuery::default() };
    let error = refused(scene.client.orders(&query).await);
    let ApiError::CannotReach { server, .. } = &error else { panic!("{error:?}") };
    assert_eq!(server, scene.client.server());
    assert!(error.with_causes().len() > error.to_string().len(), "{error:?}");
}

#[tokio::test]
async fn a_response_that_breaks_off_is_no_response() {
    let scene = Scene::with([HttpReply::Half("{\"items\": [".to_owned())]).await;
    let error = refused(scene.client.couriers().await);
    assert!(matches!(error, ApiError::CannotReach { .. }), "{error:?}");
}

#[tokio::test]
async fn a_response_of_something_else_is_not_shown() {
    let scene = Scene::with([HttpReply::Say(200, String::new(), "{\"items\": canary}".to_owned())]).await;
    let error = refused(scene.client.couriers().await);
    assert!(matches!(error, ApiError::NotUnderstood { .. }), "{error:?}");
    assert!(error.to_string().contains("at line 1 column"), "{error}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Scene::with([json(200, json!({"items": []}))]).await;
    let to = format!("location: {}v1/couriers\r\n", target.client.server());
    let scene = Scene::with([HttpReply::Say(302, to, String::new())]).await;
    let error = refused(scene.client.couriers().await);
    assert!(matches!(error, ApiError::ServerFailed(_)), "{error:?}");
    assert_eq!(target.requests().len(), 0);
}

#[tokio::test]
async fn nothing_listens_on_a_closed_port() {
    let error = refused(client("http://127.0.0.1:1", Duration::from_secs(20)).couriers().await);
    assert!(error.to_string().starts_with("no response from http://127.0.0.1:1/"), "{error}");
}
