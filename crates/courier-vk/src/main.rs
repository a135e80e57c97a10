//! The courier of the VK channel.

fn main() -> std::process::ExitCode {
    posthaste_courier::program::main::<posthaste_courier_vk::Args>()
}
