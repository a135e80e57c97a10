//! Calls of scripts: each goes to the server of its partition, and follows it when it has moved.

use std::sync::Arc;

use posthaste_protocol::{ScriptAnswer, ScriptCall};

use crate::confirm::Before;
use crate::epoch_guard::Partition;
use crate::error::{CallError, FatalReason, NoReplyCause};
use crate::inner::Inner;
use crate::script::Failure;
use crate::slot::slot_of;

/// Most tries of a call whose answers are lost.
pub(crate) const TRIES: u32 = 3;

/// The answer of a call that was repeated while its answers were lost.
#[derive(Debug)]
pub(crate) struct Repeated<R> {
    pub(crate) reply: R,
    /// The partition's mark at the time of the reply.
    pub(crate) fence: u64,
    /// The state before the try that was answered, see [`Inner::confirmed`].
    pub(crate) before: Option<Before>,
    /// Whether the answer of an earlier try was lost.
    pub(crate) lost: bool,
}

impl Inner {
    /// Calls a script that changes something and is harmless when repeated; repeats it while its answer is lost.
    /// After a lost answer, a refusal of a later try says nothing about the first one, so the loss is returned.
    pub(crate) async fn call_repeated<S: ScriptCall>(
        self: &Arc<Self>,
        p: u16,
        script: &S,
    ) -> Result<Repeated<S::Reply>, CallError> {
        let mut lost = None;
        for tries in 1.. {
            let before = self.before_confirm(p);
            let error = match self.call(p, script).await {
                Ok(ScriptAnswer { reply, fence, .. }) => {
                    return Ok(Repeated { reply, fence, before, lost: lost.is_some() });
                }
                Err(error) => error,
            };
            let again = matches!(error, CallError::NoReply(_)) && tries < TRIES;
            if lost.is_none() && (!again || error.may_have_happened()) {
                lost = Some(error);
            }
            if !again {
                break;
            }
        }
        Err(lost.unwrap_or(CallError::NoReply(NoReplyCause::NotConnected)))
    }

    /// Calls a script of a partition.
    pub(crate) async fn call<S: ScriptCall>(
        self: &Arc<Self>,
        p: u16,
        script: &S,
    ) -> Result<ScriptAnswer<S::Reply>, CallError> {
        self.call_minding(p, script, |_| true).await
    }

    /// Calls a script of a partition; `minds` says whether the fence in a reply is the partition's highest.
    pub(crate) async fn call_minding<S: ScriptCall>(
        self: &Arc<Self>,
        p: u16,
        script: &S,
        minds: impl Fn(&S::Reply) -> bool,
    ) -> Result<ScriptAnswer<S::Reply>, CallError> {
        self.call_routed(p, true, script, minds).await
    }

    /// Calls a script at the server of its partition, and follows if that has moved. `guarded`: refuses once the
    /// database is another one.
    pub(crate) async fn call_routed<S: ScriptCall>(
        self: &Arc<Self>,
        p: u16,
        guarded: bool,
        script: &S,
        minds: impl Fn(&S::Reply) -> bool,
    ) -> Result<ScriptAnswer<S::Reply>, CallError> {
        let partition = self.guard.partition(p)?;
        let mut followed = false;
        loop {
            let worker = self.worker_of(partition).await;
            let worker = worker.inspect_err(|error| self.troubles.failed(error))?;
            if guarded {
                self.guard.check()?;
            }
            match self.try_on(&worker, partition, script, &minds).await {
                Err(Failure::Moved(moved)) if !followed => {
                    self.follow(&worker, moved)?;
                    followed = true;
                }
                answer => return answer.map_err(|error| self.sort(Some(partition), error)),
            }
        }
    }

    /// Calls a script whose keys have slots of their own; its answer has no epoch and no fence.
    pub(crate) async fn call_apart<S: ScriptCall>(
        self: &Arc<Self>,
        script: &S,
    ) -> Result<S::Reply, CallError> {
        let slot = script.keys().first().map_or(0, |key| slot_of(key));
        let mut followed = false;
        loop {
            let worker = self.worker_at(slot).await?;
            self.guard.check()?;
            match self.run(&worker, "", script).await {
                Ok(answer) => return Ok(answer.reply),
                Err(Failure::Moved(moved)) if !followed => {
                    self.follow(&worker, moved)?;
                    followed = true;
                }
                Err(error) => return Err(self.routes.heed(slot, self.sort(None, error))),
            }
        }
    }

    /// Calls a script of a partition under this epoch, whatever was found before; `None` when the database has
    /// another one.
    pub(crate) async fn call_as<S: ScriptCall>(
        self: &Arc<Self>,
        partition: &Partition,
        epoch: &str,
        script: &S,
    ) -> Result<Option<ScriptAnswer<S::Reply>>, CallError> {
        let mut followed = false;
        loop {
            let worker = self.worker_at(partition.slot).await?;
            match self.run(&worker, epoch, script).await {
                Ok(answer) => return Ok(Some(answer)),
                Err(Failure::Epoch(_)) => return Ok(None),
                Err(Failure::Moved(moved)) if !followed => {
                    self.follow(&worker, moved)?;
                    followed = true;
                }
                Err(error) => return Err(self.sort(Some(partition), error)),
            }
        }
    }

    /// A call that reports. It is also made while the database is halted, because it reports correctly what was sent,
    /// and keeps those deliveries from being sent again.
    pub(crate) async fn call_reporting<S: ScriptCall>(
        self: &Arc<Self>,
        p: u16,
        script: &S,
    ) -> Result<ScriptAnswer<S::Reply>, CallError> {
        let Err(stopped) = self.guard.check() else { return self.call(p, script).await };
        if !matches!(stopped, CallError::Fatal(FatalReason::Halted(_))) {
            return Err(stopped);
        }
        let partition = self.guard.partition(p)?;
        let known = partition.epoch();
        // The process that noticed the halt may not have written it yet, and may do so between the two tries.
        for epoch in [&*known, &format!("!{known}")] {
            if let Some(answer) = self.call_as(partition, epoch, script).await? {
                return Ok(answer);
            }
        }
        Err(stopped)
    }
}
