//! Events as qlog (draft-ietf-quic-qlog-main-schema, version 0.4), in the streaming form: JSON text
//! sequences (RFC 7464), one record an event, in a namespace of its own, `stt`.
//!
//! `docs/qlog.md` describes the records. Everything here appends to a buffer of the caller.

use core::fmt::{self, Write};

use stt_wire::CloseReason;

use crate::event::Side;
use crate::path::{Ecn, PathAddress};
use crate::time::{Instant, Now};

use super::frames::write_frames;
use super::{DropReason, Hex, LossTrigger, Metrics, SessionTraceStart, TraceEvent, TracedPacket};

/// The event schema that the file names (draft-ietf-quic-qlog-main-schema section 8).
pub const EVENT_SCHEMA: &str = "https://github.com/seigr/stt/blob/main/docs/qlog.md#stt-1";

/// What a file's name ends with.
pub const FILE_EXTENSION: &str = "sqlog";

/// Formats the records of one session.
#[derive(Clone, Copy, Debug)]
pub struct Formatter {
    epoch: Instant,
}

impl Formatter {
    /// Appends the file's head and the session's first event. Times of all records count from
    /// `now`.
    pub fn begin(now: Now, start: &SessionTraceStart, out: &mut String) -> Self {
        let formatter = Self { epoch: now.mono };
        let id = Hex(&start.session_id);
        let side = if start.initiator { "client" } else { "server" };
        infallible(writeln!(
            out,
            "\u{1e}{{\"file_schema\":\"urn:ietf:params:qlog:file:sequential\",\
             \"serialization_format\":\"application/qlog+json-seq\",\
             \"title\":\"STT session {id}\",\"trace\":{{\
             \"common_fields\":{{\"group_id\":\"{id}\",\"time_format\":\"relative_to_epoch\",\
             \"reference_time\":{{\"clock_type\":\"monotonic\",\"epoch\":\"unknown\",\
             \"wall_clock_time\":\"{}\"}}}},\
             \"vantage_point\":{{\"type\":\"{side}\"}},\
             \"event_schemas\":[\"{EVENT_SCHEMA}\"]}}}}",
            Rfc3339(now.unix_ms)
        ));
        formatter.record(now.mono, "session_started", out, |out| {
            write!(
                out,
                "\"initiator\":{},\"session_id\":\"{id}\",\"peer\":\"{}\",\"local_path_id\":\"{}\",\
                 \"peer_path_id\":\"{}\",",
                start.initiator,
                Hex(&start.peer.0),
                Hex(&start.local_id.0),
                Hex(&start.peer_id.0)
            )?;
            write_path(&start.remote, out)
        });
        formatter
    }

    /// Appends an event.
    pub fn event(&self, at: Instant, event: &TraceEvent<'_>, out: &mut String) {
        match event {
            TraceEvent::PacketSent(packet) => {
                self.record(at, "packet_sent", out, |out| write_packet(packet, out));
            }
            TraceEvent::PacketReceived(packet) => {
                self.record(at, "packet_received", out, |out| write_packet(packet, out));
            }
            TraceEvent::PacketDropped { number, bytes, reason } => {
                let trigger = match reason {
                    DropReason::Duplicate => "duplicate",
                    DropReason::Undecryptable => "decryption_failure",
                    DropReason::Malformed => "invalid",
                    DropReason::SessionOver => "session_over",
                };
                self.record(at, "packet_dropped", out, |out| {
                    write!(
                        out,
                        "\"header\":{{\"packet_number\":{number}}},\"raw\":{{\"length\":{bytes}}},\
                         \"trigger\":\"{trigger}\""
                    )
                });
            }
            TraceEvent::PacketLost { number, bytes, trigger } => {
                let trigger = match trigger {
                    LossTrigger::ReorderingThreshold => "reordering_threshold",
                    LossTrigger::TimeThreshold => "time_threshold",
                    LossTrigger::PathAbandoned => "path_abandoned",
                };
                self.record(at, "packet_lost", out, |out| {
                    write!(
                        out,
                        "\"header\":{{\"packet_number\":{number}}},\"raw\":{{\"length\":{bytes}}},\
                         \"trigger\":\"{trigger}\""
                    )
                });
            }
            TraceEvent::MetricsUpdated(metrics) => {
                self.record(at, "recovery_metrics_updated", out, |out| write_metrics(metrics, out));
            }
            TraceEvent::MtuUpdated { old, new } => {
                self.record(at, "mtu_updated", out, |out| {
                    write!(out, "\"old\":{old},\"new\":{new}")
                });
            }
            TraceEvent::PathChanged { remote } => {
                self.record(at, "path_changed", out, |out| write_path(remote, out));
            }
            TraceEvent::KeyUpdated { side, generation } => {
                let owner = owner(*side);
                self.record(at, "key_updated", out, |out| {
                    write!(out, "\"owner\":\"{owner}\",\"generation\":{generation}")
                });
            }
            TraceEvent::SessionClosed { initiator, reason, code, message } => {
                let owner = owner(*initiator);
                let reason = match reason {
                    CloseReason::Graceful => "graceful",
                    CloseReason::Timeout => "timeout",
                    CloseReason::Error => "error",
                    CloseReason::AuthFailure => "auth_failure",
                };
                self.record(at, "session_closed", out, |out| {
                    write!(
                        out,
                        "\"owner\":\"{owner}\",\"reason\":\"{reason}\",\"code\":\"0x{code:04x}\",\
                         \"message\":{}",
                        Text(message)
                    )
                });
            }
        }
    }

