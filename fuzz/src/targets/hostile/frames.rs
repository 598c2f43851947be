//! What the hostile peer says: every frame there is, with values near the limits that bind it.

use stt_proto::FrameType;
use stt_wire::VarInt;

use crate::{
    hostile::{Part, write_varint},
    targets::input::Input,
};

use super::{Play, WINDOWS};

/// Longest body that a frame gets.
const LONGEST: usize = 1_200;

impl Play {
    /// One frame, of the kind and with the values that the input says.
    pub(super) fn frame(&mut self, input: &mut Input<'_>) -> Part {
        if input.u8() >= self.malice {
            return self.legal_frame(input);
        }
        let kind = input.u8();
        let mut flags = 0;
        let mut body = Vec::new();
        let stream = stream_id(input);
        let (frame_type, stream) = match kind % 22 {
            0..=2 => {
                let (offset, len) = (number(input), usize::from(input.u16()) % LONGEST);
                if input.u8() & 3 == 0 {
                    flags = 4;
                }
                write_varint(&mut body, offset);
                body.resize(body.len() + len, 0xd5);
                (FrameType::DATA, stream)
            }
            3 => return self.legal_frame(input),
            4 | 5 => {
                let purpose = usize::from(input.u8()) % 20;
                body.push(purpose as u8);
                body.resize(1 + purpose, b'p');
                match input.u8() & 3 {
                    0 => body.extend([1, input.u8() & 3, 0, 0, 0]),
                    _ => body.push(0),
                }
                body.push(input.u8() % 9);
                match input.u8() & 1 {
                    0 => body.push(0),
                    _ => {
                        body.push(1);
                        write_varint(&mut body, number(input));
                    }
                }
                write_varint(&mut body, number(input));
                (FrameType::STREAM_OPEN, stream)
            }
            6 => {
                write_varint(&mut body, number(input));
                write_varint(&mut body, number(input));
                (FrameType::STREAM_CLOSE, stream)
            }
            7 => {
                write_varint(&mut body, number(input));
                (FrameType::STREAM_STOP, stream)
            }
            8 => {
                write_varint(&mut body, number(input));
                (FrameType::STREAM_SKIP, stream)
            }
            9 => {
                write_varint(&mut body, number(input));
                (FrameType::WINDOW, if input.u8() & 1 == 0 { 0 } else { stream })
            }
            10 => {
                body.push(input.u8() & 1);
                write_varint(&mut body, number(input));
                (FrameType::MAX_STREAMS, 0)
            }
            11 => return self.honest_ack(),
            12 => {
                self.any_ack(input, &mut body);
                (FrameType::ACK, 0)
            }
            13 | 14 => {
                body.push(input.u8() & 1);
                let which = input.u8();
                let known = self.peer.nonce(usize::from(which)).filter(|_| which & 7 != 0);
                body.extend(known.unwrap_or([which; 8]));
                let echo = kind % 22 == 14;
                (if echo { FrameType::KEEP_ALIVE_ACK } else { FrameType::KEEP_ALIVE }, 0)
            }
            15 => {
                let len = usize::from(input.u8());
                body.extend(input.bytes(len));
                (FrameType(if input.u8() & 1 == 0 { 0x16 } else { 0x80 | input.u8() }), 0)
            }
            16 => {
                write_varint(&mut body, number(input));
                body.extend([input.u8(); 8]);
                body.extend([7; 16]);
                (FrameType::NEW_ID, 0)
            }
            17 => {
                write_varint(&mut body, number(input));
                let drain = input.u8() & 7 == 0;
                (if drain { FrameType::DRAIN } else { FrameType::RETIRE_ID }, 0)
            }
            18 => {
                body.extend([input.u8() & 3, input.u8() & 3, input.u8()]);
                body.extend([9; 16]);
                let ticket = usize::from(input.u8());
                body.extend((ticket as u16).to_le_bytes());
                body.resize(body.len() + ticket, 1);
                (FrameType::FINAL, 0)
            }
            19 if input.u8() & 3 == 0 => {
                body.extend([input.u8() % 6, input.u8(), 4, 2, 0]);
                body.extend(b"by");
                (FrameType::SESSION_CLOSE, 0)
            }
            20 => {
                flags = u16::from(input.u8()) & 0xfffd;
                let len = usize::from(input.u8()) % 40;
                body.extend(input.bytes(len));
                (FrameType(input.u8()), stream)
            }
            _ => (FrameType::STREAM_SKIP, stream),
        };
        Part { kind: frame_type, flags, stream, body }
    }

    /// Everything heard of late.
    pub(super) fn honest_ack(&self) -> Part {
        let heard = self.peer.heard();
        let (first, last) = match (heard.first(), heard.last()) {
            (Some(first), Some(last)) => (*first, *last),
            _ => (0, 0),
        };
        let mut body = Vec::new();
        for value in [last, 0, 0, last - first] {
            write_varint(&mut body, value);
        }
        body.push(0);
        Part { kind: FrameType::ACK, flags: 0, stream: 0, body }
    }

    /// Numbers near what was heard, gaps, delays and ECN counts as they come.
    fn any_ack(&self, input: &mut Input<'_>, body: &mut Vec<u8>) {
        let newest = self.peer.heard().last().copied().unwrap_or(0);
        let largest = match input.u8() {
            byte @ 0..=199 => newest.saturating_sub(u64::from(byte)),
            200..=219 => newest + u64::from(input.u8()),
            _ => number(input),
        };
        let ranges = input.u8() % 40;
        write_varint(body, largest);
        write_varint(body, number(input));
        write_varint(body, u64::from(ranges));
        write_varint(body, u64::from(input.u8() % 8));
        for _ in 0..ranges {
            let gap_and_len = input.u8();
            write_varint(body, u64::from(gap_and_len % 4));
            write_varint(body, u64::from(gap_and_len / 64));
        }
        if input.u8() & 1 == 0 {
            body.push(0);
        } else {
            body.push(1);
            (0..3).for_each(|_| write_varint(body, number(input)));
        }
    }
}

/// Streams of both sides and kinds, most often one of the first; the session's 0; any.
fn stream_id(input: &mut Input<'_>) -> u32 {
    match input.u8() {
        0..=5 => 0,
        6..=15 => input.u32(),
        byte => 4 + u32::from(byte) % 40,
    }
}

/// Small numbers, limits and what is beside them, the largest, and any.
fn number(input: &mut Input<'_>) -> u64 {
    let near = |limit: u64, byte: u8| (limit + u64::from(byte)).saturating_sub(128);
    match input.u8() {
        byte @ 0..=99 => u64::from(byte),
        100..=159 => u64::from(input.u16()),
        160..=179 => near(WINDOWS[0], input.u8()),
        180..=199 => near(WINDOWS[1], input.u8()),
        200..=214 => VarInt::MAX.get() - u64::from(input.u8()),
        215..=229 => u64::from(input.u32()),
        _ => input.u64() & VarInt::MAX.get(),
    }
}
