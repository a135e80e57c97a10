//! Ten thousand people, each reached by the contacts they have, over four channels at once: one courier is killed
//! half-way, one provider asks to wait repeatedly, one is down for a minute. The balance holds for every channel,
//! nobody gets anything twice, and every delivery that was not sent has a reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, ensure};
use posthaste_rig::eventually_async;
use posthaste_sandbox::Settings;
use posthaste_sandbox::fake_provider::{MessageAction, MessageFault, RequestFate};
use posthaste_tests::Site;
use serde_json::Value;

const PEOPLE: u32 = 10_000;
/// How long Telegram asks to wait.
const BAN: Duration = Duration::from_secs(1);
/// Public host name of the courier in delivery receipts; the sandbox maps it to the courier that is not killed.
const PUBLIC: &str = "sms.example.org";

/// Addresses with a special end, by channel: the expected state, and the reason.
const SPECIAL: [(&str, &str, &str, &str); 11] = [
    ("email", "nobody@refuse.test", "failed", "invalid_address"),
    ("email", "spam@spam.test", "failed", "rejected"),
    ("email", "silent@hang.test", "unknown", "not_retried"),
    ("sms", "+15005550004", "failed", "opted_out"),
    ("sms", "+15007730005", "failed", ""),
    ("telegram", "403001", "failed", "blocked"),
    ("telegram", "400001", "failed", "invalid_address"),
    ("telegram", "600001", "unknown", "not_retried"),
    ("telegram", "600003", "unknown", "not_retried"),
    ("vk", "999000901", "failed", "blocked"),
    ("vk", "999000007", "failed", ""),
];

/// The file, and channel and address of every delivery.
fn people() -> (String, BTreeMap<String, &'static str>) {
    let mut file = String::from("id,email,sms,telegram,vk\n");
    let mut deliveries = BTreeMap::new();
    for n in 0..PEOPLE {
        let email = format!("p{n}@example.test");
        let sms = format!("+7916{:07}", 1_000_000 + n);
        let (telegram, vk) = ((1_000_000 + n).to_string(), (5_000_000 + n).to_string());
        let has = match n % 4 {
            0 => [Some(("email", email)), Some(("sms", sms)), None, None],
            1 => [None, None, Some(("telegram", telegram)), None],
            2 => [Some(("email", email)), None, None, Some(("vk", vk))],
            _ => [None, Some(("sms", sms)), None, Some(("vk", vk))],
        };
        line(&mut file, &mut deliveries, &format!("p{n}"), has);
    }
    for (n, (channel, address, ..)) in SPECIAL.iter().enumerate() {
        let mut has = [None, None, None, None];
        let at = ["email", "sms", "telegram", "vk"].iter().position(|name| name == channel);
        has[at.unwrap_or_default()] = Some((*channel, (*address).to_owned()));
        line(&mut file, &mut deliveries, &format!("s{n}"), has);
    }
    (file, deliveries)
}

