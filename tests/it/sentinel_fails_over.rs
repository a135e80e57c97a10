//! Sentinel promotes a replica that lacks the last changes of its primary, which is killed under load. With `fast`,
//! acknowledged changes are lost: queue and couriers report it within seconds, nothing is sent until an operator
//! decides, and then nobody gets anything twice. With `replicated` nothing confirmed is lost, and all continues by
//! itself. What the provider took is compared with what was accepted and with the histories.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures::future::try_join_all;
use futures::{StreamExt, stream};
use posthaste_model::{Clock, SystemClock};
use posthaste_rig::process::Child;
use posthaste_rig::servers::Sentinels;
use posthaste_rig::{eventually_async, patience};
use posthaste_sandbox::Settings;
use posthaste_tests::Site;
use serde_json::{Value, json};

const DOWN_AFTER: Duration = Duration::from_secs(1);
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(10);
const LAG: Duration = Duration::from_millis(300);
/// How often a client under load creates an order.
const PACE: Duration = Duration::from_millis(20);
/// Counted from when the sentinels name the new primary.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);
const IN_AN_HOUR: Duration = Duration::from_secs(3_600);

/// A client that creates orders of one recipient each, every one to its own mailbox.
#[derive(Clone)]
struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
    next: Arc<AtomicU32>,
    /// Accepted orders, by mailbox.
    accepted: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Client {
    fn of(site: &Site<Sentinels>) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(Duration::from_secs(60)).build()?;
        let (url, key) = (site.url.clone(), site.key()?);
        Ok(Self { http, url, key, next: Arc::default(), accepted: Arc::default() })
    }

    fn mailbox(&self) -> String {
        format!("p{}@example.test", self.next.fetch_add(1, Ordering::SeqCst))
    }

    /// Sends the order for a mailbox once; returns status and answer. A repeat has the same idempotency key.
    async fn try_give(&self, mailbox: &str, due_in: Option<Duration>) -> anyhow::Result<(u16, Value)> {
        let mut order = json!({
            "sender": {"id": "office"},
            "text": "The lecture moves to room 7.",
            "subject": "Room",
            "recipients": [{"id": "1", "contacts": {"email": [mailbox]}}],
        });
        if let Some(due_in) = due_in {
            let due = SystemClock.now().0 + u64::try_from(due_in.as_millis())?;
            order["deliver_at"] = jiff::Timestamp::from_millisecond(due.try_into()?)?.to_string().into();
        }
        let request = self.http.post(format!("{}/v1/orders", self.url)).bearer_auth(&self.key);
        let answer = request.header("idempotency-key", mailbox).json(&order).send().await?;
        let status = answer.status().as_u16();
        let answer: Value = answer.json().await?;
        if status < 300 {
            let order = answer["id"].as_str().context("an order")?.to_owned();
            self.all().insert(mailbox.to_owned(), order);
        }
        Ok((status, answer))
    }

    /// The order as the API shows it; `None` when there is no such order.
    async fn order(&self, id: &str) -> anyhow::Result<Option<Value>> {
        let request = self.http.get(format!("{}/v1/orders/{id}", self.url)).bearer_auth(&self.key);
        let answer = request.send().await?;
        match answer.status().as_u16() {
            200 => Ok(Some(answer.json().await?)),
            404 => Ok(None),
            status => anyhow::bail!("{status} {}", answer.text().await?),
        }
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Creates `count` orders, which must all be accepted; returns their mailboxes.
    async fn give(&self, count: usize, due_in: Option<Duration>) -> anyhow::Result<Vec<String>> {
        try_join_all((0..count).map(|_| async {
            let mailbox = self.mailbox();
            let (status, answer) = self.try_give(&mailbox, due_in).await?;
            ensure!(status < 300, "{status} {answer}");
            Ok(mailbox)
        }))
        .await
    }

    /// Creates one order, with retries until it is accepted.
    async fn insist(&self) -> anyhow::Result<String> {
        let mailbox = self.mailbox();
        let insisting = async {
            let mut pace = tokio::time::interval(PACE);
            while !matches!(self.try_give(&mailbox, None).await, Ok((status, _)) if status < 300) {
                pace.tick().await;
            }
        };
        tokio::time::timeout(patience(), insisting).await.context("an order is accepted")?;
        Ok(mailbox)
    }
}

