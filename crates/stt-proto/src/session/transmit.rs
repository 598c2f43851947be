//! Building packets: written, sealed and masked where they leave from, many to a batch.

use std::collections::VecDeque;

use stt_wire::bundle::BundleWriter;
use stt_wire::frame::ack::write_ack;
use stt_wire::frame::{KeepAlive, KeepAliveKind};
use stt_wire::header::apply_mask;
use stt_wire::packet::seal_checksums;
use stt_wire::{
    AAD_LEN, CRC32_LEN, Flags, FrameType, HEADER_LEN, Header, MAX_UDP_PAYLOAD,
    MIN_ACK_ELICITING_LEN, MIN_MTU, PathId, SEALED_OVERHEAD, TAG_LEN, frame,
};

use crate::event::Side;
use crate::path::{Ecn, Transmit};
use crate::recovery::{Content, PacketInfo};
use crate::streams::DataWritten;
use crate::time::Instant;
use crate::trace::TracedPacket;

use super::close::Ending;
use super::path::Reach;
use super::trace::sent_ecn;
use super::{Context, MAX_CONTROL_QUANTUM, Session, State};

/// Plaintext that makes an ack-eliciting packet long enough to draw a reset.
const MIN_ELICITING_PAYLOAD: usize = MIN_ACK_ELICITING_LEN - SEALED_OVERHEAD;
/// Room below which no further DATA part is begun in a BUNDLE.
const MIN_DATA_ROOM: usize = 24;

/// Bytes of a batch for a connection, which no datagram has to hold.
const MAX_MESSAGE: usize = 64 * 1024;

/// Bytes of credit below which nothing is sent to a path that is not proven but challenges.
const LEAST_ROOM: usize = 2 * MIN_ACK_ELICITING_LEN;
/// Probe timeouts until a size probe that nothing was heard of counts as lost (RFC 8899 5.1.1,
/// PROBE_TIMER).
const PROBE_PATIENCE: u32 = 3;

/// A packet's payload, ready to be sealed.
pub(super) struct Payload {
    pub(super) frame_type: FrameType,
    pub(super) stream: u32,
    pub(super) fin: bool,
    pub(super) len: usize,
    pub(super) eliciting: bool,
}

impl Payload {
    pub(super) fn bundle(len: usize, eliciting: bool) -> Self {
        Self { frame_type: FrameType::BUNDLE, stream: 0, fin: false, len, eliciting }
    }
}

impl Session {
    /// The next datagrams of this session, all of one size but the last.
    pub(crate) fn poll_transmit(
        &mut self,
        cx: &mut Context<'_>,
        max_segments: usize,
        buf: &mut [u8],
    ) -> Option<Transmit> {
        self.address_room()?;
        if self.waits_for_the_socket(cx.now.mono) {
            if !self.is_live() {
                return None;
            }
            // A connection is what may take the socket's place.
            let transmit = self.transmit_moving(cx, Reach::Connections, buf);
            self.liveness.departures.retract();
            return transmit;
        }
        // An unproven address pays for every datagram on its own.
        let max_segments = if self.is_unproven() { 1 } else { max_segments };
        let transmit = self.next_transmit(cx, max_segments, buf)?;
        self.charge(transmit.len);
        Some(transmit)
    }

    fn next_transmit(
        &mut self,
        cx: &mut Context<'_>,
        max_segments: usize,
        buf: &mut [u8],
    ) -> Option<Transmit> {
        let now = cx.now.mono;
        if !self.path.held
            && let Some(transmit) = self.transmit_proof(now, buf)
        {
            return Some(transmit);
        }
        if self.is_live()
            && let Some(transmit) = self.transmit_moving(cx, Reach::All, buf)
        {
            return Some(transmit);
        }
        if self.path.held {
            return None;
        }
        // A path that is not proven gets no more than came from it.
        let room = buf.len().min(self.send_credit());
        if room < LEAST_ROOM {
            return None;
        }
        let transmit = self.transmit_here(cx, max_segments, &mut buf[..room]);
        self.spend_credit(transmit.as_ref().map_or(0, |transmit| transmit.len));
        transmit
    }

