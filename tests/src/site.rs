//! A site: the product as its users run it. Queue and couriers are processes of the one binary. The sandbox is in this
//! process so that a test can look at every attempt. Users' actions go through the command line.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use posthaste_rig::eventually_async;
use posthaste_rig::process::{Child, workspace_binary};
use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_sandbox::{Sandbox, Settings};
use serde_json::Value;

/// Scenarios send to thousands of numbers in one block.
const WITHOUT_LIMIT: [(&str, &str); 3] = [
    ("POSTHASTE_SMS_LIMITS__SEGMENTS_A_DAY", "0"),
    ("POSTHASTE_SMS_LIMITS__MESSAGES_AN_HOUR", "0"),
    ("POSTHASTE_SMS_LIMITS__TO_PREFIX_AN_HOUR", "0"),
];

/// The product on a private server, or on servers of another kind.
pub struct Site<S = PrivateServer> {
    /// Processes that end with the site. Declared first, so that they are gone before their server is.
    queue: Option<Child>,
    /// The server, with an append-only file.
    pub server: S,
    /// The URL of the server for the processes.
    redis: String,
    /// The fake providers.
    pub sandbox: Sandbox,
    /// The queue's URL.
    pub url: String,
    /// The URL of the queue's admin port.
    pub admin: String,
    key: PathBuf,
    folder: tempfile::TempDir,
    started: std::sync::atomic::AtomicU32,
}

/// The result of a command.
#[derive(Debug)]
pub struct CommandOutput {
    /// Its exit code.
    pub code: i32,
    /// Its output, both streams, line by line.
    pub text: String,
}

impl Site {
    /// A queue and a sandbox on a fresh server; no courier yet.
    ///
    /// # Errors
    /// When something can't be started.
    pub async fn open(sandbox: Settings, queue: &[(&str, &str)]) -> anyhow::Result<Self> {
        let server = PrivateServer::builder().fsync(Fsync::EverySecond).start()?;
        let redis = server.url();
        Self::open_on(server, redis, sandbox, queue).await
    }
}

