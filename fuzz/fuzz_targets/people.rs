//! Fuzzes CSV files of people.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_people_file::fuzz::people(data));
