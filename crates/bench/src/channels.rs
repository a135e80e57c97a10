//! VK, Telegram and SMS: one order through queue, courier and the sandbox's fake provider, which answers with the
//! given delay.

use std::time::Duration;

use posthaste_sandbox::fake_provider::{MessageAction, MessageFault};
use posthaste_sandbox::{Sandbox, Settings};

use crate::Common;
use crate::figures::{Figures, per_second};
use crate::http::Client;
use crate::service::Site;

/// What is measured: a channel, the number of messages, the provider's delay.
struct Channel {
    name: &'static str,
    messages: u64,
    away: Duration,
    /// The address of message `n`.
    address: fn(u64) -> String,
}

const VK: Channel = Channel {
    name: "vk",
    messages: 200_000,
    away: Duration::from_millis(200),
    address: |n| (5_000_000 + n).to_string(),
};
const TELEGRAM: Channel = Channel {
    name: "telegram",
    messages: 1_500,
    away: Duration::from_millis(100),
    address: |n| (1_000_000 + n).to_string(),
};
const SMS: Channel = Channel {
    name: "sms",
    messages: 10_000,
    away: Duration::from_millis(50),
    address: |n| format!("\"+7916{:07}\"", 1_000_000 + n),
};

/// Telegram's rate, and how often it asks to wait.
const RATE: f64 = 30.0;
const THROTTLED: u64 = 100;

/// Measures all three.
pub(crate) async fn measure(common: Common) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    for _ in 0..common.runs {
        vk(common, &mut figures).await?;
        telegram(common, &mut figures).await?;
        sms(common, &mut figures).await?;
    }
    figures.print(&format!("Three channels ({})", common.describe()));
    Ok(())
}

async fn vk(common: Common, figures: &mut Figures) -> anyhow::Result<()> {
    let sandbox = sandbox().await?;
    sandbox.vk().set_reply_after(VK.away);
    let env = [("POSTHASTE_VK__API_URL", sandbox.vk().url()), ("POSTHASTE_VK__TOKEN", "vk1.a.bench".into())];
    let before = sandbox.vk().seen();
    let seconds = VK.run(common, &env).await?;
    // The token check at the courier's start is counted too.
    let requests = sandbox.vk().seen() - before;
    figures.add("VK at 200 ms: recipients per second", per_second(VK.messages, seconds));
    figures.add("VK at 200 ms: recipients per request", per_second(VK.messages, per_second(requests, 1.0)));
    sandbox.stop().await;
    Ok(())
}

async fn telegram(common: Common, figures: &mut Figures) -> anyhow::Result<()> {
    let sandbox = sandbox().await?;
    sandbox.telegram().set_reply_after(TELEGRAM.away);
    sandbox
        .telegram()
        .add_fault(MessageFault::new(MessageAction::Throttle { retry_after: 1 }).every(THROTTLED))?;
    let env = [
        ("POSTHASTE_TELEGRAM__API_URL", sandbox.telegram().url()),
        ("POSTHASTE_TELEGRAM__TOKENS", "42:AAbenchbenchbenchbenchbenchbenchben".into()),
        ("POSTHASTE_TELEGRAM__MESSAGES_PER_SECOND", RATE.to_string()),
    ];
    let seconds = TELEGRAM.run(common, &env).await?;
    let ideal = per_second(TELEGRAM.messages, RATE);
    let refused = sandbox.telegram().requests().iter().filter(|request| !request.is_taken()).count();
    figures.add("Telegram at 30/s, 1 % answered 429: time over the ideal", seconds / ideal);
    figures.add("Telegram: refused requests", per_second(refused as u64, 1.0));
    sandbox.stop().await;
    Ok(())
}

async fn sms(common: Common, figures: &mut Figures) -> anyhow::Result<()> {
    let sandbox = sandbox().await?;
    sandbox.twilio().set_reply_after(SMS.away);
    let env = [
        ("POSTHASTE_TWILIO__API_URL", sandbox.twilio().url()),
        ("POSTHASTE_TWILIO__ACCOUNT_SID", "AC00000000000000000000000000000001".into()),
        ("POSTHASTE_TWILIO__AUTH_TOKEN", "sandboxauthtoken".into()),
        ("POSTHASTE_TWILIO__FROM", "+15005550006".into()),
    ];
    let seconds = SMS.run(common, &env).await?;
    figures.add("SMS at 50 ms, Twilio's 100 at once: messages per second", per_second(SMS.messages, seconds));
    sandbox.stop().await;
    Ok(())
}

async fn sandbox() -> anyhow::Result<Sandbox> {
    let mut settings = Settings::default();
    // The courier has to keep the rates here.
    settings.telegram.limits = posthaste_sandbox::telegram::BotLimits::none();
    Ok(Sandbox::start(settings).await?)
}

impl Channel {
    /// One order, from its upload to its last outcome, in seconds.
    async fn run(&self, common: Common, env: &[(&str, String)]) -> anyhow::Result<f64> {
        let site = Site::new(common.server()?)?;
        let (queue, key) = site.queue(&[]).await?;
        let _courier = site.start("courier", &["courier", self.name], env).await?;
        let mut client = Client::connect(&queue.address("http")?, &key).await?;
        let name = self.name;
        let mut body =
            format!("{{\"sender\":{{\"id\":\"u1\"}},\"text\":\"hello\",\"channels\":[\"{name}\"]}}\n");
        for n in 0..self.messages {
            let address = (self.address)(n);
            body += &format!("{{\"id\":\"r{n}\",\"contacts\":{{\"{name}\":[{address}]}}}}\n");
        }
        client.until_sent(body, self.messages).await
    }
}
