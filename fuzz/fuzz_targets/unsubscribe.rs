//! Fuzzes links to unsubscribe by, and the clicks on them.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_courier_email::fuzz::unsubscribe(data));
