//! Signs messages beside the async workers. An RSA signature takes about a millisecond of one core (2048 bits), in
//! which a worker could serve the replies of many sessions. So it is made on separate threads, as many at a time as
//! leave one core free; further messages wait for their turn. Ed25519 takes a twentieth and is made in place.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use lettre::Address;
use posthaste_courier::Outcome;
use posthaste_model::Reason;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::dkim::{NotSigned, Signer};
use crate::message_id::MessageIds;

/// The wait before a message that could not be signed is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// A message without the last checks, and at first without its signature.
pub(crate) struct Draft {
    pub(crate) text: Vec<u8>,
    pub(crate) to: Address,
    pub(crate) identity: MessageIds,
    /// In seconds since 1970.
    pub(crate) signed_at: u64,
}

impl Draft {
    /// The message with its signature headers in front.
    pub(crate) fn signed(mut self, signer: &Signer) -> Result<Self, NotSigned> {
        let headers = signer.sign(&self.text, self.signed_at)?;
        self.text.splice(0..0, headers.into_bytes());
        Ok(self)
    }
}

/// Turns of signing; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct SigningThreads(Arc<Semaphore>);

impl SigningThreads {
    /// One fewer than there are cores, at least one.
    pub(crate) fn new() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores.saturating_sub(1).max(1))))
    }

    /// Signs a message, on another thread if that takes long.
    ///
    /// # Errors
    /// The outcome of the message that can't be signed: nothing was sent.
    pub(crate) async fn sign(&self, draft: Draft, signer: &Signer) -> Result<Draft, Outcome> {
        if !signer.is_slow() {
            return draft.signed(signer).map_err(not_sent);
        }
        let Ok(turn) = Arc::clone(&self.0).acquire_owned().await else { return Err(not_sent(NotSigned)) };
        let signer = signer.clone();
        let work = spawn_blocking(move || {
            let _turn = turn;
            draft.signed(&signer)
        });
        match work.await {
            Ok(signed) => signed.map_err(not_sent),
            Err(error) => match error.try_into_panic() {
                // Reported by the guard of the call.
                Ok(panic) => resume_unwind(panic),
                Err(_) => Err(not_sent(NotSigned)),
            },
        }
    }
}

fn not_sent(_: NotSigned) -> Outcome {
    Outcome::NotSent { after: Some(AGAIN), reason: Reason::InternalError }
}

#[cfg(test)]
#[path = "signing_tests.rs"]
mod tests;
