//! Orders per second through the store.

use std::time::Instant;

use crate::Common;
use crate::figures::{Figures, per_second};
use crate::orders::{connect, tell_big, tell_many};

/// Measures acceptance.
pub(crate) async fn measure(orders: u64, deliveries: u32, common: Common) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    for _ in 0..common.runs {
        let server = common.server()?;
        crate::limits::measure(&server, &mut figures)?;
        let store = connect(&server).await?;
        for (name, at_once, count) in
            [("one by one", 1, orders / 5), ("64 at once", 64, orders), ("512 at once", 512, orders)]
        {
            let cpu = server.cpu_seconds()?;
            let start = Instant::now();
            tell_many(&store, count, at_once, |_| None).await?;
            let seconds = start.elapsed().as_secs_f64();
            figures.add(format!("orders of one delivery, {name}, per second"), per_second(count, seconds));
            let cpu = (server.cpu_seconds()? - cpu) * 1e6;
            figures.add(format!("server CPU, {name}, µs per order"), cpu / per_second(count, 1.0));
        }
        let start = Instant::now();
        tell_big(&store, deliveries, None).await?;
        figures.add(
            format!("one order of {deliveries} deliveries, deliveries per second"),
            per_second(u64::from(deliveries), start.elapsed().as_secs_f64()),
        );
        store.disconnect().await;
    }
    figures.print(&format!("Enqueue ({})", common.describe()));
    Ok(())
}
