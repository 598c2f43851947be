//! Opening packets and acting on what they say.

use core::time::Duration;

use stt_wire::bundle::Bundle;
use stt_wire::frame::{self, AckView, KeepAlive, KeepAliveKind};
use stt_wire::header::apply_mask;
use stt_wire::{
    AAD_LEN, CRC32_LEN, ErrorCode, Flags, Frame, FrameType, HEADER_LEN, Header,
    decode_packet_number,
};

use crate::event::{Event, Side};
use crate::fault::{Fault, FaultDetail};
use crate::path::{Ecn, PathAddress};
use crate::recovery::{AckInfo, AckOfUnsent, Content, EcnCounts, Fate};
use crate::stats::FrameErrorCounts;
use crate::streams::PeerFault;
use crate::trace::{DropReason, TraceEvent, TracedPacket};

use super::close::{Ending, Words};
use super::migrate::{Arrival, is_probing};
use super::path::MtuChange;
use super::{Context, MAX_ECHOES, MAX_MALFORMED, Session, State};

/// Pause between two reports of frame errors of one session.
const TELL_INTERVAL: Duration = Duration::from_secs(1);

/// Dropped frames that the application was not told of yet.
#[derive(Default)]
pub(super) struct Untold {
    counts: FrameErrorCounts,
    /// The newest type that nobody handled.
    unknown_type: Option<FrameType>,
}

impl Session {
    /// The masks of `samples`, which came for this session.
    pub(crate) fn unmask(&self, samples: &[[u8; 16]], masks: &mut [[u8; 11]]) {
        self.keys.unmask_batch(samples, masks);
    }

