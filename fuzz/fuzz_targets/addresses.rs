//! Fuzzes addresses of all channels.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_queue::fuzz::addresses(data));
