//! Files and folders have no names without meaning.

use super::Finding;
use crate::workspace::File;

const EMPTY_WORDS: &[&str] =
    &["util", "utils", "common", "commons", "helper", "helpers", "manager", "managers", "misc", "stuff"];

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let without_extension = file.path.rsplit_once('.').map_or(file.path.as_str(), |(path, _)| path);
        let words = without_extension.split(['/', '_', '-']);
        for word in words.filter(|word| EMPTY_WORDS.contains(word)) {
            findings
                .push(Finding::new(&file.path, format!("`{word}` has no meaning: name it by what it does")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str) -> usize {
        check(&[File { path: path.into(), text: String::new() }]).len()
    }

    #[test]
    fn empty_words_are_found_in_folders_and_in_compound_names() {
        assert_eq!(found("crates/queue/src/utils.rs"), 1);
        assert_eq!(found("crates/queue/src/helpers/json.rs"), 1);
        assert_eq!(found("crates/queue-common/src/lib.rs"), 1);
        assert_eq!(found("lua/lib/key_helper.lua"), 1);
    }

    #[test]
    fn other_words_pass() {
        assert_eq!(found("crates/queue/src/commonplace.rs"), 0);
        assert_eq!(found("crates/courier/src/management.rs"), 0);
    }
}
