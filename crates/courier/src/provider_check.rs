//! The check of the provider at the start: it changes nothing, but the log says early that credentials are wrong.

use crate::transport::Transport;

/// Asks the provider once whether it accepts the credentials, and logs the answer.
pub(crate) async fn report(transport: &dyn Transport) {
    match (transport.check().await, transport.unchecked()) {
        (Ok(()), None) => tracing::info!(event = "provider.check_passed", "provider check passed"),
        (Ok(()), Some(why)) => tracing::info!(
            event = "provider.check_skipped",
            why,
            "cannot check whether the provider accepts the credentials"
        ),
        (Err(why), _) => tracing::warn!(event = "provider.check_failed", why, "provider check failed"),
    }
}
