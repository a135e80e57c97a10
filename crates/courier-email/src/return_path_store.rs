//! Gives each message its return path. An order whose id is too long for a return path is stored in the feedback sink
//! under a short name before its first message is sent.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use metrics::counter;
use posthaste_courier::{AttemptId, FeedbackSink};
use tokio::time::timeout;

use crate::compose::{OutgoingMessage, ReportsTo};
use crate::hmac_tag::{HmacTags, Purpose};
use crate::settings::{BadSetting, BounceSettings};
use crate::verp::ReturnPaths;

/// How long a short name is kept. Servers retry for 5 days, and some report a failure late.
const KEEP: Duration = Duration::from_secs(30 * 24 * 3600);
/// A name older than this is stored again, so that it lasts even if an order takes weeks.
const AGAIN: Duration = Duration::from_secs(24 * 3600);
/// Timeout of the feedback sink; a message does not wait longer.
const FEEDBACK_TIMEOUT: Duration = Duration::from_secs(3);
/// Size of the cache of orders known to be stored.
const KNOWN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);

/// The return paths of messages.
pub(crate) struct ReturnPathStore {
    paths: Arc<ReturnPaths>,
    request: bool,
    /// Names stored in the feedback sink, and since when.
    known: Mutex<LruCache<String, tokio::time::Instant>>,
}

impl ReturnPathStore {
    /// Return paths from the settings; `None` if no address is set.
    pub(crate) fn new(bounces: &BounceSettings) -> Result<Option<Self>, BadSetting> {
        if bounces.address.is_empty() {
            return Ok(None);
        }
        let (key, old) = (("bounces.key", &bounces.key), ("bounces.old_keys", &bounces.old_keys));
        let paths = Arc::new(ReturnPaths::new(&bounces.address, HmacTags::new(Purpose::Bounce, key, old)?)?);
        let known = Mutex::new(LruCache::new(KNOWN));
        Ok(Some(Self { paths, request: bounces.request_dsn, known }))
    }

    pub(crate) fn paths(&self) -> Arc<ReturnPaths> {
        Arc::clone(&self.paths)
    }

    /// Sets the return path of an attempt on a message. A message that can't have its own is sent with the common
    /// one, and its bounces are not reported: a missing receipt is better than a missing message.
    pub(crate) async fn put(
        &self,
        letter: &mut OutgoingMessage,
        attempt: &AttemptId,
        feedback: Option<&Arc<dyn FeedbackSink>>,
    ) {
        let Some(path) = self.paths.of(attempt) else { return count("address_too_long") };
        if let Some(name) = path.name
            && let Err(reason) = self.remember(name, attempt, feedback).await
        {
            return count(reason);
        }
        letter.from = path.address;
        letter.reports = self.request.then(|| ReportsTo { id: letter.identity.hex() });
    }

    async fn remember(
        &self,
        name: String,
        attempt: &AttemptId,
        feedback: Option<&Arc<dyn FeedbackSink>>,
    ) -> Result<(), &'static str> {
        let known = |name: &str| {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(name).is_some_and(|since| since.elapsed() < AGAIN)
        };
        if known(&name) {
            return Ok(());
        }
        let feedback = feedback.ok_or("no_feedback")?;
        let since = tokio::time::Instant::now();
        match timeout(FEEDBACK_TIMEOUT, feedback.remember(&name, &attempt.order_id, KEEP)).await {
            Ok(Ok(())) => {
                self.known.lock().unwrap_or_else(PoisonError::into_inner).put(name, since);
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err("not_stored"),
        }
    }
}

fn count(reason: &'static str) {
    counter!("posthaste_return_path_fallbacks_total", "reason" => reason).increment(1);
}
