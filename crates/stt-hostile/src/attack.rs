//! What an initiator does that breaks a rule, once its session stands.

use std::time::Instant;

use serde_json::json;
use stt_wire::{
    CRC32_LEN, FrameType, VarInt, Writer,
    frame::{Reliability, StreamOpen},
    packet,
};

use crate::{
    Failure, initiator,
    options::{Mode, Options},
    peer::{Heard, Peer, part},
    tell,
};

/// The first bidirectional stream of an initiator (section 1.9).
const STREAM: u32 = 4;
/// Bytes of DATA in one packet.
const CHUNK: usize = 1000;
/// A type that is reserved for good (section 1.5).
const RESERVED: FrameType = FrameType(0x12);
/// Forgeries between two looks at what the peer says.
const BURST: u64 = 64;

/// Connects, attacks, and stays to hear what comes of it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut peer = initiator::connect(options)?;
    let until = Instant::now() + options.limit;
    let sent = match options.mode {
        Mode::IgnoreCredit => ignore_credit(&mut peer, options.count)?,
        Mode::ImpossibleFrame => impossible_frames(&mut peer, options.count)?,
        Mode::UnknownFrame => unknown_frames(&mut peer, options.count)?,
        Mode::Forge => {
            let (sent, ended) = forge(&mut peer, options.count, until)?;
            tell(&json!({ "event": "attacked", "count": sent }));
            if ended {
                return Ok(());
            }
            sent
        }
        Mode::WrongProofPathId | Mode::RefuseProof => 1,
    };
    if options.mode != Mode::Forge {
        tell(&json!({ "event": "attacked", "count": sent }));
    }
    while Instant::now() < until {
        if peer.listen()? == Some(Heard::Closed) {
            return Ok(());
        }
    }
    Ok(())
}

/// Opens a stream and sends this many bytes on it, as if windows did not exist.
fn ignore_credit(peer: &mut Peer, bytes: u64) -> Result<u64, Failure> {
    let open = StreamOpen {
        purpose: "hostile",
        name: None,
        priority: 3,
        reliability: Reliability::Reliable,
        initial_credit: 0,
    };
    let mut body = [0; 64];
    let mut out = Writer::new(&mut body);
    open.write(&mut out).map_err(|_| "no room")?;
    let length = out.len();
    peer.send(&part(FrameType::STREAM_OPEN, STREAM, &body[..length])?)?;
    let mut offset = 0;
    while offset < bytes {
        let mut data = [0; VarInt::MAX_LEN + CHUNK];
        let mut out = Writer::new(&mut data);
        out.varint(offset).map_err(|_| "no room")?;
        let length = out.len() + CHUNK;
        peer.send(&part(FrameType::DATA, STREAM, &data[..length])?)?;
        offset += CHUNK as u64;
    }
    Ok(offset)
}

/// DATA of no stream: right in every checksum, and impossible.
fn impossible_frames(peer: &mut Peer, count: u64) -> Result<u64, Failure> {
    for _ in 0..count {
        peer.send(&part(FrameType::DATA, 0, &[0])?)?;
    }
    Ok(count)
}

/// Frames that no version of this protocol knows.
fn unknown_frames(peer: &mut Peer, count: u64) -> Result<u64, Failure> {
    for _ in 0..count {
        peer.send(&part(RESERVED, 0, b"of a later version")?)?;
    }
    Ok(count)
}

/// Packets of this session with one bit of the tag turned over and both checksums right, until the peer ends the session.
fn forge(peer: &mut Peer, count: u64, until: Instant) -> Result<(u64, bool), Failure> {
    let mut forged = peer.seal(FrameType::BUNDLE, &[0; 8])?;
    let tag_end = forged.len() - CRC32_LEN - 1;
    forged[tag_end] ^= 1;
    packet::seal_checksums(&mut forged);
    let mut sent = 0;
    while sent < count && Instant::now() < until {
        for _ in 0..BURST.min(count - sent) {
            peer.transmit(&forged)?;
            sent += 1;
        }
        if sent % (BURST * BURST) == 0 && peer.listen()? == Some(Heard::Closed) {
            return Ok((sent, true));
        }
    }
    Ok((sent, false))
}
