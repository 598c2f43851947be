//! What the program is asked to do.

use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt as _};
use stt_crypto::{NodeSeed, SharedSeed};

use crate::{Failure, random};

/// Which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Sends stream data far beyond its credit (section 5.4).
    IgnoreCredit,
    /// Sends packets whose frame cannot be (section 1.3), `--count` of them.
    ImpossibleFrame,
    /// Sends frames of a type that is reserved (section 1.5).
    UnknownFrame,
    /// Sends packets with right checksums that do not open (section 3), until the session ends or `--count` of them.
    Forge,
    /// Names the path ids of another association in AUTH_PROOF (section 2.4).
    WrongProofPathId,
    /// As a responder: refuses a good proof in FINAL, with 0x0405, sub-code 4.
    RefuseProof,
}

impl Mode {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ignore-credit" => Self::IgnoreCredit,
            "impossible-frame" => Self::ImpossibleFrame,
            "unknown-frame" => Self::UnknownFrame,
            "forge" => Self::Forge,
            "wrong-proof-path-id" => Self::WrongProofPathId,
            "refuse-proof" => Self::RefuseProof,
            _ => return None,
        })
    }
}

/// All of it.
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// The UDP port of 127.0.0.1 to connect to, or to answer on (0: any).
    pub(crate) port: u16,
    pub(crate) shared_seed: SharedSeed,
    pub(crate) node_seed: NodeSeed,
    /// How many, where that says something.
    pub(crate) count: u64,
    /// How long it stays at most.
    pub(crate) limit: Duration,
}

const USAGE: &str =
    "stt-hostile MODE --port PORT --seed HEX|- [--node-seed HEX] [--count N] [--seconds N]";

impl Options {
    /// Reads the command line.
    pub(crate) fn from_arguments() -> Result<Self, Failure> {
        let (mut mode, mut port, mut shared_seed, mut node_seed) = (None, 0, None, None);
        let (mut count, mut seconds) = (1, 20);
        let mut arguments = Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Value(name) if mode.is_none() => mode = Mode::from_name(&name.string()?),
                Arg::Long("port") => port = arguments.value()?.parse()?,
                Arg::Long("seed") => shared_seed = Some(SharedSeed::new(&bytes(&mut arguments)?)?),
                Arg::Long("node-seed") => node_seed = Some(NodeSeed::new(&bytes(&mut arguments)?)?),
                Arg::Long("count") => count = arguments.value()?.parse()?,
                Arg::Long("seconds") => seconds = arguments.value()?.parse()?,
                other => return Err(other.unexpected().into()),
            }
        }
        let node_seed = match node_seed {
            Some(seed) => seed,
            None => NodeSeed::new(&random::<32>()?)?,
        };
        let (Some(mode), Some(shared_seed)) = (mode, shared_seed) else {
            return Err(USAGE.into());
        };
        let limit = Duration::from_secs(seconds);
        Ok(Self { mode, port, shared_seed, node_seed, count, limit })
    }
}

/// The bytes of the next value, which is hex; `-` stands for the first line of the standard input, which other processes
/// do not see.
fn bytes(arguments: &mut Parser) -> Result<Vec<u8>, Failure> {
    let mut text = arguments.value()?.string()?;
    if text == "-" {
        text.clear();
        std::io::stdin().read_line(&mut text)?;
        text.truncate(text.trim_end().len());
    }
    if !text.is_ascii() || text.len() % 2 != 0 {
        return Err("a seed is hex digits, two for each byte".into());
    }
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16);
    Ok((0..text.len()).step_by(2).map(digits).collect::<Result<_, _>>()?)
}
