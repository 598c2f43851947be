//! Answers that leave no state behind: RETRY, decoys, refusals, version lists, resets. They wait in
//! a small queue, and what does not fit is not sent.

use std::collections::VecDeque;

use stt_wire::handshake::{CHALLENGE_LEN, ErrorPacket, Hello, Retry};
use stt_wire::packet::seal_checksums;
use stt_wire::writer::NoRoom;
use stt_wire::{
    CLEAR_OVERHEAD, CRC32_LEN, ErrorCode, FrameType, HEADER_LEN, Header, MIN_ACK_ELICITING_LEN,
    PathId, VERSION, Writer,
};

use crate::path::{PathAddress, Transmit};
use crate::time::Now;

use super::Endpoint;
use super::responder::Greeting;

/// Answers that may wait to be sent.
const MAX_WAITING: usize = 256;
/// Longest of them: a CHALLENGE.
const MAX_LEN: usize = CLEAR_OVERHEAD + CHALLENGE_LEN;

/// See the module. The packets live in a fixed pool.
#[derive(Default)]
pub(super) struct Stateless {
    queue: VecDeque<(PathAddress, u16, [u8; MAX_LEN])>,
}

impl Stateless {
    /// Queues the clear packet that `write` makes, if there is room.
    fn push(
        &mut self,
        path: PathAddress,
        frame_type: FrameType,
        id: PathId,
        write: impl FnOnce(&mut Writer<'_>) -> Result<(), NoRoom>,
    ) -> bool {
        if self.queue.len() == MAX_WAITING {
            return false;
        }
        let mut packet = [0; MAX_LEN];
        let mut out = Writer::new(&mut packet[HEADER_LEN..MAX_LEN - CRC32_LEN]);
        if write(&mut out).is_err() {
            return false;
        }
        let payload_len = out.len();
        if let Some(head) = packet.first_chunk_mut() {
            Header::clear(frame_type, id, payload_len as u16).write(head);
        }
        let len = payload_len + CLEAR_OVERHEAD;
        seal_checksums(&mut packet[..len]);
        self.queue.push_back((path, len as u16, packet));
        true
    }

    /// Queues a finished packet.
    pub(super) fn push_packet(&mut self, path: PathAddress, bytes: &[u8]) {
        let mut packet = [0; MAX_LEN];
        if self.queue.len() < MAX_WAITING
            && let Some(room) = packet.get_mut(..bytes.len())
        {
            room.copy_from_slice(bytes);
            self.queue.push_back((path, bytes.len() as u16, packet));
        }
    }

    pub(super) fn pop(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        let (path, len, packet) = self.queue.pop_front()?;
        let len = usize::from(len);
        buf.get_mut(..len)?.copy_from_slice(&packet[..len]);
        Some(Transmit { path, len, segment_size: None, ecn: None, opens: false })
    }
}

impl Endpoint {
    /// Asks for the HELLO or RESUME again, with a cookie.
    pub(super) fn send_retry(
        &mut self,
        now: Now,
        path: PathAddress,
        greeting: &Greeting,
        cookie: [u8; 16],
    ) {
        if !self.limits.source_retries.take(now.mono, &path) {
            return;
        }
        let Some(keys) = self.networks.get(greeting.network) else { return };
        let mac = keys.err_mac(&[&greeting.ephemeral, &[FrameType::RETRY.0], &cookie]);
        let retry = Retry { cookie, mac };
        let id = greeting.path_id;
        if self.stateless.push(path, FrameType::RETRY, id, |out| retry.write(out)) {
            self.stats.retries_sent += 1;
        }
    }

    fn may_refuse(&mut self, now: Now, path: &PathAddress) -> bool {
        let limits = &mut self.limits;
        limits.source_refusals.take(now.mono, path) && limits.refusals.take(now.mono)
    }

    /// Tells a holder of the seed why its HELLO or RESUME is refused.
    pub(super) fn send_refusal(
        &mut self,
        now: Now,
        path: PathAddress,
        greeting: &Greeting,
        code: ErrorCode,
        subcode: u8,
    ) {
        if !self.may_refuse(now, &path) {
            return;
        }
        let Some(keys) = self.networks.get(greeting.network) else { return };
        let mut refusal = ErrorPacket::Refusal {
            code: code.as_u16(),
            subcode,
            timestamp_ms: now.unix_ms,
            mac: [0; 16],
        };
        let mut body = [0; ErrorPacket::REFUSAL_MAC_AT + 16];
        if refusal.write(&mut Writer::new(&mut body)).is_err() {
            return;
        }
        let body = &body[..ErrorPacket::REFUSAL_MAC_AT];
        let parts: [&[u8]; 3] = [&greeting.ephemeral, &[FrameType::ERROR.0], body];
        if let ErrorPacket::Refusal { mac, .. } = &mut refusal {
            *mac = keys.err_mac(&parts);
        }
        let id = greeting.path_id;
        self.stateless.push(path, FrameType::ERROR, id, |out| refusal.write(out));
    }

    /// Answers a HELLO that proves nothing with what looks like a CHALLENGE.
    pub(super) fn send_decoy(
        &mut self,
        now: Now,
        path: PathAddress,
        head: &[u8],
        hello: &Hello<'_>,
    ) {
        // A source that has had its share takes nothing of the others'.
        let limits = &mut self.limits;
        if !limits.source_decoys.take(now.mono, &path) || !limits.decoys.take(now.mono) {
            return;
        }
        let payload = hello.payload();
        let input = [head, &payload[..Hello::COOKIE.start]];
        let decoys = &self.decoys;
        let sent =
            self.stateless.push(path, FrameType::CHALLENGE, hello.fields().path_id(), |out| {
                decoys.fill(&input, out.reserve(CHALLENGE_LEN)?);
                Ok(())
            });
        if sent {
            self.stats.decoys_sent += 1;
        }
    }

    /// Lists the versions spoken here, in answer to a large clear datagram of another version.
    pub(super) fn send_versions(&mut self, now: Now, path: PathAddress, initiator_id: PathId) {
        if self.config.stealth || self.listen.is_none() || !self.may_refuse(now, &path) {
            return;
        }
        let versions = ErrorPacket::Versions { versions: &[VERSION] };
        self.stateless.push(path, FrameType::ERROR, initiator_id, |out| versions.write(out));
    }

    /// Says that the session of a sealed packet is not known here.
    pub(super) fn send_reset(&mut self, now: Now, path: PathAddress, id: PathId, datagram: usize) {
        self.stats.unknown_path += 1;
        let limits = &mut self.limits;
        if datagram < MIN_ACK_ELICITING_LEN
            || !limits.source_resets.take(now.mono, &path)
            || !limits.resets.take(now.mono)
        {
            return;
        }
        let reset = ErrorPacket::Reset { token: self.identity.reset_token(&id.0) };
        if self.stateless.push(path, FrameType::ERROR, id, |out| reset.write(out)) {
            self.stats.resets_sent += 1;
        }
    }
}
