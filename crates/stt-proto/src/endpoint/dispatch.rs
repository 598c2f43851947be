//! From datagrams to sessions: the outer layer of every packet, then whoever its path id names.

use std::net::SocketAddr;

use core::time::Duration;

use stt_wire::handshake::{ErrorPacket, Hello};
use stt_wire::packet::{Outer, OuterError, parse_outer};
use stt_wire::{CRC32_LEN, ErrorCode, FrameType, HEADER_LEN, HELLO_LEN, Header, PathId, VERSION};

use crate::departures::send_fault;
use crate::event::Event;
use crate::fault::{Fault, FaultDetail};
use crate::path::{Ecn, PathAddress, PathError, Rebind, SendError};
use crate::time::Now;

use super::{BLOCKS_TIMER, BatchOf, Endpoint, Entry, Route};

/// Headers unmasked at once: the block ciphers of one AES batch.
const BATCH: usize = 8;

/// Sealed packets of one session, waiting for their headers to be unmasked together.
#[derive(Default)]
struct Group {
    slot: u32,
    count: usize,
    packets: [(usize, usize); BATCH],
    samples: [[u8; 16]; BATCH],
}

impl Endpoint {
    /// A datagram (or a WebSocket message) came. Its packets are opened in place.
    pub fn handle_datagram(
        &mut self,
        now: Now,
        path: PathAddress,
        ecn: Option<Ecn>,
        datagram: &mut [u8],
    ) {
        let len = datagram.len();
        self.handle_batch(now, path, ecn, datagram, len);
    }

    /// Datagrams of one source came in one read, each `stride` bytes long but the last, which may
    /// be shorter.
    pub fn handle_batch(
        &mut self,
        now: Now,
        path: PathAddress,
        ecn: Option<Ecn>,
        bytes: &mut [u8],
        stride: usize,
    ) {
        let stride = stride.max(1);
        let mut group = Group::default();
        let mut start = 0;
        self.stats.bytes_received += bytes.len() as u64;
        while start < bytes.len() {
            let end = bytes.len().min(start + stride);
            self.stats.datagrams_received += 1;
            self.split_datagram(now, path, ecn, bytes, start..end, &mut group);
            start = end;
        }
        self.open_group(now, path, ecn, bytes, &mut group);
        self.settle_touched(now);
        self.tell_frame_errors(now);
        if let Some(end) = self.blocks.begin_period(now.mono) {
            self.timers.set(BLOCKS_TIMER, Some(end));
        }
    }

    /// A sealed datagram that came before the proof that it needed.
    pub(super) fn handle_held(
        &mut self,
        now: Now,
        path: PathAddress,
        ecn: Option<Ecn>,
        datagram: &mut [u8],
    ) {
        let mut group = Group::default();
        let whole = 0..datagram.len();
        self.split_datagram(now, path, ecn, datagram, whole, &mut group);
        self.open_group(now, path, ecn, datagram, &mut group);
    }

