//! Steps of processes and operators after a database went back: compare the runs of its server, halt it, list what is
//! in doubt, recover it.

use std::time::Duration;

use posthaste_model::{Priority, UnixMs};
use posthaste_protocol::scripts::halt::{HaltCause, HaltDatabase};
use posthaste_protocol::scripts::list_in_doubt::{DoubtIndex, ListInDoubt};
use posthaste_protocol::scripts::open_server_run::OpenServerRun;
use posthaste_protocol::scripts::recover::Recover;
use rand::Rng;

use crate::walk::{Differ, Walk};

impl Walk<'_> {
    pub(crate) fn of_rollback(&mut self) -> Differ {
        if !self.epoch.starts_with('!') {
            return if self.rng.random_bool(0.5) { self.open_run() } else { self.halt() };
        }
        match self.rng.random_range(0..4) {
            // Another process adds what it knows.
            0 => self.halt(),
            1 | 2 => self.doubt(),
            _ => self.recover(),
        }
    }

    fn open_run(&mut self) -> Differ {
        let keys = self.keys.clone();
        if self.rng.random_bool(0.7) {
            self.run += 1;
            self.set_clock()?;
        }
        let noted = format!("{:08x}", self.run.saturating_sub(self.rng.random_range(0..3)));
        let lost = Duration::from_millis(self.rng.random_range(0..5_000));
        let lost = self.rng.random_bool(0.3).then_some((noted.as_str(), lost));
        if let Ok(answer) = self.call(&OpenServerRun { keys: &keys, lost })? {
            let runs = answer.reply;
            assert_eq!(runs.last().map(|run| run.id.clone()), Some(format!("{:08x}", self.run)));
            assert!(runs.len() <= 16, "they are bounded");
            assert!(runs.is_sorted_by(|a, b| a.raised <= b.found), "no fence is given out twice: {runs:?}");
        }
        Ok(())
    }

    fn halt(&mut self) -> Differ {
        let keys = self.keys.clone();
        let some = |walk: &mut Self| walk.rng.random_bool(0.5).then_some(UnixMs(walk.now));
        let (since, last) = (some(self), some(self));
        let found = self.rng.random_bool(0.6).then(|| self.rng.random_range(0..50));
        let lost: Vec<_> = self
            .orders
            .iter()
            .rev()
            .take(3)
            .map(|(order_id, _)| (order_id.clone(), UnixMs(self.now)))
            .collect();
        let cause = if self.rng.random_bool(0.3) { HaltCause::Wiped } else { HaltCause::WentBack };
        let known = self.rng.random_range(0..100);
        let script = HaltDatabase { keys: &keys, cause, found, known, since, last, orders: &lost };
        if self.call(&script)?.is_ok() && !self.epoch.starts_with('!') {
            self.epoch.insert(0, '!');
        }
        Ok(())
    }

    fn doubt(&mut self) -> Differ {
        let keys = self.keys.clone();
        let courier = self.rng.random_range(0..self.couriers.len());
        let channel = self.couriers[courier].channel.clone();
        let priority = if self.rng.random() { Priority::Urgent } else { Priority::Bulk };
        let index = match self.rng.random_range(0..4) {
            0 => DoubtIndex::Leased,
            1 => DoubtIndex::Unresolved,
            2 => DoubtIndex::Parked,
            _ => DoubtIndex::Ready { priority, from: UnixMs(self.now.saturating_sub(100_000)) },
        };
        let (end, halted) = (self.rng.random_bool(0.6), UnixMs(self.now + 5_000));
        let limit = self.rng.random_range(1..=5);
        let mut next = Some(0);
        while let Some(from) = next {
            let script = ListInDoubt { keys: &keys, channel: &channel, index, halted, end, from, limit };
            next = self.call(&script)?.ok().and_then(|answer| answer.reply.next);
        }
        Ok(())
    }

    fn recover(&mut self) -> Differ {
        let keys = self.keys.clone();
        if let Ok(answer) = self.call(&Recover { keys: &keys, partitions: 1 })?
            && let Some(epoch) = answer.reply
        {
            self.epoch = epoch;
        }
        Ok(())
    }
}
