//! Fuzzes cells of people's files, and their escapes for spreadsheets.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| posthaste_people_file::fuzz::cells(data));
