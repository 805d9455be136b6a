#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wirewright_fuzz_bodies::filter(bytes));
