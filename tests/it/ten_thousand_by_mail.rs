//! A file of ten thousand people through the whole product: bad deliveries, domains that refuse, one that greylists,
//! one that hangs, a courier killed half-way, the server restarted. The sum holds, every reason is shown, and nobody
//! got a message twice unless their delivery is unknown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, ensure};
use posthaste_rig::eventually_async;
use posthaste_sandbox::Settings;
use posthaste_tests::Site;
use serde_json::Value;

const PEOPLE: u32 = 10_000;
/// Every delivery at a multiple of this has no mailbox.
const BAD: u32 = 1_000;
/// Per courier. This many deliveries may be on the wire when it is killed, and as many taken and not yet confirmed.
const CONNECTIONS: &str = "8";
const MOST_CUT_OFF: u32 = 16;

/// What a domain does, how many people it has, and the expected end of their deliveries: state, and reason if one is
/// required.
const DOMAINS: [(&str, u32, &str, Option<&str>); 6] = [
    ("refuse.test", 40, "failed", Some("invalid_address")),
    ("blocked.test", 30, "failed", Some("rejected")),
    ("spam.test", 20, "failed", Some("rejected")),
    ("greylist.test", 30, "sent", None),
    ("drop-after-dot.test", 5, "unknown", None),
    ("hang.test", 3, "unknown", None),
];

