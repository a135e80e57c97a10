//! Fuzzes JSON bodies of orders, and all other JSON bodies.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_queue::fuzz::order_body(data));
