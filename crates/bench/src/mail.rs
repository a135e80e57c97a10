//! E-mails per second: one order through the queue, the e-mail courier and the sandbox's SMTP server.

use crate::Common;
use crate::figures::{Figures, per_second};
use crate::http::Client;
use crate::service::Site;

/// Measures the whole path of e-mails.
pub(crate) async fn measure(messages: u64, common: Common) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    for _ in 0..common.runs {
        for connections in [1, 8] {
            let site = Site::new(common.server()?)?;
            let (queue, key) = site.queue(&[]).await?;
            let sandbox = site.start("sandbox", &["sandbox"], &[]).await?;
            let env = [
                ("POSTHASTE_SMTP__RELAYS", format!("smtp+plain://{}", sandbox.address("smtp")?)),
                ("POSTHASTE_SMTP__MAX_CONNECTIONS", connections.to_string()),
            ];
            let courier = site.start("courier", &["courier", "email"], &env).await?;
            let mut client = Client::connect(&queue.address("http")?, &key).await?;
            let mut body = String::from(
                "{\"sender\":{\"id\":\"u1\"},\"subject\":\"news\",\"text\":\"hello\",\"channels\":[\"email\"]}\n",
            );
            for n in 0..messages {
                body += &format!("{{\"id\":\"r{n}\",\"contacts\":{{\"email\":[\"r{n}@example.test\"]}}}}\n");
            }
            let seconds = client.until_sent(body, messages).await?;
            figures
                .add(format!("{connections} connections: e-mails per second"), per_second(messages, seconds));
            let cpu = courier.cpu_seconds()? * 1e6 / per_second(messages, 1.0);
            figures.add(format!("{connections} connections: courier CPU, µs per e-mail"), cpu);
        }
    }
    figures.print(&format!("E-mail into the sandbox ({})", common.describe()));
    Ok(())
}