    /// The next datagrams for the path in use.
    fn transmit_here(
        &mut self,
        cx: &mut Context<'_>,
        max_segments: usize,
        buf: &mut [u8],
    ) -> Option<Transmit> {
        match self.state {
            State::Ending(Ending::Draining { .. }) => {}
            State::Ending(_) => return self.transmit_close(cx, buf),
            _ => {}
        }
        if core::mem::take(&mut self.confirm) {
            return self.transmit_confirmation(cx, buf);
        }
        if let Some(transmit) = self.transmit_mtu_probe(cx, buf) {
            return Some(transmit);
        }
        self.transmit_batch(cx, max_segments, buf)
    }

    /// Whether the socket has refused what was sent by it, and is left alone for now. A connection has
    /// nothing to do with that.
    pub(super) fn waits_for_the_socket(&self, now: Instant) -> bool {
        !self.path.address.is_reliable() && self.liveness.departures.is_held_back(now)
    }

    /// Whether [`Session::poll_transmit`] is worth a call.
    pub(crate) fn wants_transmit(&self, now: Instant) -> bool {
        let moves = |reach| {
            let moving = self.moving.as_ref().filter(|_| self.is_live());
            moving.is_some_and(|moving| moving.wants_transmit(now, reach, &self.path.address))
        };
        if self.path.held {
            // The connection wakes the session; only other paths are free.
            return moves(Reach::All);
        }
        if self.waits_for_the_socket(now) {
            return moves(Reach::Connections);
        }
        if self.proof.as_ref().is_some_and(|proof| proof.at <= now) {
            return true;
        }
        if self.address_room().is_none() {
            return false;
        }
        match &self.state {
            State::Ending(Ending::Closing { pending, .. } | Ending::Lingering { pending, .. }) => {
                *pending
            }
            State::Ending(Ending::Over) => false,
            _ => {
                self.confirm
                    || moves(Reach::All)
                    || self.received.ack_due(now)
                    || self.path.mtu.probe_due(now).is_some()
                    || (self.paced_until.is_none_or(|at| at <= now)
                        && (self.wants_control()
                            || self.wants_data()
                            || self.wants_messages(false)))
            }
        }
    }

    pub(super) fn wants_control(&self) -> bool {
        self.verdict_pending
            || self.keep_alive_due
            || !self.echoes.is_empty()
            || (!self.pings.is_empty() && self.liveness.has_room_for_ping())
            || self.ids.wants_control()
            || (self.may_use_streams()
                && (self.farewell.wants_control() || self.streams.wants_control()))
    }

    pub(super) fn wants_data(&self) -> bool {
        self.may_use_streams() && self.streams.wants_data()
    }

    /// Whether a message should go out now; `data` tells whether stream data could.
    pub(super) fn wants_messages(&self, data: bool) -> bool {
        self.messages.has_turn(data) && self.may_use_streams()
    }

    /// Stream frames and messages follow FINAL, and follow AUTH_PROOF only when the application said `early`.
    fn may_use_streams(&self) -> bool {
        match self.state {
            State::Open | State::Ending(Ending::Draining { .. }) => true,
            State::AwaitFinal { early, .. } => early,
            _ => false,
        }
    }

    fn transmit_batch(
        &mut self,
        cx: &mut Context<'_>,
        max_segments: usize,
        buf: &mut [u8],
    ) -> Option<Transmit> {
        let now = cx.now.mono;
        let most = if self.path.address.is_reliable() { MAX_MESSAGE } else { MAX_UDP_PAYLOAD };
        let limit = buf.len().min(most);
        let allowance = self.recovery.allowance(now);
        let mtu = self.datagram_size(allowance.bytes).min(limit).min(self.address_room()?);
        let mut budget = allowance.bytes;
        self.rotate_key(now);
        let ecn = self.recovery.mark_ecn();
        let (mut len, mut segments, mut filled) = (0, 0, 0);
        while segments < max_segments && len + mtu <= limit {
            let room = &mut buf[len..len + mtu];
            let may_elicit = budget >= mtu as u64;
            let Some(payload) = self.fill(cx, room, may_elicit) else { break };
            let packet_len = self.seal(now, room, &payload, ecn, false, cx.contents);
            segments += 1;
            len += packet_len;
            if mtu - packet_len < MIN_DATA_ROOM {
                filled += packet_len;
            }
            budget = budget.saturating_sub(packet_len as u64);
            if packet_len < mtu {
                break;
            }
        }
        if budget >= mtu as u64 && !self.wants_data() {
            self.recovery.on_app_limited();
        }
        self.paced_until = if budget < mtu as u64 { allowance.next } else { None };
        if segments == 0 {
            return None;
        }
        self.path.mtu.on_filled(now, filled);
        self.last_datagram = len.min(mtu) as u16;
        self.ask_for_last_ack();
        self.liveness.on_sent();
        Some(Transmit {
            path: self.path.address,
            len,
            segment_size: (segments > 1).then_some(mtu),
            ecn: ecn.then_some(Ecn::Ect0),
            opens: false,
        })
    }

