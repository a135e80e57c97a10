//! Every fuzz target is replayed: it is in the manifest of `fuzz/`, has a corpus, and a test runs it on that corpus.

use std::path::Path;

use super::Finding;
use crate::workspace::File;

const TARGETS: &str = "fuzz/fuzz_targets/";

pub(super) fn check(root: &Path, files: &[File]) -> Vec<Finding> {
    let manifest = std::fs::read_to_string(root.join("fuzz/Cargo.toml")).unwrap_or_default();
    let kept = |target: &str| {
        let folder = root.join("fuzz/corpus").join(target);
        std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
    };
    found(files, &manifest, kept)
}

fn found(files: &[File], manifest: &str, kept: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let Some(target) = file.path.strip_prefix(TARGETS).and_then(|name| name.strip_suffix(".rs")) else {
            continue;
        };
        let replay = format!("replay(\"{target}\", ");
        let is_replayed =
            files.iter().any(|file| file.path.starts_with("crates/") && file.text.contains(&replay));
        for (holds, what) in [
            (manifest.contains(&format!("name = \"{target}\"")), "is not in fuzz/Cargo.toml".to_owned()),
            (kept(target), format!("has no corpus: put small inputs into fuzz/corpus/{target}")),
            (is_replayed, format!("is not replayed by any test: call `{replay}…)` of posthaste_rig::corpus")),
        ] {
            if !holds {
                findings.push(Finding::new(&file.path, what));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_target_needs_its_name_its_inputs_and_its_test() {
        let target = || file("fuzz/fuzz_targets/bodies.rs", "");
        let test = file("crates/queue/src/fuzz.rs", "replay(\"bodies\", super::bodies);");
        assert_eq!(found(&[target(), test], "name = \"bodies\"", |target| target == "bodies"), []);
        let found =
            found(&[target(), file("crates/queue/src/fuzz.rs", "replay(\"other\", …")], "", |_| false);
        assert_eq!(found.len(), 3);
    }
}
