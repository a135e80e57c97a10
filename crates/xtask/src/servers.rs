//! Redis 8.0 and Valkey 8.1 beside the system's own server: Debian 13's packages, unpacked into a folder and
//! started by their own loader. The system is not changed.

mod source;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::shell::{self, say};
use crate::workspace;

/// The folder, if it is not `servers` in the target folder; the rig reads the same variable.
const SERVERS_DIR: &str = "POSTHASTE_SERVERS_DIR";

/// The Debian release with the versions we need.
const SUITE: &str = "trixie";

/// The servers and all their libraries.
const PACKAGES: &[&str] = &[
    "valkey-server",
    "valkey-tools",
    "redis-server",
    "redis-tools",
    "libc6",
    "libjemalloc2",
    "liblzf1",
    "liblua5.1-0",
    "lua-cjson",
    "lua-bitop",
    "libssl3t64",
    "zlib1g",
    "libsystemd0",
    "libcap2",
    "libgcrypt20",
    "libgpg-error0",
    "liblz4-1",
    "liblzma5",
    "libzstd1",
    "libstdc++6",
    "libgcc-s1",
];

/// Each program and the expected start of its version.
const PROGRAMS: &[(&str, &str)] = &[("redis-server", "v=8.0."), ("valkey-server", "v=8.1.")];

/// Downloads and unpacks what is missing.
pub(crate) fn run() -> Result<()> {
    let servers = match std::env::var_os(SERVERS_DIR) {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => workspace::target()?.join("servers"),
    };
    if let Ok(versions) = versions(&servers) {
        say(&format!("servers: {versions} in {}", servers.display()));
        return Ok(());
    }
    let work = servers.with_extension("new");
    // Left over from an interrupted run.
    let _ = std::fs::remove_dir_all(&work);
    let _ = std::fs::remove_dir_all(&servers);
    let debs = fetch(&work)?;
    let unpacked = work.join("unpacked");
    for deb in debs {
        shell::run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(&unpacked))?;
    }
    let versions = versions(&unpacked)?;
    // The folder gets its final name only once it works.
    std::fs::rename(&unpacked, &servers).with_context(|| format!("naming {}", servers.display()))?;
    std::fs::remove_dir_all(&work).with_context(|| format!("removing {}", work.display()))?;
    say(&format!("servers: {versions} in {}", servers.display()));
    Ok(())
}

/// Downloads the packages with the machine's own apt and its own Debian source, with only the release
/// changed.
fn fetch(work: &Path) -> Result<Vec<PathBuf>> {
    let sources = source::find(Path::new("/etc/apt"), &codename()?)?;
    let parts = work.join("sources");
    let folders =
        [parts.clone(), work.join("lists/partial"), work.join("cache/archives/partial"), work.join("debs")];
    for folder in &folders {
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    let file = parts.join(format!("{SUITE}.sources"));
    std::fs::write(&file, sources.for_suite(SUITE)).with_context(|| format!("writing {}", file.display()))?;
    let apt = || {
        let mut command = Command::new("apt-get");
        let set = |name: &str, path: PathBuf| [String::from("-o"), format!("{name}={}", path.display())];
        command.args(["-q", "-o", "APT::Sandbox::User=root", "-o", "Dir::Etc::sourcelist=/dev/null"]);
        command.args(set("Dir::Etc::sourceparts", parts.clone()));
        command.args(set("Dir::State::lists", work.join("lists")));
        command.args(set("Dir::Cache", work.join("cache")));
        command.current_dir(work.join("debs"));
        command
    };
    shell::run(apt().arg("update"))?;
    shell::run(apt().arg("download").args(PACKAGES))?;
    let debs = std::fs::read_dir(work.join("debs")).context("listing the packages")?;
    Ok(debs
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|e| e == "deb"))
        .collect())
}

/// The release of this machine; Debian's packages run safely only on Debian.
fn codename() -> Result<String> {
    let text = std::fs::read_to_string("/etc/os-release").context("reading /etc/os-release")?;
    match (field(&text, "ID"), field(&text, "VERSION_CODENAME")) {
        (Some("debian"), Some(codename)) => Ok(codename.to_owned()),
        (id, _) => bail!(
            "this machine runs {}, not Debian; unpack Debian {SUITE}'s packages redis-server and valkey-server with \
             what they load into one folder yourself and name it in {SERVERS_DIR}",
            id.unwrap_or("an unknown system")
        ),
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.trim_matches('"'))
}

/// Starts each program to get its version.
fn versions(folder: &Path) -> Result<String> {
    let libraries = std::fs::read_dir(folder.join("usr/lib"))
        .with_context(|| format!("{} holds no servers", folder.display()))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| loader(path).is_some())
        .with_context(|| format!("{} holds no loader", folder.display()))?;
    let loader = loader(&libraries).context("the loader is missing")?;
    let mut found = Vec::new();
    for (program, wanted) in PROGRAMS {
        let mut command = Command::new(&loader);
        command
            .arg("--library-path")
            .arg(&libraries)
            .arg(folder.join("usr/bin").join(program))
            .arg("--version");
        let printed = shell::read(command.env("LC_ALL", "C"))?;
        ensure!(printed.contains(wanted), "{program}: expected version {wanted}, got: {printed}");
        let version = printed.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or_default();
        found.push(format!("{program} {version}"));
    }
    Ok(found.join(", "))
}

fn loader(libraries: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(libraries).ok()?.flatten();
    files
        .map(|file| file.path())
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_release() {
        let text = "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_CODENAME=\"bookworm\"\nID_LIKE=x\n";
        assert_eq!(field(text, "ID"), Some("debian"));
        assert_eq!(field(text, "VERSION_CODENAME"), Some("bookworm"));
        assert_eq!(field(text, "VERSION"), None);
    }

    #[test]
    fn an_empty_folder_holds_no_servers() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(versions(folder.path()).is_err());
    }
}
