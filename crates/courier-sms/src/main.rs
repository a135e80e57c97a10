//! The courier of the SMS channel.

fn main() -> std::process::ExitCode {
    posthaste_courier::program::main::<posthaste_courier_sms::Args>()
}
