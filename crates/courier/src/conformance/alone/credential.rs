//! `check` says what a send would find.

use super::Suite;
use crate::conformance::bench::{Behaviour, Shown, Toward};
use crate::conformance::report::Failure;

impl Suite<'_> {
    pub(super) async fn checks_its_credential(&mut self) -> Result<(), Failure> {
        self.agrees_with_check("check finds a provider that is well", true).await?;
        for (behaviour, check) in [
            (Behaviour::BadCredential, "check finds a bad credential"),
            (Behaviour::Unreachable, "check finds that the provider can't be reached"),
        ] {
            match self.bench.behave(behaviour, Toward::Everyone).await {
                Shown::Yes => self.agrees_with_check(check, false).await?,
                Shown::No(why) => {
                    self.report.lacks(behaviour, why);
                    continue;
                }
            }
            self.must(Behaviour::Accept).await?;
            self.agrees_with_check(&format!("{check}, and that it is mended"), true).await?;
        }
        Ok(())
    }

    async fn agrees_with_check(&mut self, check: &str, well: bool) -> Result<(), Failure> {
        let Ok(found) = tokio::time::timeout(self.bench.patience(), self.transport.check()).await else {
            return Err(Failure::broken(check, "it brought no answer"));
        };
        match (found, well) {
            (Ok(()), false) => Err(Failure::broken(check, "it said that all is well")),
            (Err(why), true) => Err(Failure::broken(check, format!("it said: {why}"))),
            _ => {
                self.report.passed(check);
                Ok(())
            }
        }
    }
}
