//! A settings file with arbitrary bytes.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::*;
use crate::{admin, shutdown, telemetry};

/// Settings of a process, and a section that accepts anything.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only read")]
struct Settings {
    log: telemetry::Settings,
    admin: admin::Settings,
    stop: shutdown::Settings,
    #[serde(default)]
    any: IgnoredAny,
}

/// Parses the text of a settings file. Errors give only the position of an invalid line, never its text.
pub fn settings(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let origin = Origin::File(PathBuf::from("FILE"));
    let read = parse(text, &origin).and_then(|dict| {
        let defaults = Layer { origin: Origin::Defaults, dict: parse(SECTIONS, &Origin::Defaults)? };
        let merged = layer::merge(vec![vec![defaults], vec![Layer { origin, dict }]]);
        let is_text = |tag| merged.is_text(tag);
        let read = Settings::deserialize(Reader::new(&merged.root, ELSEWHERE, &is_text));
        read.map_err(|problem| explain(problem, &merged, &[]))?;
        Ok(merged.entries(&[]))
    });
    if let Err(error) = read {
        assert!(error.to_string().len() <= 2 * text.len() + 2_000, "{error}");
    }
}
