//! The provider of all systems: an nginx that answers 200 at once, and writes down when which message arrived.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use posthaste_rig::process::Child;
use tempfile::TempDir;

/// A body with 160 letters and their address is longer than this.
const SHORTEST: u64 = 160;

/// A running nginx, killed when dropped.
pub(super) struct Nginx {
    // First field: the process must be gone before its folder is removed.
    child: Child,
    port: u16,
    folder: TempDir,
}

/// The arrivals so far, counted as they are written.
pub(super) struct Counter {
    file: File,
    count: u64,
    buffer: Vec<u8>,
}

/// When each message arrived, in ms since 1970.
pub(super) type Arrivals = HashMap<u64, u64>;

impl Nginx {
    /// Starts it and waits until it takes connections.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let config = folder.path().join("nginx.conf");
        std::fs::write(&config, configuration(folder.path(), port))?;
        std::fs::write(folder.path().join("arrivals"), "")?;
        let errors = folder.path().join("errors").display().to_string();
        let config = config.display().to_string();
        let none: [(&str, &str); 0] = [];
        let child = Child::spawn(program()?, ["-e", &errors, "-c", &config], none)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            let ended = child.exit_status()?.is_some() || Instant::now() > deadline;
            ensure!(
                !ended,
                "nginx does not answer: {}",
                std::fs::read_to_string(&errors).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(Self { child, port, folder })
    }

    /// Where messages are posted.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/send", self.port)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("arrivals")
    }

    /// Counts what arrives.
    pub(super) fn counter(&self) -> anyhow::Result<Counter> {
        Ok(Counter { file: File::open(self.log())?, count: 0, buffer: vec![0; 1 << 20] })
    }

    /// All arrivals by the number of the message. Fails if a message came twice, or was not whole.
    pub(super) fn arrivals(&self) -> anyhow::Result<Arrivals> {
        read(&std::fs::read_to_string(self.log())?)
    }
}

impl Counter {
    /// The number of arrivals up to now.
    pub(super) fn count(&mut self) -> anyhow::Result<u64> {
        loop {
            let read = self.file.read(&mut self.buffer)?;
            if read == 0 {
                return Ok(self.count);
            }
            self.count += self.buffer[..read].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
    }
}

/// The address of message `n`, which is also its number.
pub(super) fn address(n: u64) -> String {
    format!("+7916{n:07}")
}

fn read(log: &str) -> anyhow::Result<Arrivals> {
    let mut arrivals = Arrivals::new();
    for line in log.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [seconds, to, length, method, status] = fields[..] else { anyhow::bail!("an odd line: {line}") };
        let n: u64 =
            to.strip_prefix("7916").and_then(|n| n.parse().ok()).context("a message without number")?;
        let at: u64 = seconds.replace('.', "").parse().context("a time")?;
        ensure!(method == "POST" && status == "200", "message {n}: {method} answered {status}");
        let whole = length.parse::<u64>().is_ok_and(|length| length > SHORTEST);
        ensure!(whole, "message {n} is not whole: {length} bytes");
        ensure!(arrivals.insert(n, at).is_none(), "message {n} arrived twice");
    }
    Ok(arrivals)
}

/// The path of nginx, which Debian keeps out of the PATH of users.
fn program() -> anyhow::Result<PathBuf> {
    let found = ["nginx", "/usr/sbin/nginx"].into_iter().find_map(posthaste_rig::process::find_program);
    found.context("nginx is missing: `make bench-peers` installs it")
}

/// Its version.
pub(super) fn version() -> anyhow::Result<String> {
    let output = std::process::Command::new(program()?).arg("-v").output()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(text.trim().trim_start_matches("nginx version: ").replace('/', " "))
}

/// One process, connections that stay open. The log is written after 5 ms at the latest.
fn configuration(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|what| format!("  {what}_temp_path {folder}/{what};\n"))
        .collect();
    format!(
        "daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/errors;
events {{ worker_connections 8192; }}
http {{
{temporary}  access_log off;
  log_format arrivals '$msec $arg_to $content_length $request_method $status';
  keepalive_requests 100000000;
  keepalive_timeout 1h;
  tcp_nodelay on;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location = /send {{
      access_log {folder}/arrivals arrivals buffer=64k flush=5ms;
      return 200;
    }}
  }}
}}
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_have_a_number_and_a_time() {
        let log = "1796091280.727 79160000001 320 POST 200\n1796091280.001 79160000000 321 POST 200\n";
        let arrivals = read(log).expect("arrivals");
        assert_eq!(arrivals, Arrivals::from([(1, 1_796_091_280_727), (0, 1_796_091_280_001)]));
        assert_eq!(address(1), "+79160000001");
    }

    #[test]
    fn what_voids_a_figure_is_found() {
        for (log, why) in [
            ("1.000 79160000001 320 POST 200\n1.001 79160000001 320 POST 200\n", "arrived twice"),
            ("1.000 79160000001 120 POST 200\n", "120 bytes"),
            ("1.000 79160000001 320 GET 200\n", "GET"),
            ("1.000 79160000001 320 POST 499\n", "499"),
            ("1.000 - 320 POST 200\n", "without number"),
            ("1.000\n", "odd line"),
        ] {
            let error = read(log).expect_err(why).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
