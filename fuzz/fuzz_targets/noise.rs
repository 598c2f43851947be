//! libFuzzer's entry to [`stt_fuzz::targets::noise`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stt_fuzz::targets::noise::run(data));
