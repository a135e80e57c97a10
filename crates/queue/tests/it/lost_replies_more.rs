//! Lost replies in acceptance that a table of replies does not cover: the confirmation by a replica, a database that
//! is another one, and repeats that arrive while the first request still runs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;

use posthaste_rig::proxy::Traffic;
use posthaste_rig::{Connection, PrivateServer, Proxy, eventually_async};
use tokio::sync::mpsc::unbounded_channel;

use crate::client::Answer;
use crate::intake::Half;
use crate::intake_unknown::{behind_proxy, serve, service};
use crate::lost_replies::{Step, Trial, Way, walk_on};

#[tokio::test]
async fn an_order_is_stored_once_whatever_follows_a_lost_confirmation() {
    let builder = PrivateServer::builder().max_memory(4 << 30).tcp().line("repl-diskless-sync-delay 0");
    let server = builder.start().expect("a server");
    let replica = PrivateServer::start().expect("a replica");
    let port = server.tcp_addr().expect("an address").port().to_string();
    replica.command(&["REPLICAOF", "127.0.0.1", &port]).expect("a replica");
    let proxy = Proxy::unix(server.endpoint(), Traffic::Resp).expect("a proxy");
    let settings = [("redis.durability", "replicated"), ("redis.confirm_timeout", "2s")];
    let (address, key) = service(&server, &proxy.url(), &settings).await;
    walk_on((&server, &proxy, address, &key), Way::Post, &[Step::Confirm]).await;
}

#[tokio::test]
async fn an_order_is_stored_once_when_the_second_try_meets_another_database() {
    for way in [Way::Post, Way::Batch, Way::Upload, Way::Put, Way::LegacyApi, Way::Retry] {
        let what = format!("{way:?}");
        let (server, proxy, address, key) = behind_proxy(&[]).await;
        Trial::new(&server, address, &key, way, 0).await.conclude(address, "warming up").await;
        let mut trial = Trial::new(&server, address, &key, way, 1).await;
        let epoch =
            server.command(&["GET", "epoch:{0}"]).expect("an epoch").text().expect("a text").to_owned();
        proxy.drop_replies_of(1, |command| Step::Enqueue.is(command));
        let (seen, other) =
            (AtomicU32::new(0), Mutex::new(Connection::open(&server.endpoint()).expect("open")));
        // The second try finds another epoch.
        proxy.drop_requests_of(1, move |command| {
            if Step::Enqueue.is(command) && seen.fetch_add(1, Ordering::SeqCst) == 1 {
                other.lock().expect("open").command(&["SET", "epoch:{0}", "another"]).expect("set");
            }
            false
        });
        let first = trial.request().send(address).await;
        trial.note(&first, &what);
        assert_eq!(
            server.command(&["GET", "epoch:{0}"]).expect("an epoch").text(),
            Some("another"),
            "{what}"
        );
        assert!(first.text().contains("outcome_unknown"), "{what}: {first:?}");
        // The old database is back, and the service was restarted.
        server.command(&["SET", "epoch:{0}", &epoch]).expect("set");
        proxy.forget_rules();
        trial.conclude(serve(&server.url(), &[]).await, &what).await;
    }
}

/// The first request waits before its last step while another process handles the repeat; then the store refuses the
/// first. What the first gives back is not what the repeat needs.
#[tokio::test]
async fn a_repeat_at_another_process_keeps_its_key_and_place_when_the_first_is_refused() {
    for (way, step) in [
        (Way::Post, Step::Enqueue),
        (Way::Batch, Step::Enqueue),
        (Way::Upload, Step::Stage),
        (Way::Upload, Step::Enqueue),
        (Way::Put, Step::Enqueue),
        (Way::LegacyApi, Step::Enqueue),
        (Way::Retry, Step::Enqueue),
    ] {
        let what = format!("{way:?} {step:?}");
        let (server, proxy, address, key) = behind_proxy(&[]).await;
        let elsewhere = serve(&server.url(), &[]).await;
        Trial::new(&server, address, &key, way, 0).await.conclude(address, "warming up").await;
        let mut trial = Trial::new(&server, address, &key, way, 1).await;
        let (arrive, mut arrived) = unbounded_channel();
        let (go, goes) = mpsc::channel::<()>();
        let goes = Mutex::new(goes);
        proxy.answer_instead(1, *b"-OOM command not allowed\r\n", move |command| {
            // The command waits at the proxy until the repeat got its response.
            step.is(command) && arrive.send(()).is_ok() && goes.lock().expect("one waits").recv().is_ok()
        });
        let requested = trial.request();
        let running = tokio::spawn(async move { requested.send(address).await });
        arrived.recv().await.expect("the first is before its last step");
        let second = trial.request().send(elsewhere).await;
        assert!(trial.note(&second, &what), "{what}: {second:?}");
        go.send(()).expect("the first waits");
        let first: Answer = running.await.expect("an answer");
        trial.note(&first, &what);
        trial.conclude(address, &what).await;
    }
}

/// The client gives up while its request is on the way to the server, and repeats it.
#[tokio::test]
async fn a_client_that_gives_up_and_repeats_gets_one_order() {
    for (way, step) in [
        (Way::Post, Step::Bind),
        (Way::Post, Step::Reserve),
        (Way::Post, Step::Enqueue),
        (Way::Batch, Step::Enqueue),
        (Way::Upload, Step::Stage),
        (Way::Upload, Step::Enqueue),
        (Way::Retry, Step::Enqueue),
    ] {
        let what = format!("{way:?} {step:?}");
        let (server, proxy, address, key) = behind_proxy(&[]).await;
        Trial::new(&server, address, &key, way, 0).await.conclude(address, "warming up").await;
        let trial = Trial::new(&server, address, &key, way, 1).await;
        let (arrive, mut arrived) = unbounded_channel();
        let (go, goes) = mpsc::channel::<()>();
        let goes = Mutex::new(goes);
        let seen = AtomicU32::new(0);
        proxy.drop_requests_of(1, move |command| {
            if step.is(command) && seen.fetch_add(1, Ordering::SeqCst) == 0 {
                let _ = arrive.send(());
                let _ = goes.lock().expect("one waits").recv();
            }
            false
        });
        let first = Half::begin(address, &trial.request().bytes()).await;
        arrived.recv().await.expect("the first is on its way");
        drop(first);
        go.send(()).expect("the command waits");
        eventually_async("the first is over, or the same", async || {
            let answer = trial.request().send(address).await;
            if answer.status == 409 { Err(format!("{answer:?}")) } else { Ok(()) }
        })
        .await;
        trial.conclude(address, &what).await;
    }
}
