//! Events about processes and their ports, and those of the sandbox.

use super::{COURIERS, LogEvent, PROCESSES, Program, SERVICES, error, info, warn};

const QUEUE: &[Program] = &[Program::Queue];
const SANDBOX: &[Program] = &[Program::Sandbox];

/// In the order of their names.
pub(super) const EVENTS: &[LogEvent] = &[
    warn(
        SERVICES,
        "port.accept_failed",
        "A port cannot accept connections.",
        "It is tried again every moment; clients wait.",
        "Follow `error`: usually too few open files are allowed (ulimit -n), or the host is out of memory.",
    ),
    info(SERVICES, "port.opened", "A port is open: `port` says which, `address` where."),
    error(
        PROCESSES,
        "process.panicked",
        "A part of the program panicked; `location` says where.",
        "A request or call fails, or the process stops in order and exits with a code of its own.",
        "This is a bug: report `location`, `text` and, with RUST_BACKTRACE=1, `backtrace`. None of them contains user data.",
    ),
    info(SERVICES, "process.ready", "The process is ready; the fields name its addresses."),
    error(
        COURIERS,
        "process.ready_file_failed",
        "The ready file could not be written.",
        "The courier works; whoever waits for the file waits on.",
        "Check the path given by --ready-file, its permissions, and the free space.",
    ),
    info(
        PROCESSES,
        "process.stop_requested",
        "A signal asked the process to stop; a second one (`stage` hard) cuts off what is in flight.",
    ),
    warn(
        QUEUE,
        "process.too_few_files",
        "Fewer open files are allowed than http.max_connections needs.",
        "With many clients, new connections are refused before the limit is reached.",
        "Raise the hard limit (ulimit -n, LimitNOFILE of the service), or lower http.max_connections.",
    ),
    info(
        SERVICES,
        "process.wait_cancelled",
        "The process was stopped while it waited for the database at startup.",
    ),
    warn(
        PROCESSES,
        "process.work_cut_off",
        "The process stopped before its work in flight was finished: the time was over, or a second signal came.",
        "Open requests end; messages on the wire become unknown.",
        "Raise stop.drain_for and the time limit of the service manager.",
    ),
    info(SANDBOX, "sandbox.closing", "The sandbox stops; the fields count what it received."),
    warn(
        SANDBOX,
        "sandbox.exposed",
        "The sandbox listens on an address that other computers can reach.",
        "Anyone who can reach it can use it, and read what it received.",
        "Let it listen on 127.0.0.1, unless the network is private.",
    ),
    info(SANDBOX, "sandbox.opened", "The sandbox is open; the fields name its addresses."),
    warn(
        SANDBOX,
        "sandbox.record_failed",
        "An attempt or a later status could not be written to the record file.",
        "The record lacks it.",
        "Check the free space and the permissions of the file.",
    ),
];
