#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| moue_fuzz::labels(data));
