//! A scene: one private server with an append-only file, couriers as real processes, and the orders told to it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use posthaste_model::{Address, Channel, Clock, Content, Row, Suffix, SystemClock, Text, UnixMs};
use posthaste_rig::process::{Child, workspace_binary};
use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_store::{Accepted, Cancelled, NewOrder, NewOrderHead, Role, Settings, Store};
use secrecy::SecretString;

use crate::balance::{self, Balance};
use crate::record::Record;
use crate::told::{CourierOptions, Told};

/// Orders told, or read, at the same time.
pub(crate) const AT_ONCE: usize = 64;
/// In every text and address that is told; nowhere else.
const CANARY: &str = "canary";

/// A server, couriers and orders.
pub struct Scene {
    /// The couriers, which end with the scene. First: they are gone before their server is.
    couriers: Mutex<Vec<Arc<Child>>>,
    /// The server.
    pub server: PrivateServer,
    /// A connection for telling orders and reading histories.
    pub store: Store,
    /// What was accepted, and when it was due.
    pub accepted: Vec<Accepted>,
    /// So many of the orders are known to have ended, from the first on.
    pub(crate) ended: AtomicUsize,
    records: PathBuf,
    folder: tempfile::TempDir,
    next_order: AtomicU64,
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
        let settings = Settings { url: SecretString::from(server.url()), ..Settings::default() };
        let store = Store::connect(settings, Role::Tool).await?.0;
        let folder = tempfile::tempdir()?;
        let records = folder.path().join("records");
        std::fs::create_dir(&records)?;
        Ok(Self {
            couriers: Mutex::new(Vec::new()),
            server,
            store,
            accepted: Vec::new(),
            ended: AtomicUsize::new(0),
            records,
            folder,
            next_order: AtomicU64::new(0),
        })
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
    pub fn courier(&self, options: &CourierOptions) -> anyhow::Result<Arc<Child>> {
        let child = self.start_courier(options)?;
        child.wait_line("ready", |line| line == "ready")?;
        Ok(child)
    }

