//! The courier of the VK channel.

fn main() -> std::process::ExitCode {
    posthaste_courier::process::main("posthaste-courier-vk", posthaste_courier_vk::run)
}
