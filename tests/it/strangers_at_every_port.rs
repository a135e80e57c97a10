//! Unauthenticated clients send the whole corpus of the fuzz targets, and more, to every port of every process, well
//! framed and raw: the queue's, and those for bounces, clicks, Twilio's callbacks and VK's events. No answer reports a
//! failure of the service, nothing is believed or stored, no process ends, and then an order is sent over all
//! channels.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, ensure};
use posthaste_rig::patience;
use posthaste_sandbox::Settings;
use posthaste_tests::Site;
use reqwest::{Client, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const KEY: &str = "0123456789abcdef0123456789abcdef";
/// Prefixes of keys that an order, feedback, or an operator leaves behind.
const KEPT: [&str; 8] =
    ["history:", "delivery:", "parcel:", "staging:", "suppressed:", "key:", "idem:", "parked:"];

/// The inputs, each with its name.
fn inputs() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    let mut all = Vec::new();
    for target in std::fs::read_dir(&corpus)? {
        for file in std::fs::read_dir(target?.path())? {
            let path = file?.path();
            let name = path.strip_prefix(&corpus)?.display().to_string();
            all.push((name, std::fs::read(&path)?));
        }
    }
    all.sort();
    ensure!(all.len() > 50, "{} inputs", all.len());
    all.push(("nested arrays".to_owned(), "[".repeat(1_000_000).into()));
    all.push(("nested objects".to_owned(), "{\"object\":".repeat(90_000).into()));
    all.push(("nested mail".to_owned(), "Content-Type: message/rfc822\r\n\r\n".repeat(30_000).into()));
    all.push(("one byte".to_owned(), vec![0; 1_000_000]));
    Ok(all)
}

/// Free ports, below those the system assigns automatically.
fn free<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let from = 17_000 + u16::try_from(std::process::id() % 13_000)?;
    // All are held until all are chosen.
    let mut held: Vec<TcpListener> = Vec::new();
    held.extend((from..32_000).filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).take(N));
    let addresses = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
    addresses.try_into().ok().context("ports")
}

/// Names of the stored keys, without the times in them.
fn kept(site: &Site) -> anyhow::Result<Vec<String>> {
    let reply = site.server.command(&["KEYS", "*"])?;
    let names = reply.items().iter().filter_map(|name| name.text().map(str::to_owned));
    let mut names: Vec<_> = names.filter(|name| KEPT.iter().any(|kind| name.starts_with(kind))).collect();
    names.sort();
    Ok(names)
}

/// Sends bytes and reads until the other side closes.
async fn raw(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut received = Vec::new();
    let talk = async {
        let mut stream = TcpStream::connect(address).await?;
        // It may close before it has read everything.
        let (mut from, mut to) = stream.split();
        let say = async {
            let _ = to.write_all(bytes).await;
            let _ = to.shutdown().await;
        };
        let _ = tokio::join!(say, from.read_to_end(&mut received));
        anyhow::Ok(())
    };
    timeout(patience(), talk).await.context("no end")??;
    Ok(received)
}

