//! What follows when a primary is reached, or lost: its link, the link of all servers together, and the metrics.

use crate::inner::Inner;
use crate::primary::Primary;

impl Inner {
    /// There is a checked connection to this run of a server.
    pub(crate) fn found(&self, primary: &Primary, run_id: String) {
        primary.link.up(run_id);
        primary.show(true);
        self.tell_links();
        self.routes.reported();
    }

    /// Handles the loss of the last connection to a primary.
    pub(crate) fn lost(&self, primary: &Primary) {
        if !primary.link.lost(false) {
            return;
        }
        metrics::counter!("posthaste_redis_disconnects_total").increment(1);
        primary.show(false);
        let others = self.routes.primaries().iter().any(|primary| primary.link.is_up());
        self.link.lost(others);
        self.routes.stale.notify_one();
        self.routes.reported();
        self.count_away();
    }

    /// Updates the combined link of all servers.
    pub(crate) fn tell_links(&self) {
        let links = self.routes.primaries();
        let mut run_ids: Vec<String> = links
            .iter()
            .filter(|primary| primary.link.is_up())
            .map(|primary| primary.link.run_id())
            .collect();
        if !run_ids.is_empty() {
            // The order of a cluster's servers is not significant.
            run_ids.sort_unstable();
            self.link.up(run_ids.join(","));
        }
    }

    /// Sets the metric for the number of partitions that can't be reached.
    pub(crate) fn count_away(&self) {
        if self.routes.is_cluster() {
            let away =
                self.guard.all().iter().filter(|partition| !self.routes.can_ask(partition.slot)).count();
            metrics::gauge!("posthaste_redis_partitions_unavailable")
                .set(u32::try_from(away).unwrap_or(u32::MAX));
        }
    }

    /// The partitions whose slots a primary has.
    pub(crate) fn partitions_of(&self, primary: &Primary) -> Vec<u16> {
        let here = self.guard.all().iter().filter(|at| self.routes.has(primary, at.slot));
        here.map(|at| at.number).collect()
    }
}
