//! Messages per second into a real HTTP provider: the SMS courier as operators run it, its plain gateway, and a
//! provider that answers after a given time and says what it got. Nginx answers at once.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::stream::{self, StreamExt};
use posthaste_model::{Address, Channel, Delivery};
use posthaste_rig::process::{Child, Sig};
use posthaste_store::{NewOrder, Store};

use crate::Common;
use crate::figures::{Figures, per_second};
use crate::nginx::Nginx;
use crate::orders::{connect, head};
use crate::service::{Service, Site};
use crate::sink::Received;

/// What is measured.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Orders of one delivery, and deliveries of the big order
    #[arg(long, default_value_t = 100_000)]
    messages: u32,
    /// Milliseconds until the provider answers; 0 is nginx, which answers at once
    #[arg(long, value_delimiter = ',', default_values_t = [0, 1, 20, 200])]
    latency_ms: Vec<u64>,
    /// Requests at once of each courier
    #[arg(long, value_delimiter = ',', default_values_t = [64, 512])]
    at_once: Vec<u64>,
    /// Couriers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2])]
    couriers: Vec<u64>,
    #[command(flatten)]
    common: Common,
}

/// A provider, and how to stop it.
enum Provider {
    Nginx(Nginx),
    Sink(Child, String),
}

/// One line of the table.
#[derive(Clone, Copy)]
struct Case {
    messages: u32,
    latency_ms: u64,
    at_once: u64,
    couriers: u64,
    big: bool,
}

/// Measures every combination.
pub(crate) async fn measure(options: Options) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    for _ in 0..options.common.runs {
        for &latency_ms in &options.latency_ms {
            for &at_once in &options.at_once {
                for &couriers in &options.couriers {
                    for big in [false, true] {
                        // About five seconds at most where the provider is the limit.
                        let most = (at_once * 5_000).checked_div(latency_ms).unwrap_or(u64::MAX);
                        let messages = options.messages.min(u32::try_from(most).unwrap_or(u32::MAX));
                        let case = Case { messages, latency_ms, at_once, couriers, big };
                        case.run(options.common, &mut figures).await?;
                    }
                }
            }
        }
    }
    figures.print(&format!("Into a real provider ({})", options.common.describe()));
    Ok(())
}

impl Case {
    async fn run(self, common: Common, figures: &mut Figures) -> anyhow::Result<()> {
        let site = Site::new(common.server()?)?;
        let store = connect(&site.server).await?;
        if self.big {
            tell_one(&store, self.messages).await?;
        } else {
            tell_each(&store, self.messages).await?;
        }
        store.disconnect().await;
        let provider = Provider::start(&site, self.latency_ms)?;
        let before = site.server.cpu_seconds()?;
        let calls_before = script_calls(&site)?;
        let mut couriers = Vec::new();
        let started = Instant::now();
        for n in 0..self.couriers {
            let name = format!("courier{n}");
            couriers.push(site.start(&name, &["courier", "sms"], &self.settings(&provider.url())).await?);
        }
        let ready = started.elapsed();
        let target = if self.big { 1 } else { u64::from(self.messages) };
        while crate::drain::ended(&site.server)? < target {
            tokio::time::sleep(Duration::from_millis(5)).await;
            anyhow::ensure!(started.elapsed() < Duration::from_secs(300), "not drained within five minutes");
        }
        let seconds = (started.elapsed() - ready).as_secs_f64();
        let n = u64::from(self.messages);
        let a_message = |seconds: f64| seconds * 1e6 / per_second(n, 1.0);
        let what = self.describe();
        let mut note = |figure: &str, value| figures.add(format!("{what}: {figure}"), value);
        let rate = per_second(n, seconds);
        note("messages per second", rate);
        if self.latency_ms > 0 {
            let limit = per_second(self.at_once * self.couriers * 1_000, per_second(self.latency_ms, 1.0));
            note("share of the arithmetic limit, percent", rate * 100.0 / limit);
        }
        note("server CPU, µs per message", a_message(site.server.cpu_seconds()? - before));
        let courier: f64 = couriers.iter().map(Service::cpu_seconds).sum::<anyhow::Result<f64>>()?;
        note("courier CPU, µs per message", a_message(courier));
        for (script, (calls, micros)) in script_calls(&site)? {
            let (calls_then, micros_then) = calls_before.get(&script).copied().unwrap_or_default();
            note(&format!("{script}: calls per 1,000 messages"), a_message(calls - calls_then) / 1e3);
            note(&format!("{script}: µs per message"), a_message(micros - micros_then) / 1e6);
        }
        drop(couriers);
        provider.stop()?.check(n)
    }

