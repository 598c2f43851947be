//! One side of one peer, for `npm run bench`: STT's core, other transports, and what the machine allows.
//!
//! ```text
//! stt-bench-peers serve PEER               prints {"target": ...}, then a line for each transfer
//! stt-bench-peers send PEER TARGET BYTES   sends so many bytes on one stream, twice: to warm up, and to measure
//! stt-bench-peers connect PEER TARGET COUNT AT_ONCE   makes sessions, so many at a time, and ends them
//! stt-bench-peers alone aead|crc BYTES     what one primitive reaches on one core
//! stt-bench-peers link NAMESPACE NAMESPACE BITS_A_SECOND DELAY_MS LOST_OF_A_MILLION SEED   a link between two namespaces
//! ```
//!
//! Every peer sends 64 KiB blocks and waits for the receiver's word that all has arrived; each process uses
//! one core if whoever starts it says so (`taskset`). Lines of output are JSON.

mod alone;
mod certificate;
mod limit;
mod link;
mod quic;
mod report;
mod s2n;
mod stt;

use std::error::Error;
use std::time::Duration;

pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// What an application writes at a time.
pub(crate) const BLOCK: usize = 64 * 1024;

/// Bytes before the clock runs: windows are open then, and the size of datagrams found.
pub(crate) const WARM_UP: u64 = 64 * 1024 * 1024;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().ok_or("too few arguments; see the head of main.rs");
    let (what, peer) = (next()?, next()?);
    match what.as_str() {
        "alone" => alone::run(&peer, next()?.parse()?),
        "serve" => match peer.as_str() {
            "stt" => stt::serve(stt::ETHERNET),
            "stt-9000" => stt::serve(stt::JUMBO),
            "quinn" => quic::serve(quic::Tuning::Default),
            "quinn-tuned" => quic::serve(quic::Tuning::Tuned),
            "s2n" => s2n::serve(s2n::DEFAULT_MTU),
            "s2n-9000" => s2n::serve(s2n::JUMBO_MTU),
            "limit" => limit::serve(limit::Work::None),
            "bound" | "bound-9000" => limit::serve(limit::Work::Sealed),
            _ => Err(unknown(&peer)),
        },
        "send" => {
            let (target, bytes) = (next()?, next()?.parse()?);
            match peer.as_str() {
                "stt" => stt::send(&target, bytes, stt::ETHERNET),
                "stt-9000" => stt::send(&target, bytes, stt::JUMBO),
                "quinn" => quic::send(&target, bytes, quic::Tuning::Default),
                "quinn-tuned" => quic::send(&target, bytes, quic::Tuning::Tuned),
                "s2n" => s2n::send(&target, bytes, s2n::DEFAULT_MTU),
                "s2n-9000" => s2n::send(&target, bytes, s2n::JUMBO_MTU),
                "limit" => limit::send(&target, bytes, limit::Work::None, limit::ETHERNET),
                "bound" => limit::send(&target, bytes, limit::Work::Sealed, limit::ETHERNET),
                "bound-9000" => limit::send(&target, bytes, limit::Work::Sealed, limit::JUMBO),
                _ => Err(unknown(&peer)),
            }
        }
        "connect" => {
            let (target, count, at_once) = (next()?, next()?.parse()?, next()?.parse()?);
            match peer.as_str() {
                "stt" => stt::connect(&target, count, at_once),
                "quinn" => quic::connect(&target, count, at_once),
                _ => Err(unknown(&peer)),
            }
        }
        "link" => {
            let other = next()?;
            let properties = link::Properties {
                bits_a_second: next()?.parse()?,
                delay: Duration::from_secs_f64(next()?.parse::<f64>()? / 1e3),
                lost: next()?.parse()?,
                seed: next()?.parse()?,
            };
            link::run([&peer, &other], &properties)
        }
        other => Err(format!("no such thing to do: {other}").into()),
    }
}

fn unknown(peer: &str) -> Failure {
    format!("no such peer: {peer}").into()
}
