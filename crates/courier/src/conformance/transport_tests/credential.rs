//! `check` agrees with what a send would find.

use super::Suite;
use crate::conformance::bench::{Behaviour, Shown, Toward};
use crate::conformance::report::ConformanceFailure;

impl Suite<'_> {
    pub(super) async fn checks_its_credential(&mut self) -> Result<(), ConformanceFailure> {
        self.agrees_with_check("check passes with a working provider", true).await?;
        for (behaviour, check) in [
            (Behaviour::BadCredential, "check finds a bad credential"),
            (Behaviour::Unreachable, "check finds an unreachable provider"),
        ] {
            match self.bench.behave(behaviour, Toward::Everyone).await {
                Shown::Yes => self.agrees_with_check(check, false).await?,
                Shown::No(why) => {
                    self.report.lacks(behaviour, why);
                    continue;
                }
            }
            self.must(Behaviour::Accept).await?;
            self.agrees_with_check(&format!("{check}, and passes again afterwards"), true).await?;
        }
        Ok(())
    }

    async fn agrees_with_check(&mut self, check: &str, well: bool) -> Result<(), ConformanceFailure> {
        let Ok(found) = tokio::time::timeout(self.bench.patience(), self.transport.check()).await else {
            return Err(ConformanceFailure::broken(check, "it returned no answer"));
        };
        match (found, well) {
            (Ok(()), false) => Err(ConformanceFailure::broken(check, "it found nothing wrong")),
            (Err(why), true) => Err(ConformanceFailure::broken(check, format!("it failed: {why}"))),
            _ => {
                self.report.passed(check);
                Ok(())
            }
        }
    }
}
