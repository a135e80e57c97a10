//! Memory: bytes of a pending order, of a delivery of a big order, and of an idle courier; and the idle courier's
//! calls to the server.

use std::collections::BTreeMap;
use std::time::Duration;

use posthaste_model::{Clock, SystemClock, UnixMs};
use posthaste_rig::servers::PrivateServer;

use crate::Common;
use crate::courier::Process;
use crate::figures::{Figures, per_second};
use crate::orders::{connect, tell_big, tell_many};

const DELIVERIES: u32 = 100_000;
const REST: Duration = Duration::from_secs(60);

/// Measures memory.
pub(crate) async fn measure(orders: u64, common: Common) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    for _ in 0..common.runs {
        let server = common.server()?;
        let store = connect(&server).await?;
        let tomorrow = UnixMs(SystemClock.now().0 + 86_400_000);

        let before = used(&server)?;
        tell_many(&store, orders, 256, |_| Some(tomorrow)).await?;
        figures
            .add("pending order of one delivery, bytes", (used(&server)? - before) / per_second(orders, 1.0));

        let before = used(&server)?;
        tell_big(&store, DELIVERIES, Some(tomorrow)).await?;
        figures.add(
            "delivery of a big order, pending, bytes",
            (used(&server)? - before) / f64::from(DELIVERIES),
        );

        let before = used(&server)?;
        tell_big(&store, DELIVERIES, None).await?;
        let courier = Process::start(&server.url(), &[])?;
        while server.command(&["LLEN", &retire_key()])?.int() != Some(1) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        figures.add(
            "delivery of a big order, delivered, bytes",
            (used(&server)? - before) / f64::from(DELIVERIES),
        );
        courier.stop()?;

        // From here on the courier is the only client.
        store.disconnect().await;
        let courier = Process::start(&server.url(), &[])?;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let (calls, cpu) = (calls(&server)?, courier.cpu_seconds()?);
        tokio::time::sleep(REST).await;
        let requested = self::calls(&server)?;
        let seconds = REST.as_secs_f64();
        let mut sum = 0.0;
        for (name, n) in &requested {
            let more = per_second(n - calls.get(name).unwrap_or(&0), seconds);
            if more > 0.0 {
                figures.add(format!("idle courier: {name} per second"), more);
                sum += more;
            }
        }
        figures.add("idle courier: total calls per second", sum);
        figures.add("idle courier: CPU, percent of a core", (courier.cpu_seconds()? - cpu) * 100.0 / seconds);
        figures.add("idle courier: resident MB", per_second(courier.resident()?, 1e6));
        courier.stop()?;
    }
    figures.print(&format!("Memory ({})", common.describe()));
    Ok(())
}

fn used(server: &PrivateServer) -> anyhow::Result<f64> {
    let info = server.info("memory")?;
    Ok(info.get("used_memory").map_or(Ok(0.0), |used| used.parse())?)
}

fn retire_key() -> String {
    format!("retire:{{0}}:{}", SystemClock.now().0 / 86_400_000)
}

/// Calls by clients, by command; without those that scripts make, and without our own.
fn calls(server: &PrivateServer) -> anyhow::Result<BTreeMap<String, u64>> {
    let mut calls = BTreeMap::new();
    for (key, value) in server.info("commandstats")? {
        let name = key.trim_start_matches("cmdstat_").to_owned();
        // Scripts make the other commands; the four per minute of the notification check cannot be told apart from
        // them.
        if ["evalsha", "ping", "eval", "script|load"].contains(&name.as_str())
            && let Some(n) = value.split(',').find_map(|part| part.strip_prefix("calls="))
        {
            calls.insert(name, n.parse()?);
        }
    }
    Ok(calls)
}
