//! The sandbox as a process of its own.

fn main() -> std::process::ExitCode {
    posthaste_sandbox::main()
}
