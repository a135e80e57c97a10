//! Which server to use, and where its program is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::process::find_program;
use crate::{Error, Result};

/// The environment variable that selects the server: `redis` (default), `redis8` or `valkey8`.
pub const TEST_SERVER: &str = "RIG_SERVER";

/// The environment variable with the folder of the unpacked servers.
pub const SERVERS_DIR: &str = "POSTHASTE_SERVERS_DIR";

/// The servers the tests run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerKind {
    /// The `redis-server` of the PATH; on Debian 12 that is 7.0.
    Redis70,
    /// Redis 8.0, unpacked from Debian 13's packages.
    Redis80,
    /// Valkey 8.1, unpacked from Debian 13's packages.
    Valkey81,
}

/// A program and the arguments before its own arguments.
#[derive(Clone, Debug)]
pub(super) struct Launcher {
    pub(super) program: PathBuf,
    pub(super) before: Vec<OsString>,
}

impl ServerKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Redis70, Self::Redis80, Self::Valkey81];

    /// The server for this test run.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] when [`TEST_SERVER`] holds an unknown name.
    pub fn from_env() -> Result<Self> {
        match std::env::var(TEST_SERVER) {
            Ok(name) => Self::from_name(&name),
            Err(_) => Ok(Self::Redis70),
        }
    }

    /// The server with this name; an empty name is the default.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`] when there is none with that name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "" => Ok(Self::Redis70),
            _ => Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| Error::Setting {
                name: TEST_SERVER,
                value: name.to_owned(),
                expected: "redis, redis8 or valkey8",
            }),
        }
    }

    /// The name used in [`TEST_SERVER`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis70 => "redis",
            Self::Redis80 => "redis8",
            Self::Valkey81 => "valkey8",
        }
    }

    /// Whether it is a Valkey.
    pub fn is_valkey(self) -> bool {
        self == Self::Valkey81
    }

    /// Checks that its program is installed.
    ///
    /// # Errors
    ///
    /// [`Error::Install`] with what to type when it is not.
    pub fn check_installed(self) -> Result<()> {
        self.launcher().map(drop)
    }

    pub(super) fn launcher(self) -> Result<Launcher> {
        self.launcher_in(&servers_dir())
    }

    fn launcher_in(self, dir: &Path) -> Result<Launcher> {
        let unpacked = match self {
            Self::Redis70 => {
                let program = find_program("redis-server").ok_or_else(|| Error::Install {
                    what: "redis-server".into(),
                    type_this: "apt-get install redis-server   (or: make setup)".into(),
                })?;
                return Ok(Launcher { program, before: Vec::new() });
            }
            Self::Redis80 => "usr/bin/redis-server",
            Self::Valkey81 => "usr/bin/valkey-server",
        };
        let binary = dir.join(unpacked);
        // The packages are built for a newer system, so the programs run under the loader that came with them.
        match loader(dir) {
            Some((loader, libraries)) if binary.is_file() => Ok(Launcher {
                program: loader,
                before: vec!["--library-path".into(), libraries.into(), binary.into()],
            }),
            _ => Err(Error::Install {
                what: binary.display().to_string(),
                type_this: format!(
                    "cargo run -p posthaste-xtask -- servers   (or: make servers; {SERVERS_DIR} says where)"
                ),
            }),
        }
    }
}

/// The folder of the unpacked servers: [`SERVERS_DIR`], or `servers` in the target folder.
pub fn servers_dir() -> PathBuf {
    match std::env::var_os(SERVERS_DIR) {
        Some(dir) if !dir.is_empty() => dir.into(),
        _ => crate::process::target_dir().join("servers"),
    }
}

/// The loader and the library folder of the unpacked system, for any architecture.
fn loader(dir: &Path) -> Option<(PathBuf, PathBuf)> {
    let folders = std::fs::read_dir(dir.join("usr/lib")).ok()?;
    folders.flatten().find_map(|folder| {
        let libraries = folder.path();
        let mut files = std::fs::read_dir(&libraries).ok()?.flatten();
        let loader = files.find(|file| file.file_name().to_string_lossy().starts_with("ld-linux"))?;
        Some((loader.path(), libraries))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back_to_their_servers() {
        for kind in ServerKind::ALL {
            assert_eq!(ServerKind::from_name(kind.name()).expect("a known name"), kind);
        }
        assert_eq!(ServerKind::from_name("").expect("the default"), ServerKind::Redis70);
        let error = ServerKind::from_name("memcached").expect_err("an unknown name").to_string();
        assert!(error.contains("RIG_SERVER=memcached"), "{error}");
    }

    #[test]
    fn a_missing_server_says_what_to_type() {
        let empty = tempfile::tempdir().expect("a folder");
        for kind in [ServerKind::Redis80, ServerKind::Valkey81] {
            let error = kind.launcher_in(empty.path()).expect_err("an empty folder").to_string();
            assert!(error.contains("cargo run -p posthaste-xtask -- servers"), "{error}");
        }
    }

    #[test]
    fn an_unpacked_server_runs_under_its_own_loader() {
        let dir = tempfile::tempdir().expect("a folder");
        let libraries = dir.path().join("usr/lib/riscv64-linux-gnu");
        for file in [libraries.join("ld-linux-riscv64.so.1"), dir.path().join("usr/bin/valkey-server")] {
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
            std::fs::write(file, "").expect("a file");
        }
        let launcher = ServerKind::Valkey81.launcher_in(dir.path()).expect("a launcher");
        assert_eq!(launcher.program, libraries.join("ld-linux-riscv64.so.1"));
        assert_eq!(launcher.before[1], libraries.into_os_string());
        assert!(ServerKind::Redis80.launcher_in(dir.path()).is_err());
    }
}
