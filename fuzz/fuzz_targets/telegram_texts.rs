//! Fuzzes texts in parts.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_courier_telegram::fuzz::telegram_texts(data));