/// Sends a request; returns the status of its answer.
async fn requested(
    client: &Client,
    method: Method,
    url: &str,
    kind: &str,
    key: &str,
    body: &[u8],
) -> anyhow::Result<u16> {
    let mut request = client.request(method, url).header("content-type", kind).body(body.to_vec());
    if !key.is_empty() {
        request = request.bearer_auth(key);
    }
    match request.send().await {
        Ok(answer) => Ok(answer.status().as_u16()),
        // A body that is too long may be cut off while it is being sent.
        Err(error) if error.is_request() && body.len() > 60_000 => Ok(413),
        Err(error) => Err(error.without_url().into()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_at_every_port() -> anyhow::Result<()> {
    let [bounces, clicks, twilio, vk] = free::<4>()?;
    let site = Site::open(
        Settings::default(),
        &[("POSTHASTE_RATE__PER_SECOND", "100000"), ("POSTHASTE_RATE__BURST", "100000")],
    )
    .await?;
    let listen = [bounces, clicks, vk].map(|address| address.to_string());
    let mail = [
        ("POSTHASTE_BOUNCES__ADDRESS", "bounces+{}@example.org"),
        ("POSTHASTE_BOUNCES__KEY", KEY),
        ("POSTHASTE_BOUNCES__LISTEN", &listen[0]),
        ("POSTHASTE_UNSUBSCRIBE__PUBLIC_URL", "https://example.org"),
        ("POSTHASTE_UNSUBSCRIBE__KEY", KEY),
        ("POSTHASTE_UNSUBSCRIBE__LISTEN", &listen[1]),
    ];
    let words = [
        ("POSTHASTE_VK__LISTEN", listen[2].as_str()),
        ("POSTHASTE_VK__PATH", "/vk/0123456789abcdef"),
        ("POSTHASTE_VK__CONFIRMATION", "a1b2c3"),
        ("POSTHASTE_VK__SECRET", KEY),
        ("POSTHASTE_VK__GROUP_ID", "42"),
    ];
    let processes = [
        ("email", site.courier(&mail).await?),
        ("sms", site.sms("sms.example.org", twilio, &[]).await?),
        ("vk", site.vk(&words).await?),
        ("telegram", site.telegram(&[]).await?),
    ];
    let queue: SocketAddr = site.url.strip_prefix("http://").context("an address")?.parse()?;
    let (client, key, before) = (Client::new(), site.key()?, kept(&site)?);
    for (name, bytes) in inputs()? {
        for address in [queue, clicks, twilio, vk] {
            let received = raw(address, &bytes).await.with_context(|| format!("{name} to {address}"))?;
            let first = String::from_utf8_lossy(&received[..received.len().min(12)]).into_owned();
            ensure!(received.is_empty() || first.starts_with("HTTP/1.1 4"), "{name}, raw: {first}");
        }
        let received = raw(bounces, &bytes).await.with_context(|| format!("{name} to the bounce port"))?;
        let received = String::from_utf8_lossy(&received).into_owned();
        let is_taken = received.lines().any(|line| line.starts_with("354") || line.starts_with("250 2.1.5"));
        ensure!(received.starts_with("220") && !is_taken, "{name}: {received:.200}");

        let (json, lines, form) =
            ("application/json", "application/x-ndjson", "application/x-www-form-urlencoded");
        let (orders, suppressions) =
            (format!("{}/v1/orders", site.url), format!("{}/v1/suppressions", site.url));
        let dry = format!("{orders}?dry_run=true");
        let callback = format!("http://{twilio}/twilio/status/u1.1.0.0.1");
        let (inbound, event) =
            (format!("http://{twilio}/twilio/inbound"), format!("http://{vk}/vk/0123456789abcdef"));
        let link = format!("http://{clicks}/u/AAAA");
        for (url, kind, key, statuses) in [
            (&dry, json, key.as_str(), 200..=499),
            (&dry, lines, &key, 200..=499),
            (&suppressions, json, &key, 400..=499),
            (&orders, json, "", 401..=401),
            (&orders, lines, "ph_aaaaaaaaaaaa_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 401..=401),
            (&callback, form, "", 403..=413),
            (&callback, json, "", 403..=413),
            (&inbound, form, "", 403..=413),
            (&event, json, "", 400..=413),
            (&link, form, "", 404..=413),
        ] {
            let status = requested(&client, Method::POST, url, kind, key, &bytes).await;
            let status = status.with_context(|| format!("{name} to {url}"))?;
            let cut = bytes.len() > 60_000 && status == 413;
            ensure!(statuses.contains(&status) || cut, "{name} to {url} as {kind}: {status}");
        }
    }
    ensure!(kept(&site)? == before, "something was stored: {:?}", kept(&site)?);
    for (name, process) in &processes {
        ensure!(process.exit_status()?.is_none(), "{name} ended: {}", process.tail(20));
    }
    let send =
        ["send", "--email", "a@example.test", "--sms", "+79161000001", "--telegram", "1001", "--vk", "7"];
    let answer =
        site.deliveries(&[&send[..], &["--text", "Hello", "--sender", "news", "-o", "ndjson"]].concat())?;
    let id = answer.first().and_then(|answer| answer["id"].as_str()).context("an order")?.to_owned();
    site.until_finished(&id).await;
    let deliveries = site.recipients(&id)?;
    ensure!(
        deliveries.len() == 4
            && deliveries
                .values()
                .all(|delivery| delivery["status"] == "sent" || delivery["status"] == "delivered"),
        "{deliveries:?}"
    );
    let reported = site.queue_output()?;
    ensure!(!reported.contains("panic"), "the queue panicked");
    Ok(())
}
