//! The courier of the e-mail channel.

fn main() -> std::process::ExitCode {
    posthaste_courier::program::main::<posthaste_courier_email::Args>()
}
