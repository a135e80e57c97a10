//! Waits until the answer of a call is as safe as the settings require.

use std::sync::Arc;

use posthaste_model::Durability;

use crate::error::CallError;
use crate::inner::Inner;
use crate::preflight::Confirm;
use crate::primary::Primary;

/// The primary of a partition and the run of its server, before a call that is to be confirmed.
#[derive(Debug)]
pub(crate) struct Before {
    primary: Arc<Primary>,
    run_id: String,
}

impl Inner {
    /// What to remember before a call to a partition that is to be confirmed; `None` when its reply is the
    /// confirmation.
    pub(crate) fn before_confirm(&self, p: u16) -> Option<Before> {
        if self.settings.durability == Durability::Fast {
            return None;
        }
        let primary = self.routes.home(self.partition(p).ok()?.slot)?;
        let run_id = primary.link.run_id();
        (primary.confirm() != Confirm::Reply).then_some(Before { primary, run_id })
    }

    /// Waits until what was answered in a partition is as safe as requested. A partition that has meanwhile moved to
    /// another server is not confirmed: it is not known which of the two answered.
    pub(crate) async fn confirmed(&self, p: u16, before: Option<Before>) -> Result<(), CallError> {
        let Some(Before { primary, run_id }) = before else { return Ok(()) };
        let partition = self.partition(p)?;
        let mark = partition.fence();
        let home = self.routes.home(partition.slot);
        let stayed = home.is_some_and(|home| Arc::ptr_eq(&home, &primary));
        match primary.confirmer().filter(|_| stayed) {
            Some(confirmer) => {
                let confirmed = confirmer.wait(primary.confirm(), partition.keys.fence(), &run_id).await;
                self.troubles.confirmed(&primary.address, confirmed.is_ok());
                confirmed.inspect_err(|error| self.troubles.failed(error))?;
                partition.confirmed(mark);
                Ok(())
            }
            None => Err(CallError::NotDurable),
        }
    }
}
