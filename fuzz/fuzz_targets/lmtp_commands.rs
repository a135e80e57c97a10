//! Fuzzes commands of whoever brings bounces.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_courier_email::fuzz::lmtp_commands(data));
