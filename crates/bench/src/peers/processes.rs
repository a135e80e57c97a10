//! Processor time and peak memory of a process and all its children.

use std::collections::HashMap;

use procfs::process::{Process, all_processes};

/// What a tree of processes has used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// Processor seconds so far.
    pub(super) cpu: f64,
    /// The sum of the largest resident memory of each, in bytes.
    pub(super) peak: u64,
}

/// The process `id`, its children and theirs.
pub(super) fn used(id: u32) -> anyhow::Result<Used> {
    let root = i32::try_from(id)?;
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for stat in all_processes()?.flatten().filter_map(|process| process.stat().ok()) {
        children.entry(stat.ppid).or_default().push(stat.pid);
    }
    let mut used = Used::default();
    let mut left = vec![root];
    while let Some(pid) = left.pop() {
        left.extend(children.remove(&pid).unwrap_or_default());
        // A child may have ended meanwhile; the first has not.
        let of = Process::new(pid).and_then(|process| Ok((process.stat()?, process.status()?)));
        match of {
            Ok((stat, status)) => {
                #[expect(clippy::cast_precision_loss, reason = "a count of ticks")]
                let ticks = (stat.utime + stat.stime) as f64;
                #[expect(clippy::cast_precision_loss, reason = "some hundred")]
                let per_second = procfs::ticks_per_second() as f64;
                used.cpu += ticks / per_second;
                used.peak += status.vmhwm.unwrap_or(0) * 1024;
            }
            Err(error) if pid == root => return Err(error.into()),
            Err(_) => {}
        }
    }
    Ok(used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_without_children_uses_memory() {
        let used = used(std::process::id()).expect("this process");
        assert!(used.peak > 100_000, "{used:?}");
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(used(i32::MAX.unsigned_abs()).is_err());
    }
}
