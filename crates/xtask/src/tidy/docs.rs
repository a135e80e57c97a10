//! Every file states its purpose at the top.

use super::Finding;
use crate::workspace::File;

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let undocumented = files.iter().filter(|file| file.is("rs") && !has_module_doc(&file.text));
    undocumented.map(|file| Finding::new(&file.path, "has no module doc: begin it with `//! …`")).collect()
}

/// Only blank lines, plain comments and inner attributes may come before the doc.
fn has_module_doc(text: &str) -> bool {
    let lines = text.lines().map(str::trim);
    let first = lines.filter(|line| !line.is_empty()).find(|line| {
        let before = line.starts_with("#!") || (line.starts_with("//") && !line.starts_with("//!"));
        !before
    });
    first.and_then(|line| line.strip_prefix("//!")).is_some_and(|doc| doc.chars().any(char::is_alphabetic))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> usize {
        check(&[File { path: "a.rs".into(), text: text.into() }]).len()
    }

    #[test]
    fn a_doc_at_the_top_is_enough() {
        assert_eq!(found("//! Says what it is.\nfn main() {}\n"), 0);
        assert_eq!(found("\n#![forbid(unsafe_code)]\n\n//! Says it.\n"), 0);
    }

    #[test]
    fn a_missing_empty_or_late_doc_is_found() {
        assert_eq!(found("fn main() {}\n"), 1);
        assert_eq!(found(""), 1);
        assert_eq!(found("//!\n//! Says it.\n"), 1);
        assert_eq!(found("use std::io;\n//! Too late.\n"), 1);
        assert_eq!(found("/// Of an item.\nstruct A;\n"), 1);
    }

    #[test]
    fn scripts_have_their_own_rule() {
        assert_eq!(check(&[File { path: "lua/a.lua".into(), text: String::new() }]), []);
    }
}
