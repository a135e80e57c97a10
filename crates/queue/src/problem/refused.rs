//! What a temporary refusal by the database means to a client.

use posthaste_store::Retryable;

use super::{Code, FULL_RETRY, Problem, STORE_RETRY};

impl Problem {
    /// The database refused the whole request: nothing was changed. The member `reason` says why, as a stable word.
    pub(super) fn refused_for_now(why: Retryable) -> Self {
        let (code, wait) = match why {
            Retryable::Memory | Retryable::NearlyFull => (Code::StorageFull, FULL_RETRY),
            // An operator must act first.
            Retryable::Disk | Retryable::NoReplicas | Retryable::MasterDown => {
                (Code::StorageUnavailable, FULL_RETRY)
            }
            _ => (Code::StorageUnavailable, STORE_RETRY),
        };
        let then = match why {
            Retryable::Memory | Retryable::NearlyFull => {
                "new orders are accepted again once it has more memory"
            }
            Retryable::Disk => "requests are accepted again once it can write to its disk",
            Retryable::NoReplicas | Retryable::MasterDown => {
                "requests are accepted again once its replication works"
            }
            _ => "this usually passes without action",
        };
        let detail = format!("the database (Redis) {}; nothing was changed. Retry later: {then}", why.is());
        Self::new(code, detail).with("reason", why.word()).retry_after(wait)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use posthaste_store::CallError;

    use super::*;

    #[test]
    fn each_refusal_of_the_store_has_a_detail_and_a_wait() {
        for (why, code, wait) in [
            (Retryable::Memory, Code::StorageFull, 5),
            (Retryable::NearlyFull, Code::StorageFull, 5),
            (Retryable::Disk, Code::StorageUnavailable, 5),
            (Retryable::NoReplicas, Code::StorageUnavailable, 5),
            (Retryable::MasterDown, Code::StorageUnavailable, 5),
            (Retryable::Loading, Code::StorageUnavailable, 1),
            (Retryable::ReadOnly, Code::StorageUnavailable, 1),
            (Retryable::Busy, Code::StorageUnavailable, 1),
            (Retryable::ClusterDown, Code::StorageUnavailable, 1),
            (Retryable::Moving, Code::StorageUnavailable, 1),
            (Retryable::Backlog, Code::StorageUnavailable, 1),
        ] {
            let problem = Problem::from(CallError::Retryable { why });
            assert_eq!((problem.code(), problem.wait()), (code, Some(Duration::from_secs(wait))));
            let document = problem.document();
            assert_eq!(document["reason"], why.word());
            let detail = document["detail"].as_str().unwrap();
            assert!(detail.contains(why.is()) && detail.contains("Retry later"), "{detail}");
        }
    }
}
