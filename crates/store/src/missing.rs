//! Partitions that can't be reached now, by the server that holds them.

use std::fmt;
use std::sync::Arc;

/// The partitions of one server that can't be reached now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPartitions {
    /// The address of the server; `None` while no server has their slots.
    pub node: Option<Arc<str>>,
    /// The partitions, in order.
    pub partitions: Vec<u16>,
    /// Whether their slots are being moved; otherwise the server does not answer.
    pub moving: bool,
}

impl fmt::Display for MissingPartitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", Partitions(&self.partitions))?;
        match &self.node {
            Some(node) if self.moving => write!(f, "at {node} (being moved to another server)"),
            Some(node) => write!(f, "at {node} (server does not answer)"),
            None => f.write_str("(no server has their slots)"),
        }
    }
}

/// Numbers of partitions as people write them: `partitions 1, 4 to 6`.
struct Partitions<'a>(&'a [u16]);

impl fmt::Display for Partitions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "partition" } else { "partitions" })?;
        let runs = self.0.chunk_by(|one, next| one + 1 == *next);
        for (at, run) in runs.enumerate() {
            f.write_str(if at == 0 { " " } else { ", " })?;
            match run {
                [first, .., last] if run.len() > 2 => write!(f, "{first} to {last}")?,
                [first, second] => write!(f, "{first}, {second}")?,
                _ => write!(f, "{}", run.first().copied().unwrap_or_default())?,
            }
        }
        Ok(())
    }
}

/// The partitions of a server, as text.
pub(crate) fn holds(partitions: &[u16]) -> String {
    match partitions {
        [] => "it holds no partition".to_owned(),
        some => format!("it holds {}", Partitions(some)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_listed_in_runs() {
        let reported = |partitions: &[u16]| Partitions(partitions).to_string();
        assert_eq!(reported(&[3]), "partition 3");
        assert_eq!(reported(&[3, 4]), "partitions 3, 4");
        assert_eq!(reported(&[0, 3, 4, 5, 9, 11, 12]), "partitions 0, 3 to 5, 9, 11, 12");
        let missing = |node: Option<&str>, moving| {
            let node = node.map(Arc::from);
            MissingPartitions { node, partitions: vec![1], moving }.to_string()
        };
        assert_eq!(missing(Some("h:1"), false), "partition 1 at h:1 (server does not answer)");
        assert_eq!(missing(Some("h:1"), true), "partition 1 at h:1 (being moved to another server)");
        assert_eq!(missing(None, false), "partition 1 (no server has their slots)");
    }
}
