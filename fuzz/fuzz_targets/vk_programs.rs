//! Fuzzes programs of `execute` in the stand-in for VK.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_sandbox::fuzz::vk_programs(data));
