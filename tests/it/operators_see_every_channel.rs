//! What an operator is told at night: all four providers are down, then tokens are refused. `courier list`, `doctor`,
//! `/readyz` and the metrics say what each channel does, why, and how much waits.

use std::net::SocketAddr;

use anyhow::Context;
use posthaste_rig::eventually_async;
use posthaste_rig::process::Child;
use posthaste_sandbox::Settings;
use posthaste_tests::Site;
use serde_json::Value;

/// A port that nobody listens on.
fn nowhere() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn channels(site: &Site) -> Result<Vec<Value>, String> {
    site.deliveries(&["courier", "list", "-o", "ndjson"]).map_err(|error| format!("{error:#}"))
}

async fn admin(site: &Site, path: &str) -> Result<(u16, String), String> {
    let ask = async {
        let answer = reqwest::get(format!("{}{path}", site.admin)).await?;
        Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
    };
    ask.await.map_err(|error| error.to_string())
}

/// The value of a series of the queue.
async fn metric(site: &Site, series: &str) -> Result<f64, String> {
    let (_, text) = admin(site, "/metrics").await?;
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.ok_or_else(|| format!("no {series} in {text}"))
}

async fn until_state(site: &Site, channel: &str, state: &str) -> Value {
    eventually_async(&format!("{channel} is {state}"), async || {
        let all = channels(site)?;
        let found = all.iter().find(|one| one["channel"] == channel && one["state"] == state);
        found.cloned().ok_or_else(|| format!("{all:?}"))
    })
    .await
}

async fn down(site: &Site) -> anyhow::Result<Vec<Child>> {
    let dead = nowhere()?;
    let (http, relay) = (format!("http://{dead}"), format!("smtp+plain://{dead}"));
    let quick = ("POSTHASTE_COURIER__BREAKER_AFTER", "1");
    let listen = nowhere()?;
    Ok(vec![
        site.courier(&[("POSTHASTE_SMTP__RELAYS", relay.as_str()), quick]).await?,
        site.telegram(&[("POSTHASTE_TELEGRAM__API_URL", http.as_str()), quick]).await?,
        site.vk(&[("POSTHASTE_VK__API_URL", http.as_str()), quick]).await?,
        site.sms("sms.example.org", listen, &[("POSTHASTE_TWILIO__API_URL", http.as_str()), quick]).await?,
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_every_channel() -> anyhow::Result<()> {
    let queue = [("POSTHASTE_ORDERS__PHONE_COUNTRIES", "US")];
    let mut sandbox = Settings::default();
    sandbox.telegram.tokens = vec!["42:AAsandboxsandboxsandboxsandboxsandb".into()];
    let site = Site::open(sandbox, &queue).await?;
    let couriers = down(&site).await?;
    let send = ["send", "--sms", "+12025550123", "--email", "anna@example.org", "--telegram", "1001"];
    let words = [&send[..], &["--vk", "2001", "--text", "Hello", "--subject", "News", "--sender", "night"]];
    let sent = site.cli(&words.concat())?;
    anyhow::ensure!(sent.code == 0, "{sent:?}");

    for channel in ["email", "sms", "telegram", "vk"] {
        let seen = until_state(&site, channel, "resting").await;
        assert_eq!(seen["waiting_count"], 1, "{seen}");
        let cause = seen["cause"].as_str().context("a cause")?;
        assert!(cause.starts_with("the provider keeps failing ("), "{seen}");
        assert!(seen["since"].is_string() && seen["remedy"].is_string(), "{seen}");
        let overdue = format!("posthaste_oldest_overdue_seconds{{channel=\"{channel}\"}}");
        let series = format!("posthaste_channel_state{{channel=\"{channel}\",state=\"resting\"}}");
        // It grows through the retries: no retry waits for so short.
        eventually_async("it is overdue, and the metrics say so", async || {
            match (metric(&site, &overdue).await?, metric(&site, &series).await?) {
                (8.0.., 1.0) => Ok(()),
                other => Err(format!("{channel} {other:?}")),
            }
        })
        .await;
    }
    eventually_async("the queue is ready and names them", async || {
        let (status, text) = admin(&site, "/readyz").await?;
        let named =
            ["email", "sms", "telegram", "vk"].iter().all(|one| text.contains(&format!("{one} resting")));
        if status == 200 && named { Ok(()) } else { Err(format!("{status} {text}")) }
    })
    .await;
    let doctor = site.cli(&["doctor"])?;
    assert!(doctor.text.contains("the provider keeps failing"), "{doctor:?}");

    // They are killed: silent or absent, and absent once their lease is over.
    for courier in couriers {
        courier.kill9()?;
    }
    let seen = until_state(&site, "vk", "absent").await;
    assert_eq!((&seen["online"], &seen["waiting_count"]), (&Value::Bool(false), &Value::from(1)));

    // The token is refused.
    let refused = [("POSTHASTE_TELEGRAM__TOKENS", "42:AAwrongwrongwrongwrongwrongwrongwron")];
    let courier = site.telegram(&refused).await?;
    let seen = until_state(&site, "telegram", "stopped").await;
    assert!(
        seen["cause"].is_string() && seen["remedy"].as_str().is_some_and(|one| one.contains("credentials"))
    );
    let doctor = site.cli(&["doctor"])?;
    assert!(doctor.code != 0 && doctor.text.contains("stopped since"), "{doctor:?}");
    let order = site.deliveries(&["order", "list", "-o", "ndjson"])?;
    let id = order[0]["id"].as_str().context("an id")?;
    let waits = &site.recipients(id)?["1001"]["waiting_for"];
    assert_eq!(waits, "channel_stopped");
    let (_, metrics) = admin(&site, "/metrics").await.map_err(anyhow::Error::msg)?;
    // Every metric that is exported has a help text.
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap_or_default();
        assert!(metrics.contains(&format!("# HELP {name} ")), "{name} has no help text");
    }
    drop(courier);
    Ok(())
}
