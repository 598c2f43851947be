//! What each side tells the other of its limits, inside CHALLENGE and AUTH_PROOF (PROTOCOL.md §2).

use crate::{
    reader::{Reader, UnexpectedEnd},
    writer::{NoRoom, Writer},
};

/// Limits of the side that sends them. Fixed length, so that CHALLENGE has one length for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportParams {
    /// Milliseconds of silence after which this side gives the session up.
    pub max_idle_ms: u32,
    /// Bytes that the peer may send over all streams before a WINDOW.
    pub session_window: u64,
    /// Bytes that the peer may send on each stream before a WINDOW.
    pub stream_window: u64,
    /// Bidirectional streams that the peer may open before a MAX_STREAMS.
    pub max_bidi_streams: u32,
    /// Unidirectional streams that the peer may open before a MAX_STREAMS.
    pub max_uni_streams: u32,
    /// Longest time, in microseconds, by which this side delays an ACK on purpose.
    pub max_ack_delay_us: u32,
    /// Largest UDP payload that this side takes.
    pub max_udp_payload: u16,
    /// Largest DATAGRAM message that this side takes; 0 = none.
    pub max_message: u16,
}

impl TransportParams {
    /// Bytes on the wire: the fields and 12 reserved bytes, sent as zero and ignored when read.
    pub const LEN: usize = 48;

    /// Writes all fields and the reserved bytes.
    ///
    /// # Errors
    /// [`NoRoom`] when fewer than [`Self::LEN`] bytes are left.
    pub fn write(&self, out: &mut Writer<'_>) -> Result<(), NoRoom> {
        out.u32(self.max_idle_ms)?;
        out.u64(self.session_window)?;
        out.u64(self.stream_window)?;
        out.u32(self.max_bidi_streams)?;
        out.u32(self.max_uni_streams)?;
        out.u32(self.max_ack_delay_us)?;
        out.u16(self.max_udp_payload)?;
        out.u16(self.max_message)?;
        out.bytes(&[0; 12])
    }

    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    /// [`UnexpectedEnd`] when fewer than [`Self::LEN`] bytes are left.
    pub fn read(input: &mut Reader<'_>) -> Result<Self, UnexpectedEnd> {
        let params = Self {
            max_idle_ms: input.u32()?,
            session_window: input.u64()?,
            stream_window: input.u64()?,
            max_bidi_streams: input.u32()?,
            max_uni_streams: input.u32()?,
            max_ack_delay_us: input.u32()?,
            max_udp_payload: input.u16()?,
            max_message: input.u16()?,
        };
        input.bytes(12)?;
        Ok(params)
    }
}
