//! Paths: the workspace, its target folder, its files.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A text file of the workspace.
pub(crate) struct File {
    /// Its path below the root, with `/`.
    pub(crate) path: String,
    /// Its content.
    pub(crate) text: String,
}

impl File {
    /// Whether it ends in `.<extension>`.
    pub(crate) fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|e| e == extension)
    }
}

/// The root of the workspace: the nearest folder from here upwards with a lock file.
pub(crate) fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("reading the current folder")?;
    let found = here.ancestors().find(|dir| dir.join("Cargo.lock").is_file());
    found.map(Path::to_owned).context("no Cargo.lock here or above: run this inside the workspace")
}

/// Cargo's target folder.
pub(crate) fn target() -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => Ok(dir.into()),
        _ => Ok(root()?.join("target")),
    }
}

/// All `.rs` and `.lua` files below the root, sorted by path, without hidden folders and target folders.
pub(crate) fn files(root: &Path) -> Result<Vec<File>> {
    ending_in(root, &[".rs", ".lua"])
}

/// All `.md` files, in the same way.
pub(crate) fn documents(root: &Path) -> Result<Vec<File>> {
    ending_in(root, &[".md"])
}

fn ending_in(root: &Path, endings: &[&str]) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("listing {}", folder.display()))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && name != "target" {
                    folders.push(path);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let text = std::fs::read_to_string(&path);
                let text = text.with_context(|| format!("reading {}", path.display()))?;
                let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_sources_and_leaves_out_what_was_built() {
        let dir = tempfile::tempdir().expect("a folder");
        for path in ["a/b.rs", "lua/c.lua", "target/d.rs", "fuzz/target/d.rs", ".git/e.rs", "a/readme.md"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, "text").expect("a file");
        }
        let files = files(dir.path()).expect("files");
        let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a/b.rs", "lua/c.lua"]);
        assert!(files[1].is("lua") && !files[1].is("rs"));
        let documents = documents(dir.path()).expect("documents");
        assert_eq!(documents.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a/readme.md"]);
    }
}
