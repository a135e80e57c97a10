//! The courier of the Telegram channel.

fn main() -> std::process::ExitCode {
    posthaste_courier::process::main("posthaste-courier-telegram", posthaste_courier_telegram::run)
}
