//! Files that are short enough to read in one go.

use super::Finding;
use crate::workspace::File;

/// Lines a file may have, tests included. There are no exceptions: split by verb.
const MOST: usize = 400;

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let lines = file.text.lines().count();
        if lines > MOST {
            findings.push(Finding::new(
                &file.path,
                format!("has {lines} lines, at most {MOST} are allowed: split it by verb"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_too_many_is_found() {
        let file = |lines| File { path: "lua/a.lua".into(), text: "x\n".repeat(lines) };
        assert_eq!(check(&[file(400)]), []);
        assert_eq!(check(&[file(401)]).len(), 1);
    }
}
