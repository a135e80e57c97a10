//! A scene: one private server with an append-only file, couriers as real processes, and the orders told to it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use posthaste_model::{Address, Channel, Clock, Content, Lane, OnUnknown, Row, SystemClock, Text, UnixMs};
use posthaste_rig::process::{Child, workspace_binary};
use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_store::{Accepted, NewOrder, NewOrderHead, Role, Settings, Store};
use secrecy::SecretString;

use crate::balance::{self, Balance};
use crate::record::Record;

/// How a courier is to be started; see `test-courier --help`.
#[derive(Debug, Clone)]
pub struct CourierOptions {
    /// Arguments besides server, channel and record.
    pub args: Vec<String>,
    /// The channel.
    pub channel: &'static str,
}

impl Default for CourierOptions {
    fn default() -> Self {
        Self { args: Vec::new(), channel: "email" }
    }
}

impl CourierOptions {
    /// Adds an option and its value.
    #[must_use]
    pub fn with(mut self, option: &str, value: impl ToString) -> Self {
        self.args.extend([format!("--{option}"), value.to_string()]);
        self
    }

    /// Serves another channel than e-mail.
    #[must_use]
    pub fn channel(mut self, channel: &'static str) -> Self {
        self.channel = channel;
        self
    }
}

/// An order as scenarios tell it.
#[derive(Debug, Clone)]
pub struct Told {
    /// Rows on each channel.
    pub rows: Vec<(&'static str, u32)>,
    /// Due so many ms from now; `None` for now.
    pub due_in: Option<u64>,
    /// Its lane.
    pub lane: Lane,
    /// What becomes of unknowns.
    pub on_unknown: OnUnknown,
    /// Ends so long after it is due.
    pub span: Duration,
    /// The recipient with this index has this word in its id.
    pub poison: Option<(u32, &'static str)>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            rows: vec![("email", 1)],
            due_in: None,
            lane: Lane::Bulk,
            on_unknown: OnUnknown::Default,
            span: Duration::from_secs(3600),
            poison: None,
        }
    }
}

/// A server, couriers and orders.
pub struct Scene {
    /// The server.
    pub server: PrivateServer,
    /// A connection for telling orders and reading histories.
    pub store: Store,
    /// What was accepted, and when it was due.
    pub accepted: Vec<Accepted>,
    records: PathBuf,
    folder: tempfile::TempDir,
    next: AtomicU64,
}

impl Scene {
    /// A scene on a fresh server with an append-only file, written every second.
    ///
    /// # Errors
    /// When the server or the store can't be started.
    pub async fn open() -> anyhow::Result<Self> {
        Self::open_on(PrivateServer::builder().fsync(Fsync::EverySecond).start()?).await
    }

    /// A scene on this server.
    ///
    /// # Errors
    /// When the store can't be opened.
    pub async fn open_on(server: PrivateServer) -> anyhow::Result<Self> {
        let store = Self::connect(&server).await?;
        let folder = tempfile::tempdir()?;
        let records = folder.path().join("records");
        std::fs::create_dir(&records)?;
        Ok(Self { server, store, accepted: Vec::new(), records, folder, next: AtomicU64::new(0) })
    }

    async fn connect(server: &PrivateServer) -> anyhow::Result<Store> {
        let settings = Settings { url: SecretString::from(server.url()), ..Settings::default() };
        Ok(Store::connect(settings, Role::Tool).await?.0)
    }

    /// A folder of the scene's own.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a courier process and waits until it is at work.
    ///
    /// # Errors
    /// When it can't be started or ends at once.
    pub fn courier(&self, options: &CourierOptions) -> anyhow::Result<Child> {
        let child = self.start_courier(options)?;
        child.wait_line("ready", |line| line == "ready")?;
        Ok(child)
    }

    /// Starts a courier process.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_courier(&self, options: &CourierOptions) -> anyhow::Result<Child> {
        let n = self.next.fetch_add(1, Ordering::SeqCst);
        let record = self.records.join(n.to_string());
        let mut args = vec![
            "--redis".to_owned(),
            self.server.url(),
            "--channel".to_owned(),
            options.channel.to_owned(),
            "--record".to_owned(),
            record.display().to_string(),
        ];
        args.extend(options.args.iter().cloned());
        let none: [(&str, &str); 0] = [];
        Ok(Child::spawn(workspace_binary("test-courier")?, &args, none)?)
    }

    /// Makes an order that is not told yet.
    ///
    /// # Errors
    /// When a channel is no channel.
    pub fn order(&self, told: &Told) -> anyhow::Result<NewOrder> {
        let n = self.next.fetch_add(1, Ordering::SeqCst);
        let sender = "u00001".parse()?;
        let suffix = posthaste_model::Suffix::new(&sender, SystemClock.now_ns() + n);
        let mut rows = Vec::new();
        for (channel, count) in &told.rows {
            let channel: Channel = channel.parse()?;
            for index in 0..*count {
                let recipient = match told.poison {
                    Some((at, word)) if at == index => format!("r{index}-{word}"),
                    _ => format!("r{index}"),
                };
                let address = Address::new(format!("canary{index}@{channel}.test"));
                rows.push((channel.clone(), Row { index, recipient, name: String::new(), address }));
            }
        }
        let mut digest = [0; 12];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        Ok(NewOrder {
            head: NewOrderHead {
                suffix,
                due: told.due_in.map(|ms| UnixMs(SystemClock.now().0 + ms)),
                lane: told.lane,
                on_unknown: told.on_unknown,
                not_after: None,
                span: told.span,
                content: Content { text: Text::new("canary text"), ..Content::default() },
            },
            digest,
            rows,
            no_contact: Vec::new(),
        })
    }

    /// Tells an order and remembers it.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn tell(&mut self, told: &Told) -> anyhow::Result<Accepted> {
        let order = self.order(told)?;
        let accepted = self.store.accept(&order).await?;
        self.accepted.push(accepted.clone());
        Ok(accepted)
    }

    /// Waits until every row of every order is final, then joins the books. Fails when they don't balance.
    ///
    /// # Errors
    /// When histories can't be read.
    pub async fn settle_up(&self) -> anyhow::Result<Balance> {
        posthaste_rig::eventually_async("every order ends", || async { balance::all_ended(self).await })
            .await;
        let balance = balance::check(self, &Record::read(&self.records)?).await?;
        anyhow::ensure!(balance.faults.is_empty(), "the books don't balance: {:#?}", balance);
        Ok(balance)
    }

    /// What the transports wrote down so far.
    ///
    /// # Errors
    /// When a record can't be read.
    pub fn record(&self) -> anyhow::Result<Record> {
        Record::read(&self.records)
    }
}
