//! Fuzzes ids, cursors and API keys in paths, queries and headers.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_queue::fuzz::tokens(data));
