//! The key for hashing addresses: from the settings, or one that is kept in the database.

use std::sync::{Arc, PoisonError};

use posthaste_protocol::record::AddressKey;
use posthaste_protocol::scripts::address_key::{AgreeOnKey, KeyAgreed};
use secrecy::ExposeSecret;

use crate::command::text;
use crate::error::{CallError, ConnectError, malformed};
use crate::inner::Inner;
use crate::pool::Worker;
use crate::reader::Reader;
use crate::settings::Role;

/// The partition that holds all suppressions, as it does the API keys: there are few of them, and its epoch guards
/// them in scripts.
pub(crate) const PARTITION: u16 = 0;

/// Least number of characters of a key. There are so few phone numbers that they can be tried one by one; this must
/// not be possible for the key.
pub(crate) const SHORTEST: usize = 32;

impl Inner {
    /// Agrees with the database on the key. Refuses to start when the suppression lists were hashed with another key,
    /// because no address on them would be found.
    pub(crate) async fn agree_on_key(&self, worker: &Arc<Worker>) -> Result<(), ConnectError> {
        let refuse = |why: &str| Err(ConnectError::Settings { key: "address_key", why: why.to_owned() });
        let partition = self.partition(PARTITION)?;
        let (key, made) = match &self.settings.address_key {
            Some(key) => (AddressKey::new(key.expose_secret().as_bytes()), false),
            // After a wipe: the key that was kept there before.
            None => match self.held_key() {
                Some(held) => (held.as_ref().clone(), true),
                None => (AddressKey::new(&rand::random::<[u8; 32]>()), true),
            },
        };
        let script = AgreeOnKey { keys: &partition.keys, key: &key, made };
        let key = match self.call_on(worker, partition, &script, |_| true).await?.reply {
            KeyAgreed::Own => key,
            KeyAgreed::Stored(key) => key,
            // A tool that only creates API keys or looks around needs none.
            KeyAgreed::KeyRequired if self.role == Role::Tool => return Ok(()),
            KeyAgreed::KeyRequired => {
                return refuse(
                    "not set, but the suppression lists of this database are hashed with a key from the settings; set the same \
                     key for this process",
                );
            }
            KeyAgreed::WrongKey { made: true } => {
                return refuse(
                    "the suppression lists of this database are hashed with a key that the database created; with \
                     another key, no address on them would be found. Remove the setting; or, to begin with empty lists, \
                     stop all processes and delete the keys address_key:{0}, suppressed:{0}:* and consent:{0}:*",
                );
            }
            KeyAgreed::WrongKey { made: false } => {
                return refuse(
                    "the suppression lists of this database are hashed with another key, so no address on them would be \
                     found; set the same key as for the other processes",
                );
            }
            KeyAgreed::Unreadable => return Err(malformed("address_key:{0}").into()),
        };
        // It differs from the earlier key only after a wipe, when all lists are empty.
        *self.address_key.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
        Ok(())
    }

    /// Agrees on the key by only reading from a replica of the first partition, while its primary is away. Also
    /// learns the epoch, so that another database returning in its place is detected. False when no replica answers,
    /// or its data is not sufficient: then wait for the primary.
    pub(crate) async fn agree_by_replica(self: &Arc<Self>) -> Result<bool, ConnectError> {
        let at = self.partition(PARTITION)?;
        let reader = Reader::unguarded(self).or_replica();
        let epoch = match reader.get(at.slot, at.keys.epoch()).await {
            Ok(Some(epoch)) => String::from_utf8_lossy(&epoch).into_owned(),
            // Not set up yet, which needs a primary.
            Ok(None) | Err(CallError::NoReply(_) | CallError::Retryable { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.guard.saw_epoch(at, &epoch)?;
        let fields = vec![text(at.keys.address_key()), "check".into(), "key".into()];
        let record = match reader.ask("HMGET", fields, at.slot).await {
            Ok(record) => record.array("address key").map_err(|_| malformed("address_key:{0}"))?,
            Err(CallError::NoReply(_) | CallError::Retryable { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut fields = record.into_iter().map(|value| value.bytes("address key").ok());
        let (check, kept) = (fields.next().flatten(), fields.next().flatten());
        let key = match &self.settings.address_key {
            Some(key) => {
                let key = AddressKey::new(key.expose_secret().as_bytes());
                check.is_some_and(|check| *check == key.check()).then_some(key)
            }
            None => kept.map(|key| AddressKey::new(&key)),
        };
        let Some(key) = key else { return Ok(false) };
        *self.address_key.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
        Ok(true)
    }

    fn held_key(&self) -> Option<Arc<AddressKey>> {
        self.address_key.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The agreed key. A tool may have none; nor does a process that connected to a halted database.
    pub(crate) fn address_key(&self) -> Result<Arc<AddressKey>, CallError> {
        self.guard.check()?;
        self.held_key().ok_or_else(|| malformed("address key"))
    }
}
