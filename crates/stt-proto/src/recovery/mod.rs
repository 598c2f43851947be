//! Loss recovery and congestion control of one path.
pub(crate) mod content;
