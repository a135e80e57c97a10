//! A scene: one private server with an append-only file, couriers as real processes, and the orders it accepted.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use posthaste_model::{Address, Channel, Clock, Content, Delivery, OrderId, SystemClock, Text, UnixMs};
use posthaste_rig::process::{Child, workspace_binary};
use posthaste_rig::servers::{Fsync, PrivateServer};
use posthaste_store::{AcceptedOrder, Cancelled, NewOrder, NewOrderHead, Role, Settings, Store};
use secrecy::SecretString;

use crate::balance::{self, Balance};
use crate::options::{CourierOptions, OrderSpec};
use crate::record::Record;

/// Orders created, or read, at the same time.
pub(crate) const AT_ONCE: usize = 64;
/// Contained in every text and address of an order; nowhere else.
const CANARY: &str = "canary";

/// A server, couriers and orders.
pub struct Scene {
    /// The couriers, which end with the scene. Declared first, so that they are gone before their server is.
    couriers: Mutex<Vec<Arc<Child>>>,
    /// The server.
    pub server: PrivateServer,
    /// A connection for creating orders and reading histories.
    pub store: Store,
    /// What was accepted, and when it was due.
    pub accepted: Vec<AcceptedOrder>,
    /// Number of orders known to have ended, counted from the first.
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

    /// A folder for the scene.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts a courier process and waits until it is working.
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

    /// Builds an order without sending it.
    ///
    /// # Errors
    /// When a channel is not valid.
    pub fn order(&self, reported: &OrderSpec) -> anyhow::Result<NewOrder> {
        let n = self.next_order.fetch_add(1, Ordering::SeqCst);
        let sender = "u00001".parse()?;
        let order_id = OrderId::new(&sender, SystemClock.now_ns() + n);
        let mut deliveries = Vec::new();
        for (channel, count) in &reported.deliveries {
            let channel: Channel = channel.parse()?;
            for index in 0..*count {
                let recipient = match reported.poison {
                    Some((at, word)) if at == index => format!("r{index}-{word}"),
                    _ => format!("r{index}"),
                };
                let address = Address::new(format!("{CANARY}{index}@{channel}.test"));
                deliveries
                    .push((channel.clone(), Delivery { index, recipient, name: String::new(), address }));
            }
        }
        let mut digest = [0; 12];
        digest[..8].copy_from_slice(&n.to_be_bytes());
        let due = reported.due_in.map(|ms| UnixMs(SystemClock.now().0 + ms));
        Ok(NewOrder {
            head: NewOrderHead {
                order_id,
                due,
                priority: reported.priority,
                on_unknown: reported.on_unknown,
                not_after: None,
                span: reported.span,
                content: Content { text: Text::new(format!("{CANARY} text")), ..Content::default() },
            },
            digest,
            deliveries,
            no_contact: Vec::new(),
        })
    }

    /// Sends an order and remembers it.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn accept(&mut self, reported: &OrderSpec) -> anyhow::Result<AcceptedOrder> {
        let order = self.order(reported)?;
        let accepted = self.store.accept(&order).await?;
        self.accepted.push(accepted.clone());
        Ok(accepted)
    }

    /// Sends many orders, some at the same time, and remembers them in order.
    ///
    /// # Errors
    /// When one is not accepted.
    pub async fn accept_all(&mut self, reported: impl IntoIterator<Item = OrderSpec>) -> anyhow::Result<()> {
        let orders =
            reported.into_iter().map(|reported| self.order(&reported)).collect::<anyhow::Result<Vec<_>>>()?;
        let store = &self.store;
        let accepted: Vec<AcceptedOrder> = stream::iter(&orders)
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
    /// When it cannot be cancelled.
    pub async fn cancel(&self, order: &AcceptedOrder) -> anyhow::Result<()> {
        let answer = self.store.cancel(self.store.partition_of(&order.order_id), &order.order_id).await?;
        anyhow::ensure!(matches!(answer.reply, Cancelled::Ok { .. }), "{:?}", answer.reply);
        Ok(())
    }

    /// Waits until every delivery of every order is final, then joins the sources. Fails when they do not balance, or
    /// when a courier wrote a text or an address into its output.
    ///
    /// # Errors
    /// When histories can't be read.
    pub async fn settle_up(&self) -> anyhow::Result<Balance> {
        posthaste_rig::eventually_async("every order ends", || balance::all_ended(self)).await;
        // The record must not be newer than the history it is joined with.
        let balance = balance::check(self, &self.record()?).await?;
        anyhow::ensure!(
            balance.faults.is_empty(),
            "the accepted orders, histories and records disagree: {:#?}",
            balance
        );
        self.check_leaks()?;
        Ok(balance)
    }

    /// Fails when a text or an address is in the output of a courier.
    ///
    /// # Errors
    /// When an output can't be read completely.
    pub fn check_leaks(&self) -> anyhow::Result<()> {
        for courier in self.couriers.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            for line in courier.lines()? {
                anyhow::ensure!(
                    !line.text.contains(CANARY),
                    "a courier's output contains personal data: {}",
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

    /// The current content of the indexes, for people.
    pub(crate) fn indexes(&self) -> String {
        let mut reported = String::new();
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
                        reported += &format!("; {key} {}", entries.join(" "));
                    }
                }
            }
        }
        reported
    }

    /// The records of the transports so far.
    ///
    /// # Errors
    /// When a record can't be read.
    pub fn record(&self) -> anyhow::Result<Record> {
        Record::read(&self.records)
    }

    /// Waits until the record meets the condition; the text describes it.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Record) -> bool) {
        posthaste_rig::eventually_async(what, async || match self.record() {
            Ok(record) if is_so(&record) => Ok(()),
            Ok(record) => {
                Err(format!("{} deliveries left, {} taken", record.leaving.len(), record.taken.len()))
            }
            Err(error) => Err(error.to_string()),
        })
        .await;
    }
}

/// Shown for failing tests.
impl Drop for Scene {
    #[expect(clippy::print_stderr, reason = "the test harness hides only this output for passing tests")]
    fn drop(&mut self) {
        for (n, courier) in self.couriers.lock().unwrap_or_else(PoisonError::into_inner).iter().enumerate() {
            eprintln!("courier {n}, the end of its output:\n{}", courier.tail(12));
        }
    }
}
