//! Fuzzes answers of Twilio.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_courier_sms::fuzz::twilio_answers(data));