fn line(
    file: &mut String,
    deliveries: &mut BTreeMap<String, &'static str>,
    id: &str,
    has: [Option<(&'static str, String)>; 4],
) {
    let _ = write!(file, "{id}");
    for cell in has {
        file.push(',');
        if let Some((channel, address)) = cell {
            file.push_str(&address);
            deliveries.insert(address, channel);
        }
    }
    file.push('\n');
}

/// Two free ports, below those the system assigns automatically, and apart from where another run starts searching.
fn free_addresses() -> anyhow::Result<[SocketAddr; 2]> {
    let from = 15_000 + u16::try_from(std::process::id() % 16_000)?;
    let mut free = (from..32_000).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok());
    // Both are held until both are chosen.
    let (one, other) = (free.next().context("a port")?, free.next().context("another port")?);
    Ok([one.local_addr()?, other.local_addr()?])
}

async fn taken(what: &str, seen: impl Fn() -> u64, wanted: u64) {
    eventually_async(what, async || match seen() {
        few if few < wanted => Err(few),
        _ => Ok(()),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_people_are_reached_over_four_channels() -> anyhow::Result<()> {
    let [doomed, lasting] = free_addresses()?;
    let mut sandbox = Settings::default();
    sandbox.telegram.limits = posthaste_sandbox::telegram::BotLimits::none();
    sandbox.twilio.reach = BTreeMap::from([(PUBLIC.to_owned(), lasting)]);
    let site = Site::open(sandbox, &[]).await?;
    // Telegram repeatedly asks to wait for a second.
    let throttle = MessageFault::new(MessageAction::Throttle { retry_after: 1 }).every(500);
    site.sandbox.telegram().add_fault(throttle)?;

    let (file, deliveries) = people();
    let path = site.folder().join("people.csv");
    std::fs::write(&path, file)?;
    let words =
        ["send", "--to", &path.display().to_string(), "--subject", "News", "--text", "A canary sings"];
    let answer = site.deliveries(&[&words[..], &["--sender", "news", "-o", "ndjson"]].concat())?;
    let answer = answer.into_iter().next().context("an answer")?;
    let id = answer["id"].as_str().context("an order")?.to_owned();

    let _email = site.courier(&MAIL).await?;
    let _telegram = site.telegram(&TELEGRAM).await?;
    // First the one that receives delivery receipts.
    let _sms = site.sms(PUBLIC, lasting, &SMS).await?;
    let killed = site.sms(PUBLIC, doomed, &SMS).await?;
    let _vk = site.vk(&[QUICK]).await?;

    // VK goes down in the middle, for a minute: the outage itself is under test, not a wait for something.
    taken("some of VK", || site.sandbox.vk().seen(), 2).await;
    site.sandbox.vk().down().await;
    let minute = tokio::time::Instant::now() + Duration::from_secs(60);
    taken("some of the SMS", || site.sandbox.twilio().seen(), 1_000).await;
    killed.kill9()?;
    tokio::time::sleep_until(minute).await;
    site.sandbox.vk().up().await;
    eventually_async("only what was on the wire when VK went down is open", async || {
        let order = site.order(&id).map_err(|error| error.to_string())?;
        if order["counts"]["pending"] == 0 { Ok(()) } else { Err(order["counts"].to_string()) }
    })
    .await;
    // It is repeated under its token, the third time 94 s after the first attempt at the earliest.
    site.until_finished(&id).await;
    let special = |address: &str| SPECIAL.iter().find(|(_, one, ..)| *one == address);
    let sms = deliveries
        .iter()
        .filter(|(address, channel)| **channel == "sms" && special(address).is_none())
        .count();
    eventually_async("all receipts of SMS", async || {
        let order = site.order(&id).map_err(|error| error.to_string())?;
        let counters = order["channel_counts"].to_string();
        if channel(&order, "sms")["delivered"] == sms { Ok(()) } else { Err(counters) }
    })
    .await;
    check(&site, &id, &deliveries)
}

const QUICK: (&str, &str) = ("POSTHASTE_COURIER__BACKOFF_CAP", "2s");
// A hanging call is given up within the minute VK is down, and nothing else takes so long on a slow machine.
const MAIL: [(&str, &str); 6] = [
    ("POSTHASTE_SMTP__CONNECT_WITHIN", "10s"),
    ("POSTHASTE_SMTP__REPLY_WITHIN", "10s"),
    ("POSTHASTE_SMTP__TEXT_WITHIN", "10s"),
    ("POSTHASTE_SMTP__FINAL_REPLY_WITHIN", "10s"),
    ("POSTHASTE_SMTP__SEND_WITHIN", "20s"),
    ("POSTHASTE_SMTP__ON_UNKNOWN", "hold"),
];
const TELEGRAM: [(&str, &str); 2] =
    [("POSTHASTE_TELEGRAM__CONNECT_WITHIN", "5s"), ("POSTHASTE_TELEGRAM__SEND_WITHIN", "15s")];
const SMS: [(&str, &str); 5] = [
    ("POSTHASTE_SMS__CONNECT_WITHIN", "1s"),
    ("POSTHASTE_COURIER__LEASE", "2s"),
    ("POSTHASTE_COURIER__RENEW_EVERY", "500ms"),
    ("POSTHASTE_SMS__SEND_WITHIN", "3s"),
    ("POSTHASTE_TWILIO__LOOKUP_AFTER", "1s"),
];

/// The counts of one channel of an order.
fn channel<'a>(order: &'a Value, name: &str) -> &'a Value {
    &order["channel_counts"][name]
}

fn check(site: &Site, id: &str, expected: &BTreeMap<String, &str>) -> anyhow::Result<()> {
    let order = site.order(id)?;
    let deliveries = site.recipients(id)?;
    ensure!(deliveries.len() == expected.len(), "{} deliveries of {}", deliveries.len(), expected.len());
    let reached = site.reached();
    let mut by_channel: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    for (address, of) in expected {
        let delivery = deliveries.get(address).with_context(|| format!("no delivery of {address}"))?;
        let state = delivery["status"].as_str().unwrap_or_default();
        *by_channel.entry(of).or_default().entry(state).or_default() += 1;
        let (wanted, why) = match SPECIAL.iter().find(|(_, one, ..)| one == address) {
            Some((_, _, state, why)) => (*state, *why),
            None if *of == "sms" => ("delivered", ""),
            None => ("sent", ""),
        };
        ensure!(state == wanted, "{of} {address} is {delivery}, wanted {wanted}");
        ensure!(why.is_empty() || delivery["reason"] == why, "{of} {address} is {delivery}, for {why}");
        let good = matches!(state, "sent" | "delivered");
        ensure!(good || delivery["reason"].is_string(), "no reason: {delivery}");
        let times = reached.get(address).copied().unwrap_or(0);
        let allowed = match state {
            "sent" | "delivered" => 1..=1,
            // Unknown, so both may be; and a message the carrier gave up on had been taken.
            "unknown" => 0..=1,
            _ if *of == "sms" => 0..=1,
            _ => 0..=0,
        };
        ensure!(allowed.contains(&times), "{of} {address} got it {times} times and is {delivery}");
    }
    let finals = ["sent", "delivered", "failed", "unknown", "suppressed", "expired", "cancelled"];
    for (name, states) in by_channel {
        let reported = channel(&order, name);
        let accepted = reported["total"].as_u64().unwrap_or_default();
        let sum: u64 = finals.iter().filter_map(|state| reported[state].as_u64()).sum();
        ensure!(
            accepted == sum && reported["pending"] == 0 && reported["sending"] == 0,
            "the balance of {name}: {reported}"
        );
        for (state, deliveries) in states {
            ensure!(reported[state] == deliveries, "{deliveries} of {name} are {state}, told {reported}");
        }
    }
    let late = in_bans(site);
    ensure!(late.len() > 1, "Telegram asked to wait at most once");
    ensure!(late.iter().all(|late| *late <= 1), "requests to Telegram while it had asked to wait: {late:?}");
    let output = site.queue_output()?;
    ensure!(
        !output.contains("canary") && !output.contains("@example.test"),
        "the queue's log contains personal data"
    );
    Ok(())
}

/// For each time Telegram asked to wait: how many requests arrived during the wait on a connection whose client had
/// read of it.
fn in_bans(site: &Site) -> Vec<usize> {
    let mut requests = site.sandbox.telegram().requests();
    requests.sort_by_key(|request| request.instant);
    let mut bans: Vec<(tokio::time::Instant, Vec<u64>)> = Vec::new();
    for request in requests {
        match (request.fate, bans.last_mut()) {
            (RequestFate::Refused(429), _) => bans.push((request.instant, vec![request.connection])),
            (RequestFate::InBan, Some((begun, reported))) if request.instant < *begun + BAN => {
                reported.push(request.connection)
            }
            _ => {}
        }
    }
    let late = |reported: Vec<u64>| reported.len() - reported.into_iter().collect::<BTreeSet<_>>().len();
    bans.into_iter().map(|(_, reported)| late(reported)).collect()
}