    /// Bytes of the datagrams to send now, of which the window and the pacer allow `allowance`.
    ///
    /// As large as the path carries, so long as the window still holds eight of them and none takes
    /// more than a millisecond of what the path carries: fewer would make losses, ACKs and queues
    /// coarse. A probe timeout sends the size that comes through in any case (RFC 8899 section 4.3).
    fn datagram_size(&self, allowance: u64) -> usize {
        let usable = self.path.mtu.usable();
        if self.path.address.is_reliable() {
            return usable;
        }
        if usable <= MAX_CONTROL_QUANTUM || self.recovery.pto_count() > 0 {
            return if self.recovery.pto_count() > 0 { MIN_MTU } else { usable };
        }
        let milliseconds = self.recovery.rtt().smoothed().as_millis() as u64;
        let share = (self.recovery.window() / milliseconds.max(8)).min(allowance);
        usable.min(MAX_CONTROL_QUANTUM.max(usize::try_from(share).unwrap_or(usize::MAX)))
    }

    /// Writes a payload into a packet's room and notes what it is in `cx.contents`.
    fn fill(&mut self, cx: &mut Context<'_>, room: &mut [u8], may_elicit: bool) -> Option<Payload> {
        let now = cx.now.mono;
        cx.contents.clear();
        let end = room.len() - TAG_LEN - CRC32_LEN;
        let room = &mut room[HEADER_LEN..end];
        let control = may_elicit && self.wants_control();
        let data = may_elicit && self.wants_data();
        let messages = may_elicit && self.wants_messages(data);
        let carries = control || data || messages;
        let ack = self.received.ack_due(now) || (self.received.ack_pending() && carries);
        if !ack && !control && !messages {
            return if data { self.fill_data(cx, room) } else { None };
        }
        let mut bundle = BundleWriter::new(room);
        let mut eliciting = false;
        if messages && self.messages.goes_first() {
            eliciting = self.write_messages(cx, &mut bundle);
        }
        if ack {
            self.write_ack(now, &mut bundle, cx.contents);
        }
        let before = bundle.len();
        if may_elicit {
            if control {
                self.write_control(cx, &mut bundle);
            }
            self.write_messages(cx, &mut bundle);
            let is_empty = bundle.len() == before && !eliciting && !data;
            if self.recovery.needs_ack_eliciting() && is_empty {
                self.write_keep_alive(cx, &mut bundle, KeepAliveKind::Alive, None);
            }
            self.write_data_parts(cx, &mut bundle);
        }
        eliciting |= bundle.len() > before;
        if eliciting {
            bundle.pad_to(MIN_ELICITING_PAYLOAD);
        }
        (!bundle.is_empty()).then(|| Payload::bundle(bundle.len(), eliciting))
    }

