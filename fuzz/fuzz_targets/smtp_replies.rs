//! Fuzzes what a relay says.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_courier_email::fuzz::smtp_replies(data));