    /// A sealed packet whose checksums hold. It is opened in place.
    pub(crate) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        path: PathAddress,
        ecn: Option<Ecn>,
        packet: &mut [u8],
        mask: &[u8; 11],
    ) {
        let now = cx.now.mono;
        let packet_len = packet.len();
        let over = matches!(self.state, State::Ending(Ending::Over));
        let Some((head, body)) = packet.split_first_chunk_mut::<HEADER_LEN>() else { return };
        apply_mask(head, mask);
        let header = Header::read(head);
        let number = decode_packet_number(self.largest_opened, header.packet_number);
        if over {
            self.trace_drop(now, number, packet_len, DropReason::SessionOver);
            return;
        }
        if self.replay.contains(number) {
            self.stats.packets_duplicate += 1;
            self.trace_drop(now, number, packet_len, DropReason::Duplicate);
            return;
        }
        let mut aad = [0; AAD_LEN];
        aad.copy_from_slice(&head[..AAD_LEN]);
        let Some(sealed_len) = body.len().checked_sub(CRC32_LEN) else { return };
        let phase = header.flags.contains(Flags::KEY_PHASE);
        let keep = 3 * self.recovery.pto();
        let body = &mut body[..sealed_len];
        let before = self.keys.received_phase();
        let Ok(len) = self.keys.open(now, keep, phase, number, &aad, body) else {
            self.trace_drop(now, number, packet_len, DropReason::Undecryptable);
            self.on_forgery(cx);
            return;
        };
        if self.replay.insert(number).is_err() {
            return;
        }
        let newest = self.largest_opened < Some(number);
        let largest = self.largest_opened;
        if self.keys.received_phase() != before {
            self.trace_key_update(now, Side::Remote);
        }
        self.largest_opened = self.largest_opened.max(Some(number));
        if let Some(proof) = &mut self.proof {
            proof.heard = true;
        }
        self.on_reply_received(now);
        let heard_before = self.liveness.on_heard(now);
        self.stats.packets_received += 1;
        if let Some(quality) = &mut self.quality
            && !quality.on_whole()
        {
            self.quality = None;
        }
        self.stats.bytes_received += packet_len as u64;
        let elsewhere = self.is_elsewhere(&path);
        let id_is_fresh = self.is_fresh_id(header.path_id);
        if !elsewhere {
            self.recovery.on_heard_again(now, heard_before);
            self.add_credit(packet_len);
            self.stats.path_bytes_received += packet_len as u64;
            self.on_packet_came(cx, largest, number, packet_len as u64);
            if id_is_fresh {
                self.local_id = header.path_id;
            }
        }

        let parsed = if header.flags.contains(Flags::SEALED) {
            frame::parse(header.frame_type, header.flags, header.stream_id, &body[..len])
        } else {
            Err(stt_wire::FrameError::Flags)
        };
        let Ok(frame) = parsed else {
            self.trace_drop(now, number, packet_len, DropReason::Malformed);
            self.on_malformed(cx);
            return;
        };
        self.trace(now, || {
            TraceEvent::PacketReceived(TracedPacket {
                number,
                key_phase: phase,
                bytes: packet_len,
                ecn,
                mtu_probe: false,
                frame_type: header.frame_type,
                flags: header.flags,
                stream: header.stream_id,
                plaintext: &body[..len],
            })
        });
        self.malformed_in_a_row = 0;
        let eliciting = frame.is_ack_eliciting();
        if eliciting {
            self.on_late_packet();
        }
        self.count_ecn(ecn);
        let rtt = self.recovery.rtt().measured();
        self.received.on_received(now, number, eliciting, ecn == Some(Ecn::Ce), rtt);
        let arrival = Arrival { path, len: packet_len, id: header.path_id, id_is_fresh };
        cx.arrival = Some(arrival);
        // A session that only says that it is over says it wherever the peer looks for an answer.
        let moves = elsewhere
            && newest
            && (self.says_the_end() || (!is_probing(&frame) && self.shows_a_move(&arrival)));
        match frame {
            Frame::Bundle(bundle) => self.on_bundle(cx, &bundle),
            frame => self.on_frame(cx, header.stream_id, frame),
        }
        if moves {
            self.on_peer_moved(cx, &arrival);
        }
    }

    fn on_bundle(&mut self, cx: &mut Context<'_>, bundle: &Bundle<'_>) {
        for part in bundle.parts() {
            self.on_frame(cx, part.stream_id, part.frame);
        }
    }

    fn on_frame(&mut self, cx: &mut Context<'_>, stream: u32, frame: Frame<'_>) {
        let result = match frame {
            Frame::SessionClose(close) => {
                let words = Words {
                    reason: close.reason,
                    code: close.code,
                    message: close.message.to_owned(),
                };
                self.on_session_close(cx, words);
                return;
            }
            Frame::Ack(ack) if !self.has_ended() || self.is_refused() => {
                if self.on_ack(cx, &ack).is_err() {
                    self.fail(cx, Fault::new(ErrorCode::InvalidFrame));
                }
                return;
            }
            // What is closing listens only for the answer to its SESSION_CLOSE.
            _ if !self.is_live() => return,
            Frame::Final(verdict) => {
                self.on_final(cx, &verdict);
                return;
            }
            Frame::KeepAlive(request) => {
                if let Some(arrival) = cx.arrival
                    && self.is_elsewhere(&arrival.path)
                {
                    self.owe_reply(cx.now.mono, &arrival, request);
                    return;
                }
                if request.kind == KeepAliveKind::Alive {
                    self.liveness.on_asked(cx.now.mono, self.initiator);
                }
                if self.echoes.len() == MAX_ECHOES {
                    self.echoes.remove(0);
                }
                self.echoes.push(request);
                return;
            }
            Frame::KeepAliveAck(echo) => {
                self.on_echo(cx, &echo);
                return;
            }
            Frame::Unknown { frame_type } => {
                self.count_unknown(cx, frame_type);
                return;
            }
            // Nobody knows a type that the application does not handle.
            Frame::Custom { frame_type, .. } if !self.messages.handles(frame_type) => {
                self.count_unknown(cx, frame_type);
                return;
            }
            Frame::Custom { frame_type, data } => {
                self.on_message(cx, frame_type, data);
                return;
            }
            Frame::Datagram(data) => {
                self.on_message(cx, FrameType::DATAGRAM, data);
                return;
            }
            Frame::NewId(new) => {
                self.on_new_id(cx.now.mono, new);
                return;
            }
            Frame::RetireId { sequence } => {
                self.on_retire_id(sequence);
                return;
            }
            Frame::Drain { within } => {
                self.on_drain(cx, within);
                return;
            }
            Frame::Data(data) => {
                self.liveness.on_activity(cx.now.mono);
                if let Some(strain) = &mut self.strain {
                    strain.on_payload(data.bytes.len());
                }
                if cx.arrival.is_none_or(|arrival| !self.is_elsewhere(&arrival.path)) {
                    self.recovery.on_data_heard(cx.now.mono);
                }
                self.streams.handle_data(cx.blocks, stream, data.offset, data.bytes, data.fin)
            }
            Frame::StreamOpen(open) => {
                self.liveness.on_activity(cx.now.mono);
                self.streams.handle_open(stream, &open)
            }
            Frame::Window { limit } => self.streams.handle_window(stream, limit),
            Frame::MaxStreams(limit) => self.streams.handle_max_streams(&limit),
            Frame::StreamClose(close) => {
                self.streams.handle_close(stream, close.code, close.final_offset)
            }
            Frame::StreamStop { code } => self.streams.handle_stop(stream, code),
            Frame::StreamSkip { offset } => self.streams.handle_skip(cx.blocks, stream, offset),
            Frame::Bundle(_) | Frame::Ack(_) => return,
        };
        if let Err(PeerFault { code, limit }) = result {
            let detail =
                limit.map_or(FaultDetail::None, |limit| FaultDetail::Limit { limit, local: true });
            self.fail(cx, Fault::new(code).with_detail(detail));
        }
    }

    /// A DATAGRAM or a custom frame. One that is longer than this side takes is dropped alone.
    fn on_message(&mut self, cx: &mut Context<'_>, frame_type: FrameType, data: &[u8]) {
        self.liveness.on_activity(cx.now.mono);
        // Who is sent messages will send some.
        self.path.mtu.want(cx.now.mono);
        if !self.messages.receive(frame_type, data, self.streams.room()) {
            self.count(cx, ErrorCode::InvalidFrame);
        }
    }

    fn on_final(&mut self, cx: &mut Context<'_>, verdict: &frame::Final<'_>) {
        // A copy says nothing new.
        if !self.awaits_final() {
            return;
        }
        self.proof = None;
        self.remote_id.reset_token = Some(verdict.reset_token);
        if verdict.status != 0 {
            self.on_refusal(cx, verdict.status, verdict.subcode);
            return;
        }
        let early = match self.state {
            State::AwaitFinal { early, .. } => {
                self.state = State::Open;
                early
            }
            // An application that was told early drains already.
            _ => true,
        };
        self.path.mtu.start(cx.now.mono);
        self.liveness.on_activity(cx.now.mono);
        if !early {
            self.announce(cx);
        }
        self.take_ticket(cx, verdict.ticket);
    }

    fn on_ack(&mut self, cx: &mut Context<'_>, ack: &AckView<'_>) -> Result<(), AckOfUnsent> {
        let now = cx.now.mono;
        let here = cx.arrival.is_none_or(|arrival| !self.is_elsewhere(&arrival.path));
        let kept = self.proof.as_ref().is_some_and(|proof| ack.largest < proof.numbers_before);
        let info = AckInfo {
            largest: ack.largest,
            delay: Duration::from_micros(ack.delay_us),
            ecn: ack.ecn.map(|counts| EcnCounts {
                ect0: counts.ect0,
                ect1: counts.ect1,
                ce: counts.ce,
            }),
            measures: here && !kept,
            next_packet_number: self.next_pn,
        };
        cx.fates.clear();
        let fates = &mut *cx.fates;
        let summary = self.recovery.on_ack(now, &info, ack.ranges(), &mut |fate, content| {
            fates.push((fate, content));
        })?;
        if let Some(moving) = &mut self.moving
            && let Some(former) = &mut moving.former
            && let Some((_, recovery)) = &mut former.known
        {
            let info = AckInfo { measures: false, ..info };
            let late = recovery.on_ack(now, &info, ack.ranges(), &mut |fate, content| {
                fates.push((fate, content));
            })?;
            self.largest_acked = self.largest_acked.max(late.largest_newly_acked);
        }
        self.largest_acked = self.largest_acked.max(summary.largest_newly_acked);
        if summary.largest_newly_acked.is_some() {
            // That the peer is heard says nothing of the way to it: an acknowledgement does.
            self.end_silence(cx);
        }
        if let Some(rtt) = summary.rtt_sample {
            cx.rtts.record(rtt);
        }
        self.stats.packets_lost += u64::from(summary.lost_packets);
        self.stats.congestion_events += u64::from(summary.congestion);
        self.stats.path_bytes_acked += summary.newly_acked_bytes;
        let arrived = (u64::from(summary.newly_acked_packets), summary.newly_acked_bytes);
        // Those that arrived after all make up for as many that were lost.
        let lost = summary.lost_in_flight.saturating_sub(summary.spurious_losses);
        self.on_packet_fates(cx, arrived, u64::from(lost));
        self.paced_until = None;
        match self.recovery.large_lost_in_a_row() {
            0 => self.path.mtu.on_large_arrival(now),
            count => self.path.mtu.on_large_losses(now, count),
        }
        self.settle_fates(cx);
        if self.streams.has_run_dry() {
            self.recovery.on_dry(now);
        }
        Ok(())
    }

    /// Acts on what became of the contents in `cx.fates`.
    pub(super) fn settle_fates(&mut self, cx: &mut Context<'_>) {
        let mut mtu = MtuChange::None;
        for index in 0..cx.fates.len() {
            let (fate, content) = cx.fates[index];
            match fate {
                Fate::Acked => self.on_acked(cx, content),
                Fate::Lost => match self.on_lost(cx, content) {
                    MtuChange::None => {}
                    change => mtu = change,
                },
            }
        }
        cx.fates.clear();
        // It may find more to be lost, so it comes after.
        self.on_mtu_change(cx, mtu);
        self.advance_drain(cx.now.mono);
    }

    fn on_acked(&mut self, cx: &mut Context<'_>, content: Content) {
        match content {
            Content::Ack { largest } => self.received.on_ack_acked(largest),
            Content::Final => {
                self.verdict_pending = false;
                let first = !core::mem::replace(&mut self.verdict_acked, true);
                self.forget_ticket();
                if self.is_refused() {
                    self.state = State::Ending(Ending::Over);
                } else if first {
                    self.path.mtu.start(cx.now.mono);
                }
            }
            Content::KeepAlive { token } => {
                if self.path.mtu.is_probe(token) {
                    let change = self.path.mtu.on_probe_acked(cx.now.mono);
                    self.on_mtu_change(cx, change);
                } else {
                    // The echo may be lost and is not repeated: the ACK answers the ping as well.
                    self.answer_ping(cx, token);
                }
            }
            Content::Close
            | Content::Drain
            | Content::KeepAliveAck
            | Content::Message
            | Content::NewId { .. }
            | Content::RetireId { .. } => {}
            content => self.streams.on_acked(&content),
        }
    }

    fn on_lost(&mut self, cx: &mut Context<'_>, content: Content) -> MtuChange {
        match content {
            // Of several copies one is enough.
            Content::Final => self.verdict_pending = self.verdict.is_some() && !self.verdict_acked,
            Content::KeepAlive { token } => {
                if self.path.mtu.is_probe(token) {
                    return self.path.mtu.on_probe_lost(cx.now.mono, self.recovery.pto());
                } else if let Some(ping) = self.liveness.on_keep_alive_lost(token) {
                    self.pings.push_back(ping);
                }
            }
            Content::Message => self.messages.on_lost(),
            Content::Drain => self.farewell.on_lost(),
            // An ACK is out of date by the time its loss shows; echoes are not repeated, and SESSION_CLOSE has its own clock.
            Content::Ack { .. } | Content::Close | Content::KeepAliveAck => {}
            Content::NewId { sequence } => self.ids.tell_again(sequence),
            Content::RetireId { sequence } => self.ids.retire_again(sequence),
            content => self.streams.on_lost(&content),
        }
        MtuChange::None
    }

    /// Everything in flight is to be sent again: the datagrams it travelled in were too large.
    pub(super) fn requeue_in_flight(&mut self, cx: &mut Context<'_>) {
        cx.fates.clear();
        let fates = &mut *cx.fates;
        self.recovery.discard_all(cx.now.mono, &mut |fate, content| fates.push((fate, content)));
        self.settle_fates(cx);
    }

    fn on_echo(&mut self, cx: &mut Context<'_>, echo: &KeepAlive) {
        let nonce = u64::from_le_bytes(echo.nonce);
        if self.on_path_answer(cx, nonce) {
            return;
        }
        self.answer_ping(cx, nonce);
    }

    /// The peer has the KEEP_ALIVE with these bytes, as its echo or its ACK says.
    fn answer_ping(&mut self, cx: &mut Context<'_>, nonce: u64) {
        if let Some((sent, Some(token))) = self.liveness.on_answer(nonce) {
            let rtt = cx.now.mono.saturating_duration_since(sent);
            cx.events.push_back(Event::Pong { session: cx.handle, token, rtt });
        }
    }

    fn count_ecn(&mut self, ecn: Option<Ecn>) {
        let Some(ecn) = ecn else { return };
        let counts = self.ecn_received.get_or_insert_default();
        match ecn {
            Ecn::Ect0 => counts.ect0 += 1,
            Ecn::Ect1 => counts.ect1 += 1,
            Ecn::Ce => counts.ce += 1,
        }
    }

    fn on_forgery(&mut self, cx: &mut Context<'_>) {
        self.failed_opens += 1;
        self.count(cx, ErrorCode::EncryptionError);
        if self.failed_opens >= self.integrity_limit {
            let detail = FaultDetail::Count { count: self.failed_opens };
            self.fail(cx, Fault::new(ErrorCode::EncryptionError).with_detail(detail));
        }
    }

    fn on_malformed(&mut self, cx: &mut Context<'_>) {
        self.count(cx, ErrorCode::InvalidFrame);
        self.malformed_in_a_row = self.malformed_in_a_row.saturating_add(1);
        if self.malformed_in_a_row >= MAX_MALFORMED {
            self.fail(cx, Fault::new(ErrorCode::InvalidFrame));
        }
    }

    /// Counts a frame that nobody handles.
    fn count_unknown(&mut self, cx: &mut Context<'_>, frame_type: FrameType) {
        self.untold.unknown_type = Some(frame_type);
        self.count(cx, ErrorCode::UnknownFrameType);
    }

    /// Counts a frame that is dropped, and tells of it now or within a second.
    pub(crate) fn count(&mut self, cx: &mut Context<'_>, code: ErrorCode) {
        let counters =
            [&mut self.stats.frame_errors, &mut self.untold.counts, &mut *cx.frame_errors];
        for counts in counters {
            if let Some(count) = counts.of_mut(code) {
                *count += 1;
            }
        }
        if self.tell_at.is_none() {
            self.tell_frame_errors(cx);
            self.tell_at = Some(cx.now.mono + TELL_INTERVAL);
        }
    }

    /// A packet of this session was damaged on the way.
    pub(crate) fn on_damaged(&mut self, cx: &mut Context<'_>) {
        self.count(cx, ErrorCode::ChecksumMismatch);
        if let Some((damaged, packets)) = self.quality.get_or_insert_default().on_damaged() {
            cx.events.push_back(Event::PathWarning { session: cx.handle, damaged, packets });
        }
    }

    /// Tells of the frame errors counted since the last time.
    pub(super) fn tell_frame_errors(&mut self, cx: &mut Context<'_>) {
        if self.tell_at.is_some_and(|at| at > cx.now.mono) {
            return;
        }
        self.tell_at = None;
        for (code, count) in self.untold.counts.take() {
            let unknown = code == ErrorCode::UnknownFrameType;
            let frame_type = if unknown { self.untold.unknown_type.take() } else { None };
            let session = Some(cx.handle);
            cx.events.push_back(Event::FrameError { session, code, count, frame_type });
            self.tell_at = Some(cx.now.mono + TELL_INTERVAL);
        }
    }
}
