//! What a refusal of the database for now means to a client.

use posthaste_store::Later;

use super::{Code, FULL_RETRY, Problem, STORE_RETRY};

impl Problem {
    /// The database refused the whole request: nothing was changed. The member `reason` is the stable word of why.
    pub(super) fn refused_for_now(why: Later) -> Self {
        let (code, wait) = match why {
            Later::Memory | Later::NearlyFull => (Code::StoreFull, FULL_RETRY),
            // Somebody has to do something first.
            Later::Disk | Later::NoReplicas | Later::MasterDown => (Code::StoreUnavailable, FULL_RETRY),
            _ => (Code::StoreUnavailable, STORE_RETRY),
        };
        let then = match why {
            Later::Memory | Later::NearlyFull => "new orders are taken again once it has more memory",
            Later::Disk => "requests are taken again once its disk can be written",
            Later::NoReplicas | Later::MasterDown => "requests are taken again once its replication works",
            _ => "this usually passes by itself",
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
    fn each_refusal_of_the_store_has_words_and_a_wait() {
        for (why, code, wait) in [
            (Later::Memory, Code::StoreFull, 5),
            (Later::NearlyFull, Code::StoreFull, 5),
            (Later::Disk, Code::StoreUnavailable, 5),
            (Later::NoReplicas, Code::StoreUnavailable, 5),
            (Later::MasterDown, Code::StoreUnavailable, 5),
            (Later::Loading, Code::StoreUnavailable, 1),
            (Later::ReadOnly, Code::StoreUnavailable, 1),
            (Later::Busy, Code::StoreUnavailable, 1),
            (Later::ClusterDown, Code::StoreUnavailable, 1),
            (Later::Moving, Code::StoreUnavailable, 1),
            (Later::Backlog, Code::StoreUnavailable, 1),
        ] {
            let problem = Problem::from(CallError::Later { why });
            assert_eq!((problem.code(), problem.wait()), (code, Some(Duration::from_secs(wait))));
            let document = problem.document();
            assert_eq!(document["reason"], why.word());
            let detail = document["detail"].as_str().unwrap();
            assert!(detail.contains(why.is()) && detail.contains("Retry later"), "{detail}");
        }
    }
}
