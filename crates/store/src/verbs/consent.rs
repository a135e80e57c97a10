//! What people say of wanting messages, and when they said it: a person's own newest word counts, and a copy of one is no new one.

use posthaste_model::{Address, Channel, Reason, SenderId, UnixMs};
use posthaste_protocol::record::{AddressKey, Notice as Told, NoticeId, Said as Proved};
use posthaste_protocol::scripts::opt_in::{OptIn, OptedIn};
use tokio::time::Instant;

use crate::address_key::PARTITION;
use crate::error::{CallError, StopWhy};
use crate::store::Store;

/// When something was said, as far as it can be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The provider's own time of it.
    Provider(UnixMs),
    /// This program heard it then, and for the first time.
    Heard(Instant),
    /// It is a repeat, and when it was first heard is not known.
    Unknown,
}

/// What says that an address is to get nothing, or something again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    name: Option<String>,
    said: Said,
    remembered: bool,
}

impl Notice {
    /// One that copies are known of by this name: the provider's id, or that of the attempt.
    #[must_use]
    pub fn named(name: impl Into<String>, said: Said) -> Self {
        Self { name: Some(name.into()), said, remembered: false }
    }

    /// One without a name: every call that tells it tells a new one.
    #[must_use]
    pub fn heard(at: Instant) -> Self {
        Self { name: None, said: Said::Heard(at), remembered: false }
    }

    /// As an opt-in it is remembered although nothing is known of its address: an opt-out that was said earlier may come later.
    #[must_use]
    pub fn remembered(self) -> Self {
        Self { remembered: true, ..self }
    }

    /// What copies are known by, if it has a name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// When it was said.
    #[must_use]
    pub fn said(&self) -> Said {
        self.said
    }

    fn id(&self, key: &AddressKey) -> NoticeId {
        match &self.name {
            Some(name) => key.notice_id(name),
            None => NoticeId::random(rand::random()),
        }
    }

    /// As an opt-out is told: at the latest when.
    pub(super) fn of_opt_out(&self, key: &AddressKey) -> Told {
        let said = match self.said {
            Said::Provider(at) => Proved::Provider(at),
            Said::Heard(at) => Proved::Ago(at.elapsed()),
            Said::Unknown => Proved::Unknown,
        };
        Told { id: self.id(key), said }
    }
}

impl Store {
    /// Takes an address off the list of a sender, or of the channel, because its person wants messages again: if it is there for
    /// one of these reasons, by the person or the provider, and it is proved that this was said after it. False when nothing was
    /// lifted: it is not on the list, stays there for another reason or by a newer word, or this was heard before.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn opt_in(
        &self,
        channel: &Channel,
        address: &Address,
        sender: Option<&SenderId>,
        reasons: &[Reason],
        notice: &Notice,
    ) -> Result<bool, CallError> {
        let at = self.0.partition(PARTITION)?;
        let key = self.0.address_key()?;
        let id = key.id(sender, address);
        // Most who write are on no list.
        if !notice.remembered && !self.is_listed(channel, id).await? {
            return Ok(false);
        }
        let said = match notice.said {
            Said::Provider(at) => Proved::Provider(at),
            // The server's clock was read after it was heard, no longer ago than that.
            Said::Heard(heard) => {
                let now = self.server_time().await?;
                let since = u64::try_from(heard.elapsed().as_millis()).unwrap_or(u64::MAX);
                Proved::NotBefore(UnixMs(now.0.saturating_sub(since)))
            }
            Said::Unknown => Proved::Unknown,
        };
        let told = Told { id: notice.id(&key), said };
        let before = self.0.before_confirm(PARTITION);
        let script = OptIn {
            keys: &at.keys,
            key: &key,
            channel,
            id,
            notice: told,
            reasons,
            remember: notice.remembered,
        };
        let lifted = match self.0.call(PARTITION, &script).await?.reply {
            OptedIn::Lifted => true,
            // Remembered, or told again: it may not be confirmed yet.
            OptedIn::Gone | OptedIn::OtherReason(_) | OptedIn::Repeated => false,
            OptedIn::Older => return Ok(false),
            OptedIn::Bad => return Err(super::malformed("suppression")),
            OptedIn::OtherKey => return Err(self.0.guard.stop(StopWhy::AddressKey)),
        };
        self.0.confirmed(PARTITION, before).await?;
        Ok(lifted)
    }
}
