//! One target a module, and the list of them.

pub mod endpoint;
pub mod frame;
pub mod handshake;
pub mod hostile;
mod input;
pub mod noise;
pub mod outer;
pub mod replay;
pub mod sealed;

/// A function that any bytes may be given to, and inputs that reach deep into it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is that of its module, its libFuzzer binary and its corpus folder.
    pub name: &'static str,
    /// Panics when an invariant breaks.
    pub run: fn(&[u8]),
    /// Well-formed inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "outer", run: outer::run, seeds: outer::seeds },
    Target { name: "frame", run: frame::run, seeds: frame::seeds },
    Target { name: "handshake", run: handshake::run, seeds: handshake::seeds },
    Target { name: "noise", run: noise::run, seeds: noise::seeds },
    Target { name: "sealed", run: sealed::run, seeds: sealed::seeds },
    Target { name: "replay", run: replay::run, seeds: replay::seeds },
    Target { name: "endpoint", run: endpoint::run, seeds: endpoint::seeds },
    Target { name: "hostile", run: hostile::run, seeds: hostile::seeds },
];
