//! Pages that are made from the code are those in the tree.

use std::path::Path;

use super::Finding;
use crate::pages::{PAGES, Page};

pub(super) fn check(root: &Path) -> Vec<Finding> {
    PAGES.iter().filter_map(|page| differs(root, page)).collect()
}

fn differs(root: &Path, page: &Page) -> Option<Finding> {
    let write = "write it with `cargo run -p posthaste-xtask -- pages`";
    match std::fs::read_to_string(root.join(page.path)) {
        Ok(kept) => {
            let made = (page.text)();
            let line = kept.lines().zip(made.lines()).take_while(|(kept, made)| kept == made).count() + 1;
            (kept != made).then(|| Finding::line(page.path, line, format!("differs from the code: {write}")))
        }
        Err(error) => Some(Finding::new(page.path, format!("{error}: {write}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_missing_or_differs_is_found() {
        let dir = tempfile::tempdir().expect("a folder");
        let page = Page { path: "page.md", text: || "one\ntwo\n".to_owned() };
        let found = || differs(dir.path(), &page).map(|finding| finding.place);
        assert_eq!(found().as_deref(), Some("page.md"));
        for (kept, place) in [
            ("one\ntwo\n", None),
            ("one\n2\n", Some("page.md:2")),
            ("one\n", Some("page.md:2")),
            ("one\ntwo\nthree\n", Some("page.md:3")),
        ] {
            std::fs::write(dir.path().join("page.md"), kept).expect("written");
            assert_eq!(found().as_deref(), place, "{kept}");
        }
    }
}
