//! People block the bot, and come back by unblocking it or writing to it: the courier receives each update and acts on
//! it, before any message is sent to them.

use anyhow::{Context, ensure};
use posthaste_model::{Clock, SystemClock};
use posthaste_rig::eventually_async;
use posthaste_sandbox::Settings;
use posthaste_tests::Site;

const BOT: u64 = 42;

/// Waits until a person is on the channel's suppression list, or off it.
async fn is_suppressed(site: &Site, person: &str, suppressed: bool) {
    eventually_async("the list", async || {
        let find = ["suppression", "lookup", "--channel", "telegram", person, "-o", "ndjson"];
        let found = site.deliveries(&find).map_err(|error| error.to_string())?;
        match found.first().map(|found| found["suppressed"] == suppressed) {
            Some(true) => Ok(()),
            _ => Err(format!("{found:?}")),
        }
    })
    .await;
}

/// Telegram reports whole seconds: if a person blocks and unblocks the bot within one second, the order is unknown,
/// and the person stays on the list.
async fn next_second() {
    let before = SystemClock.now().0 / 1000;
    eventually_async("the next second", async || match SystemClock.now().0 / 1000 {
        now if now > before => Ok(()),
        now => Err(now),
    })
    .await;
}

/// Sends a message to a person and returns its status.
async fn reported(site: &Site, person: &str) -> anyhow::Result<String> {
    let send =
        ["send", "--telegram", person, "--text", "Training is at six.", "--sender", "news", "-o", "ndjson"];
    let answer = site.deliveries(&send)?.into_iter().next().context("an answer")?;
    let id = answer["id"].as_str().context("an order")?.to_owned();
    site.until_finished(&id).await;
    let deliveries = site.recipients(&id)?;
    Ok(deliveries[person]["status"].as_str().context("a status")?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_blocks_the_bot_is_spared_until_they_are_back() -> anyhow::Result<()> {
    let site = Site::open(Settings::default(), &[]).await?;
    let _courier = site.telegram(&[("POSTHASTE_TELEGRAM__UPDATES", "true")]).await?;
    let telegram = site.sandbox.telegram();
    for (number, writes) in [(1001, false), (1002, true)] {
        let person = number.to_string();
        ensure!(reported(&site, &person).await? == "sent");
        telegram.block(BOT, number, true);
        is_suppressed(&site, &person, true).await;
        ensure!(reported(&site, &person).await? == "suppressed");
        next_second().await;
        if writes {
            telegram.write(BOT, number, "/start");
        } else {
            telegram.block(BOT, number, false);
        }
        is_suppressed(&site, &person, false).await;
        ensure!(reported(&site, &person).await? == "sent");
        ensure!(telegram.reached(&person) == 2);
    }
    // No message was sent to find out.
    ensure!(
        telegram.requests().iter().filter(|request| request.is_message).all(|request| request.is_taken())
    );
    Ok(())
}
