//! The ready file: by it whoever started the process knows that the courier is at work, and where its admin port is.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use posthaste_ops::admin::Admin;
use posthaste_ops::health::Progress;

/// Says that the courier is at work, once it has looked at the queue.
pub(crate) async fn announce(file: Option<&Path>, claims: &Progress, admin: &Admin) {
    let mut wait = tokio::time::interval(Duration::from_millis(5));
    while !claims.has_begun() {
        wait.tick().await;
    }
    let address = match admin.address() {
        posthaste_ops::address::Address::Tcp(address) => format!("http://{address}"),
        unix => unix.to_string(),
    };
    tracing::info!(admin = address, "ready");
    let Some(file) = file else { return };
    if let Err(error) = write_whole(file, &serde_json::json!({ "admin": address }).to_string()) {
        tracing::error!(%error, file = %file.display(), "the ready file can't be written");
    }
}

/// Writes a file so that whoever looks sees all of it or nothing.
fn write_whole(file: &Path, text: &str) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    fs::write(&beside, format!("{text}\n"))?;
    fs::rename(&beside, file)
}

/// Who waits for the file must not find that of a process that is gone.
pub(crate) fn withdraw(file: Option<&Path>) {
    if let Some(file) = file {
        let _ = fs::remove_file(file);
    }
}
