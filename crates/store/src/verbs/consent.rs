//! What people say about receiving messages, and when they said it. A person's own latest statement counts, and a
//! copy of a statement is not a new one.

use posthaste_model::{Address, Channel, Reason, SenderId, UnixMs};
use posthaste_protocol::record::{AddressKey, Notice as StoredNotice, NoticeId, NoticeTime as Proved};
use posthaste_protocol::scripts::opt_in::{OptIn, OptedIn};
use tokio::time::Instant;

use crate::address_key::PARTITION;
use crate::error::{CallError, FatalReason, malformed};
use crate::store::Store;

/// When a notice was given, as far as it can be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeMoment {
    /// The provider's own time.
    Provider(UnixMs),
    /// This program received it then, and for the first time.
    Received(Instant),
    /// It is a repeat, and it is not known when it was first received.
    Unknown,
}

/// A notice that an address is to get no messages, or to get them again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentNotice {
    name: Option<String>,
    said: NoticeMoment,
    remembered: bool,
}

impl ConsentNotice {
    /// A notice whose copies are recognised by this name: the provider's id, or that of the attempt.
    #[must_use]
    pub fn named(name: impl Into<String>, said: NoticeMoment) -> Self {
        Self { name: Some(name.into()), said, remembered: false }
    }

    /// A notice without a name: every call that reports it reports a new one.
    #[must_use]
    pub fn received(at: Instant) -> Self {
        Self { name: None, said: NoticeMoment::Received(at), remembered: false }
    }

    /// As an opt-in, it is remembered even if its address is on no list: an earlier opt-out may arrive later.
    #[must_use]
    pub fn remembered(self) -> Self {
        Self { remembered: true, ..self }
    }

    /// The name by which copies are recognised, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// When it was given.
    #[must_use]
    pub fn said(&self) -> NoticeMoment {
        self.said
    }

    fn id(&self, key: &AddressKey) -> NoticeId {
        match &self.name {
            Some(name) => key.notice_id(name),
            None => NoticeId::random(rand::random()),
        }
    }

    /// The notice as an opt-out: with the latest time it may have been given.
    pub(super) fn of_opt_out(&self, key: &AddressKey) -> StoredNotice {
        let said = match self.said {
            NoticeMoment::Provider(at) => Proved::Provider(at),
            NoticeMoment::Received(at) => Proved::Ago(at.elapsed()),
            NoticeMoment::Unknown => Proved::Unknown,
        };
        StoredNotice { id: self.id(key), said }
    }
}

impl Store {
    /// Removes an address from the list of a sender, or of the channel, because its person wants messages again. The
    /// address is removed only if it is listed for one of these reasons, by the person or the provider, and this
    /// notice is proved to be later. False when nothing was deleted: it is not on the list, it is listed for another
    /// reason or by a later notice, or this notice was received before.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn opt_in(
        &self,
        channel: &Channel,
        address: &Address,
        sender: Option<&SenderId>,
        reasons: &[Reason],
        notice: &ConsentNotice,
    ) -> Result<bool, CallError> {
        let at = self.0.partition(PARTITION)?;
        let key = self.0.address_key()?;
        let id = key.id(sender, address);
        // Most people who write are on no list.
        if !notice.remembered && !self.is_listed(channel, id).await? {
            return Ok(false);
        }
        let said = match notice.said {
            NoticeMoment::Provider(at) => Proved::Provider(at),
            // The server's clock is read after the notice was received, and the time since then is subtracted.
            NoticeMoment::Received(received) => {
                let now = self.server_time().await?;
                let since = u64::try_from(received.elapsed().as_millis()).unwrap_or(u64::MAX);
                Proved::NotBefore(UnixMs(now.0.saturating_sub(since)))
            }
            NoticeMoment::Unknown => Proved::Unknown,
        };
        let reported = StoredNotice { id: notice.id(&key), said };
        let before = self.0.before_confirm(PARTITION);
        let script = OptIn {
            keys: &at.keys,
            key: &key,
            channel,
            id,
            notice: reported,
            reasons,
            remember: notice.remembered,
        };
        let deleted = match self.0.call(PARTITION, &script).await?.reply {
            OptedIn::Deleted => true,
            // Remembered, or reported again: it may not be confirmed yet.
            OptedIn::NotFound | OptedIn::OtherReason(_) | OptedIn::Repeated => false,
            OptedIn::Outdated => return Ok(false),
            OptedIn::Unreadable => return Err(malformed("suppression")),
            OptedIn::WrongKey => return Err(self.0.guard.stop(FatalReason::AddressKey)),
        };
        self.0.confirmed(PARTITION, before).await?;
        Ok(deleted)
    }
}
