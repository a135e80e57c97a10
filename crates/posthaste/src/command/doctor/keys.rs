//! Keys that may do more than most users need.

use posthaste_client::{ApiResponse, Client, Key};

use super::findings::{FindingLevel, Findings};

/// Reports keys that may send from any mailbox. Listing keys needs the scope `admin`; without it nothing is reported.
pub(super) async fn tell(client: &Client, findings: &mut Findings) {
    let Ok(page) = client.keys().await else { return };
    let is_live = |key: &&ApiResponse<Key>| key.seen.revoked_at.is_none();
    let any = |key: &&ApiResponse<Key>| key.seen.mailboxes.iter().any(|mailbox| mailbox == "*");
    let free: Vec<String> = page
        .items
        .iter()
        .filter(is_live)
        .filter(any)
        .map(|key| {
            format!("{} ({})", crate::terminal::plain(&key.seen.id), crate::terminal::plain(&key.seen.name))
        })
        .collect();
    match free.is_empty() {
        true => findings.say(
            FindingLevel::Good,
            "keys",
            "each may send only from the mailboxes it names, or from the installation's own",
        ),
        false => findings.note(
            "keys",
            format!("these keys may send from any mailbox: {}", free.join(", ")),
            "Replace them with keys that name their mailboxes: posthaste key create --mailbox name@example.org",
        ),
    }
}
