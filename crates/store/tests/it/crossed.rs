//! A reply that belongs to another request is detected, and its connection replaced.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use posthaste_rig::patience;
use posthaste_store::{CallError, InvalidReply, Role, Settings, Store};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use crate::house::*;

/// Passes everything on, but changes the number in the request id of this many replies.
async fn mix_up(listener: UnixListener, upstream: PathBuf, replies: Arc<AtomicU32>) {
    while let Ok((client, _)) = listener.accept().await {
        let server = UnixStream::connect(&upstream).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let replies = Arc::clone(&replies);
        tokio::spawn(async move {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(size @ 1..) = from_server.read(&mut chunk).await {
                let bytes = &mut chunk[..size];
                // A request id is eight hex digits, a dash and a number.
                let id = bytes.windows(10).position(|w| {
                    w[8] == b'-' && w.iter().enumerate().all(|(at, b)| at == 8 || b.is_ascii_hexdigit())
                });
                if let Some(id) = id
                    && replies
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                        .is_ok()
                {
                    bytes[id] ^= 1;
                }
                if to_client.write_all(bytes).await.is_err() {
                    break;
                }
            }
        });
    }
}

#[tokio::test]
async fn a_reply_of_another_request_is_a_fault_and_costs_the_connection() {
    let server = server();
    let socket = server.dir().join("mixed");
    let left = Arc::new(AtomicU32::new(0));
    tokio::spawn(mix_up(UnixListener::bind(&socket).unwrap(), server.socket(), Arc::clone(&left)));
    let url = format!("redis+unix://{}", socket.display());
    let one = Settings { connections: 1, call_timeout: patience(), ..settings(&url) };
    let (store, _) = Store::connect(one, Role::Tool).await.unwrap();
    store.promote_due(0).await.unwrap();
    let mut link = store.connection();
    left.store(1, Ordering::SeqCst);
    let reported = store.promote_due(0).await;
    assert!(matches!(reported, Err(CallError::InvalidReply(InvalidReply::Crossed))), "{reported:?}");
    store.promote_due(0).await.unwrap();
    tokio::time::timeout(patience(), link.wait_for(|link| link.up && link.losses == 1))
        .await
        .unwrap()
        .unwrap();
}
