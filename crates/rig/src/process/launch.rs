//! Finds programs, starts them so that they die with this process, and reads the states of their threads.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{Error, Result};

/// Looks a program up: a path is checked, a bare name is searched on the PATH.
pub fn find_program(name: impl AsRef<Path>) -> Option<PathBuf> {
    let name = name.as_ref();
    if name.components().count() > 1 {
        return name.is_file().then(|| name.to_owned());
    }
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// The path of a binary of this workspace, built by the same profile as the running test or program.
///
/// # Errors
///
/// [`Error::Install`] with the build command when it has not been built.
pub fn workspace_binary(name: &str) -> Result<PathBuf> {
    let missing = || Error::Install {
        what: format!("the program {name}"),
        type_this: format!("cargo build --workspace --bins   (it contains {name})"),
    };
    let me = std::env::current_exe().map_err(Error::io("asking for the path of this program"))?;
    // Test programs live in <target>/<profile>/deps, examples in …/examples, programs in <target>/<profile>.
    me.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|file| file.is_file()).ok_or_else(missing)
}

/// The target folder the running program was built into: the nearest folder above it that cargo has tagged.
pub(crate) fn target_dir() -> PathBuf {
    std::env::current_exe()
        .ok()
        .and_then(|me| me.ancestors().find(|dir| dir.join("CACHEDIR.TAG").is_file()).map(Path::to_owned))
        .unwrap_or_else(|| PathBuf::from("target"))
}

/// A command for `binary` that the kernel kills when the thread that started it dies, where that is possible
/// without unsafe code of our own.
pub(crate) fn command(binary: &Path) -> Result<Command> {
    let program = find_program(binary).ok_or_else(|| Error::Install {
        what: binary.display().to_string(),
        type_this: "build or install it, or correct the PATH".into(),
    })?;
    Ok(match watchdog() {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    })
}

/// `setpriv` of util-linux, if present and if it supports the option (busybox's does not).
fn watchdog() -> Option<&'static Path> {
    static SETPRIV: OnceLock<Option<PathBuf>> = OnceLock::new();
    SETPRIV
        .get_or_init(|| {
            let setpriv = find_program("setpriv")?;
            let works = Command::new(&setpriv)
                .args(["--pdeathsig", "KILL", "--", "true"])
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            works.is_ok_and(|status| status.success()).then_some(setpriv)
        })
        .as_deref()
}

/// The scheduler states of all threads of a process (`T` is stopped); empty where the kernel has no `/proc`.
pub(crate) fn thread_states(pid: u32) -> Vec<char> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok())
        // The name in brackets may contain anything, so the state is searched after the last bracket.
        .filter_map(|stat| stat.rsplit_once(')')?.1.trim_start().chars().next())
        .collect()
}
