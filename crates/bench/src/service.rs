//! The real processes, as `posthaste dev` starts them: queue, courier and sandbox beside a private server.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use posthaste_rig::process::{Child, workspace_binary};
use posthaste_rig::servers::PrivateServer;
use serde_json::Value;
use tempfile::TempDir;

/// A private server and a folder for the ready files of processes.
pub(crate) struct Site {
    pub(crate) server: PrivateServer,
    folder: TempDir,
}

/// A process of Posthaste, killed when dropped.
pub(crate) struct Service {
    child: Child,
    /// The content of its ready file.
    ready: Value,
}

impl Site {
    pub(crate) fn new(server: PrivateServer) -> anyhow::Result<Self> {
        Ok(Self { server, folder: tempfile::tempdir()? })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts `posthaste <words>` and waits until it is ready.
    pub(crate) async fn start(
        &self,
        name: &str,
        words: &[&str],
        env: &[(&str, String)],
    ) -> anyhow::Result<Service> {
        let ready = self.file(&format!("{name}.json"));
        let mut args: Vec<&str> = words.to_vec();
        let path = ready.display().to_string();
        args.extend(["--ready-file", &path]);
        let mut env: Vec<_> = env.iter().map(|(key, value)| (*key, value.clone())).collect();
        if name == "sandbox" {
            args.extend(["--smtp", "127.0.0.1:0", "--smtps", "127.0.0.1:0", "--http", "127.0.0.1:0"]);
        } else {
            env.push(("POSTHASTE_REDIS__URL", self.server.url()));
            env.push(("POSTHASTE_ADMIN__ADDRESS", "127.0.0.1:0".into()));
        }
        let child = Child::spawn(workspace_binary("posthaste")?, &args, env)?;
        loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                return Ok(Service { child, ready: serde_json::from_str(&text)? });
            }
            anyhow::ensure!(child.exit_status()?.is_none(), "{name} ended: {}", child.tail(20));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// The queue, and a key with all scopes.
    pub(crate) async fn queue(&self, env: &[(&str, String)]) -> anyhow::Result<(Service, String)> {
        let url = self.server.url();
        let words = ["key", "create", "--direct", "--redis", &url, "--name", "bench", "--scope"];
        let none: [(&str, &str); 0] = [];
        let args = words.into_iter().chain(["write,read,admin,any_sender"]);
        let mint = Child::spawn(workspace_binary("posthaste")?, args, none)?;
        anyhow::ensure!(mint.wait_exit()?.success(), "no key: {}", mint.tail(20));
        let output = mint.output()?;
        let secret = output.lines().map(str::trim).find(|line| line.starts_with("ph_")).context("a key")?;
        let mut all = vec![
            ("POSTHASTE_HTTP__ADDRESS", "127.0.0.1:0".to_owned()),
            ("POSTHASTE_ORDERS__PHONE_COUNTRIES", "RU".to_owned()),
            ("POSTHASTE_SMS_LIMITS__SEGMENTS_A_DAY", "0".to_owned()),
            ("POSTHASTE_SMS_LIMITS__MESSAGES_AN_HOUR", "0".to_owned()),
            ("POSTHASTE_SMS_LIMITS__TO_PREFIX_AN_HOUR", "0".to_owned()),
        ];
        all.extend(env.iter().cloned());
        Ok((self.start("queue", &["queue"], &all).await?, secret.to_owned()))
    }
}

impl Service {
    /// One of the addresses from its ready file, without the scheme.
    pub(crate) fn address(&self, of: &str) -> anyhow::Result<String> {
        let url = self.ready[of].as_str().with_context(|| format!("no address of {of} in {}", self.ready))?;
        Ok(url.split("://").last().unwrap_or(url).trim_end_matches('/').to_owned())
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Peak and current resident memory in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<(u64, u64)> {
        let status = procfs::process::Process::new(i32::try_from(self.child.id())?)?.status()?;
        Ok((status.vmhwm.unwrap_or(0) * 1024, status.vmrss.unwrap_or(0) * 1024))
    }

    /// Processor seconds used so far.
    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = procfs::process::Process::new(i32::try_from(self.child.id())?)?.stat()?;
        #[expect(clippy::cast_precision_loss, reason = "a count of ticks")]
        Ok((stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64)
    }
}