/// The file as a spreadsheet writes it: a byte order mark, semicolons, Russian headings.
fn people() -> (String, BTreeMap<String, (&'static str, Option<&'static str>)>) {
    let (mut file, mut expected) = (String::from("\u{feff}Имя;Эл. почта;id\r\n"), BTreeMap::new());
    let mut special = DOMAINS.iter().flat_map(|(domain, count, state, reason)| {
        std::iter::repeat_n((*domain, *state, *reason), *count as usize)
    });
    for n in 0..PEOPLE {
        if n % BAD == BAD / 2 {
            let _ = write!(file, "Человек {n};nobody at all;p{n}\r\n");
            continue;
        }
        // Spread over the file, so that all parcels have some.
        let (domain, state, reason) = match n % 60 {
            7 => special.next().unwrap_or(("example.test", "sent", None)),
            _ => ("example.test", "sent", None),
        };
        let address = format!("p{n}@{domain}");
        let _ = write!(file, "Человек {n};{address};p{n}\r\n");
        expected.insert(address, (state, reason));
    }
    (file, expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_people_get_an_e_mail() -> anyhow::Result<()> {
    let mut sandbox = Settings::default();
    sandbox.magic.greylist_for = std::time::Duration::from_secs(1);
    let mut site = Site::open(sandbox, &[]).await?;
    let quick = [
        ("POSTHASTE_SMTP__CONNECT_WITHIN", "5s"),
        ("POSTHASTE_SMTP__REPLY_WITHIN", "5s"),
        ("POSTHASTE_SMTP__TEXT_WITHIN", "5s"),
        ("POSTHASTE_SMTP__FINAL_REPLY_WITHIN", "8s"),
        ("POSTHASTE_SMTP__SEND_WITHIN", "12s"),
        ("POSTHASTE_SMTP__ON_UNKNOWN", "hold"),
        ("POSTHASTE_SMTP__MAX_CONNECTIONS", CONNECTIONS),
        ("POSTHASTE_COURIER__MAX_UNSETTLED", CONNECTIONS),
        ("POSTHASTE_COURIER__BACKOFF_BASE", "300ms"),
    ];
    // Deliveries of the killed one are taken over soon; the others keep theirs while the server is away.
    let short = [("POSTHASTE_COURIER__LEASE", "2s"), ("POSTHASTE_COURIER__RENEW_EVERY", "500ms")];
    let killed = site.courier(&[&quick[..], &short].concat()).await?;
    let _other = site.courier(&quick).await?;

    let (file, expected) = people();
    let path = site.folder().join("people.csv");
    std::fs::write(&path, file)?;
    let path = path.display().to_string();
    let send = ["send", "--to", &path, "--subject", "News", "--text", "A canary sings", "--sender", "news"];
    let refused = site.cli(&send)?;
    ensure!(refused.code == 3 && refused.text.contains("line 502"), "bad deliveries stop it: {refused:?}");
    ensure!(site.deliveries(&["order", "list", "-o", "ndjson"])?.is_empty(), "and nothing is there");
    let words: Vec<&str> = send.iter().copied().chain(["--on-invalid", "skip", "-o", "ndjson"]).collect();
    let answer = site.deliveries(&words)?.into_iter().next().context("an answer")?;
    let id = answer["id"].as_str().context("an order")?.to_owned();
    ensure!(answer["recipients"]["accepted_count"] == PEOPLE - PEOPLE / BAD, "{answer}");

    eventually_async("a part of it is through", async || match site.sandbox.messages().len() {
        few if few < 2_000 => Err(few),
        _ => Ok(()),
    })
    .await;
    killed.kill9()?;
    eventually_async("more of it is through", async || match site.sandbox.messages().len() {
        few if few < 4_000 => Err(few),
        _ => Ok(()),
    })
    .await;
    site.server.stop()?;
    site.server.restart()?;
    let _third = site.courier(&quick).await?;
    site.until_finished(&id).await;
    check(&site, &id, &expected)
}

fn check(
    site: &Site,
    id: &str,
    expected: &BTreeMap<String, (&'static str, Option<&'static str>)>,
) -> anyhow::Result<()> {
    let order = site.order(id)?;
    let totals = &order["counts"];
    let count = |state: &str| totals[state].as_u64().unwrap_or(0);
    let finals = ["sent", "delivered", "failed", "unknown", "suppressed", "expired", "cancelled"];
    let sum: u64 = finals.into_iter().map(count).sum();
    ensure!(sum == count("total") && sum == expected.len() as u64, "the sum: {totals}");
    let deliveries = site.recipients(id)?;
    ensure!(deliveries.len() == expected.len(), "{} deliveries", deliveries.len());
    let taken = site.taken();
    let mut by_state: BTreeMap<&str, u64> = BTreeMap::new();
    let mut unrequested = 0_u32;
    for (address, (state, reason)) in expected {
        let delivery = deliveries.get(address).with_context(|| format!("no delivery of {address}"))?;
        let is = delivery["status"].as_str().unwrap_or_default();
        *by_state.entry(is).or_default() += 1;
        let times = taken.get(address).copied().unwrap_or(0);
        // A delivery whose send was cut off by the kill is unknown, and held; all others end as their domain behaves.
        let cut_off = is == "unknown" && *state != "unknown";
        unrequested += u32::from(cut_off);
        ensure!(cut_off || is == *state, "{address} is {delivery}");
        ensure!(
            cut_off || reason.is_none_or(|reason| delivery["reason"] == reason),
            "{address} is {delivery}"
        );
        let allowed = match is {
            "sent" => 1..=1,
            "unknown" => 0..=1,
            _ => 0..=0,
        };
        ensure!(allowed.contains(&times), "{address} got it {times} times and is {delivery}");
        ensure!(is == "sent" || delivery["reason"].is_string(), "no reason: {delivery}");
    }
    for (state, deliveries) in by_state {
        ensure!(count(state) == deliveries, "{deliveries} deliveries are {state}, told {totals}");
    }
    ensure!(unrequested <= MOST_CUT_OFF, "a kill made {unrequested} deliveries unknown");
    ensure!(taken.len() >= 9_000, "{} mailboxes", taken.len());
    let output = site.queue_output()?;
    ensure!(
        !output.contains("canary") && !output.contains("@example.test"),
        "the queue's log contains personal data"
    );
    retried(site, id, &deliveries)
}

/// Retries those only, without the mailboxes that do not exist: those are on the suppression list now.
fn retried(site: &Site, id: &str, deliveries: &BTreeMap<String, Value>) -> anyhow::Result<()> {
    let failed = deliveries.values().filter(|delivery| delivery["status"] == "failed");
    let (listed, failed): (Vec<_>, Vec<_>) =
        failed.partition(|delivery| delivery["reason"] == "invalid_address");
    let (listed, failed) = (listed.len(), failed.len());
    let answer = site.deliveries(&["order", "retry", id, "--status", "failed", "-o", "ndjson"])?;
    let answer = answer.first().context("an answer")?;
    ensure!(answer["retry_of"] == *id && answer["delivery_count"] == failed, "{answer}");
    ensure!(answer["suppressed_count"] == listed, "{answer}");
    Ok(())
}
