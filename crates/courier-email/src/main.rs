//! The courier of the e-mail channel.

fn main() -> std::process::ExitCode {
    posthaste_courier::process::main("posthaste-courier-email", posthaste_courier_email::run)
}
