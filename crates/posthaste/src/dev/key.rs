//! The API key of `posthaste dev`: created directly in the store, kept in a file that only its owner can read.

use std::fs;

use posthaste_model::{Clock, SystemClock};
use posthaste_queue::auth::Bearer;
use posthaste_queue::keys::{MintError, Wanted, mint};
use posthaste_store::{KeyRecord, KeyScope, SendAs, Settings, Store};

use super::dev_dir::DevDir;
use crate::failure::{Failure, Kind, Result};

/// The name of the key.
const NAME: &str = "posthaste dev";

/// Makes sure that there is a valid key and that it is in the file.
///
/// # Errors
/// The store does not respond, or the file cannot be written.
pub(super) async fn ready(place: &DevDir, settings: &Settings) -> Result<()> {
    let (store, _) = crate::store::connect(settings.clone()).await?;
    let made = ready_in(place, &store).await;
    store.disconnect().await;
    made
}

async fn ready_in(place: &DevDir, store: &Store) -> Result<()> {
    if let Some(bearer) = fs::read_to_string(place.key()).ok().and_then(|text| Bearer::read(text.trim())) {
        let found = store.find_key(&bearer.id).await.map_err(unanswered)?;
        if found.is_some_and(|record| is_good(&record, &bearer)) {
            return Ok(());
        }
    }
    // Only two live keys may share a name. If the key file was lost, the older one is revoked to make room.
    let keys = store.list_keys().await.map_err(unanswered)?;
    for old in keys.iter().filter(|key| key.name == NAME && key.revoked.is_none()).skip(1) {
        store.revoke_key(&old.id).await.map_err(unanswered)?;
    }
    let wanted = Wanted {
        name: NAME.to_owned(),
        scopes: KeyScope::ALL.into_iter().collect(),
        sender: None,
        role: None,
        send_as: SendAs::any(),
        expires: None,
    };
    let minted = mint(store, &wanted).await.map_err(|error| match error {
        MintError::Call(error) | MintError::Unknown(_, error) => unanswered(error),
        other => Failure::error("no key could be created").because(other),
    })?;
    place.write(&place.key(), &format!("{}\n", minted.bearer.expose()))
}

fn is_good(record: &KeyRecord, bearer: &Bearer) -> bool {
    record.hash.same(&bearer.secret.hash()) && record.live_at(SystemClock.now())
}

fn unanswered(error: posthaste_store::CallError) -> Failure {
    Failure::new(Kind::Unreachable, "Redis does not respond").because(error)
}
