//! The ready file: tells the program that started the courier that it is running, and the address of its admin port.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use posthaste_ops::admin::AdminPort;
use posthaste_ops::health::Progress;

/// Logs "ready" and writes the ready file after the first successful claim.
pub(crate) async fn announce(file: Option<&Path>, claims: &Progress, admin: &AdminPort) {
    let mut wait = tokio::time::interval(Duration::from_millis(5));
    while !claims.has_begun() {
        wait.tick().await;
    }
    let address = match admin.address() {
        posthaste_ops::address::ListenAddress::Tcp(address) => format!("http://{address}"),
        unix => unix.to_string(),
    };
    tracing::info!(event = "process.ready", admin = address, "ready");
    let Some(file) = file else { return };
    if let Err(error) = write_whole(file, &serde_json::json!({ "admin": address }).to_string()) {
        tracing::error!(
            event = "process.ready_file_failed",
            %error,
            file = %file.display(),
            "cannot write the ready file"
        );
    }
}

/// Writes a file atomically: a reader sees all of it or nothing.
fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    fs::write(&beside, format!("{text}\n"))?;
    fs::rename(&beside, file)
}

/// Removes the ready file, so that nobody finds the file of a process that has ended.
pub(crate) fn withdraw(file: Option<&Path>) {
    if let Some(file) = file {
        let _ = fs::remove_file(file);
    }
}
