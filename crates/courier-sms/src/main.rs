//! The courier of the SMS channel.

fn main() -> std::process::ExitCode {
    posthaste_courier::process::main("posthaste-courier-sms", posthaste_courier_sms::run)
}
