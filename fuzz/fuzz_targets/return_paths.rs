//! Fuzzes return paths and mailboxes.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_courier_email::fuzz::return_paths(data));