    /// Appends a note that `records` records are missing: the writer did not keep up.
    pub fn missing(&self, at: Instant, records: u64, out: &mut String) {
        self.record(at, "records_missing", out, |out| write!(out, "\"count\":{records}"));
    }

    /// Appends a note that nothing more follows: the file has reached its limit.
    pub fn truncated(&self, at: Instant, out: &mut String) {
        self.record(at, "file_full", out, |_| Ok(()));
    }

    fn record(
        &self,
        at: Instant,
        name: &str,
        out: &mut String,
        data: impl FnOnce(&mut String) -> fmt::Result,
    ) {
        let time = at.saturating_duration_since(self.epoch);
        infallible(write!(
            out,
            "\u{1e}{{\"time\":{},\"name\":\"stt:{name}\",\"data\":{{",
            Millis(time)
        ));
        infallible(data(out));
        out.push_str("}}\n");
    }
}

/// Writing to a `String` does not fail.
fn infallible(result: fmt::Result) {
    debug_assert!(result.is_ok());
}

fn owner(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Remote => "remote",
    }
}

fn write_packet(packet: &TracedPacket<'_>, out: &mut String) -> fmt::Result {
    write!(
        out,
        "\"header\":{{\"packet_number\":{},\"key_phase\":{}}},\"raw\":{{\"length\":{}}},",
        packet.number,
        u8::from(packet.key_phase),
        packet.bytes
    )?;
    if let Some(ecn) = packet.ecn {
        let ecn = match ecn {
            Ecn::Ect0 => "ECT(0)",
            Ecn::Ect1 => "ECT(1)",
            Ecn::Ce => "CE",
        };
        write!(out, "\"ecn\":\"{ecn}\",")?;
    }
    if packet.mtu_probe {
        out.push_str("\"is_mtu_probe_packet\":true,");
    }
    out.push_str("\"frames\":[");
    write_frames(packet, out)?;
    out.push(']');
    Ok(())
}

fn write_metrics(metrics: &Metrics, out: &mut String) -> fmt::Result {
    if let Some(min) = metrics.min_rtt {
        write!(out, "\"min_rtt\":{},", Millis(min))?;
    }
    write!(
        out,
        "\"smoothed_rtt\":{},\"rtt_variance\":{},\"pto_count\":{},\"congestion_window\":{},\
         \"bytes_in_flight\":{}",
        Millis(metrics.smoothed_rtt),
        Millis(metrics.rtt_variance),
        metrics.pto_count,
        metrics.congestion_window,
        metrics.bytes_in_flight
    )
}

fn write_path(remote: &PathAddress, out: &mut String) -> fmt::Result {
    match remote {
        PathAddress::Udp { remote, .. } => write!(
            out,
            "\"remote\":{{\"carrier\":\"udp\",\"ip\":\"{}\",\"port\":{}}}",
            remote.ip(),
            remote.port()
        ),
        PathAddress::Connection(connection) => write!(
            out,
            "\"remote\":{{\"carrier\":\"connection\",\"number\":{},\"ip\":\"{}\",\"port\":{}}}",
            connection.id,
            connection.remote.ip(),
            connection.remote.port()
        ),
    }
}

/// A span in milliseconds, to the microsecond.
struct Millis(core::time::Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

/// A JSON string (RFC 8259 section 7).
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Milliseconds since the Unix epoch as a date and time in UTC.
struct Rfc3339(u64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0 / 86_400_000, self.0 % 86_400_000);
        // Days since 0000-03-01, so that a leap day is the last of its year; 400 years are an era.
        let days = days + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let date = day - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = era * 400 + year + u64::from(month <= 2);
        let (h, m, s, ms) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
        write!(f, "{year:04}-{month:02}-{date:02}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }
}
