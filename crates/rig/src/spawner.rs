//! One thread that starts every child process.
//!
//! The kernel's "kill me when my parent dies" watches the *thread* that started the child. Test threads and
//! blocking-pool threads are short-lived, so children are started by a thread that lives as long as the process.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Sender};

type Job = (Command, Sender<io::Result<Child>>);

/// Starts `command` from the long-lived thread.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<io::Result<Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::Builder::new().name("rig-spawner".into()).spawn(move || {
            for (mut command, answer) in inbox {
                // The caller may be gone; then the child has no owner and must not stay.
                if let Err(mpsc::SendError(Ok(mut orphan))) = answer.send(command.spawn()) {
                    let _ = orphan.kill();
                    let _ = orphan.wait();
                }
            }
        })?;
        Ok(jobs)
    });
    let jobs = spawner.as_ref().map_err(|e| io::Error::new(e.kind(), e.to_string()))?;
    let (answer, child) = mpsc::channel();
    jobs.send((command, answer)).map_err(|_| io::Error::other("the spawner thread has ended"))?;
    child.recv().map_err(|_| io::Error::other("the spawner thread has ended"))?
}
