//! Fuzzes receipts of an SMS gateway.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_courier_sms::fuzz::gateway_receipts(data));
