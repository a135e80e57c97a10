//! The machine's own Debian source, for use with another release.

use std::path::Path;

use anyhow::{Context, Result};

/// The address of packages, without the release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    addresses: String,
    signed_by: Option<String>,
}

impl Source {
    /// A deb822 source file for another release of the same archive.
    pub(super) fn for_suite(&self, suite: &str) -> String {
        let signed_by = self.signed_by.as_ref().map_or_else(String::new, |by| format!("Signed-By: {by}\n"));
        format!("Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n{signed_by}", self.addresses)
    }
}

/// Searches the sources in `/etc/apt` for the one that has `main` of this machine's release.
pub(super) fn find(etc: &Path, codename: &str) -> Result<Source> {
    let mut files = vec![etc.join("sources.list")];
    let parts = std::fs::read_dir(etc.join("sources.list.d")).into_iter().flatten().flatten();
    files.extend(parts.map(|entry| entry.path()));
    files.sort();
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let found = match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => text.split("\n\n").find_map(|stanza| read_stanza(stanza, codename)),
            Some("list") => text.lines().find_map(|line| read_line(line, codename)),
            _ => None,
        };
        if let Some(found) = found {
            return Ok(found);
        }
    }
    None.with_context(|| format!("no source in {} has main of {codename}", etc.display()))
}

/// One stanza of a `.sources` file.
fn read_stanza(stanza: &str, codename: &str) -> Option<Source> {
    let lines: Vec<&str> = stanza.lines().filter(|line| !line.starts_with('#')).collect();
    let field = |name: &str| {
        let start = lines.iter().position(|line| {
            line.split_once(':').is_some_and(|(field, _)| field.eq_ignore_ascii_case(name))
        })?;
        let (_, first) = lines[start].split_once(':')?;
        let more = lines[start + 1..].iter().take_while(|line| line.starts_with([' ', '\t']));
        let value = more.fold(first.trim().to_owned(), |all, line| all + "\n" + line);
        Some(value.trim_start_matches('\n').to_owned())
    };
    let has = |name: &str, word: &str| field(name).is_some_and(|v| v.split_whitespace().any(|w| w == word));
    let off = field("Enabled").is_some_and(|value| value == "no");
    let fits = !off && has("Types", "deb") && has("Suites", codename) && has("Components", "main");
    if fits { Some(Source { addresses: field("URIs")?, signed_by: field("Signed-By") }) } else { None }
}

/// One line of a `.list` file: `deb [options] address suite components`.
fn read_line(line: &str, codename: &str) -> Option<Source> {
    let rest = line.trim().strip_prefix("deb ")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace();
    let address = words.next()?;
    if words.next()? != codename || !words.any(|component| component == "main") {
        return None;
    }
    let signed_by = options.split_whitespace().find_map(|option| option.strip_prefix("signed-by="));
    Some(Source { addresses: address.to_owned(), signed_by: signed_by.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)]) -> Result<Source> {
        let etc = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(etc.path().join("sources.list.d")).expect("a folder");
        for (name, text) in files {
            std::fs::write(etc.path().join(name), text).expect("a file");
        }
        find(etc.path(), "bookworm")
    }

    #[test]
    fn reads_stanzas_and_leaves_out_security_and_strangers() {
        let text = "Types: deb\nURIs: http://a.example/stranger\nSuites: stable\nComponents: main\n\n\
            Types: deb\n# a comment\nURIs: http://a.example/security\nSuites: bookworm-security\nComponents: main\n\n\
            Types: deb deb-src\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates\n\
            Components: main contrib\nSigned-By: /k.gpg\n";
        let source = with(&[("sources.list.d/debian.sources", text)]).expect("a source");
        let expected = "Types: deb\nURIs: http://a.example/debian\nSuites: trixie\nComponents: main\n\
            Signed-By: /k.gpg\n";
        assert_eq!(source.for_suite("trixie"), expected);
    }

    #[test]
    fn reads_lines_with_and_without_options() {
        let lines = "# deb http://a.example/off bookworm main\ndeb-src http://a.example/src bookworm main\n\
            deb [arch=amd64 signed-by=/k.gpg] http://a.example/debian bookworm main\n";
        let source = with(&[("sources.list", lines)]).expect("a source");
        assert!(source.for_suite("trixie").contains("Signed-By: /k.gpg\n"));
        let source = with(&[("sources.list", "deb http://a.example/debian bookworm main contrib\n")]);
        assert!(!source.expect("a source").for_suite("trixie").contains("Signed-By"));
    }

    #[test]
    fn a_key_inside_the_source_is_kept_whole() {
        let text = "Types: deb\nURIs: http://a.example/debian\nSuites: bookworm\nComponents: main\nSigned-By:\n \
            -----BEGIN\n .\n -----END\n";
        let source = with(&[("sources.list.d/debian.sources", text)]).expect("a source");
        assert!(source.for_suite("trixie").ends_with("Signed-By:  -----BEGIN\n .\n -----END\n"));
    }

    #[test]
    fn a_disabled_source_is_none() {
        let text =
            "Enabled: no\nTypes: deb\nURIs: http://a.example/debian\nSuites: bookworm\nComponents: main\n";
        assert!(with(&[("sources.list.d/debian.sources", text)]).is_err());
        assert!(with(&[]).is_err());
    }
}
