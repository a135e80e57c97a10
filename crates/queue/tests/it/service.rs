//! A service on a private server, and orders stored there directly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use posthaste_model::{
    Address, Channel, Content, Delivery, OnUnknown, OrderId, Priority, SenderId, SystemClock, Text, UnixMs,
};
use posthaste_ops::listen::Listener;
use posthaste_queue::keys::{Wanted, mint};
use posthaste_queue::{AppState, Args, api, limits};
use posthaste_rig::PrivateServer;
use posthaste_store::{KeyScope, NewOrder, NewOrderHead, Role, SendAs, Settings as StoreSettings, Store};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::client::{Answer, Ask};

/// A running service of its own.
pub(crate) struct Service {
    pub(crate) redis: PrivateServer,
    pub(crate) store: Store,
    pub(crate) address: SocketAddr,
    /// Asks it to stop.
    pub(crate) soft: CancellationToken,
    /// Ends when it has stopped.
    pub(crate) task: JoinHandle<()>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// With settings, given as dotted key and value.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let redis = PrivateServer::builder().max_memory(4 << 30).start().expect("a server");
        let Replica { store, address, soft, task } = Replica::with(&redis, settings, api::router).await;
        Self { redis, store, address, soft, task }
    }

    /// A key with these scopes, bound to this sender; without a sender it may act as any.
    pub(crate) async fn key(&self, scopes: &[KeyScope], sender: Option<&str>) -> String {
        // A key with `act_as` may send from any mailbox; a bound key only from the installation's own.
        let free = scopes.contains(&KeyScope::AnySender);
        let wanted = Wanted {
            name: format!("{scopes:?}{sender:?}{}", rand_name()),
            scopes: scopes.iter().copied().collect(),
            sender: sender.map(|sender| sender.parse().expect("a sender")),
            send_as: if free { SendAs::any() } else { SendAs::default() },
            ..Wanted::default()
        };
        mint(&self.store, &wanted).await.expect("a key").bearer.expose()
    }

    /// A key that allows everything.
    pub(crate) async fn master(&self) -> String {
        self.key(&KeyScope::ALL, None).await
    }

    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Answer {
        ask.send(self.address).await
    }

    /// A separate connection to the same database.
    pub(crate) async fn tool(&self) -> Store {
        self.joined(Role::Tool).await
    }

    /// A courier that is connected and does nothing.
    pub(crate) async fn courier(&self) -> Store {
        self.joined(Role::Courier(email())).await
    }

    /// The same, and it reports whether its channel has receipts.
    pub(crate) async fn courier_with(&self, receipts: bool) -> Store {
        self.joined(Role::CourierWith { channel: email(), receipts }).await
    }

    async fn joined(&self, role: Role) -> Store {
        let settings = StoreSettings { url: self.redis.url().into(), ..StoreSettings::default() };
        Store::connect(settings, role).await.expect("a store").0
    }

    /// Stores an order: this many e-mail deliveries, due then, or now.
    pub(crate) async fn order(&self, order_id: &OrderId, deliveries: u32, due: Option<UnixMs>) {
        let order = NewOrder {
            head: NewOrderHead {
                order_id: order_id.clone(),
                due,
                priority: Priority::Bulk,
                on_unknown: OnUnknown::Default,
                not_after: None,
                span: Duration::from_secs(72 * 3600),
                content: Content {
                    text: Text::new("Hello"),
                    origin: "timetable".to_owned(),
                    ..Content::default()
                },
            },
            digest: [7; 12],
            deliveries: (0..deliveries).map(|index| (email(), delivery(index))).collect(),
            no_contact: Vec::new(),
        };
        self.store.accept(&order).await.expect("an order");
    }

    /// An hour from now, by the server's clock.
    pub(crate) async fn in_an_hour(&self) -> UnixMs {
        self.store.server_time().await.expect("the time").after(Duration::from_secs(3600))
    }
}

/// One process of the service, on a server that others may use too.
pub(crate) struct Replica {
    pub(crate) store: Store,
    pub(crate) address: SocketAddr,
    pub(crate) soft: CancellationToken,
    pub(crate) task: JoinHandle<()>,
}

impl Replica {
    /// With settings, given as dotted key and value, and these routes.
    pub(crate) async fn with(
        redis: &PrivateServer,
        settings: &[(&str, &str)],
        routes: impl FnOnce(AppState) -> Router,
    ) -> Self {
        let variable = |(key, value): &(&str, &str)| {
            let name = format!("POSTHASTE_{}", key.replace('.', "__").to_uppercase());
            (name.into(), (*value).into())
        };
        let url = redis.url();
        let given = [("redis.url", url.as_str()), ("http.address", "127.0.0.1:0")];
        let variables: Vec<_> = given.iter().chain(settings).map(variable).collect();
        let settings = Args::default().load(variables).expect("settings").settings;
        let (store, _) = Store::connect(settings.redis.clone(), Role::Queue).await.expect("a store");
        let soft = CancellationToken::new();
        let http = settings.http.clone();
        let state =
            AppState::new(store.clone(), settings, Arc::new(SystemClock), soft.clone()).expect("a state");
        let listener = Listener::bind(&http.address).await.expect("a port");
        let posthaste_ops::address::ListenAddress::Tcp(address) = *listener.address() else {
            panic!("a TCP address")
        };
        let task = tokio::spawn(listener.serve(routes(state), limits(&http), soft.clone()));
        Self { store, address, soft, task }
    }
}

fn rand_name() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

pub(crate) fn email() -> Channel {
    "email".parse().expect("a channel")
}

pub(crate) fn order_id(sender: &str, n: u64) -> OrderId {
    OrderId::new(&sender.parse::<SenderId>().expect("a sender"), n)
}

fn delivery(index: u32) -> Delivery {
    Delivery {
        index,
        recipient: format!("r{index}"),
        name: String::new(),
        address: Address::new(format!("r{index}@example.org")),
    }
}
