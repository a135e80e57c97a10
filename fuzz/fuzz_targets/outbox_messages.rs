//! Fuzzes mail shown by the outbox.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_sandbox::fuzz::outbox_messages(data));
