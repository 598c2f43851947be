//! The shared vectors, which the TypeScript tests read too. They were made by an implementation that
//! shares no code with this one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::{fs, path::Path};

use serde_json::Value;
use stt_wire::{
    CRC32_LEN, Flags, Frame, FrameType, HEADER_LEN, Header, PathId, VarInt, Writer,
    bundle::Bundle,
    crc::{crc16, crc32},
    decode_packet_number,
    frame::{self, Reliability, ack::write_ack},
    header::apply_mask,
    packet::{parse_outer, seal_checksums},
};

fn vectors(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(name);
    serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let cases = value[key].as_array().unwrap();
    assert!(!cases.is_empty(), "{key} is empty");
    cases
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Integers that may exceed what a double holds are strings.
fn int(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

#[test]
fn varints() {
    let file = vectors("wire-varint.json");
    for case in list(&file, "cases") {
        let (value, bytes) = (VarInt::new(int(&case["value"])).unwrap(), hex(&case["bytes"]));
        assert_eq!(VarInt::read(&bytes), Some((value, bytes.len())), "{case}");
        let mut out = [0; 8];
        let len = value.write(&mut out).unwrap();
        assert_eq!(out[..len] == bytes[..], case["shortest"].as_bool().unwrap(), "{case}");
    }
    for case in list(&file, "truncated") {
        assert_eq!(VarInt::read(&hex(case)), None, "{case}");
    }
}

#[test]
fn checksums() {
    for case in list(&vectors("wire-crc.json"), "cases") {
        let bytes = hex(&case["bytes"]);
        assert_eq!(format!("{:04x}", crc16(&bytes)), case["crc16"].as_str().unwrap(), "{case}");
        assert_eq!(format!("{:08x}", crc32(&bytes)), case["crc32"].as_str().unwrap(), "{case}");
    }
}

#[test]
fn packet_numbers() {
    for case in list(&vectors("wire-packet-number.json"), "cases") {
        let largest = (!case["largest"].is_null()).then(|| int(&case["largest"]));
        let truncated = u32::try_from(int(&case["truncated"])).unwrap();
        assert_eq!(decode_packet_number(largest, truncated), int(&case["packetNumber"]), "{case}");
    }
}

#[test]
fn packets() {
    let file = vectors("wire-packet.json");
    for case in list(&file, "cases") {
        let (fields, sent) = (&case["header"], hex(&case["packet"]));
        let mask: [u8; 11] = hex(&case["mask"]).try_into().unwrap();
        let header = Header {
            sealed: fields["sealed"].as_bool().unwrap(),
            version: int(&fields["version"]) as u8,
            frame_type: FrameType(int(&fields["type"]) as u8),
            flags: Flags::from_bits(int(&fields["flags"]) as u16),
            path_id: PathId(hex(&fields["pathId"]).try_into().unwrap()),
            stream_id: int(&fields["streamId"]) as u32,
            packet_number: int(&fields["packetNumber"]) as u32,
            payload_len: int(&fields["payloadLength"]) as u16,
        };
        let outer = parse_outer(&sent).unwrap();
        assert_eq!(
            (outer.len(), outer.sealed, outer.path_id),
            (sent.len(), header.sealed, header.path_id)
        );
        let mut head: [u8; HEADER_LEN] = sent[..HEADER_LEN].try_into().unwrap();
        apply_mask(&mut head, &mask);
        assert_eq!(Header::read(&head), header, "{case}");

        let mut made = vec![0; HEADER_LEN];
        header.write(made.first_chunk_mut().unwrap());
        apply_mask(made.first_chunk_mut().unwrap(), &mask);
        made.extend(hex(&case["payload"]));
        made.extend([0; CRC32_LEN]);
        seal_checksums(&mut made);
        assert_eq!(to_hex(&made), to_hex(&sent), "{case}");
    }
    for case in list(&file, "invalid") {
        let error = parse_outer(&hex(&case["packet"])).expect_err(&case.to_string());
        assert_eq!(error.code().name(), case["error"].as_str().unwrap(), "{case}");
    }
}

#[test]
fn frames() {
    let file = vectors("wire-frames.json");
    for case in list(&file, "frames") {
        let frame_type = FrameType(int(&case["typeCode"]) as u8);
        assert_eq!(frame_type.name(), case["type"].as_str());
        let flags = Flags::SEALED.with_if(case["fin"].as_bool().unwrap(), Flags::FIN);
        let (stream_id, body) = (int(&case["streamId"]) as u32, hex(&case["body"]));
        let frame = frame::parse(frame_type, flags, stream_id, &body)
            .unwrap_or_else(|error| panic!("{error:?}: {case}"));
        check_fields(&frame, &case["fields"]);
        let mut out = vec![0; body.len()];
        let mut writer = Writer::new(&mut out);
        write(&frame, &mut writer);
        assert_eq!(writer.remaining(), 0, "{case}");
        assert_eq!(to_hex(&out), to_hex(&body), "{case}");
    }
    let (bundle_body, parts) = (hex(&file["bundle"]["body"]), list(&file["bundle"], "parts"));
    let bundle = Bundle::parse(&bundle_body).unwrap();
    assert_eq!(bundle.parts().count(), parts.len());
    for (part, expected) in bundle.parts().zip(parts) {
        assert_eq!(u64::from(part.stream_id), int(&expected["streamId"]));
        let known = !matches!(part.frame, Frame::Unknown { .. });
        assert_eq!(known, expected["type"].is_string(), "{expected}");
    }
    for case in list(&file, "invalid") {
        let frame_type = FrameType(int(&case["typeCode"]) as u8);
        let flags = Flags::from_bits(int(&case["flags"]) as u16);
        let parsed =
            frame::parse(frame_type, flags, int(&case["streamId"]) as u32, &hex(&case["body"]))
                .map(|_| ());
        assert!(parsed.is_err(), "{case}");
    }
}

fn check_fields(frame: &Frame<'_>, fields: &Value) {
    match frame {
        Frame::Final(frame) => {
            assert_eq!(u64::from(frame.status), int(&fields["status"]));
            assert_eq!(u64::from(frame.subcode), int(&fields["subcode"]));
            assert_eq!(frame.reset_token.to_vec(), hex(&fields["resetToken"]));
            assert_eq!(frame.ticket, hex(&fields["ticket"]));
        }
        Frame::Data(data) => {
            assert_eq!(
                (data.offset, data.bytes.to_vec()),
                (int(&fields["offset"]), hex(&fields["data"]))
            );
        }
        Frame::Ack(ack) => {
            let ranges: Vec<_> = ack.ranges().map(|range| [*range.start(), *range.end()]).collect();
            let expected: Vec<_> =
                list(fields, "ranges").iter().map(|pair| [int(&pair[0]), int(&pair[1])]).collect();
            assert_eq!((ack.delay_us, ranges), (int(&fields["delayUs"]), expected));
            let ecn = ack.ecn.map(|counts| [counts.ect0, counts.ect1, counts.ce]);
            assert_eq!(
                ecn,
                fields["ecn"].as_array().map(|counts| [
                    int(&counts[0]),
                    int(&counts[1]),
                    int(&counts[2])
                ])
            );
        }
        Frame::KeepAlive(frame) | Frame::KeepAliveAck(frame) => {
            assert_eq!(
                (frame.kind as u64, frame.nonce.to_vec()),
                (int(&fields["kind"]), hex(&fields["nonce"]))
            );
        }
        Frame::Window { limit } => assert_eq!(*limit, int(&fields["limit"])),
        Frame::Datagram(data) => assert_eq!(data.to_vec(), hex(&fields["data"])),
        Frame::MaxStreams(max) => {
            assert_eq!((max.kind as u64, max.limit), (int(&fields["kind"]), int(&fields["limit"])))
        }
        Frame::NewId(id) => {
            assert_eq!(
                (id.sequence, id.path_id.0.to_vec()),
                (int(&fields["sequence"]), hex(&fields["pathId"]))
            );
            assert_eq!(id.reset_token.to_vec(), hex(&fields["resetToken"]));
        }
        Frame::RetireId { sequence } => assert_eq!(*sequence, int(&fields["sequence"])),
        Frame::Drain { within } => assert_eq!(*within, int(&fields["withinMs"])),
        Frame::StreamOpen(open) => {
            assert_eq!(
                (open.purpose, u64::from(open.priority)),
                (fields["purpose"].as_str().unwrap(), int(&fields["priority"]))
            );
            assert_eq!(open.name.map(u64::from), fields["name"].as_u64());
            assert_eq!(open.initial_credit, int(&fields["initialCredit"]));
            let deadline = (!fields["deadlineMs"].is_null()).then(|| int(&fields["deadlineMs"]));
            let expected = deadline.map_or(Reliability::Reliable, |milliseconds| {
                Reliability::Deadline { milliseconds }
            });
            assert_eq!(open.reliability, expected);
        }
        Frame::StreamClose(close) => {
            assert_eq!(
                (close.code, close.final_offset),
                (int(&fields["code"]), int(&fields["finalOffset"]))
            );
        }
        Frame::StreamStop { code } => assert_eq!(*code, int(&fields["code"])),
        Frame::StreamSkip { offset } => assert_eq!(*offset, int(&fields["offset"])),
        Frame::SessionClose(close) => {
            assert_eq!(
                (close.reason as u64, u64::from(close.code)),
                (int(&fields["reason"]), int(&fields["code"]))
            );
            assert_eq!(close.message, fields["message"].as_str().unwrap());
        }
        other => panic!("no vector names {other:?}"),
    }
}

fn write(frame: &Frame<'_>, out: &mut Writer<'_>) {
    match frame {
        Frame::Final(frame) => frame.write(out),
        Frame::Data(data) => out.varint(data.offset).and_then(|()| out.bytes(data.bytes)),
        Frame::Ack(ack) => write_ack(out, ack.delay_us, ack.ranges(), ack.ecn),
        Frame::KeepAlive(frame) | Frame::KeepAliveAck(frame) => frame.write(out),
        Frame::Window { limit } => out.varint(*limit),
        Frame::Datagram(data) => out.bytes(data),
        Frame::MaxStreams(max) => max.write(out),
        Frame::NewId(id) => id.write(out),
        Frame::RetireId { sequence } => out.varint(*sequence),
        Frame::Drain { within } => out.varint(*within),
        Frame::StreamOpen(open) => open.write(out),
        Frame::StreamClose(close) => close.write(out),
        Frame::StreamStop { code } => out.varint(*code),
        Frame::StreamSkip { offset } => out.varint(*offset),
        Frame::SessionClose(close) => close.write(out),
        other => panic!("no vector writes {other:?}"),
    }
    .unwrap();
}