    /// Judges the packets of one datagram and collects the sealed ones.
    fn split_datagram(
        &mut self,
        now: Now,
        path: PathAddress,
        ecn: Option<Ecn>,
        bytes: &mut [u8],
        datagram: core::ops::Range<usize>,
        group: &mut Group,
    ) {
        let (mut at, end) = (datagram.start, datagram.end);
        while at < end {
            let outer = match parse_outer(&bytes[at..end]) {
                Ok(outer) => outer,
                Err(error) => {
                    match self.on_outer_error(now, path, &bytes[at..end], error) {
                        Some(len) => at += len,
                        None => return,
                    }
                    continue;
                }
            };
            let next = at + outer.len();
            if outer.sealed {
                self.on_sealed(now, path, ecn, bytes, at..next, &outer, group, datagram.len());
            } else {
                self.open_group(now, path, ecn, bytes, group);
                let proof = self.on_clear(now, path, &bytes[at..next]);
                // Only AUTH_PROOF shares its datagram, and only on UDP is there one at all.
                if !proof && matches!(path, PathAddress::Udp { .. }) && next < end {
                    self.count_frame_error(now, ErrorCode::InvalidFrame);
                    return;
                }
            }
            if outer.sealed && matches!(path, PathAddress::Udp { .. }) && next < end {
                self.count_frame_error(now, ErrorCode::InvalidFrame);
                return;
            }
            at = next;
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of it is one packet's place and origin")]
    fn on_sealed(
        &mut self,
        now: Now,
        path: PathAddress,
        ecn: Option<Ecn>,
        bytes: &mut [u8],
        packet: core::ops::Range<usize>,
        outer: &Outer,
        group: &mut Group,
        datagram_len: usize,
    ) {
        match self.routes.get(&outer.path_id) {
            Some(Route::Slot(slot)) => {
                let slot = *slot;
                if group.count == BATCH || (group.count > 0 && group.slot != slot) {
                    self.open_group(now, path, ecn, bytes, group);
                }
                let body = packet.start + HEADER_LEN;
                if let Some(sample) = bytes[body..].first_chunk() {
                    group.slot = slot;
                    group.samples[group.count] = *sample;
                    group.packets[group.count] = (packet.start, packet.end);
                    group.count += 1;
                }
            }
            Some(Route::HalfOpen(index)) => {
                self.half_open.hold(*index, path, ecn, &bytes[packet]);
            }
            None => self.send_reset(now, path, outer.path_id, datagram_len),
        }
    }

    /// Unmasks and opens the packets collected.
    fn open_group(
        &mut self,
        now: Now,
        path: PathAddress,
        ecn: Option<Ecn>,
        bytes: &mut [u8],
        group: &mut Group,
    ) {
        let count = core::mem::take(&mut group.count);
        if count == 0 {
            return;
        }
        let (packets, samples) = (&group.packets[..count], &group.samples[..count]);
        self.run(now, group.slot, |session, cx| {
            let mut masks = [[0; 11]; BATCH];
            session.unmask(samples, &mut masks[..count]);
            for ((start, end), mask) in packets.iter().zip(&masks) {
                session.receive(cx, path, ecn, &mut bytes[*start..*end], mask);
            }
        });
        if !self.touched.contains(&group.slot) {
            self.touched.push(group.slot);
        }
    }

    /// A clear packet; true when it was an AUTH_PROOF.
    fn on_clear(&mut self, now: Now, path: PathAddress, packet: &[u8]) -> bool {
        let Some((head, rest)) = packet.split_first_chunk::<HEADER_LEN>() else { return false };
        let payload = &rest[..rest.len() - CRC32_LEN];
        let header = Header::read(head);
        if header.flags.bits() != 0 || header.stream_id != 0 || header.packet_number != 0 {
            self.count_frame_error(now, ErrorCode::InvalidFrame);
            return false;
        }
        let id = header.path_id;
        match (header.frame_type, self.routes.get(&id).copied()) {
            (FrameType::HELLO, _) if id == PathId::ZERO => self.on_hello(now, path, head, payload),
            (FrameType::RESUME, _) if id == PathId::ZERO => {
                self.on_resume(now, path, head, payload);
            }
            (FrameType::RESUME_REPLY, Some(Route::Slot(slot))) => {
                self.on_resume_reply(now, slot, id, payload);
            }
            (FrameType::AUTH_PROOF, Some(Route::HalfOpen(index))) => {
                self.on_proof(now, path, index, head, payload);
                return true;
            }
            (FrameType::AUTH_PROOF, Some(Route::Slot(slot))) => {
                self.with_session(now, slot, |session, cx| session.on_repeated_proof(cx.now.mono));
                return true;
            }
            (FrameType::AUTH_PROOF, None) => return true,
            (FrameType::CHALLENGE, Some(Route::Slot(slot))) => {
                self.on_challenge(now, path, slot, id, payload);
            }
            (FrameType::RETRY, Some(Route::Slot(slot))) => self.on_retry(now, slot, id, payload),
            (FrameType::ERROR, Some(Route::Slot(slot))) => {
                self.on_handshake_error(now, path, slot, id, payload);
            }
            (FrameType::ERROR, None) => self.on_reset(now, path, id, payload),
            (frame_type, _) if frame_type.is_clear() => {}
            _ => self.count_frame_error(now, ErrorCode::InvalidFrame),
        }
        false
    }

    /// A peer says that it does not know the session whose packets we send to `id`.
    fn on_reset(&mut self, now: Now, path: PathAddress, id: PathId, payload: &[u8]) {
        let Ok(ErrorPacket::Reset { token }) = ErrorPacket::parse(payload) else { return };
        let Some(slot) = self.remotes.get(&(id, path.remote_bytes())).copied() else { return };
        self.with_session(now, slot, |session, cx| {
            if session.is_reset_by(&token) {
                session.on_reset(cx);
            }
        });
    }

    /// Bytes that are no packet. Returns how many to skip when the datagram may go on.
    fn on_outer_error(
        &mut self,
        now: Now,
        path: PathAddress,
        bytes: &[u8],
        error: OuterError,
    ) -> Option<usize> {
        match error {
            OuterError::HeaderChecksum => {
                // The id may be what is corrupt; one that is known is evidence enough to count.
                let id = bytes.get(4..12).and_then(|id| id.try_into().ok()).map(PathId);
                if let Some(id) = id {
                    self.count_checksum_error(now, &path, id);
                }
                None
            }
            OuterError::Checksum { path_id, len } => {
                self.count_checksum_error(now, &path, path_id);
                Some(len)
            }
            OuterError::Version { version, path_id, sealed } => {
                if !sealed {
                    self.on_other_version(now, path, version, path_id, bytes);
                }
                None
            }
            OuterError::Truncated | OuterError::Length { .. } => {
                self.count_frame_error(now, ErrorCode::InvalidFrame);
                None
            }
        }
    }

    /// A clear packet of another protocol version: a HELLO is told ours, an ERROR tells theirs.
    fn on_other_version(
        &mut self,
        now: Now,
        path: PathAddress,
        version: u8,
        id: PathId,
        bytes: &[u8],
    ) {
        let frame_type = FrameType(bytes.get(1).copied().unwrap_or_default());
        if frame_type == FrameType::HELLO && bytes.len() >= HELLO_LEN {
            let at = HEADER_LEN + Hello::PROLOGUE.end - 8;
            let initiator = bytes.get(at..at + 8).and_then(|id| id.try_into().ok()).map(PathId);
            if let Some(initiator) = initiator {
                self.send_versions(now, path, initiator);
                let mut list = [0; 8];
                list[0] = version;
                let fault = Fault::new(ErrorCode::ProtocolVersionMismatch)
                    .with_detail(FaultDetail::Versions { list, count: 1 });
                self.handshake_error(now, path, fault);
            }
        } else if frame_type == FrameType::ERROR
            && version != VERSION
            && let Some(Route::Slot(slot)) = self.routes.get(&id).copied()
        {
            self.on_foreign_error(now, path, slot, version);
        }
    }

    fn count_checksum_error(&mut self, now: Now, path: &PathAddress, id: PathId) {
        let slot = match self.routes.get(&id).copied() {
            Some(Route::Slot(slot)) => slot,
            // What begins a handshake names no id of ours, and comes to whoever listens.
            None if id != PathId::ZERO || self.listen.is_none() => return,
            None | Some(Route::HalfOpen(_)) => {
                self.count_frame_error(now, ErrorCode::ChecksumMismatch);
                return;
            }
        };
        if !self.remote_of(slot).is_some_and(|remote| remote.same_remote(path)) {
            return;
        }
        if matches!(self.slots.get(slot), Some(Entry::Connecting(_))) {
            self.count_frame_error(now, ErrorCode::ChecksumMismatch);
            return;
        }
        self.run(now, slot, |session, cx| session.on_damaged(cx));
        self.touched.push(slot);
    }

    pub(super) fn count_frame_error(&mut self, _now: Now, code: ErrorCode) {
        for counts in [&mut self.stats.frame_errors, &mut self.untold] {
            if let Some(count) = counts.of_mut(code) {
                *count += 1;
            }
        }
    }

    /// Tells of frame errors outside any session, as often as the limit allows.
    fn tell_frame_errors(&mut self, now: Now) {
        if self.untold != Default::default() && self.limits.frame_events.take(now.mono) {
            for (code, count) in self.untold.take() {
                let (session, frame_type) = (None, None);
                self.events.push_back(Event::FrameError { session, code, count, frame_type });
            }
        }
    }

    fn settle_touched(&mut self, now: Now) {
        while let Some(slot) = self.touched.pop() {
            self.settle(now, slot);
        }
    }

    /// What the error queue of the socket said about `remote`; `quoted` is the start of the
    /// datagram of ours that drew it, where that is known.
    pub fn handle_path_error(
        &mut self,
        now: Now,
        remote: SocketAddr,
        error: PathError,
        quoted: Option<&[u8]>,
    ) {
        let address = PathAddress::udp(remote);
        let id = quoted.and_then(|bytes| bytes.get(4..12)?.try_into().ok()).map(PathId);
        if let Some(id) = id.filter(|id| *id != PathId::ZERO) {
            if let Some(slot) = self.remotes.get(&(id, address.remote_bytes())).copied() {
                self.session_path_error(now, slot, error, quoted);
            }
            return;
        }
        let slots: Vec<u32> = match error {
            // The system's own word, which follows EMSGSIZE.
            PathError::MessageTooLong { .. } => self.too_large.into_iter().collect(),
            _ => self.slots.indices().collect(),
        };
        for slot in slots {
            match self.slots.get(slot) {
                Some(Entry::Connecting(connecting))
                    if connecting.remote().same_remote(&address) && connecting.sent(quoted) =>
                {
                    if let Some(fault) = connect_fault(error) {
                        self.fail_connecting(slot, fault);
                    }
                }
                Some(Entry::Session(session))
                    if quoted.is_none() && session.remote().same_remote(&address) =>
                {
                    self.session_path_error(now, slot, error, quoted);
                }
                _ => {}
            }
        }
    }

    /// What the network told another socket of this host, which sent a datagram to `remote` after a HELLO
    /// of ours: for systems that tell the socket of the sessions nothing (PROTOCOL.md section 6.2). `took`
    /// is the time from that datagram to the report.
    ///
    /// The word is about another port of ours than the connect's, so that it ends a connect only when
    /// nothing is answered for a while, max(3 `took`, 50 ms); and it never concerns a session.
    pub fn handle_path_hint(
        &mut self,
        now: Now,
        remote: SocketAddr,
        error: PathError,
        took: Duration,
    ) {
        let Some(fault) = connect_fault(error) else { return };
        let address = PathAddress::udp(remote);
        let slots: Vec<u32> = self
            .slots
            .indices()
            .filter(|slot| self.remote_of(*slot).is_some_and(|own| own.same_remote(&address)))
            .collect();
        for slot in slots {
            self.connecting_hint(now, slot, took, fault);
        }
    }

    fn session_path_error(&mut self, now: Now, slot: u32, error: PathError, quoted: Option<&[u8]>) {
        self.with_session(now, slot, |session, cx| {
            let aborted =
                connect_fault(error).is_some_and(|fault| session.abort_handshake(cx, fault));
            if !aborted {
                session.on_path_error(cx, error, quoted);
            }
        });
    }

    /// The socket refused the batch that [`Endpoint::poll_transmit`] gave out last, for `path`. Call it
    /// before the next batch is asked for.
    pub fn handle_send_error(&mut self, now: Now, path: PathAddress, error: SendError) {
        let (from, datagrams) = self.last_transmit;
        let last = match from {
            BatchOf::Slot(slot) => Some(slot).filter(|slot| match self.slots.get(*slot) {
                Some(Entry::Session(session)) => session.sends_to(&path),
                _ => self.remote_of(*slot) == Some(&path),
            }),
            BatchOf::Nobody => {
                let untold = self.departures.on_refused(now.mono, error, datagrams);
                if let Some(count) = untold.map(u64::from) {
                    let error = send_fault(error, Duration::ZERO);
                    let (session, remote) = (None, path);
                    self.events.push_back(Event::SendError { session, remote, error, count });
                }
                return;
            }
        };
        if error.is_too_long() {
            self.too_large = last;
        }
        let slots: Vec<u32> = match last {
            Some(slot) => vec![slot],
            None => self
                .slots
                .indices()
                .filter(|slot| self.remote_of(*slot).is_some_and(|own| own.same_remote(&path)))
                .collect(),
        };
        for slot in slots {
            match self.slots.get(slot) {
                Some(Entry::Connecting(_)) => match hopeless(error) {
                    Some(fault) => self.fail_connecting(slot, fault),
                    None => self.connecting_refused(now, slot, error, datagrams),
                },
                Some(Entry::Session(_)) => {
                    self.with_session(now, slot, |session, cx| {
                        let aborted =
                            hopeless(error).is_some_and(|fault| session.abort_handshake(cx, fault));
                        if !aborted {
                            session.on_send_error(cx, &path, error, datagrams);
                        }
                    });
                }
                None => {}
            }
        }
    }

    /// The socket is another one: every session goes on from there, and every peer is to see at once
    /// where this side is.
    pub fn handle_rebind(&mut self, now: Now, rebind: Rebind) {
        let slots: Vec<u32> = self.slots.indices().collect();
        for slot in slots {
            self.with_session(now, slot, |session, cx| session.on_rebind(cx, rebind));
        }
    }

    pub(super) fn remote_of(&self, slot: u32) -> Option<&PathAddress> {
        match self.slots.get(slot)? {
            Entry::Connecting(connecting) => Some(connecting.remote()),
            Entry::Session(session) => Some(session.remote()),
        }
    }
}

/// What the network's word means for a connect; `None` when it is no verdict.
fn connect_fault(error: PathError) -> Option<Fault> {
    match error {
        PathError::Refused => Some(Fault::new(ErrorCode::ConnectionRefused)),
        PathError::Unreachable { errno } => Some(unreachable(errno)),
        PathError::MessageTooLong { .. } => None,
    }
}

fn unreachable(errno: i32) -> Fault {
    Fault::new(ErrorCode::NetworkUnreachable).with_detail(FaultDetail::Os { errno, ms: 0 })
}

/// What the socket's word means for a connect; `None` when the next copy may pass: rules of a firewall
/// and interfaces change, and buffers get free.
fn hopeless(error: SendError) -> Option<Fault> {
    match error {
        SendError::Unreachable(errno) => Some(unreachable(errno)),
        SendError::Other(_) => Some(send_fault(error, Duration::ZERO)),
        SendError::Permission(_)
        | SendError::NetworkDown(_)
        | SendError::NoBuffers(_)
        | SendError::MessageTooLong(_) => None,
    }
}
