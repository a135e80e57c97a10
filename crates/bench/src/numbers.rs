//! Processor time for checking phone numbers of all countries, as the queue does it in a dry run.

use crate::Common;
use crate::figures::{Figures, per_second};
use crate::http::{Client, whole};
use crate::service::{Service, Site};

/// Recipients of one order.
const RECIPIENTS: u64 = 10_000;

/// Example numbers of all regions and types in international form, without those that are refused as costly.
fn examples() -> Vec<&'static str> {
    let lines = include_str!("../../queue/tests/data/phone_examples.csv").lines();
    let cells = lines.filter(|line| !line.starts_with('#')).filter_map(|line| {
        let mut cells = line.split(';');
        Some((cells.next()?, cells.next()?, cells.next()?))
    });
    let cheap =
        cells.filter(|(region, kind, _)| *region != "001" && !["premium_rate", "shared_cost"].contains(kind));
    cheap.map(|(_, _, number)| number).collect()
}

/// An order to [`RECIPIENTS`] people; `address` writes the channel and the address of one.
fn order(address: impl Fn(usize) -> String) -> String {
    let people = (0..).take(usize::try_from(RECIPIENTS).unwrap_or(usize::MAX));
    let people: Vec<_> =
        people.map(|n| format!(r#"{{"id":"r{n}","contacts":{{{}}}}}"#, address(n))).collect();
    format!(r#"{{"sender":{{"id":"u1"}},"text":"hello","recipients":[{}]}}"#, people.join(","))
}

/// Processor seconds the queue uses for each of `orders` dry runs of this body, summed.
async fn cost(queue: &Service, client: &mut Client, body: &str, orders: u64) -> anyhow::Result<f64> {
    let before = queue.cpu_seconds()?;
    for _ in 0..orders {
        let body = whole(body.to_owned());
        client.call("POST", "/v1/orders?dry_run=true", "application/json", body).await?;
    }
    Ok(queue.cpu_seconds()? - before)
}

/// Measures dry runs of orders with phone numbers, beside the same with e-mail addresses.
pub(crate) async fn measure(orders: u64, common: Common) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    let numbers = examples();
    let phones = order(|n| format!(r#""sms":["{}"]"#, numbers[n % numbers.len()]));
    let emails = order(|n| format!(r#""email":["r{n}@example.test"]"#));
    for _ in 0..common.runs {
        let site = Site::new(common.server()?)?;
        let settings = [
            ("POSTHASTE_ORDERS__PHONE_COUNTRIES", "*".to_owned()),
            ("POSTHASTE_RATE__PER_SECOND", "1000000".to_owned()),
            ("POSTHASTE_RATE__BURST", "1000000".to_owned()),
            ("POSTHASTE_KEYS__SHARE", "1.0".to_owned()),
        ];
        let (queue, key) = site.queue(&settings).await?;
        let mut client = Client::connect(&queue.address("http")?, &key).await?;
        let total = orders * RECIPIENTS;
        let phones = cost(&queue, &mut client, &phones, orders).await?;
        let emails = cost(&queue, &mut client, &emails, orders).await?;
        figures.add("numbers per second a core, with everything around them", per_second(total, phones));
        figures.add("e-mail addresses per second a core, likewise", per_second(total, emails));
        figures.add("a number: queue CPU, µs", phones * 1e6 / per_second(total, 1.0));
    }
    figures.print(&format!("Phone numbers of {} kinds, dry runs of {RECIPIENTS}", numbers.len()));
    Ok(())
}
