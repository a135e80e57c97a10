//! Fuzzes settings files.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_ops::fuzz::settings(data));