    /// Starts a courier process. The first of a scene is number 0 in its record.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_courier(&self, options: &CourierOptions) -> anyhow::Result<Arc<Child>> {
        let mut couriers = self.couriers.lock().unwrap_or_else(PoisonError::into_inner);
        let record = self.records.join(couriers.len().to_string());
        let mut args = vec![
            "--redis".to_owned(),
            options.redis.clone().unwrap_or_else(|| self.server.url()),
            "--channel".to_owned(),
            options.channel.to_owned(),
            "--record".to_owned(),
            record.display().to_string(),
        ];
        args.extend(options.args.iter().cloned());
        let none: [(&str, &str); 0] = [];
        let child = Arc::new(Child::spawn(workspace_binary("test-courier")?, &args, none)?);
        couriers.push(Arc::clone(&child));
        Ok(child)
    }

    /// Makes an order that is not told yet.
    ///
    /// # Errors
    /// When a channel is no channel.
    pub fn order(&self, told: &Told) -> anyhow::Result<NewOrder> {
        let n = self.next_order.fetch_add(1, Ordering::SeqCst);
        let sender = "u00001".parse()?;
        let suffix = Suffix::new(&sender, SystemClock.now_ns() + n);
        let mut rows = Vec::new();
        for (channel, count) in &told.rows {
            let channel: Channel = channel.parse()?;
            for index in 0..*count {
                let recipient = match told.poison {
                    Some((at, word)) if at == index => format!("r{index}-{word}"),
                    _ => format!("r{index}"),
                };
                let address = Address::new(format!("{CANARY}{index}@{channel}.test"));
                rows.push((channel.clone(), Row { index, recipient, name: String::new(), address }));
            }
        }
        let mut digest = [0; 12];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        let due = told.due_in.map(|ms| UnixMs(SystemClock.now().0 + ms));
        Ok(NewOrder {
            head: NewOrderHead {
                suffix,
                due,
                lane: told.lane,
                on_unknown: told.on_unknown,
                not_after: None,
                span: told.span,
                content: Content { text: Text::new(format!("{CANARY} text")), ..Content::default() },
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

    /// Tells many orders, some at the same time, and remembers them in their order.
    ///
    /// # Errors
    /// When one is not accepted.
    pub async fn tell_all(&mut self, told: impl IntoIterator<Item = Told>) -> anyhow::Result<()> {
        let orders = told.into_iter().map(|told| self.order(&told)).collect::<anyhow::Result<Vec<_>>>()?;
        let store = &self.store;
        let accepted: Vec<Accepted> = stream::iter(&orders)
            .map(|order| Box::pin(store.accept(order)))
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        self.accepted.extend(accepted);
        Ok(())
    }

    /// Cancels an order.
    ///
    /// # Errors
    /// When it can't be.
    pub async fn cancel(&self, order: &Accepted) -> anyhow::Result<()> {
        let answer = self.store.cancel(self.store.partition_of(&order.suffix), &order.suffix).await?;
        anyhow::ensure!(matches!(answer.reply, Cancelled::Ok { .. }), "{:?}", answer.reply);
        Ok(())
    }

    /// Waits until every row of every order is final, then joins the books. Fails when they don't balance, or when a
    /// courier wrote a text or an address into its output.
    ///
    /// # Errors
    /// When histories can't be read.
    pub async fn settle_up(&self) -> anyhow::Result<Balance> {
        posthaste_rig::eventually_async("every order ends", || balance::all_ended(self)).await;
        // The record is older than the history it is joined with, never younger.
        let balance = balance::check(self, &self.record()?).await?;
        anyhow::ensure!(balance.faults.is_empty(), "the books don't balance: {:#?}", balance);
        self.check_leaks()?;
        Ok(balance)
    }

    /// Fails when a text or an address is in the output of a courier.
    ///
    /// # Errors
    /// When an output can't be read whole.
    pub fn check_leaks(&self) -> anyhow::Result<()> {
        for courier in self.couriers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for line in courier.lines()? {
                anyhow::ensure!(
                    !line.text.contains(CANARY),
                    "a courier tells what it must not: {}",
                    line.text
                );
            }
        }
        Ok(())
    }

    /// The channels of all orders, each once.
    fn channels(&self) -> BTreeSet<&Channel> {
        self.accepted.iter().flat_map(|order| order.channels.iter().map(|channel| &channel.channel)).collect()
    }

    /// What the indexes name now, for people.
    pub(crate) fn indexes(&self) -> String {
        let mut told = String::new();
        let channels = self.channels();
        for family in ["ready", "leased", "lease", "unresolved", "crashes"] {
            for channel in &channels {
                let keys = match family {
                    "ready" => {
                        vec![format!("ready:{{0}}:{channel}:urgent"), format!("ready:{{0}}:{channel}:bulk")]
                    }
                    _ => vec![format!("{family}:{{0}}:{channel}")],
                };
                for key in keys {
                    let entries = match family {
                        "lease" | "crashes" => self.server.command(&["HGETALL", &key]),
                        _ => self.server.command(&["ZRANGE", &key, "0", "5", "WITHSCORES"]),
                    };
                    let entries = entries.map(|reply| reply.items().to_vec()).unwrap_or_default();
                    let entries: Vec<&str> =
                        entries.iter().take(12).filter_map(|entry| entry.text()).collect();
                    if !entries.is_empty() {
                        told += &format!("; {key} {}", entries.join(" "));
                    }
                }
            }
        }
        told
    }

    /// What the transports wrote down so far.
    ///
    /// # Errors
    /// When a record can't be read.
    pub fn record(&self) -> anyhow::Result<Record> {
        Record::read(&self.records)
    }

    /// Waits until the record is as asked; the text says what is waited for.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Record) -> bool) {
        posthaste_rig::eventually_async(what, async || match self.record() {
            Ok(record) if is_so(&record) => Ok(()),
            Ok(record) => Err(format!("{} rows left, {} taken", record.leaving.len(), record.taken.len())),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }
}

/// Shown for tests that fail.
impl Drop for Scene {
    #[expect(clippy::print_stderr, reason = "only what is printed so is kept from tests that pass")]
    fn drop(&mut self) {
        for (n, courier) in self.couriers.lock().unwrap_or_else(PoisonError::into_inner).iter().enumerate() {
            eprintln!("courier {n}, the end of its output:\n{}", courier.tail(12));
        }
    }
}
