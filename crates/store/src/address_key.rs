//! The key under which addresses are hashed: that of the settings, or one the database keeps.

use std::sync::{Arc, PoisonError};

use posthaste_protocol::record::AddressKey;
use posthaste_protocol::scripts::address_key::{AgreeOnKey, KeyAgreed};
use secrecy::ExposeSecret;

use crate::error::{CallError, ConnectError};
use crate::node::{Node, text};
use crate::pool::Worker;
use crate::settings::Role;
use crate::store::Inner;
use crate::verbs::malformed;

/// Where all suppressions are, as API keys are: there are few, and scripts guard them by its epoch.
pub(crate) const PARTITION: u16 = 0;

/// Characters of a key at least. Phone numbers are few enough to be tried one by one: the key must not be.
pub(crate) const SHORTEST: usize = 32;

impl Inner {
    /// Agrees with the database on the key. Refuses to go on when it finds that what is on the lists would not be found.
    pub(crate) async fn agree_on_key(&self, worker: &Arc<Worker>) -> Result<(), ConnectError> {
        let refuse = |why: &str| Err(ConnectError::Settings { key: "address_key", why: why.to_owned() });
        let partition = self.partition(PARTITION)?;
        let (key, made) = match &self.settings.address_key {
            Some(key) => (AddressKey::new(key.expose_secret().as_bytes()), false),
            // After a wipe the one that was kept there before.
            None => match self.held_key() {
                Some(held) => (held.as_ref().clone(), true),
                None => (AddressKey::new(&rand::random::<[u8; 32]>()), true),
            },
        };
        let script = AgreeOnKey { keys: &partition.keys, key: &key, made };
        let key = match self.call_on(worker, partition, &script, |_| true).await?.reply {
            KeyAgreed::Yours => key,
            KeyAgreed::Kept(key) => key,
            // A tool that only makes keys or looks around needs none.
            KeyAgreed::IsSet if self.role == Role::Tool => return Ok(()),
            KeyAgreed::IsSet => {
                return refuse(
                    "it is missing: the suppression lists of this database are kept under a key of the settings; give this \
                     process the same one",
                );
            }
            KeyAgreed::Other { made: true } => {
                return refuse(
                    "the suppression lists of this database are kept under a key that was made in it; with another one all \
                     who are on them would be forgotten. Leave the setting out; or, to begin with empty lists, stop all \
                     processes and delete the keys address_key:{0}, suppressed:{0}:* and consent:{0}:*",
                );
            }
            KeyAgreed::Other { made: false } => {
                return refuse(
                    "it is another one than the suppression lists of this database are kept under, and would find nobody \
                     who is on them; give this process the same key as the others",
                );
            }
            KeyAgreed::Bad => return Err(malformed("address_key:{0}").into()),
        };
        // Another one than before only after a wipe, when all lists are empty.
        *self.address_key.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
        Ok(())
    }

    /// Agrees on the key by reading alone, from a replica of the primary of the first partition: the primary is away. Its epoch is
    /// learnt too, so that another database that comes back in its place is found out. False when no replica answers, or its
    /// word does not settle it: then the primary is waited for.
    pub(crate) async fn agree_by_replica(self: &Arc<Self>) -> Result<bool, ConnectError> {
        let at = self.partition(PARTITION)?;
        let node = Node::routed(self, false).or_replica();
        let epoch = match Self::get(&node, at.slot, at.keys.epoch()).await {
            Ok(Some(epoch)) => String::from_utf8_lossy(&epoch).into_owned(),
            // Not set up yet, which takes a primary.
            Ok(None) | Err(CallError::Away(_) | CallError::Later { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        self.guard.saw_epoch(at, &epoch)?;
        let fields = vec![text(at.keys.address_key()), "check".into(), "key".into()];
        let record = match node.ask("HMGET", fields, at.slot).await {
            Ok(record) => record.array("address key").map_err(|_| malformed("address_key:{0}"))?,
            Err(CallError::Away(_) | CallError::Later { .. }) => return Ok(false),
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

    /// The key agreed on; a tool may be without, and nobody has one who met a halted database.
    pub(crate) fn address_key(&self) -> Result<Arc<AddressKey>, CallError> {
        self.guard.check()?;
        self.held_key().ok_or_else(|| malformed("address key"))
    }
}