/// A stream of orders until the load is ended.
struct Load {
    over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<anyhow::Result<()>>>,
}

impl Load {
    /// `clients` clients, each with one order after the other; each order is sent once, or until it is accepted.
    fn of(clients: usize, client: &Client, insists: bool) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let task = |_| {
            let (client, over) = (client.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                // So that the load is the same on a fast computer.
                let mut pace = tokio::time::interval(PACE);
                while !over.load(Ordering::SeqCst) {
                    pace.tick().await;
                    if insists {
                        client.insist().await?;
                    } else {
                        let mailbox = client.mailbox();
                        // Its result is in the client's list, or unknown.
                        let _ = client.try_give(&mailbox, None).await;
                    }
                }
                Ok(())
            })
        };
        Self { tasks: (0..clients).map(task).collect(), over }
    }

    async fn end(self) -> anyhow::Result<()> {
        self.over.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await??;
        }
        Ok(())
    }
}

fn says_halt(text: &str) -> bool {
    text.contains("the database went back by about") && text.contains("posthaste recover")
}

async fn readyz(site: &Site<Sentinels>) -> Result<(u16, String), String> {
    let reported = async {
        let answer = reqwest::get(format!("{}/readyz", site.admin)).await?;
        Ok::<_, reqwest::Error>((answer.status().as_u16(), answer.text().await?))
    };
    reported.await.map_err(|error| error.to_string())
}

async fn until_taken(site: &Site<Sentinels>, mailboxes: &[String]) {
    eventually_async("the provider has taken them", async || {
        let taken = site.taken();
        match mailboxes.iter().filter(|mailbox| !taken.contains_key(*mailbox)).count() {
            0 => Ok(()),
            missing => Err(format!("{missing} are missing")),
        }
    })
    .await;
}

/// Waits until everything answered so far is on a replica.
fn until_replicated(site: &Site<Sentinels>) {
    site.server.node(0).wait_for_replicas(1).expect("a replica has it");
}

