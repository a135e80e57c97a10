//! Groups messages about rows: each reason once, with the number of rows and the first lines.

/// Lines named per reason.
const NAMED: usize = 5;
/// Maximum number of separate reasons; the rest is counted together.
const MOST: usize = 50;

/// Reasons, in the order they were added.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reasons {
    groups: Vec<Group>,
    count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    what: String,
    count: u64,
    lines: Vec<u64>,
}

impl Reasons {
    /// Adds a reason, with the line of its row if there is one.
    pub fn add(&mut self, line: Option<u64>, what: &str) {
        self.count += 1;
        let what = if self.groups.len() < MOST { what } else { "other reasons" };
        let known = self.groups.iter().position(|group| group.what == what);
        let at = known.unwrap_or_else(|| {
            self.groups.push(Group { what: what.to_owned(), count: 0, lines: Vec::new() });
            self.groups.len() - 1
        });
        let group = &mut self.groups[at];
        group.count += 1;
        if group.lines.len() < NAMED {
            group.lines.extend(line);
        }
    }

    /// Number of rows added.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// One line per reason: `line 3: no address`, `lines 3, 5: no address`, `300 rows: no address (lines 2, 3, 4, 5, 6, …)`.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.groups.iter().map(|Group { what, count, lines }| {
            let named = lines.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
            match (lines.len(), *count) {
                (0, 1) => what.clone(),
                (0, count) => format!("{count} times: {what}"),
                (1, 1) => format!("line {named}: {what}"),
                (reported, count) if reported as u64 == count => format!("lines {named}: {what}"),
                (_, count) => format!("{count} rows: {what} (lines {named}, …)"),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_listed_once() {
        let mut reasons = Reasons::default();
        (2..302).for_each(|line| reasons.add(Some(line), "no country"));
        reasons.add(Some(7), "no address");
        reasons.add(Some(8), "two fields");
        reasons.add(Some(9), "two fields");
        reasons.add(None, "no text");
        let reported: Vec<_> = reasons.lines().collect();
        let all = "300 rows: no country (lines 2, 3, 4, 5, 6, …)";
        assert_eq!(reported, [all, "line 7: no address", "lines 8, 9: two fields", "no text"]);
        assert_eq!(reasons.count(), 304);
    }

    #[test]
    fn reasons_are_bounded() {
        let mut reasons = Reasons::default();
        (0..1_000).for_each(|n| reasons.add(Some(n), &format!("reason {n}")));
        assert_eq!(reasons.lines().count(), MOST + 1);
        assert_eq!(reasons.count(), 1_000);
    }
}
