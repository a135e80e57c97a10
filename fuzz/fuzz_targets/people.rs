//! Fuzzes CSV files of people.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste::fuzz::people(data));
