//! The courier of the webhook channel.

fn main() -> std::process::ExitCode {
    posthaste_courier::process::main("posthaste-courier-webhook", posthaste_courier_webhook::run)
}
