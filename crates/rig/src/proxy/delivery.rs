//! Delivers a late copy on a connection of its own.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::rule::{Delivered, ProxiedCommand};
use super::shared::{Held, Shared};
use super::socket::Socket;
use crate::eventually::patience;
use crate::resp::{Kind, RespReply, Scanner, encode_command, parse_reply};

/// Delivers the copies one after the other, reports each, and returns when all are delivered. They are
/// delivered even if the caller stops waiting, which happens when its own connection is cut.
pub(super) async fn deliver(shared: &Arc<Shared>, copies: Vec<Held>) {
    if !copies.is_empty() {
        // Fails only while the proxy is being dropped.
        let _ = tokio::spawn(deliver_all(Arc::clone(shared), copies)).await;
    }
}

async fn deliver_all(shared: Arc<Shared>, copies: Vec<Held>) {
    for held in copies {
        let attempt = tokio::time::timeout(patience(), ask(&shared, &held)).await;
        let reply = match attempt {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("the server did not answer in time".to_owned()),
        };
        shared.lock().report.copies.push(Delivered { command: held.command, reply });
    }
}

async fn ask(shared: &Shared, held: &Held) -> io::Result<RespReply> {
    let mut socket = Socket::connect(&shared.upstream).await?;
    for command in &held.login {
        roundtrip(&mut socket, command).await?;
    }
    roundtrip(&mut socket, &held.command).await
}

async fn roundtrip(socket: &mut Socket, command: &ProxiedCommand) -> io::Result<RespReply> {
    socket.write_all(&encode_command(command.args())).await?;
    let (mut answer, mut scanner, mut chunk) = (Vec::new(), Scanner::default(), vec![0; 16 * 1024]);
    loop {
        let n = socket.read(&mut chunk).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let before = answer.len();
        answer.extend_from_slice(&chunk[..n]);
        let ends = scanner.feed(&chunk[..n]).map_err(io::Error::other)?;
        if let Some((end, _)) = ends.iter().find(|(_, kind)| *kind == Kind::Message) {
            answer.truncate(before + end);
            return parse_reply(&answer).map_err(io::Error::other);
        }
    }
}
