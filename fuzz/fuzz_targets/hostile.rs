//! libFuzzer's entry to [`stt_fuzz::targets::hostile`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stt_fuzz::targets::hostile::run(data));
