//! Fuzzes NDJSON uploads.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_queue::fuzz::order_lines(data));
