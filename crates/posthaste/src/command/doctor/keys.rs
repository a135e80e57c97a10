//! Keys that may do more than most need.

use super::{Findings, Verdict};
use crate::api::{Client, Key, Page, Told};

/// Tells which keys may send from any mailbox. Only a key with `admin` sees the others; without it nothing is told.
pub(super) async fn tell(client: &Client, findings: &mut Findings) {
    let Ok(page) = client.get::<Page<Key>>("/v1/keys", &[]).await else { return };
    let is_live = |key: &&Told<Key>| key.seen.revoked_at.is_none();
    let any = |key: &&Told<Key>| key.seen.mailboxes.iter().any(|mailbox| mailbox == "*");
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
            Verdict::Good,
            "keys",
            "each sends from mailboxes that are named, or from the installation's",
        ),
        false => findings.note(
            "keys",
            format!("may send from any mailbox: {}", free.join(", ")),
            "Make keys that name their mailboxes instead: posthaste key create --mailbox name@example.org",
        ),
    }
}
