//! API keys. All are in the first partition: there are few, and its epoch guards them in scripts.

use futures::future::try_join_all;
use posthaste_protocol::record::{KeyId, KeyRecord, NewKey};
use posthaste_protocol::scripts::create_key::{CreateKey, KeyCreated};
use posthaste_protocol::scripts::revoke_key::{KeyRevoked, RevokeKey};
use posthaste_protocol::scripts::touch_key::TouchKey;

use crate::command::text;
use crate::error::{CallError, InvalidReply, malformed};
use crate::reader::Reader;
use crate::store::Store;

/// The partition that holds them.
const PARTITION: u16 = 0;

impl Store {
    /// Stores a new key. Harmless when repeated.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn create_key(&self, key: &NewKey) -> Result<KeyCreated, CallError> {
        let before = self.0.before_confirm(PARTITION);
        let keys = &self.0.partition(PARTITION)?.keys;
        let answer = self.0.call(PARTITION, &CreateKey { keys, key }).await?;
        self.0.confirmed(PARTITION, before).await?;
        Ok(answer.reply)
    }

    /// The record of a key; `None` when there is none. Also finds revoked and expired keys, see
    /// [`KeyRecord::live_at`].
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply` when the record can't be read.
    pub async fn find_key(&self, id: &KeyId) -> Result<Option<KeyRecord>, CallError> {
        self.key_of(&self.0.reader().await?.or_replica(), id.clone()).await
    }

    /// All keys, newest first, including revoked and expired ones; 1,000 at most. Keys that can't be read are left
    /// out.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn list_keys(&self) -> Result<Vec<KeyRecord>, CallError> {
        let at = self.0.partition(PARTITION)?;
        let reader = &self.0.reader().await?;
        let args = vec![text(at.keys.api_keys()), (-1_000).into(), (-1).into()];
        let ids = reader.ask("ZRANGE", args, at.slot).await?;
        let ids = ids
            .array("keys")
            .map_err(|m| CallError::InvalidReply(InvalidReply::Malformed(m)))?
            .into_iter()
            .rev();
        let read = |id: posthaste_protocol::ReplyValue| async move {
            let id =
                id.text("id").ok().and_then(|id| id.parse().ok()).ok_or_else(|| malformed("id of a key"))?;
            match self.key_of(reader, id).await {
                Err(CallError::InvalidReply(fault)) => {
                    tracing::warn!(
                        event = "key.unreadable",
                        error = %fault,
                        "cannot read the record of an API key; it is left out of the list"
                    );
                    Ok(None)
                }
                other => other,
            }
        };
        Ok(try_join_all(ids.map(read)).await?.into_iter().flatten().collect())
    }

    /// Revokes a key permanently. Harmless when repeated.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn revoke_key(&self, id: &KeyId) -> Result<KeyRevoked, CallError> {
        let before = self.0.before_confirm(PARTITION);
        let keys = &self.0.partition(PARTITION)?.keys;
        let answer = self.0.call(PARTITION, &RevokeKey { keys, id }).await?;
        self.0.confirmed(PARTITION, before).await?;
        Ok(answer.reply)
    }

    /// Records that a key was used, at most once a minute; false when there is no such key.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn touch_key(&self, id: &KeyId) -> Result<bool, CallError> {
        let keys = &self.0.partition(PARTITION)?.keys;
        Ok(self.0.call(PARTITION, &TouchKey { keys, id }).await?.reply.is_some())
    }

    async fn key_of(&self, reader: &Reader, id: KeyId) -> Result<Option<KeyRecord>, CallError> {
        let at = self.0.partition(PARTITION)?;
        let flat = reader.ask("HGETALL", vec![text(at.keys.api_key(&id))], at.slot).await?;
        KeyRecord::decode(id, flat).map_err(|m| CallError::InvalidReply(InvalidReply::Malformed(m)))
    }
}
