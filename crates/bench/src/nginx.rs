//! A private nginx that answers every request at once, and its access log: what it got.

use std::collections::HashSet;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use posthaste_rig::process::{Child, Sig, find_program};

use crate::sink::Received;

/// A running nginx.
pub(crate) struct Nginx {
    child: Child,
    port: u16,
    folder: PathBuf,
}

impl Nginx {
    /// Starts it with its files in `folder`.
    pub(crate) fn start(folder: &Path) -> anyhow::Result<Self> {
        let program = find_program("nginx").context("nginx is missing: install the package nginx-light")?;
        std::fs::create_dir_all(folder)?;
        // The port is free now; nginx says so and ends if somebody took it meanwhile.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let path = |name: &str| folder.join(name).display().to_string();
        let config = format!(
            "daemon off; worker_processes 1; pid {pid}; error_log {errors};\n\
             events {{ worker_connections 4096; }}\n\
             http {{\n\
             log_format got '$arg_to $msec';\n\
             access_log {log} got buffer=64k flush=1s;\n\
             client_body_temp_path {body}; proxy_temp_path {body}; fastcgi_temp_path {body};\n\
             uwsgi_temp_path {body}; scgi_temp_path {body};\n\
             keepalive_requests 100000000; keepalive_timeout 600s;\n\
             server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 'taken'; }} }}\n\
             }}\n",
            pid = path("pid"),
            errors = path("errors.log"),
            log = path("access.log"),
            body = path("body"),
        );
        std::fs::write(folder.join("nginx.conf"), config)?;
        let none: [(&str, &str); 0] = [];
        let args = ["-c".to_owned(), path("nginx.conf"), "-p".to_owned(), folder.display().to_string()];
        let child = Child::spawn(program, &args, none)?;
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            anyhow::ensure!(child.exit_status()?.is_none(), "nginx ended: {}", child.tail(20));
            anyhow::ensure!(started.elapsed() < Duration::from_secs(10), "nginx does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(Self { child, port, folder: folder.to_owned() })
    }

    /// The URL of its root.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Stops it; returns what it got.
    pub(crate) fn stop(self) -> anyhow::Result<Received> {
        self.child.signal(Sig::Term)?;
        self.child.wait_exit()?;
        let log = std::fs::read_to_string(self.folder.join("access.log"))?;
        let to: Vec<&str> = log.lines().filter_map(|line| line.split(' ').next()).collect();
        let different: HashSet<&str> = to.iter().copied().collect();
        Ok(Received { requests: to.len() as u64, addressees: different.len() as u64 })
    }
}
