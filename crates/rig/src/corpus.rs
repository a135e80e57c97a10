//! Replays the corpus of fuzz targets, `fuzz/corpus/<target>/`, without a fuzzer, so that fixed bugs stay fixed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Each input is also truncated at this many places.
const CUTS: usize = 16;

/// Runs a target on its whole corpus: each input as it is, truncated, and with one byte changed.
///
/// # Panics
/// If the target panics (the message names the file and the change), or its corpus is empty.
pub fn replay(target: &str, run: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.sort();
    assert!(!files.is_empty(), "{}: the corpus is empty", folder.display());
    for file in files {
        let whole = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let reported = |how: String, bytes: &[u8]| {
            let ended = catch_unwind(AssertUnwindSafe(|| run(bytes)));
            assert!(ended.is_ok(), "{target} panics at {}, {how}", file.display());
        };
        reported("whole".to_owned(), &whole);
        for cut in 0..CUTS {
            let at = whole.len() * cut / CUTS;
            reported(format!("the first {at} bytes"), &whole[..at]);
            for byte in [0, b'\n', b'"', b'{', 0xff] {
                let mut changed = whole.clone();
                if let Some(place) = changed.get_mut(at) {
                    *place = byte;
                    reported(format!("byte {at} made {byte}"), &changed);
                }
            }
        }
    }
}
