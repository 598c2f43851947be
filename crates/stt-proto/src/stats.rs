//! Counters. All of them only ever grow, but the gauges that say so.

use core::time::Duration;

use stt_wire::ErrorCode;

use crate::messages::MessageCounts;

/// Frames dropped, by what was wrong with them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FrameErrorCounts {
    /// 0x0401: right checksums, impossible structure.
    pub invalid: u64,
    /// 0x0402: the AEAD did not hold.
    pub encryption: u64,
    /// 0x0403: a CRC was wrong.
    pub checksum: u64,
    /// 0x0404: a type nobody knows.
    pub unknown: u64,
}

impl FrameErrorCounts {
    /// The counter of a code.
    pub(crate) fn of_mut(&mut self, code: ErrorCode) -> Option<&mut u64> {
        match code {
            ErrorCode::InvalidFrame => Some(&mut self.invalid),
            ErrorCode::EncryptionError => Some(&mut self.encryption),
            ErrorCode::ChecksumMismatch => Some(&mut self.checksum),
            ErrorCode::UnknownFrameType => Some(&mut self.unknown),
            _ => None,
        }
    }

    /// Takes out every counter that is not zero.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (ErrorCode, u64)> + use<> {
        let counts = core::mem::take(self);
        [
            (ErrorCode::InvalidFrame, counts.invalid),
            (ErrorCode::EncryptionError, counts.encryption),
            (ErrorCode::ChecksumMismatch, counts.checksum),
            (ErrorCode::UnknownFrameType, counts.unknown),
        ]
        .into_iter()
        .filter(|(_, count)| *count > 0)
    }
}

/// One session in numbers.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct SessionStats {
    /// Packets sent.
    pub packets_sent: u64,
    /// Packets that opened.
    pub packets_received: u64,
    /// Packets declared lost.
    pub packets_lost: u64,
    /// Packets received again.
    pub packets_duplicate: u64,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// UDP payload bytes of packets that opened.
    pub bytes_received: u64,
    /// Gauge: smoothed round-trip time.
    pub rtt: Duration,
    /// Gauge: round-trip time variation.
    pub rtt_var: Duration,
    /// Gauge: the smallest round-trip time of late.
    pub rtt_min: Duration,
    /// Gauge: congestion window, bytes.
    pub congestion_window: u64,
    /// Gauge: bytes that the peer has acknowledged on the path in use, since the session took it.
    pub path_bytes_acked: u64,
    /// Gauge: bytes that came by the path in use, since the session took it.
    pub path_bytes_received: u64,
    /// Gauge: bytes sent, neither acknowledged nor lost.
    pub bytes_in_flight: u64,
    /// Congestion events.
    pub congestion_events: u64,
    /// Probe timeouts.
    pub probe_timeouts: u64,
    /// Times that this side changed the key it seals with (PROTOCOL.md section 4).
    pub key_updates: u64,
    /// Gauge: UDP payload size in use.
    pub mtu: u64,
    /// Datagrams that the system refused to send.
    pub send_errors: u64,
    /// Frames dropped.
    pub frame_errors: FrameErrorCounts,
    /// Messages: DATAGRAM and custom frames.
    pub messages: MessageCounts,
    /// Bytes of deadline streams given up for their age before the peer acknowledged them.
    pub bytes_given_up: u64,
    /// Bytes of deadline streams that the peer gave up and that were never read here.
    pub bytes_skipped: u64,
}

/// An endpoint in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct EndpointStats {
    /// Datagrams handed in.
    pub datagrams_received: u64,
    /// Datagrams handed out.
    pub datagrams_sent: u64,
    /// Bytes handed in.
    pub bytes_received: u64,
    /// Bytes handed out.
    pub bytes_sent: u64,
    /// Gauge: sessions alive, connects in progress included.
    pub sessions: u64,
    /// Gauge: half-open handshakes.
    pub half_open: u64,
    /// HELLOs whose mac1 no shared seed explains.
    pub hello_unknown_seed: u64,
    /// HELLOs outside the timestamp window.
    pub hello_expired: u64,
    /// HELLOs whose ephemeral key was seen before.
    pub hello_replayed: u64,
    /// HELLOs dropped because no half-open handshake was free.
    pub hello_shed: u64,
    /// Proofs that did not hold.
    pub proof_failed: u64,
    /// Sessions that tickets brought about here.
    pub sessions_resumed: u64,
    /// Tickets that were unknown, used or too old.
    pub tickets_refused: u64,
    /// RETRYs sent.
    pub retries_sent: u64,
    /// Decoys sent.
    pub decoys_sent: u64,
    /// SESSION_NOT_FOUND sent.
    pub resets_sent: u64,
    /// Packets for a path id nobody here issued.
    pub unknown_path: u64,
    /// Blocks of 64 KiB for received streams that were allocated, because none was free.
    pub receive_blocks_made: u64,
    /// Gauge: bytes of such blocks that are kept for use again, those still read in included.
    pub receive_blocks_held: u64,
    /// Gauge: bytes that are held for all sessions, or that peers may still send.
    pub memory_used: u64,
    /// Gauge: the ceiling on that; `u64::MAX` when there is none.
    pub memory_limit: u64,
    /// Sessions, streams and writes that were refused with 0x0603 for that ceiling.
    pub memory_refused: u64,
    /// Round-trip times measured, in all sessions.
    pub rtt_samples: u64,
    /// Gauge: the median of the last some thousand of them, to a sixteenth; zero before the first.
    pub rtt_p50: Duration,
    /// Gauge: their 99th percentile.
    pub rtt_p99: Duration,
    /// Frames dropped, of sessions and outside any.
    pub frame_errors: FrameErrorCounts,
}
