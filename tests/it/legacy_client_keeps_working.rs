//! The calls of the legacy client, as it made them: a history key, a tracker on it, then the order, and the tracker
//! again until everything is reported.

use anyhow::{Context, ensure};
use posthaste_rig::eventually_async;
use posthaste_sandbox::Settings;
use posthaste_tests::Site;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_legacy_client_needs_only_an_api_key() -> anyhow::Result<()> {
    let site = Site::open(Settings::default(), &[]).await?;
    let _courier = site.courier(&[]).await?;
    let http = reqwest::Client::new();
    let (url, token) = (site.url.trim_end_matches('/'), site.key()?);
    let call = async |request: reqwest::RequestBuilder| {
        let answer = request.bearer_auth(&token).send().await?;
        let (status, body) = (answer.status().as_u16(), answer.text().await?);
        let value = serde_json::from_str::<Value>(&body).with_context(|| format!("{status}: {body}"))?;
        anyhow::Ok((status, value))
    };

    let (status, key) = call(http.get(format!("{url}/history_key?sender_id=17"))).await?;
    let key = key.as_str().or(key["history_key"].as_str()).context("a history key")?.to_owned();
    ensure!(status == 200 && key.starts_with("history:17:"), "{status} {key}");

    // The tracker comes first: it waits for an order that does not exist yet.
    let track = |touch_count: u32, timeout: u32| {
        let body = json!({ "history_key": key, "touch_count": touch_count, "timeout": timeout });
        call(http.post(format!("{url}/track")).json(&body))
    };
    let order = json!({
        "history_key": key,
        "sender": { "id": "17", "email": "coach@example.org", "name": "Coach", "role": "trainer" },
        "recipients": [
            { "id": "1", "email": "one@example.test", "name": "One", "role": "athlete" },
            { "id": "2", "email": "two@refuse.test", "name": "Two", "role": "athlete" },
        ],
        "text": "Training is at six.",
        "provider": "email",
    });
    let put = async || call(http.put(format!("{url}/queue")).json(&order)).await;
    let put_when_received = async {
        eventually_async("the tracker listens", async || {
            let received = site.server.command(&["PUBSUB", "CHANNELS", "*history*"]);
            match received.map(|reply| reply.items().len()) {
                Ok(0) => Err("nobody does".to_owned()),
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        put().await
    };
    let (tracked, queued) = tokio::join!(track(1, 10), put_when_received);
    let ((status, reported), (queued, answer)) = (tracked?, queued?);
    ensure!(status == 200 && reported["timeouted"] == false, "{status} {reported}");
    ensure!(queued == 200, "{queued} {answer}");

    site.until_finished(&key).await;
    let (status, reported) = track(1, 1).await?;
    ensure!(status == 200 && !reported["history"].is_null(), "{status} {reported}");
    let deliveries = site.recipients(&key)?;
    ensure!(deliveries["one@example.test"]["status"] == "sent", "{deliveries:?}");
    ensure!(deliveries["two@refuse.test"]["status"] == "failed", "{deliveries:?}");

    let limit = async || call(http.get(format!("{url}/queue/limit?uid=17"))).await;
    let (status, used) = limit().await?;
    ensure!(status == 200 && used["value"] == 1, "{status} {used}");
    // A trainer has four orders a day; a repeat of the same one does not count.
    ensure!(put().await?.0 == 200);
    for n in 2..=5 {
        let (_, key) = call(http.get(format!("{url}/history_key?sender_id=17"))).await?;
        let mut order = order.clone();
        order["history_key"] = key.as_str().map_or(key["history_key"].clone(), Value::from);
        let answer = http.put(format!("{url}/queue")).json(&order).bearer_auth(&token).send().await?;
        let status = answer.status().as_u16();
        ensure!(status == if n <= 4 { 200 } else { 429 }, "order {n} was answered {status}");
        // No Retry-After: a client that obeys it would sleep until the next day.
        ensure!(!answer.headers().contains_key("retry-after"), "order {n} says to sleep");
        let reported: Value = answer.json().await?;
        ensure!(n <= 4 || reported["resets_at"].is_string(), "when to come back: {reported}");
    }
    ensure!(limit().await?.1["value"] == 4);
    let mut stranger = order.clone();
    stranger["sender"]["role"] = "janitor".into();
    stranger["history_key"] = "history:17:1700000000000000000".into();
    ensure!(call(http.put(format!("{url}/queue")).json(&stranger)).await?.0 == 403, "an unknown role");
    Ok(())
}
