//! Frames of WebSockets around packets, so that an application passes on what a poll brings in one piece.

/// Bytes that a frame is filled to at most with packets of a batch: those of a record of TLS, and a quarter of what a
/// socket is read by.
const FRAME: usize = 16 * 1024;

/// The first byte: the only frame of a binary message (RFC 6455 section 5.2).
const BINARY: u8 = 0x82;
/// In the second byte: a key follows the length.
const MASKED: u8 = 0x80;
/// In the place of a length: it follows in two bytes, or in eight.
const TWO_BYTES: u8 = 126;
const EIGHT_BYTES: u8 = 127;

/// How the packets of an [`Event::Carry`](crate::Event::Carry) become messages of a WebSocket, each one frame.
#[derive(Debug, Clone, Copy)]
pub struct Frames {
    /// Bytes of packets in each but the last.
    each: usize,
    masked: bool,
}

impl Frames {
    /// For packets of `stride` bytes each but the last, between which they may be cut. `masked`, as those of a client are:
    /// by a key of zeros, which leaves the packets as they are.
    pub fn new(stride: usize, masked: bool) -> Self {
        let stride = stride.max(1);
        Self { each: stride * (FRAME / stride).max(1), masked }
    }

    /// Writes the frames of `packets` to the start of `room`.
    ///
    /// Returns how many bytes they have; `None`, and nothing that counts is written, when `room` is too short.
    pub fn write(self, packets: &[u8], room: &mut [u8]) -> Option<usize> {
        let mut at = 0;
        for part in packets.chunks(self.each) {
            let (header, len) = self.header(part.len());
            let header = header.get(..len)?;
            let frame = room.get_mut(at..)?.get_mut(..len + part.len())?;
            let (head, body) = frame.split_at_mut(len);
            head.copy_from_slice(header);
            body.copy_from_slice(part);
            at += frame.len();
        }
        Some(at)
    }

    /// The header of a frame with so many bytes, and its own length.
    fn header(self, bytes: usize) -> ([u8; 14], usize) {
        let mask = if self.masked { MASKED } else { 0 };
        let mut header = [0; 14];
        header[0] = BINARY;
        let len = if bytes < TWO_BYTES.into() {
            header[1] = mask | bytes as u8;
            2
        } else if let Ok(bytes) = u16::try_from(bytes) {
            header[1] = mask | TWO_BYTES;
            header[2..4].copy_from_slice(&bytes.to_be_bytes());
            4
        } else {
            header[1] = mask | EIGHT_BYTES;
            header[2..10].copy_from_slice(&(bytes as u64).to_be_bytes());
            10
        };
        // The key stands behind the length, and is zero.
        (header, if self.masked { len + 4 } else { len })
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    /// The frames of so many bytes, as far as each begins: its header, and how many bytes follow.
    fn framed(bytes: usize, stride: usize, masked: bool) -> Vec<(Vec<u8>, usize)> {
        let packets: Vec<u8> = (0..bytes).map(|at| at as u8 | 1).collect();
        let mut room = vec![0xee; bytes + 4096];
        let len = Frames::new(stride, masked).write(&packets, &mut room).unwrap();
        assert!(room[len..].iter().all(|byte| *byte == 0xee));
        let (mut at, mut seen, mut frames) = (0, 0, Vec::new());
        while at < len {
            let extended = match room[at + 1] & 0x7f {
                126 => 2,
                127 => 8,
                _ => 0,
            };
            let short = usize::from(room[at + 1] & 0x7f);
            let number = room[at + 2..at + 2 + extended].iter();
            let body = match extended {
                0 => short,
                _ => number.fold(0, |number, byte| number << 8 | usize::from(*byte)),
            };
            let start = at + 2 + extended + if masked { 4 } else { 0 };
            assert_eq!(room[start..start + body], packets[seen..seen + body]);
            frames.push((room[at..start].to_vec(), body));
            (at, seen) = (start + body, seen + body);
        }
        assert_eq!(seen, bytes);
        frames
    }

    #[test]
    fn a_length_has_its_shortest_form() {
        let whole = |bytes| framed(bytes, bytes, false);
        assert_eq!(whole(125), [(vec![0x82, 125], 125)]);
        assert_eq!(whole(126), [(vec![0x82, 126, 0, 126], 126)]);
        assert_eq!(whole(65_535), [(vec![0x82, 126, 0xff, 0xff], 65_535)]);
        assert_eq!(whole(65_536), [(vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0], 65_536)]);
    }

    #[test]
    fn a_client_says_that_a_mask_of_zeros_is_on() {
        assert_eq!(framed(5, 5, true), [(vec![0x82, 0x85, 0, 0, 0, 0], 5)]);
        assert_eq!(framed(300, 300, true), [(vec![0x82, 0xfe, 1, 44, 0, 0, 0, 0], 300)]);
        let long = [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(framed(65_536, 65_536, true), [(long.to_vec(), 65_536)]);
    }

    #[test]
    fn batches_are_cut_between_packets_into_frames_of_a_record() {
        let lengths = |bytes, stride, masked| -> Vec<usize> {
            framed(bytes, stride, masked).iter().map(|(header, body)| header.len() + body).collect()
        };
        assert_eq!(lengths(4 * 16_380, 16_380, false), [16_384; 4]);
        assert_eq!(lengths(3 * 16_376 + 9, 16_376, true), [16_384, 16_384, 16_384, 15]);
        // Eleven of a size that is usual by UDP.
        assert_eq!(lengths(30 * 1_452, 1_452, false), [15_976, 15_976, 11_620]);
        // One that is longer has no place to cut.
        assert_eq!(lengths(40_000, 40_000, false), [40_004]);
    }

    #[test]
    fn what_has_no_room_is_not_written_in_part() {
        let packets = [7; 40];
        let mut room = [0; 44];
        assert_eq!(Frames::new(20, false).write(&packets, &mut room[..41]), None);
        assert_eq!(Frames::new(20, false).write(&packets, &mut room), Some(42));
        assert_eq!(Frames::new(20, false).write(&[], &mut []), Some(0));
    }
}
