//! The text of a script: assembled from its parts, and with comments blanked.

use anyhow::{Context, Result};

use crate::workspace::File;

/// A shared part of scripts, `lua/lib/<name>.lua`.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A script, `lua/<name>.lua`, with the parts named in its line `-- uses:`, in that order.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) parts: Vec<Part>,
}

impl Script {
    /// The text as servers run it: the parts follow the first line.
    pub(crate) fn assembled(&self) -> String {
        let (first, rest) = self.text.split_once('\n').unwrap_or((&self.text, ""));
        let parts: String = self.parts.iter().map(|part| part.text.as_str()).collect();
        format!("{first}\n{parts}{rest}")
    }

    /// The same, with the first line (which is not Lua) turned into a comment.
    pub(super) fn checkable(&self) -> String {
        format!("-- {}", self.assembled())
    }

    /// The file and line that a line of the assembled text comes from, both 1-based.
    pub(super) fn origin(&self, line: usize) -> (&str, usize) {
        let mut left = line.saturating_sub(1);
        if left == 0 {
            return (&self.path, 1);
        }
        for part in &self.parts {
            let lines = part.text.lines().count();
            if left <= lines {
                return (&part.path, left);
            }
            left -= lines;
        }
        (&self.path, left + 1)
    }
}

/// All scripts among the files.
pub(crate) fn scripts(files: &[File]) -> Result<Vec<Script>> {
    let scripts = files.iter().filter(|file| script_name(&file.path).is_some());
    scripts.map(|file| script(file, files)).collect()
}

fn script(file: &File, files: &[File]) -> Result<Script> {
    let uses = file.text.lines().find_map(|line| line.strip_prefix("-- uses:")).unwrap_or_default();
    let parts = uses.split_whitespace().map(|part| {
        let path = format!("lua/lib/{part}.lua");
        let found = files.iter().find(|file| file.path == path);
        let found = found.with_context(|| format!("{} uses {part}, but there is no {path}", file.path))?;
        // A part without a final line end would run into the next one.
        let end = if found.text.ends_with('\n') { "" } else { "\n" };
        Ok(Part { path, text: format!("{}{end}", found.text) })
    });
    Ok(Script {
        name: script_name(&file.path).unwrap_or_default().to_owned(),
        path: file.path.clone(),
        text: file.text.clone(),
        parts: parts.collect::<Result<_>>()?,
    })
}

fn script_name(path: &str) -> Option<&str> {
    path.strip_prefix("lua/")?.strip_suffix(".lua").filter(|name| !name.contains('/'))
}

/// The text with comments and the content of strings blanked; line ends stay in place.
pub(crate) fn code(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let skipped = if rest.starts_with("--[[") {
            up_to(rest, "]]")
        } else if rest.starts_with("--") || rest.starts_with("#!") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("[[") {
            up_to(rest, "]]")
        } else if next == '\'' || next == '"' {
            quoted(rest, next)
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
            continue;
        };
        out.extend(rest[..skipped].chars().map(|c| if c == '\n' { c } else { ' ' }));
        rest = &rest[skipped..];
    }
    out
}

fn up_to(text: &str, end: &str) -> usize {
    text.find(end).map_or(text.len(), |at| at + end.len())
}

/// The length of a quoted string, including its quotes.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote || c == '\n' => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn parts_come_behind_the_first_line_in_their_order() {
        let files = [
            file("lua/claim.lua", "#!lua flags=allow-oom\n-- claim: takes.\n-- uses: two one\nreturn f()\n"),
            file("lua/lib/one.lua", "-- One.\nlocal one = 1"),
            file("lua/lib/two.lua", "-- Two.\nlocal two = 2\n"),
        ];
        let scripts = scripts(&files).expect("scripts");
        assert_eq!(scripts.len(), 1, "parts are not scripts");
        let expected = "#!lua flags=allow-oom\n-- Two.\nlocal two = 2\n-- One.\nlocal one = 1\n\
            -- claim: takes.\n-- uses: two one\nreturn f()\n";
        assert_eq!(scripts[0].assembled(), expected);
        let origins: Vec<_> = (1..=8).map(|line| scripts[0].origin(line)).collect();
        let (own, one, two) = ("lua/claim.lua", "lua/lib/one.lua", "lua/lib/two.lua");
        let expected = [(own, 1), (two, 1), (two, 2), (one, 1), (one, 2), (own, 2), (own, 3), (own, 4)];
        assert_eq!(origins, expected);
    }

    #[test]
    fn a_missing_part_is_named() {
        let error = scripts(&[file("lua/a.lua", "#!lua\n-- uses: nothing\n")]).expect_err("missing");
        assert!(error.to_string().contains("lua/lib/nothing.lua"), "{error}");
    }

    #[test]
    fn comments_and_strings_are_blanked() {
        let text = "#!lua\nlocal a = 'pcall \\' --' -- bit\n--[[ struct\n]] b = [[cjson]] .. \"x\"\n";
        let code = code(text);
        assert_eq!(code.lines().count(), 4);
        let words: Vec<_> = code.split_whitespace().collect();
        assert_eq!(words, ["local", "a", "=", "b", "=", ".."]);
    }
}