impl<S> Site<S> {
    /// The same on this server, which processes reach at `redis`.
    ///
    /// # Errors
    /// When something can't be started.
    pub async fn open_on(
        server: S,
        redis: String,
        sandbox: Settings,
        queue: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let sandbox = Sandbox::start(sandbox).await?;
        let folder = tempfile::tempdir()?;
        let key = folder.path().join("key");
        let mut site = Self {
            queue: None,
            server,
            redis,
            sandbox,
            url: String::new(),
            admin: String::new(),
            key,
            folder,
            started: std::sync::atomic::AtomicU32::new(0),
        };
        let scopes = "write,read,admin,any_sender";
        let url = site.redis.clone();
        let words = [
            "key",
            "create",
            "--direct",
            "--redis",
            &url,
            "--name",
            "site",
            "--scope",
            scopes,
            "--mailbox",
            "*",
            "--display-name",
            "*",
        ];
        let said = site.cli(&words)?;
        let key = said.text.lines().map(str::trim).find(|line| line.starts_with("ph_"));
        let key = key.with_context(|| format!("no key: {said:?}"))?;
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&site.key)?;
        file.write_all(key.as_bytes())?;
        site.start_queue(queue).await?;
        Ok(site)
    }

    /// Starts the queue; a running one is ended first.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start_queue(&mut self, queue: &[(&str, &str)]) -> anyhow::Result<()> {
        self.queue = None;
        let mut env =
            vec![("POSTHASTE_HTTP__ADDRESS", "127.0.0.1:0"), ("POSTHASTE_ORDERS__PHONE_COUNTRIES", "RU,US")];
        env.extend(WITHOUT_LIMIT);
        env.extend(queue);
        let (child, ready) = self.start("queue", &["queue"], &env).await?;
        let address = |which: &str| Some(ready[which].as_str()?.to_owned());
        self.url = address("http").context("the queue's address")?;
        self.admin = address("admin").context("the address of its admin port")?;
        self.queue = Some(child);
        Ok(())
    }

    /// A folder for the site.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The API key with all scopes.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn key(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(&self.key)?.trim().to_owned())
    }

    /// The queue, if it is running.
    #[must_use]
    pub fn queue(&self) -> Option<&Child> {
        self.queue.as_ref()
    }

    /// The queue's output so far.
    ///
    /// # Errors
    /// When it wrote more than is kept.
    pub fn queue_output(&self) -> anyhow::Result<String> {
        Ok(self.queue.as_ref().context("a queue")?.output()?)
    }

    /// Starts a process of the product without waiting.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn spawn<'a>(
        &self,
        words: impl IntoIterator<Item = &'a str>,
        env: &[(&str, &str)],
    ) -> anyhow::Result<Child> {
        let common =
            [("POSTHASTE_REDIS__URL", self.redis.as_str()), ("POSTHASTE_ADMIN__ADDRESS", "127.0.0.1:0")];
        let env = common.iter().chain(env).copied();
        Ok(Child::spawn(workspace_binary("posthaste")?, words, env)?)
    }

    async fn start(
        &self,
        name: &str,
        words: &[&str],
        env: &[(&str, &str)],
    ) -> anyhow::Result<(Child, Value)> {
        let n = self.started.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let ready = self.folder.path().join(format!("{name}-{n}.json"));
        let path = ready.display().to_string();
        let args = words.iter().copied().chain(["--ready-file", &path]);
        let child = self.spawn(args, env)?;
        let mut reported = None;
        eventually_async("it is ready", async || {
            if child.exit_status().ok().flatten().is_some() {
                reported = Some(Err(anyhow::anyhow!("{name} ended: {}", child.tail(20))));
                return Ok(());
            }
            match std::fs::read(&ready) {
                Ok(text) => {
                    reported = Some(serde_json::from_slice(&text).map_err(Into::into));
                    Ok(())
                }
                Err(_) => Err(child.tail(5)),
            }
        })
        .await;
        Ok((child, reported.context("an answer")??))
    }

    /// Where the sandbox accepts e-mail, as a value of the setting `smtp.relays`.
    #[must_use]
    pub fn relay(&self) -> String {
        format!("smtp+plain://{}", self.sandbox.smtp())
    }

    /// Starts an e-mail courier that sends to the sandbox.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn courier(&self, env: &[(&str, &str)]) -> anyhow::Result<Child> {
        let relay = self.relay();
        let mut all = vec![("POSTHASTE_SMTP__RELAYS", relay.as_str())];
        all.extend(env);
        Ok(self.start("email", &["courier", "email"], &all).await?.0)
    }

    /// Starts a Telegram courier for a bot of the fake provider, at a rate suitable for tests.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn telegram(&self, env: &[(&str, &str)]) -> anyhow::Result<Child> {
        let url = self.sandbox.telegram().url();
        let mut all = vec![
            ("POSTHASTE_TELEGRAM__API_URL", url.as_str()),
            ("POSTHASTE_TELEGRAM__TOKENS", "42:AAsandboxsandboxsandboxsandboxsandb"),
            ("POSTHASTE_TELEGRAM__PAID", "true"),
            ("POSTHASTE_TELEGRAM__MESSAGES_PER_SECOND", "500"),
            ("POSTHASTE_TELEGRAM__ON_UNKNOWN", "hold"),
        ];
        all.extend(env);
        Ok(self.start("telegram", &["courier", "telegram"], &all).await?.0)
    }

    /// Starts a VK courier for a community of the fake provider.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn vk(&self, env: &[(&str, &str)]) -> anyhow::Result<Child> {
        let url = self.sandbox.vk().url();
        let mut all = vec![
            ("POSTHASTE_VK__API_URL", url.as_str()),
            ("POSTHASTE_VK__TOKEN", "vk1.a.sandboxsandboxsandbox"),
        ];
        all.extend(env);
        Ok(self.start("vk", &["courier", "vk"], &all).await?.0)
    }

    /// Starts an SMS courier for the fake Twilio API. Delivery receipts go to `https://<public>`, which the sandbox
    /// must be able to map; this courier receives them at `listen`.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn sms(&self, public: &str, listen: SocketAddr, env: &[(&str, &str)]) -> anyhow::Result<Child> {
        let (url, listen) = (self.sandbox.twilio().url(), listen.to_string());
        let public = format!("https://{public}");
        let mut all = vec![
            ("POSTHASTE_TWILIO__API_URL", url.as_str()),
            ("POSTHASTE_TWILIO__ACCOUNT_SID", "AC00000000000000000000000000000001"),
            ("POSTHASTE_TWILIO__AUTH_TOKEN", "sandboxauthtoken"),
            ("POSTHASTE_TWILIO__FROM", "+15005550006"),
            ("POSTHASTE_SMS__LISTEN", listen.as_str()),
            ("POSTHASTE_SMS__PUBLIC_URL", public.as_str()),
        ];
        all.extend(env);
        Ok(self.start("sms", &["courier", "sms"], &all).await?.0)
    }

    /// Runs a command to its end.
    ///
    /// # Errors
    /// When it can't be run.
    pub fn cli(&self, words: &[&str]) -> anyhow::Result<CommandOutput> {
        let mut args = words.to_vec();
        let key = self.key.display().to_string();
        if !self.url.is_empty() {
            args.extend(["--server", &self.url, "--token-file", &key]);
        }
        let none: [(&str, &str); 0] = [];
        let child = Child::spawn(workspace_binary("posthaste")?, &args, none)?;
        let status = child.wait_exit()?;
        Ok(CommandOutput { code: status.code().unwrap_or(-1), text: child.output()? })
    }

    /// Runs a command that writes JSON, one object per line.
    ///
    /// # Errors
    /// When it ends with an exit code other than 0.
    pub fn deliveries(&self, words: &[&str]) -> anyhow::Result<Vec<Value>> {
        let said = self.cli(words)?;
        ensure!(said.code == 0, "{words:?} ended with {}: {}", said.code, said.text);
        said.text
            .lines()
            .filter(|line| line.starts_with('{'))
            .map(|line| Ok(serde_json::from_str(line)?))
            .collect()
    }

    /// The record of an order.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn order(&self, id: &str) -> anyhow::Result<Value> {
        let deliveries = self.deliveries(&["order", "show", id, "-o", "ndjson"])?;
        deliveries.into_iter().next().context("an order")
    }

    /// Waits until every delivery of an order has ended.
    pub async fn until_finished(&self, id: &str) {
        eventually_async("the order has ended", async || match self.order(id) {
            Ok(order) if !order["finished_at"].is_null() => Ok(()),
            Ok(order) => Err(order["counts"].to_string()),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// Every delivery of an order, by address.
    ///
    /// # Errors
    /// When they can't be read, or an address has two deliveries.
    pub fn recipients(&self, id: &str) -> anyhow::Result<BTreeMap<String, Value>> {
        let mut all = BTreeMap::new();
        for delivery in self.deliveries(&["order", "export", id, "-o", "ndjson"])? {
            let address = delivery["address"].as_str().context("an address")?.to_owned();
            if all.insert(address, delivery).is_some() {
                bail!("an address has two deliveries");
            }
        }
        Ok(all)
    }

    /// How often the sandbox accepted a message for each address.
    #[must_use]
    pub fn taken(&self) -> BTreeMap<String, u32> {
        let mut taken = BTreeMap::new();
        for message in self.sandbox.messages() {
            for recipient in message.recipients.iter().filter(|one| (200..300).contains(&one.code)) {
                *taken.entry(recipient.address.expose().to_owned()).or_default() += 1;
            }
        }
        taken
    }

    /// How often a message reached each address, on any channel; repeats dropped by a provider do not count.
    #[must_use]
    pub fn reached(&self) -> BTreeMap<String, u32> {
        let mut reached = BTreeMap::new();
        for message in self.sandbox.messages() {
            for recipient in message.recipients.iter().filter(|one| one.is_new()) {
                *reached.entry(recipient.address.expose().to_owned()).or_default() += 1;
            }
        }
        reached
    }

    /// The attempts the sandbox saw.
    #[must_use]
    pub fn attempts(&self) -> Vec<Arc<posthaste_sandbox::Attempt>> {
        self.sandbox.attempts()
    }
}
