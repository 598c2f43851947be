//! What the fuzzers call.
//!
//! Every target is a plain function over bytes that panics when an invariant breaks. libFuzzer calls
//! it from `fuzz_targets/` on a nightly compiler; [`driver`] calls it on any compiler, with inputs
//! that follow from a seed.

pub mod driver;
pub mod heap;
pub mod hostile;
pub mod mutate;
pub mod peers;
pub mod targets;
