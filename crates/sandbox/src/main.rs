//! The sandbox as a standalone process.

fn main() -> std::process::ExitCode {
    posthaste_sandbox::main()
}
