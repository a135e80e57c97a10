//! Gives each message its return path. An order whose name is too long for one is remembered at the desk under a short name
//! before its first message leaves.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use metrics::counter;
use posthaste_courier::{AttemptId, Desk};
use tokio::time::timeout;

use crate::compose::{Letter, ReportsTo};
use crate::seal::{Purpose, Seals};
use crate::settings::{BadSetting, Bounces};
use crate::verp::ReturnPaths;

/// How long a short name is kept. Servers try for 5 days, and some tell it late.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
/// A name that was stored so long ago is stored again, so that it lasts when an order takes weeks.
const AGAIN: Duration = Duration::from_secs(24 * 3600);
/// How long the desk may take; a message does not wait for longer.
const DESK: Duration = Duration::from_secs(3);
/// Orders known to be remembered.
const KNOWN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);

/// The return paths of messages.
pub(crate) struct Returns {
    paths: Arc<ReturnPaths>,
    request: bool,
    /// Names the desk has, and since when.
    known: Mutex<LruCache<String, tokio::time::Instant>>,
}

impl Returns {
    /// Return paths as the settings say; none without an address for them.
    pub(crate) fn new(bounces: &Bounces) -> Result<Option<Self>, BadSetting> {
        if bounces.address.is_empty() {
            return Ok(None);
        }
        let (key, old) = (("bounces.key", &bounces.key), ("bounces.old_keys", &bounces.old_keys));
        let paths = Arc::new(ReturnPaths::new(&bounces.address, Seals::new(Purpose::Bounce, key, old)?)?);
        let known = Mutex::new(LruCache::new(KNOWN));
        Ok(Some(Self { paths, request: bounces.request, known }))
    }

    pub(crate) fn paths(&self) -> Arc<ReturnPaths> {
        Arc::clone(&self.paths)
    }

    /// Puts the return path of an attempt on a message. A message that can't have one leaves with the usual one, and what
    /// comes back of it is not told: a missing receipt is better than a missing message.
    pub(crate) async fn put(&self, letter: &mut Letter, attempt: &AttemptId, desk: Option<&Arc<dyn Desk>>) {
        let Some(path) = self.paths.of(attempt) else { return count("no_form") };
        if let Some(name) = path.name
            && let Err(why) = self.remember(name, attempt, desk).await
        {
            return count(why);
        }
        letter.from = path.address;
        letter.reports = self.request.then(|| ReportsTo { id: letter.identity.hex() });
    }

    async fn remember(
        &self,
        name: String,
        attempt: &AttemptId,
        desk: Option<&Arc<dyn Desk>>,
    ) -> Result<(), &'static str> {
        let known = |name: &str| {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(name).is_some_and(|since| since.elapsed() < AGAIN)
        };
        if known(&name) {
            return Ok(());
        }
        let desk = desk.ok_or("no_desk")?;
        let since = tokio::time::Instant::now();
        match timeout(DESK, desk.remember(&name, &attempt.suffix, KEEP)).await {
            Ok(Ok(())) => {
                self.known.lock().unwrap_or_else(PoisonError::into_inner).put(name, since);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err("not_stored"),
        }
    }
}

fn count(why: &'static str) {
    counter!("posthaste_plain_return_paths_total", "why" => why).increment(1);
}
