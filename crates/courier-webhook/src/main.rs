//! The courier of the webhook channel.

fn main() -> std::process::ExitCode {
    posthaste_courier::program::main::<posthaste_courier_webhook::Args>()
}