    fn describe(self) -> String {
        let orders = if self.big { "one order" } else { "orders of one" };
        let couriers = if self.couriers == 1 { "one courier" } else { "two couriers" };
        format!("{} ms, {} at once, {couriers}, {orders}", self.latency_ms, self.at_once)
    }

    fn settings(self, url: &str) -> [(&'static str, String); 6] {
        [
            ("POSTHASTE_SMS__PROVIDER", "gateway".into()),
            ("POSTHASTE_SMS__CONCURRENCY", self.at_once.to_string()),
            ("POSTHASTE_SMS__MAX_CONCURRENCY", self.at_once.to_string()),
            ("POSTHASTE_GATEWAY__URL", format!("{url}?to={{to_digits}}")),
            ("POSTHASTE_GATEWAY__FORMAT", "form".into()),
            ("POSTHASTE_GATEWAY__BODY", "text={text}".into()),
        ]
    }
}

/// Calls and microseconds of each script command, by command name.
fn script_calls(site: &Site) -> anyhow::Result<std::collections::BTreeMap<String, (f64, f64)>> {
    let mut found = std::collections::BTreeMap::new();
    for (command, line) in site.server.info("commandstats")? {
        let Some(command) = command.strip_prefix("cmdstat_") else { continue };
        if !matches!(
            command,
            "fcall" | "evalsha" | "hmget" | "hset" | "hgetall" | "zadd" | "zrem" | "publish"
        ) {
            continue;
        }
        let value = |key: &str| {
            line.split(',').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('=')?.parse::<f64>().ok())
        };
        found.insert(command.to_owned(), (value("calls").context("calls")?, value("usec").context("usec")?));
    }
    Ok(found)
}

impl Provider {
    fn start(site: &Site, latency_ms: u64) -> anyhow::Result<Self> {
        if latency_ms == 0 {
            return Ok(Self::Nginx(Nginx::start(&site.file("nginx"))?));
        }
        let none: [(&str, &str); 0] = [];
        let latency = latency_ms.to_string();
        let child = Child::spawn(std::env::current_exe()?, ["sink", "--latency-ms", &latency], none)?;
        let line = child.wait_line("ready", |line| line.starts_with("ready "))?;
        let address = line.trim_start_matches("ready ").to_owned();
        Ok(Self::Sink(child, address))
    }

    fn url(&self) -> String {
        match self {
            Self::Nginx(nginx) => nginx.url(),
            Self::Sink(_, address) => format!("http://{address}/"),
        }
    }

    fn stop(self) -> anyhow::Result<Received> {
        match self {
            Self::Nginx(nginx) => nginx.stop(),
            Self::Sink(child, _) => {
                child.signal(Sig::Term)?;
                let line = child.wait_line("what it got", |line| line.starts_with('{'))?;
                Ok(serde_json::from_str(&line)?)
            }
        }
    }
}

fn delivery(index: u32) -> Delivery {
    Delivery {
        index,
        recipient: format!("r{index:06}"),
        name: String::new(),
        address: Address::new(format!("+7916{index:07}")),
    }
}

async fn tell_each(store: &Store, messages: u32) -> anyhow::Result<()> {
    let channel: Channel = "sms".parse()?;
    let mut accepted = stream::iter(0..messages)
        .map(|n| {
            let channel = channel.clone();
            async move {
                let order = NewOrder {
                    head: head(None)?,
                    digest: [1; 12],
                    deliveries: vec![(channel, delivery(n))],
                    no_contact: Vec::new(),
                };
                store.accept(&order).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(256);
    while let Some(result) = accepted.next().await {
        result?;
    }
    Ok(())
}

async fn tell_one(store: &Store, messages: u32) -> anyhow::Result<()> {
    let channel: Channel = "sms".parse()?;
    let mut writer = store.open_order(head(None)?)?;
    for n in 0..messages {
        writer.push(&channel, delivery(n)).await?;
    }
    writer.finish([2; 12], &[]).await?;
    Ok(())
}
