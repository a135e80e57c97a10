//! Fuzzes messages to return paths: DSN, ARF, anything.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_courier_email::fuzz::bounces(data));
