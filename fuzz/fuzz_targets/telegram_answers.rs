//! Fuzzes answers of the Bot API.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_courier_telegram::fuzz::telegram_answers(data));
