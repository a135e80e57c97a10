//! The ready file: tells the program that started the courier that it is running, and the address of its admin port.

use std::path::Path;
use std::time::Duration;

use posthaste_ops::admin::AdminPort;
use posthaste_ops::health::Progress;
use posthaste_ops::ready_file;

/// Logs "ready" and writes the ready file after the first successful claim.
pub(crate) async fn announce(file: Option<&Path>, claims: &Progress, admin: &AdminPort) {
    let mut wait = tokio::time::interval(Duration::from_millis(5));
    while !claims.has_begun() {
        wait.tick().await;
    }
    let address = admin.address().url();
    tracing::info!(event = "process.ready", admin = address, "ready");
    let Some(file) = file else { return };
    if let Err(error) = ready_file::write(file, &serde_json::json!({ "admin": address })) {
        tracing::error!(
            event = "process.ready_file_failed",
            %error,
            file = %file.display(),
            "cannot write the ready file"
        );
    }
}
