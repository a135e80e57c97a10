//! Measures how many mails per second the sandbox accepts, to make sure it does not limit what is measured against it:
//! `cargo run --release -p posthaste-sandbox --example mails_per_second -- [mails] [connections] [record file]`.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use posthaste_sandbox::{Sandbox, Settings};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let mails: u64 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let connections: u64 = arguments.next().map_or(Ok(8), |text| text.parse())?;
    let mut settings = Settings::default();
    settings.record.file = arguments.next().map(Into::into);
    let sandbox = Sandbox::start(settings).await?;
    for (way, pipelined) in [("command by command", false), ("pipelined", true)] {
        let before = sandbox.counts().totals.accepted;
        let begun = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..connections {
            clients.spawn(client(sandbox.smtp(), mails / connections, pipelined));
        }
        while let Some(ended) = clients.join_next().await {
            ended??;
        }
        let accepted = sandbox.counts().totals.accepted - before;
        let seconds = begun.elapsed().as_secs_f64();
        let rate = f64::from(u32::try_from(accepted)?) / seconds;
        writeln!(std::io::stdout(), "{accepted} mails {way} over {connections} connections: {rate:.0}/s")?;
    }
    Ok(())
}

/// Sends `mails` of 2 KB each over one connection.
async fn client(address: std::net::SocketAddr, mails: u64, pipelined: bool) -> Outcome<()> {
    let mut stream = BufStream::new(TcpStream::connect(address).await?);
    stream.get_ref().set_nodelay(true)?;
    reply(&mut stream).await?;
    say(&mut stream, "EHLO client.test\r\n").await?;
    reply(&mut stream).await?;
    let head = "From: from@client.test\r\nTo: ann@example.org\r\nSubject: Hello\r\nX-Posthaste-Order: gym.17\r\n\r\n";
    let body = format!("{head}{}.\r\n", format!("{}\r\n", "x".repeat(78)).repeat(24));
    let commands = ["MAIL FROM:<from@client.test>\r\n", "RCPT TO:<ann@example.org>\r\n", "DATA\r\n"];
    for _ in 0..mails {
        if pipelined {
            say(&mut stream, &commands.concat()).await?;
            for _ in commands {
                reply(&mut stream).await?;
            }
        } else {
            for command in commands {
                say(&mut stream, command).await?;
                reply(&mut stream).await?;
            }
        }
        say(&mut stream, &body).await?;
        reply(&mut stream).await?;
    }
    Ok(())
}

async fn say(stream: &mut BufStream<TcpStream>, text: &str) -> Outcome<()> {
    stream.write_all(text.as_bytes()).await?;
    Ok(stream.flush().await?)
}

async fn reply(stream: &mut BufStream<TcpStream>) -> Outcome<()> {
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        if line.as_bytes().get(3) != Some(&b'-') {
            break;
        }
    }
    match line.as_bytes().first() {
        Some(b'2' | b'3') => Ok(()),
        _ => Err(line.into()),
    }
}