    /// A packet of stream data alone: plain DATA when one stream fills it, else a BUNDLE.
    fn fill_data(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Option<Payload> {
        let written = self.streams.write_data(room)?;
        self.liveness.on_activity(cx.now.mono);
        self.messages.on_data_sent(written.used as u64);
        cx.contents.push(content_of(&written));
        let DataWritten { stream, used, fin, .. } = written;
        let full = room.len() - used < MIN_DATA_ROOM;
        if full || (used >= MIN_ELICITING_PAYLOAD && !self.streams.wants_data()) {
            return Some(Payload {
                frame_type: FrameType::DATA,
                stream,
                fin,
                len: used,
                eliciting: true,
            });
        }
        // Other streams have something too, or it is too short to stand alone: what was written
        // becomes the first part of a BUNDLE.
        let header = BundleWriter::part_header_len(stream);
        room.copy_within(..used, header);
        let mut bundle = BundleWriter::new(room);
        bundle.adopt_data_part(stream, fin, used);
        self.write_data_parts(cx, &mut bundle);
        bundle.pad_to(MIN_ELICITING_PAYLOAD);
        Some(Payload::bundle(bundle.len(), true))
    }

    /// Appends the messages whose turn it is; false when that was none.
    fn write_messages(&mut self, cx: &mut Context<'_>, bundle: &mut BundleWriter<'_>) -> bool {
        let data = self.wants_data();
        if !self.wants_messages(data) {
            return false;
        }
        let before = bundle.len();
        self.messages.write(self.message_room(), data, bundle, cx.contents);
        let any = bundle.len() > before;
        if any {
            self.liveness.on_activity(cx.now.mono);
        }
        any
    }

    fn write_data_parts(&mut self, cx: &mut Context<'_>, bundle: &mut BundleWriter<'_>) {
        if !self.may_use_streams() {
            return;
        }
        while bundle.remaining() >= MIN_DATA_ROOM {
            let Some(stream) = self.streams.next_data() else { return };
            let written = bundle.data_part(stream, |room| {
                let written = self.streams.write_data(room)?;
                Some((written.used, written.fin, written))
            });
            let Some(written) = written else { return };
            self.liveness.on_activity(cx.now.mono);
            self.messages.on_data_sent(written.used as u64);
            cx.contents.push(content_of(&written));
        }
    }

    fn write_ack(
        &mut self,
        now: Instant,
        bundle: &mut BundleWriter<'_>,
        contents: &mut Vec<Content>,
    ) {
        let Some(largest) = self.received.largest() else { return };
        let delay = self.received.ack_delay(now).as_micros() as u64;
        let (ranges, ecn) = (self.received.ranges(), self.ecn_received);
        let written = bundle.part(FrameType::ACK, 0, |out| write_ack(out, delay, ranges, ecn));
        if written.is_ok() {
            contents.push(Content::Ack { largest });
            self.received.on_ack_sent(now);
        }
    }

    fn write_control(&mut self, cx: &mut Context<'_>, bundle: &mut BundleWriter<'_>) {
        if self.verdict_pending
            && let Some(verdict) = self.verdict
        {
            let body = frame::Final {
                status: verdict.status,
                subcode: verdict.subcode,
                reset_token: cx.identity.reset_token(&self.local_id.0),
                ticket: self.ticket(),
            };
            if bundle.part(FrameType::FINAL, 0, |out| body.write(out)).is_ok() {
                self.verdict_pending = false;
                self.on_final_sent(cx.now.mono);
                cx.contents.push(Content::Final);
            }
        }
        while let Some(echo) = self.echoes.pop() {
            if bundle.part(FrameType::KEEP_ALIVE_ACK, 0, |out| echo.write(out)).is_err() {
                self.echoes.push(echo);
                break;
            }
            cx.contents.push(Content::KeepAliveAck);
        }
        if self.echoes.is_empty() {
            // Seconds pass before the next, and an idle session holds nothing that it does not use.
            self.echoes = Vec::new();
        }
        // Those that find no room wait until one of the others has been answered.
        while self.liveness.has_room_for_ping()
            && let Some(token) = self.pings.pop_front()
        {
            if !self.write_keep_alive(cx, bundle, KeepAliveKind::Alive, Some(token)) {
                self.pings.push_front(token);
                break;
            }
            self.keep_alive_due = false;
            if self.pings.is_empty() {
                self.pings = VecDeque::new();
            }
        }
        if self.keep_alive_due && self.write_keep_alive(cx, bundle, KeepAliveKind::Alive, None) {
            self.keep_alive_due = false;
        }
        self.write_path_ids(cx, bundle);
        if self.may_use_streams() {
            self.farewell.write(bundle, cx.contents);
        }
        if self.may_use_streams() && self.streams.wants_control() {
            self.streams.write_control(bundle, cx.contents);
            self.liveness.on_activity(cx.now.mono);
        }
    }

    fn write_path_ids(&mut self, cx: &mut Context<'_>, bundle: &mut BundleWriter<'_>) {
        while let Some((sequence, path_id)) = self.ids.next_unsent() {
            let reset_token = cx.identity.reset_token(&path_id.0);
            let body = frame::NewId { sequence, path_id, reset_token };
            if bundle.part(FrameType::NEW_ID, 0, |out| body.write(out)).is_err() {
                self.ids.tell_again(sequence);
                return;
            }
            cx.contents.push(Content::NewId { sequence });
        }
        while let Some(sequence) = self.ids.next_retired() {
            if bundle.part(FrameType::RETIRE_ID, 0, |out| out.varint(sequence)).is_err() {
                self.ids.retire_again(sequence);
                return;
            }
            cx.contents.push(Content::RetireId { sequence });
        }
    }

    fn write_keep_alive(
        &mut self,
        cx: &mut Context<'_>,
        bundle: &mut BundleWriter<'_>,
        kind: KeepAliveKind,
        ping: Option<u64>,
    ) -> bool {
        let nonce = cx.nonce();
        let body = KeepAlive { kind, nonce: nonce.to_le_bytes() };
        if bundle.part(FrameType::KEEP_ALIVE, 0, |out| body.write(out)).is_err() {
            return false;
        }
        cx.contents.push(Content::KeepAlive { token: nonce });
        if kind == KeepAliveKind::Alive {
            self.liveness.on_keep_alive_sent(cx.now.mono, nonce, ping);
        } else {
            let patience = PROBE_PATIENCE * self.recovery.pto();
            self.path.mtu.on_probe_sent(cx.now.mono, nonce, patience);
        }
        true
    }

    /// One padded KEEP_ALIVE of the size to try.
    fn transmit_mtu_probe(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Option<Transmit> {
        let now = cx.now.mono;
        let size = self.path.mtu.probe_due(now).filter(|_| !self.is_unproven())?;
        // While nothing at all comes through, a probe would say nothing.
        if size > buf.len() || self.recovery.pto_count() > 0 {
            return None;
        }
        cx.contents.clear();
        let room = &mut buf[..size];
        let mut bundle = BundleWriter::new(&mut room[HEADER_LEN..size - TAG_LEN - CRC32_LEN]);
        self.write_keep_alive(cx, &mut bundle, KeepAliveKind::Probe, None);
        bundle.pad_to(usize::MAX);
        let payload = Payload::bundle(bundle.len(), true);
        let len = self.seal(now, room, &payload, false, true, cx.contents);
        self.liveness.on_sent();
        Some(Transmit { path: self.path.address, len, segment_size: None, ecn: None, opens: false })
    }

    /// A packet of nothing but PADDING: it elicits no ACK, and shows by opening that the proof held.
    fn transmit_confirmation(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Option<Transmit> {
        let room = buf.get_mut(..MIN_MTU.min(self.address_room()?))?;
        let mut bundle = BundleWriter::new(&mut room[HEADER_LEN..]);
        bundle.pad_to(MIN_ELICITING_PAYLOAD);
        let payload = Payload::bundle(bundle.len(), false);
        let len = self.seal(cx.now.mono, room, &payload, false, false, &[]);
        self.liveness.on_sent();
        Some(Transmit { path: self.path.address, len, segment_size: None, ecn: None, opens: false })
    }

    /// SESSION_CLOSE with a current ACK, when it is due.
    fn transmit_close(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Option<Transmit> {
        let now = cx.now.mono;
        let State::Ending(
            Ending::Closing { words, pending, .. } | Ending::Lingering { words, pending, .. },
        ) = &mut self.state
        else {
            return None;
        };
        if !core::mem::replace(pending, false) {
            return None;
        }
        let words = words.clone();
        let len = buf.len().min(MIN_MTU).min(self.address_room()?);
        let room = buf.get_mut(..len)?;
        cx.contents.clear();
        let end = room.len() - TAG_LEN - CRC32_LEN;
        let mut bundle = BundleWriter::new(&mut room[HEADER_LEN..end]);
        self.write_ack(now, &mut bundle, cx.contents);
        let body =
            frame::SessionClose { reason: words.reason, code: words.code, message: &words.message };
        if bundle.part(FrameType::SESSION_CLOSE, 0, |out| body.write(out)).is_err() {
            // A full ACK left no room: the words are what matters.
            bundle = BundleWriter::new(&mut room[HEADER_LEN..end]);
            cx.contents.clear();
            bundle.part(FrameType::SESSION_CLOSE, 0, |out| body.write(out)).ok()?;
        }
        cx.contents.push(Content::Close);
        // Long enough to draw a reset from a peer that has forgotten the session.
        bundle.pad_to(MIN_ELICITING_PAYLOAD);
        let payload = Payload::bundle(bundle.len(), false);
        let len = self.seal(now, room, &payload, false, false, cx.contents);
        self.liveness.on_sent();
        Some(Transmit { path: self.path.address, len, segment_size: None, ecn: None, opens: false })
    }

    /// Seals the payload in `room` into a packet and tells recovery of it. Returns its length.
    pub(super) fn seal(
        &mut self,
        now: Instant,
        room: &mut [u8],
        payload: &Payload,
        ecn: bool,
        mtu_probe: bool,
        contents: &[Content],
    ) -> usize {
        let peer_id = self.remote_id.id;
        let (number, packet_len) = self.seal_packet(now, room, payload, peer_id, ecn, mtu_probe);
        let info = PacketInfo {
            bytes: packet_len as u16,
            ack_eliciting: payload.eliciting,
            mtu_probe,
            ecn,
        };
        self.recovery.on_packet_sent(now, number, info, contents);
        self.last_datagram = packet_len as u16;
        packet_len
    }

    /// Seals the payload in `room` into a packet for one of the peer's ids; its number and length.
    pub(super) fn seal_packet(
        &mut self,
        now: Instant,
        room: &mut [u8],
        payload: &Payload,
        peer_id: PathId,
        ecn: bool,
        mtu_probe: bool,
    ) -> (u64, usize) {
        let number = self.next_pn;
        self.next_pn += 1;
        let sealed_len = payload.len + TAG_LEN;
        let packet_len = HEADER_LEN + sealed_len + CRC32_LEN;
        let packet = &mut room[..packet_len];
        let flags = Flags::NONE
            .with_if(payload.fin, Flags::FIN)
            .with_if(self.keys.phase(), Flags::KEY_PHASE);
        let header = Header::sealed(
            payload.frame_type,
            flags,
            peer_id,
            payload.stream,
            number,
            sealed_len as u16,
        );
        self.trace_sent(now, || TracedPacket {
            number,
            key_phase: flags.contains(Flags::KEY_PHASE),
            bytes: packet_len,
            ecn: sent_ecn(ecn),
            mtu_probe,
            frame_type: payload.frame_type,
            flags,
            stream: payload.stream,
            plaintext: &packet[HEADER_LEN..HEADER_LEN + payload.len],
        });
        if let Some((head, body)) = packet.split_first_chunk_mut::<HEADER_LEN>() {
            header.write(head);
            let mut aad = [0; AAD_LEN];
            aad.copy_from_slice(&head[..AAD_LEN]);
            let body = &mut body[..sealed_len];
            self.keys.seal(number, &aad, body);
            if let Some(sample) = body.first_chunk() {
                apply_mask(head, &self.keys.mask(sample));
            }
        }
        seal_checksums(packet);
        self.stats.packets_sent += 1;
        self.stats.bytes_sent += packet_len as u64;
        (number, packet_len)
    }

    pub(super) fn rotate_key(&mut self, now: Instant) {
        let keep = 3 * self.recovery.pto();
        if self.keys.rotate_if_due(now, keep, self.next_pn, self.largest_acked) {
            self.stats.key_updates += 1;
            self.trace_key_update(now, Side::Local);
        }
    }
}

fn content_of(written: &DataWritten) -> Content {
    Content::Data {
        stream: written.stream,
        start: written.start,
        len: written.len,
        fin: written.fin,
    }
}
