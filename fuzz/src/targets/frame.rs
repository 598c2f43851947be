//! An opened payload: every frame type, BUNDLE and ACK walked to their ends (PROTOCOL.md §1).
//!
//! Input: type u8, flags u8, stream id u32 (little endian), payload.

use stt_wire::{
    BundleWriter, Flags, Frame, FrameType, Writer,
    frame::{self, ack::AckView, ack::write_ack},
};

const PREFIX: usize = 6;

/// Parses the payload and, where it is well formed, reads all that the views offer.
pub fn run(data: &[u8]) {
    let Some((prefix, payload)) = data.split_at_checked(PREFIX) else { return };
    let frame_type = FrameType(prefix[0]);
    let flags = Flags::from_bits(u16::from(prefix[1]));
    let stream_id = u32::from_le_bytes([prefix[2], prefix[3], prefix[4], prefix[5]]);
    if let Ok(frame) = frame::parse(frame_type, flags, stream_id, payload) {
        inspect(&frame, payload.len());
    }
}

/// One input for each shape that the parser tells apart.
pub fn seeds() -> Vec<Vec<u8>> {
    let input = |frame_type: FrameType, stream: u32, payload: &[u8]| {
        let mut bytes = vec![frame_type.0, 0];
        bytes.extend(stream.to_le_bytes());
        bytes.extend(payload);
        bytes
    };
    let mut ack = [0; 64];
    let mut writer = Writer::new(&mut ack);
    let ranges = [90..=100_u64, 50..=60, 0..=3];
    let _ = write_ack(&mut writer, 250, ranges.into_iter(), None);
    let ack_len = writer.len();

    let mut bundle = [0; 256];
    let mut writer = BundleWriter::new(&mut bundle);
    let _ = writer.part(FrameType::ACK, 0, |out| out.bytes(&ack[..ack_len]));
    let _ = writer.part(FrameType::STREAM_STOP, 4, |out| out.bytes(&[0x40, 0x64]));
    let _ = writer.part(FrameType::WINDOW, 0, |out| out.bytes(&[0x80, 0, 0xff, 0xff]));
    writer.pad_to(200);
    let bundle_len = writer.len();

    let mut seeds = vec![
        input(FrameType::ACK, 0, &ack[..ack_len]),
        input(FrameType::BUNDLE, 0, &bundle[..bundle_len]),
    ];
    for code in 0..=u8::MAX {
        let frame_type = FrameType(code);
        if frame_type.name().is_some() {
            seeds.push(input(frame_type, 0, &[0; 40]));
            seeds.push(input(frame_type, 4, &[1; 40]));
        }
    }
    seeds
}

fn inspect(frame: &Frame<'_>, len: usize) {
    let _ = frame.is_ack_eliciting();
    // Debug output is part of the surface: it is what a log of dropped frames prints.
    let text = format!("{frame:?}");
    assert!(!text.is_empty());
    match frame {
        Frame::Ack(ack) => check_ack(ack, len),
        Frame::Bundle(bundle) => {
            let mut parts = 0;
            for part in bundle.parts() {
                assert!(!matches!(part.frame, Frame::Bundle(_)), "a BUNDLE inside of a BUNDLE");
                inspect(&part.frame, len);
                parts += 1;
            }
            // A part has at least a type, flags, a stream and a length.
            assert!(parts * 5 <= len, "more parts than bytes for them");
        }
        Frame::Data(data) => assert!(data.bytes.len() <= len, "data from nowhere"),
        Frame::Datagram(data) | Frame::Custom { data, .. } => assert!(data.len() <= len),
        _ => {}
    }
}

fn check_ack(ack: &AckView<'_>, len: usize) {
    let mut below: Option<u64> = None;
    let mut count = 0;
    for range in ack.ranges() {
        assert!(range.start() <= range.end(), "an empty range");
        match below {
            None => assert_eq!(*range.end(), ack.largest, "the first range ends elsewhere"),
            Some(start) => assert!(range.end() + 1 < start, "ranges that touch or climb"),
        }
        below = Some(*range.start());
        count += 1;
    }
    assert!(count >= 1 && count <= len, "more ranges than bytes for them");
}
