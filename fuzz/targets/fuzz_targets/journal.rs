#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bitswap_fuzz::journal::run(data));
