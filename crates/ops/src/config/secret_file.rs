//! Reads a secret from a file that holds nothing else.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::origin::Origin;

/// Larger files are refused: no credential is this long.
const LIMIT: u64 = 64 * 1024;

/// The permission bits for others to read and write.
pub(super) const OTHERS: u32 = 0o006;

/// The permission bits for anybody but the owner to write.
const WRITABLE: u32 = 0o022;

/// Where Docker mounts secrets.
const RUN_SECRETS: &str = "/run/secrets";

/// The variable with which systemd names the folder of a service's credentials.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Folders in which root puts secrets for a service: there, a file may be readable by everyone, because the container or
/// the service manager decides who sees the folder.
#[derive(Debug, Default)]
pub(super) struct SecretFolders(Vec<PathBuf>);

impl SecretFolders {
    /// `/run/secrets`, the folder in `$CREDENTIALS_DIRECTORY`, and the one that a setting names.
    pub(super) fn new(by_setting: Option<PathBuf>) -> Self {
        let credentials = std::env::var_os(CREDENTIALS).map(PathBuf::from);
        let all = [Some(PathBuf::from(RUN_SECRETS)), credentials, by_setting];
        // Real paths, because /var/run is a link. A folder that is missing holds nothing.
        Self(all.into_iter().flatten().filter_map(|folder| folder.canonicalize().ok()).collect())
    }

    /// Whether the file is in one of them. The links of Kubernetes (`token -> ..data/token`) stay inside.
    fn hold(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|path| self.0.iter().any(|folder| path.starts_with(folder)))
    }
}

/// Why a file with these permissions can't hold a secret, if it can't.
fn too_open(mode: u32, owner: u32, is_in_folder: bool) -> Option<&'static str> {
    if mode & OTHERS == 0 {
        return None;
    }
    if owner == 0 && is_in_folder && mode & WRITABLE == 0 {
        return None;
    }
    Some(
        "can be read or written by everyone; run chmod o-rw on it (allowed are files that belong to root and that others \
         can't write, in /run/secrets, $CREDENTIALS_DIRECTORY or the folder named by secrets.folder)",
    )
}

/// The text of a secret file, without one trailing line end (`\n` or `\r\n`).
///
/// Refuses a file that everyone may read or write (but see [`SecretFolders`]), that is empty, larger than 64 KiB, not a plain file or not UTF-8.
pub(super) fn read(
    key: &str,
    path: &Path,
    named_by: &Origin,
    folders: &SecretFolders,
) -> Result<String, ConfigError> {
    let refuse = |why: &'static str, source: Option<io::Error>| ConfigError::SecretFile {
        key: key.to_owned(),
        path: path.to_owned(),
        why,
        named_by: named_by.clone(),
        source,
    };
    // Checked before opening, because opening a pipe would wait for a writer.
    let is_file = path.metadata().map_err(|error| refuse("cannot be read", Some(error)))?.is_file();
    if !is_file {
        return Err(refuse("is not a plain file", None));
    }
    let file = File::open(path).map_err(|error| refuse("cannot be read", Some(error)))?;
    let metadata = file.metadata().map_err(|error| refuse("cannot be read", Some(error)))?;
    if let Some(why) = too_open(metadata.mode(), metadata.uid(), folders.hold(path)) {
        return Err(refuse(why, None));
    }
    let mut text = String::new();
    let read = file.take(LIMIT + 1).read_to_string(&mut text);
    read.map_err(|error| refuse("cannot be read as text", Some(error)))?;
    if text.len() as u64 > LIMIT {
        return Err(refuse("is larger than 64 KiB", None));
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        return Err(refuse("is empty", None));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_root_in_folders_for_secrets_may_be_readable() {
        for (mode, owner, in_folder, good) in [
            (0o600, 1000, false, true),
            (0o640, 1000, false, true),
            (0o644, 1000, false, false),
            (0o444, 0, false, false),
            (0o444, 1000, true, false),
            // Docker, Kubernetes.
            (0o444, 0, true, true),
            (0o644, 0, true, true),
            // systemd.
            (0o440, 0, true, true),
            (0o646, 0, true, false),
            (0o664, 0, true, false),
            (0o602, 0, true, false),
        ] {
            assert_eq!(too_open(mode, owner, in_folder).is_none(), good, "{mode:o} of {owner}, {in_folder}");
        }
    }

    #[test]
    fn links_inside_a_folder_are_followed_and_those_out_of_it_are_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let outside = tempfile::tempdir().expect("another folder");
        let link = |from: &Path, to: &Path| std::os::unix::fs::symlink(from, to).expect("a link");
        std::fs::create_dir(folder.path().join("..2026")).expect("a folder");
        std::fs::write(folder.path().join("..2026/token"), "x").expect("a file");
        std::fs::write(outside.path().join("token"), "x").expect("a file");
        link(Path::new("..2026"), &folder.path().join("..data"));
        link(Path::new("..data/token"), &folder.path().join("token"));
        link(&outside.path().join("token"), &folder.path().join("other"));
        let folders = SecretFolders::new(Some(folder.path().to_owned()));
        assert!(folders.hold(&folder.path().join("token")));
        assert!(!folders.hold(&folder.path().join("other")));
        assert!(!folders.hold(&outside.path().join("token")));
        assert!(!folders.hold(&folder.path().join("missing")));
    }
}
