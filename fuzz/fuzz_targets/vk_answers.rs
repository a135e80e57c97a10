//! Fuzzes answers of VK.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_courier_vk::fuzz::vk_answers(data));
