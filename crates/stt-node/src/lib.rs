//! The Node-API addon of STT: argument checks, bytes in, records out, the doorbell, clean-up.
//!
//! Everything that decides anything is in `stt-engine` and below. Three rules hold for what crosses
//! here:
//!
//! * expected outcomes are return values; only misuse throws;
//! * nothing but the fact that it rang goes through the thread-safe function;
//! * received bytes are copied once, into memory that JavaScript owns and Rust never keeps.

#![cfg_attr(test, allow(dead_code, reason = "a test build exports nothing to Node"))]
#![deny(unsafe_code)]
#![expect(unreachable_pub, reason = "what `#[napi]` exports has to be `pub`")]

mod convert;
mod endpoint;
mod environment;
mod options;
mod records;
mod seeds;
mod stats;
mod tables;
mod watch;
