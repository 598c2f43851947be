//! Frames as JSON objects, with everything that their bodies say but the application's bytes and
//! the secrets: reset tokens are left out.

use core::fmt::{self, Write};

use stt_wire::Frame;
use stt_wire::frame::{KeepAliveKind, Reliability, StreamKind};

use super::qlog::Text;
use super::{Hex, TracedPacket};

/// The frames of a packet, separated by commas.
pub(super) fn write_frames(packet: &TracedPacket<'_>, out: &mut String) -> fmt::Result {
    match packet.frame() {
        Ok(Frame::Bundle(bundle)) => {
            for (index, part) in bundle.parts().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_frame(part.stream_id, &part.frame, out)?;
            }
            Ok(())
        }
        Ok(frame) => write_frame(packet.stream, &frame, out),
        Err(_) => Ok(()),
    }
}

fn write_frame(stream: u32, frame: &Frame<'_>, out: &mut String) -> fmt::Result {
    let name = match frame {
        Frame::Final(_) => "final",
        Frame::Data(_) => "data",
        Frame::Ack(_) => "ack",
        Frame::KeepAlive(_) => "keep_alive",
        Frame::KeepAliveAck(_) => "keep_alive_ack",
        Frame::Window { .. } => "window",
        Frame::Datagram(_) => "datagram",
        Frame::MaxStreams(_) => "max_streams",
        Frame::NewId(_) => "new_id",
        Frame::RetireId { .. } => "retire_id",
        Frame::Bundle(_) => "bundle",
        Frame::StreamOpen(_) => "stream_open",
        Frame::StreamClose(_) => "stream_close",
        Frame::StreamStop { .. } => "stream_stop",
        Frame::StreamSkip { .. } => "stream_skip",
        Frame::Drain { .. } => "drain",
        Frame::SessionClose(_) => "session_close",
        Frame::Custom { .. } => "custom",
        Frame::Unknown { .. } => "unknown",
    };
    write!(out, "{{\"frame_type\":\"{name}\"")?;
    if stream != 0 {
        write!(out, ",\"stream_id\":{stream}")?;
    }
    write_body(frame, out)?;
    out.push('}');
    Ok(())
}

fn write_body(frame: &Frame<'_>, out: &mut String) -> fmt::Result {
    match frame {
        Frame::Final(body) => write!(
            out,
            ",\"status\":{},\"subcode\":{},\"ticket_length\":{}",
            body.status,
            body.subcode,
            body.ticket.len()
        ),
        Frame::Data(data) => write!(
            out,
            ",\"offset\":{},\"length\":{},\"fin\":{}",
            data.offset,
            data.bytes.len(),
            data.fin
        ),
        Frame::Ack(ack) => {
            write!(out, ",\"ack_delay_us\":{},\"acked_ranges\":[", ack.delay_us)?;
            for (index, range) in ack.ranges().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                write!(out, "{comma}[{},{}]", range.start(), range.end())?;
            }
            out.push(']');
            match ack.ecn {
                Some(ecn) => {
                    write!(out, ",\"ect0\":{},\"ect1\":{},\"ce\":{}", ecn.ect0, ecn.ect1, ecn.ce)
                }
                None => Ok(()),
            }
        }
        Frame::KeepAlive(body) | Frame::KeepAliveAck(body) => {
            let kind = match body.kind {
                KeepAliveKind::Alive => "alive",
                KeepAliveKind::Probe => "probe",
            };
            write!(out, ",\"kind\":\"{kind}\",\"data\":\"{}\"", Hex(&body.nonce))
        }
        Frame::Window { limit } => write!(out, ",\"limit\":{limit}"),
        Frame::Datagram(bytes) => write!(out, ",\"length\":{}", bytes.len()),
        Frame::MaxStreams(body) => {
            let kind = match body.kind {
                StreamKind::Bidirectional => "bidirectional",
                StreamKind::Unidirectional => "unidirectional",
            };
            write!(out, ",\"stream_type\":\"{kind}\",\"limit\":{}", body.limit)
        }
        Frame::NewId(body) => {
            write!(out, ",\"sequence\":{},\"path_id\":\"{}\"", body.sequence, Hex(&body.path_id.0))
        }
        Frame::RetireId { sequence } => write!(out, ",\"sequence\":{sequence}"),
        Frame::StreamOpen(open) => {
            write!(out, ",\"purpose\":{},\"priority\":{}", Text(open.purpose), open.priority)?;
            if let Some(name) = open.name {
                write!(out, ",\"name\":{name}")?;
            }
            if !matches!(open.reliability, Reliability::Reliable) {
                out.push_str(",\"deadline\":true");
            }
            write!(out, ",\"initial_credit\":{}", open.initial_credit)
        }
        Frame::StreamClose(close) => {
            write!(out, ",\"code\":{},\"final_offset\":{}", close.code, close.final_offset)
        }
        Frame::StreamStop { code } => write!(out, ",\"code\":{code}"),
        Frame::StreamSkip { offset } => write!(out, ",\"offset\":{offset}"),
        Frame::Drain { within } => write!(out, ",\"within_ms\":{within}"),
        Frame::SessionClose(close) => write!(
            out,
            ",\"reason\":{},\"code\":\"0x{:04x}\",\"message\":{}",
            close.reason as u8,
            close.code,
            Text(close.message)
        ),
        Frame::Custom { frame_type, data } => {
            write!(out, ",\"type\":{},\"length\":{}", frame_type.0, data.len())
        }
        Frame::Unknown { frame_type } => write!(out, ",\"type\":{}", frame_type.0),
        Frame::Bundle(_) => Ok(()),
    }
}
