//! What the hostile peer says within the rules: a session has to live for a while before there is much in
//! it to break.

use std::collections::BTreeMap;

use stt_proto::FrameType;

use crate::{
    hostile::{Part, write_varint},
    targets::input::Input,
};

use super::{Play, WINDOWS};

/// Longest stretch of bytes of one frame.
const LONGEST: u64 = 1_200;

/// How far the peer has come with a stream.
#[derive(Clone, Copy, Default)]
struct Sent {
    /// Offset past the last byte spoken of.
    highest: u64,
    /// Offset past the last byte in order.
    contiguous: u64,
    is_ended: bool,
}

/// What the peer has used of what the victim allows it.
#[derive(Default)]
pub(super) struct Ledger {
    streams: BTreeMap<u32, Sent>,
    used: u64,
}

impl Ledger {
    /// Up to where the stream may go, at most `more` past its end: within the credit of both.
    fn allow(&mut self, limit: u64, session: u64, stream: u32, more: u64) -> u64 {
        let sent = self.streams.entry(stream).or_default();
        if sent.is_ended {
            return sent.highest;
        }
        let room = limit.saturating_sub(sent.highest).min(session.saturating_sub(self.used));
        sent.highest + more.min(room)
    }

    fn reach(&mut self, stream: u32, end: u64) {
        let sent = self.streams.entry(stream).or_default();
        self.used += end.saturating_sub(sent.highest);
        sent.highest = sent.highest.max(end);
    }
}

impl Play {
    /// A frame that breaks no rule, as far as the peer knows.
    pub(super) fn legal_frame(&mut self, input: &mut Input<'_>) -> Part {
        let kind = input.u8() % 16;
        let (sending, answering) = (self.sending(input.u8()), self.answering(input.u8()));
        let mut body = Vec::new();
        let (frame_type, stream) = match kind {
            0..=5 => return self.legal_data(input, sending),
            6 if sending & 1 == self.parity() => {
                let timed = is_timed(sending);
                body.extend([1, b'p', 0, input.u8() % 8, u8::from(timed)]);
                if timed {
                    write_varint(&mut body, 1 + u64::from(input.u8()));
                }
                write_varint(&mut body, u64::from(input.u16()));
                (FrameType::STREAM_OPEN, sending)
            }
            7 if input.u8() < 64 => {
                let end = self.allow(sending, u64::from(input.u16()));
                self.ledger.reach(sending, end);
                self.ledger.streams.entry(sending).or_default().is_ended = true;
                write_varint(&mut body, u64::from(input.u8()));
                write_varint(&mut body, end);
                (FrameType::STREAM_CLOSE, sending)
            }
            8 if is_timed(sending) && sending & 1 == self.parity() => {
                let end = self.allow(sending, u64::from(input.u16()));
                self.ledger.reach(sending, end);
                write_varint(&mut body, end);
                (FrameType::STREAM_SKIP, sending)
            }
            9 if input.u8() < 64 => {
                write_varint(&mut body, u64::from(input.u8()));
                (FrameType::STREAM_STOP, answering)
            }
            10 | 11 => {
                write_varint(&mut body, u64::from(input.u32() % 1_000_000));
                (FrameType::WINDOW, if kind == 10 { 0 } else { answering })
            }
            12 => {
                body.push(input.u8() & 1);
                write_varint(&mut body, u64::from(input.u8()));
                (FrameType::MAX_STREAMS, 0)
            }
            13 => {
                body.push(input.u8() & 1);
                body.extend(self.peer.nonce(usize::from(input.u8())).unwrap_or([3; 8]));
                let echo = input.u8() & 1 == 0;
                (if echo { FrameType::KEEP_ALIVE_ACK } else { FrameType::KEEP_ALIVE }, 0)
            }
            14 => {
                body.resize(usize::from(input.u16()) % 1_200, 5);
                (FrameType::DATAGRAM, 0)
            }
            _ => return self.honest_ack(),
        };
        Part { kind: frame_type, flags: 0, stream, body }
    }

    /// Bytes of a stream: in order, again, or past a gap; sometimes the last.
    fn legal_data(&mut self, input: &mut Input<'_>, stream: u32) -> Part {
        let len = u64::from(input.u16()) % LONGEST;
        let sent = self.ledger.streams.entry(stream).or_default();
        let (highest, contiguous) = (sent.highest, sent.contiguous);
        let how = input.u8();
        let offset = match how {
            0..=169 => contiguous,
            170..=199 => u64::from(input.u16()) % (highest + 1),
            _ => highest + u64::from(input.u8()) * 8,
        };
        let end = self.allow(stream, (offset + len).saturating_sub(highest)).min(offset + len);
        let offset = offset.min(end);
        self.ledger.reach(stream, end);
        let sent = self.ledger.streams.entry(stream).or_default();
        if offset <= contiguous {
            sent.contiguous = contiguous.max(end);
        }
        let fin = how & 15 == 1 && end == sent.highest;
        sent.is_ended |= fin;
        let mut body = Vec::new();
        write_varint(&mut body, offset);
        body.resize(body.len() + (end - offset) as usize, 0xd5);
        Part { kind: FrameType::DATA, flags: u16::from(fin) << 2, stream, body }
    }

    /// Bytes that go on where those in order end, within credit or not.
    pub(super) fn more(&mut self, stream: u32) -> Part {
        let sent = self.ledger.streams.entry(stream).or_default();
        let mut body = Vec::new();
        write_varint(&mut body, sent.contiguous);
        body.resize(body.len() + LONGEST as usize, 0xd5);
        sent.contiguous += LONGEST;
        let end = sent.contiguous;
        self.ledger.reach(stream, end);
        Part { kind: FrameType::DATA, flags: 0, stream, body }
    }

    fn allow(&mut self, stream: u32, more: u64) -> u64 {
        let limit = self.peer.limit(stream).unwrap_or(WINDOWS[0]);
        let session = self.peer.limit(0).unwrap_or(WINDOWS[1]);
        self.ledger.allow(limit, session, stream, more)
    }

    /// A stream on which the peer may send: one of its own first eight of a kind, or of the victim's.
    pub(super) fn sending(&self, number: u8) -> u32 {
        match self.pick(number).filter(|_| number >= 192).map(|stream| stream.as_u32()) {
            Some(stream) if stream & 2 == 0 || stream & 1 == self.parity() => stream,
            _ => (1 + u32::from(number) % 8) << 2 | u32::from(number >> 3 & 1) << 1 | self.parity(),
        }
    }

    /// A stream on which the victim may send.
    fn answering(&self, number: u8) -> u32 {
        match self.pick(number).map(|stream| stream.as_u32()) {
            Some(stream) if stream & 2 == 0 || stream & 1 != self.parity() => stream,
            _ => (1 + u32::from(number) % 8) << 2 | self.parity(),
        }
    }

    /// The lowest bit of the ids of streams that the peer opens.
    fn parity(&self) -> u32 {
        1 - self.side as u32
    }
}

/// Which of its streams the peer opens with a deadline.
const fn is_timed(stream: u32) -> bool {
    stream >> 2 & 1 == 1
}