/// Kills the primary; returns when the sentinels named another one.
async fn fail_over(site: &mut Site<Sentinels>) -> anyhow::Result<Instant> {
    site.server.node_mut(0).kill9()?;
    eventually_async("a replica is promoted", async || match site.server.primary() {
        Ok(0) => Err("not yet".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    })
    .await;
    Ok(Instant::now())
}

/// Number of keys a server changed since its last save.
fn changes(site: &Site<Sentinels>) -> anyhow::Result<String> {
    let info = site.server.node(1).info("persistence")?;
    info.get("rdb_changes_since_last_save").cloned().context("a count of changes")
}

/// Every mailbox got at most one message, and its order shows the truth; returns how many are sent, unknown, and lost.
async fn check(
    site: &Site<Sentinels>,
    client: &Client,
    lost: &BTreeSet<String>,
) -> anyhow::Result<[usize; 3]> {
    let orders = client.all().clone();
    let read = orders.iter().map(|(mailbox, order)| async move {
        let read = eventually_async("it has ended", async || match client.order(order).await {
            Ok(Some(read)) if read["finished_at"].is_null() => Err(read.to_string()),
            Ok(read) => Ok(read),
            Err(error) => Err(format!("{error:#}")),
        });
        (mailbox, order, read.await)
    });
    let read: Vec<_> = stream::iter(read).buffered(8).collect().await;
    let taken = site.taken();
    let twice: Vec<_> = taken.iter().filter(|(_, times)| **times > 1).collect();
    ensure!(twice.is_empty(), "sent twice: {twice:?}");
    let mut count = [0; 3];
    for (mailbox, order, read) in read {
        let times = taken.get(mailbox).copied().unwrap_or(0);
        let Some(read) = read else {
            ensure!(lost.contains(order), "{order} of {mailbox} is gone, but is not listed as lost");
            count[2] += 1;
            continue;
        };
        ensure!(!lost.contains(order), "{order} of {mailbox} is listed as lost but exists");
        let is = |state: &str| read["counts"][state] == 1;
        match times {
            1 if is("sent") => count[0] += 1,
            0 | 1 if is("unknown") => count[1] += 1,
            _ => anyhow::bail!("{mailbox} got it {times} times and is {read}"),
        }
    }
    Ok(count)
}

#[expect(clippy::print_stderr, reason = "figures, shown when the output of passing tests is requested")]
fn tell(after: &str, span: Duration, [sent, unknown, lost]: [usize; 3]) {
    eprintln!("{after} {span:?} after the failover; {sent} sent, {unknown} unknown, {lost} lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_reports_what_it_lost_and_sends_nothing_until_an_operator_decides() -> anyhow::Result<()> {
    let servers = Sentinels::start(1, DOWN_AFTER)?;
    servers.lag().set_latency(LAG);
    let redis = servers.url();
    let mut site = Site::open_on(servers, redis.clone(), Settings::default(), &[]).await?;
    let courier = site.courier(&[]).await?;
    let client = Client::of(&site)?;

    let settled = client.give(20, None).await?;
    until_taken(&site, &settled).await;
    // Begun only when the replica no longer follows: there they wait to be sent.
    courier.freeze()?;
    let doubtful = client.give(20, None).await?;
    until_replicated(&site);
    site.server.lag().black_hole();
    courier.thaw()?;
    let before: BTreeSet<String> = client.all().values().cloned().collect();
    let gone = client.give(20, None).await?;
    client.give(10, Some(IN_AN_HOUR)).await?;
    until_taken(&site, &[doubtful.clone(), gone].concat()).await;
    let load = Load::of(3, &client, false);
    eventually_async("orders come", async || {
        let accepted = client.all().len();
        if accepted >= 100 { Ok(()) } else { Err(accepted) }
    })
    .await;
    let promoted = fail_over(&mut site).await?;

    eventually_async("the queue reports it", async || match readyz(&site).await? {
        (503, text) if says_halt(&text) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    courier.wait_line("the courier reports it", says_halt)?;
    let noticed = promoted.elapsed();
    ensure!(noticed < NOTICED_WITHIN, "noticed {noticed:?} after the failover");
    let (status, problem) = client.try_give("nobody@example.test", None).await?;
    let detail = problem["detail"].as_str().unwrap_or_default();
    ensure!(status == 503 && says_halt(detail), "{status} {problem}");
    load.end().await?;
    let sent = site.sandbox.messages().len();
    // The load was refused after the kill, so no further orders were accepted.
    let lost: BTreeSet<String> =
        client.all().values().filter(|order| !before.contains(*order)).cloned().collect();
    ensure!(lost.len() >= 60, "{} orders are lost", lost.len());

    let doctor = ["doctor", "--redis", &redis];
    let reported = format!("{} accepted orders are lost, ", lost.len());
    eventually_async("everything known is recorded", async || match readyz(&site).await? {
        (503, text) if text.contains(&reported) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let written = changes(&site)?;
    let ill = site.cli(&doctor)?;
    ensure!(ill.code != 0 && says_halt(&ill.text) && ill.text.contains(&reported), "{ill:?}");
    ensure!(changes(&site)? == written, "the doctor wrote");

    // The halt survives restarts.
    courier.kill9()?;
    let relay = site.relay();
    let courier = site.spawn(["courier", "email"], &[("POSTHASTE_SMTP__RELAYS", relay.as_str())])?;
    courier.wait_line("a courier that starts now reports it", says_halt)?;
    site.start_queue(&[]).await?;
    let client = Client { url: site.url.clone(), ..client };
    eventually_async("a queue that starts now reports it", async || match readyz(&site).await? {
        (503, text) if says_halt(&text) && text.contains(&reported) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let (status, problem) = client.try_give("nobody@example.test", None).await?;
    ensure!(status == 503 && says_halt(&problem.to_string()), "{status} {problem}");
    ensure!(site.sandbox.messages().len() == sent, "something was sent during the halt");

    let recovered = site.cli(&["recover", "--assume", "sent", "--redis", &redis, "-o", "ndjson"])?;
    ensure!(recovered.code == 0, "{recovered:?}");
    let lines = recovered.text.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<Value> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
    let (named, in_doubt): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line["state"] == "lost");
    let named: BTreeSet<String> =
        named.iter().filter_map(|line| Some(line["order_id"].as_str()?.to_owned())).collect();
    ensure!(named == lost, "listed as lost: {named:?}, lost: {lost:?}");
    let accepted = client.all().clone();
    // A request in flight may have been placed on the new primary: its client was never told that it was accepted.
    let is_named = |order: &&String| in_doubt.iter().any(|line| line["order_id"] == order.as_str());
    let in_doubt: BTreeSet<&String> = accepted.values().filter(is_named).collect();
    let expected: BTreeSet<&String> = doubtful.iter().map(|mailbox| &accepted[mailbox]).collect();
    ensure!(in_doubt == expected, "in doubt: {in_doubt:?}, begun: {expected:?}");

    let next = client.insist().await?;
    let more = client.give(10, None).await?;
    until_taken(&site, &[more, vec![next]].concat()).await;
    let count = check(&site, &client, &lost).await?;
    ensure!(count[1..] == [doubtful.len(), lost.len()], "{count:?}");
    ensure!(running(&courier) && site.queue().is_some_and(running), "they stay");
    tell("noticed", noticed, count);
    Ok(())
}

fn running(child: &Child) -> bool {
    matches!(child.exit_status(), Ok(None))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_that_lost_nothing_confirmed_continues() -> anyhow::Result<()> {
    let servers = Sentinels::start(2, LONGER_THAN_A_LEASE)?;
    servers.lag().set_latency(LAG);
    let redis = servers.url();
    let replicated = [("POSTHASTE_REDIS__DURABILITY", "replicated")];
    let mut site = Site::open_on(servers, redis.clone(), Settings::default(), &replicated).await?;
    let courier = site.courier(&replicated).await?;
    let client = Client::of(&site)?;
    let load = Load::of(3, &client, true);
    eventually_async("orders are accepted and sent", async || match site.taken().len() {
        0..10 => Err(site.taken().len()),
        _ => Ok(()),
    })
    .await;
    site.server.lag().black_hole();
    // It is stored by the primary alone, so its client gets no confirmation.
    let mailbox = client.mailbox();
    let (status, problem) = client.try_give(&mailbox, None).await?;
    ensure!(status == 503 && problem["code"] == "outcome_unknown", "{status} {problem}");
    let promoted = fail_over(&mut site).await?;
    let (before, sent) = (client.all().len(), site.taken().len());
    eventually_async("it continues by itself", async || {
        let (accepted, taken) = (client.all().len(), site.taken().len());
        if accepted >= before + 20 && taken >= sent + 20 {
            Ok(())
        } else {
            Err(format!("{accepted} {taken}"))
        }
    })
    .await;
    let resumed = promoted.elapsed();
    load.end().await?;
    let (status, answer) = client.try_give(&mailbox, None).await?;
    ensure!(status < 300, "{status} {answer}");
    let count = check(&site, &client, &BTreeSet::new()).await?;

    let continued = |line: &str| line.contains("the database went back") && line.contains("work goes on");
    site.queue().context("a queue")?.wait_line("the queue reports it", continued)?;
    ensure!(!site.queue_output()?.contains("posthaste recover"), "no operator has to decide");
    ensure!(!courier.output()?.contains("posthaste recover"), "no operator has to decide");
    eventually_async("the doctor shows when, and by how much", async || {
        let well = site.cli(&["doctor", "--redis", &redis]).map_err(|error| error.to_string())?;
        let reported =
            |line: &str| line.contains("went back by about") && line.contains("work went on by itself");
        if well.code == 0 && well.text.lines().any(reported) { Ok(()) } else { Err(format!("{well:?}")) }
    })
    .await;
    ensure!(running(&courier) && site.queue().is_some_and(running), "they stay");
    tell("20 more accepted and sent", resumed, count);
    Ok(())
}
