//! The courier of the Telegram channel.

fn main() -> std::process::ExitCode {
    posthaste_courier::program::main::<posthaste_courier_telegram::Args>()
}
