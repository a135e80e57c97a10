//! Going on after a roll-back: the database lost its last changes, and somebody decided to live with it.

use std::sync::Arc;

use fred::types::Value as Arg;
use posthaste_protocol::{Answer, Script, Value};

use crate::error::{CallError, StopWhy};
use crate::node::{Node, text};
use crate::store::{Inner, Store};
use crate::verbs::malformed;

/// Far more claims than other processes can have made under fences this one never heard of.
const MARGIN: u64 = 1_000_000;

impl Store {
    /// Raises the fence of every partition above all that were given out before the roll-back, so that no old lease is
    /// taken for a new one, and takes calls again. Harmless when repeated, and after any other stop.
    ///
    /// # Errors
    /// A [`CallError`]; nothing is taken until all partitions are raised.
    pub async fn go_on_after_rollback(&self) -> Result<(), CallError> {
        if !matches!(self.stopped(), Some(StopWhy::RolledBack { .. })) {
            return self.0.guard.check();
        }
        let node = Node::routed(&self.0, false);
        for at in self.0.guard.all() {
            let found = Inner::get(&node, at.slot, at.keys.fence()).await?;
            let found = found
                .map_or(Ok(0), |fence| Value::Bytes(fence).u64("fence"))
                .map_err(|_| malformed("fence"))?;
            if found < at.fence() {
                let by = at.fence() - found + MARGIN;
                let by = Arg::Integer(i64::try_from(by).unwrap_or(i64::MAX));
                node.ask("INCRBY", vec![text(at.keys.fence()), by], at.slot).await?;
            }
        }
        tracing::warn!("going on after a roll-back, under raised fences");
        self.0.guard.go_on();
        Ok(())
    }
}

impl Inner {
    /// A call that reports: also made after a roll-back, because what it says is the truth about what left, and keeps rows
    /// from being sent again.
    pub(crate) async fn call_reporting<S: Script>(
        self: &Arc<Self>,
        p: u16,
        script: &S,
    ) -> Result<Answer<S::Reply>, CallError> {
        match self.guard.check() {
            Err(CallError::Stop(StopWhy::RolledBack { .. })) => {
                self.call_routed(p, false, script, |_| false).await
            }
            _ => self.call(p, script).await,
        }
    }
}
