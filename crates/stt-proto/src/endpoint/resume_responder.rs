//! Answering a ticket (PROTOCOL.md section 2.7). A RESUME is judged as a HELLO is, then by its
//! ticket; only one whose Noise message verifies uses the ticket up and leaves anything behind.

use rand_core::Rng;
use stt_crypto::{Aead, ResumeResponder, Suite};
use stt_wire::handshake::HELLO_PAYLOAD_LEN;
use stt_wire::packet::seal_checksums;
use stt_wire::resumption::{Resume, ResumeReplySealed, ResumeSealed};
use stt_wire::{
    AAD_LEN, CRC32_LEN, ErrorCode, FrameType, HEADER_LEN, HELLO_LEN, HandshakeSubcode, Header,
    Writer,
};
use zeroize::Zeroizing;

use crate::event::{EarlyData, Event, SessionHandle};
use crate::fault::{Fault, Origin};
use crate::path::PathAddress;
use crate::session::{Beginning, Keys, Session, Start, State, Unproven, received};
use crate::time::Now;

use super::responder::Greeting;
use super::resume_initiator::resume_prologue;
use super::tickets::Opened;
use super::{Endpoint, Entry, Route};

/// Bytes of a RESUME_REPLY.
const REPLY_LEN: usize = HEADER_LEN + ResumeReplySealed::PAYLOAD_LEN + CRC32_LEN;

impl Endpoint {
    /// A RESUME. `head` is its header, `payload` what follows without the checksum.
    pub(super) fn on_resume(&mut self, now: Now, path: PathAddress, head: &[u8], payload: &[u8]) {
        let Ok(resume) = Resume::parse(payload) else {
            self.count_frame_error(now, ErrorCode::InvalidFrame);
            return;
        };
        let parts: [&[u8]; 2] = [&head[..AAD_LEN], resume.mac1_input];
        let holder = self.networks.iter().position(|keys| keys.verify_mac1(&parts, &resume.mac1));
        let Some(network) = holder else {
            // Who holds a ticket knew the seed once; there is nothing to tell apart by a decoy.
            self.stats.hello_unknown_seed += 1;
            let fault = Fault::new(ErrorCode::AuthenticationFailed)
                .with_subcode(HandshakeSubcode::ChallengeDecryptFailed as u8)
                .by(Origin::Transport);
            self.handshake_error(now, path, fault);
            return;
        };
        let greeting = Greeting {
            network,
            path_id: resume.fields.path_id(),
            timestamp_ms: resume.fields.timestamp_ms(),
            ephemeral: resume.ephemeral(),
            mac1: resume.mac1,
            cookie: resume.cookie(),
        };
        if self.answer_copy(now, path, &greeting) || !self.is_welcome(now, path, &greeting) {
            return;
        }
        let ticket = self.tickets.open(now.mono, resume.ticket);
        let Some(ticket) = ticket.filter(|ticket| ticket.network == network) else {
            self.stats.tickets_refused += 1;
            self.send_refusal(now, path, &greeting, ErrorCode::SessionNotFound, 0);
            return;
        };
        self.resume(now, path, &greeting, &resume, &ticket);
    }

    /// Whether the RESUME is one that was answered before; it is then answered again, while that
    /// may be of use.
    fn answer_copy(&mut self, now: Now, path: PathAddress, greeting: &Greeting) -> bool {
        let Some(handle) = self.resuming.get(&greeting.ephemeral).copied() else { return false };
        if self.slots.handle(handle.index) != Some(handle) {
            return false;
        }
        let Some(Entry::Session(session)) = self.slots.get_mut(handle.index) else { return false };
        if !session.is_unproven() {
            // The answer arrived: a late copy, which `seen` tells from a replay.
            return false;
        }
        match session.on_repeated_resume(&path, &greeting.mac1) {
            Some(reply) => self.stateless.push_packet(path, reply),
            None => self.on_nonce_reuse(now, path),
        }
        // More may be sent to the address now.
        self.settle(now, handle.index);
        true
    }

    /// Reads the Noise message with the ticket's secret and makes the session.
    fn resume(
        &mut self,
        now: Now,
        path: PathAddress,
        greeting: &Greeting,
        resume: &Resume<'_>,
        ticket: &Opened,
    ) {
        let (Some(suite), Some(aead)) =
            (Suite::from_id(resume.fields.suite()), Aead::choose(resume.fields.aeads()))
        else {
            self.send_refusal(now, path, greeting, ErrorCode::HandshakeFailure, 0);
            return;
        };
        let mut secret = [0; 32];
        self.rng.fill_bytes(&mut secret);
        let prologue = resume_prologue(resume.fields.0, resume.ticket);
        let mut plain = Zeroizing::new([0; HELLO_PAYLOAD_LEN]);
        let opened = ResumeResponder::read_message1(
            suite,
            &ticket.secret,
            &prologue,
            secret,
            resume.noise,
            &mut plain[..],
        );
        let Ok((noise, len)) = opened else {
            // A holder of the seed with somebody else's ticket: it stays good for whom it is for.
            self.stats.proof_failed += 1;
            let fault = Fault::new(ErrorCode::HandshakeFailure)
                .with_subcode(HandshakeSubcode::ProofVerificationFailed as u8);
            self.handshake_error(now, path, fault);
            return;
        };
        let Ok(sealed) = ResumeSealed::read(&plain[..len]) else { return };
        if let Some(code) = self.limit_for(now, &path, &ticket.peer) {
            let subcode = self.refusal_subcode(&ticket.peer);
            self.send_refusal(now, path, greeting, code, subcode);
            return;
        }
        let early = self.listen.as_ref().is_some_and(|listen| listen.early_data)
            && !sealed.early.is_empty();
        let local_id = self.fresh_path_id();
        let reply = ResumeReplySealed {
            path_id: local_id,
            aead: aead.bit(),
            early_accepted: early,
            params: self.params(&self.session_defaults),
        };
        let mut fields = [0; ResumeReplySealed::LEN];
        let mut packet = vec![0; REPLY_LEN].into_boxed_slice();
        let Some((head, body)) = packet.split_first_chunk_mut::<HEADER_LEN>() else { return };
        let payload_len = ResumeReplySealed::PAYLOAD_LEN as u16;
        Header::clear(FrameType::RESUME_REPLY, greeting.path_id, payload_len).write(head);
        if reply.write(&mut Writer::new(&mut fields)).is_err() {
            return;
        }
        let Ok(secrets) =
            noise.write_message2(&fields, &mut body[..ResumeReplySealed::PAYLOAD_LEN])
        else {
            // An ephemeral key of small order.
            self.count_frame_error(now, ErrorCode::InvalidFrame);
            return;
        };
        seal_checksums(&mut packet);
        // From here on the ticket is used up, whatever becomes of the session.
        self.tickets.spend(ticket);
        self.seen.remember(now.mono, &greeting.ephemeral, &path);
        self.stateless.push_packet(path, &packet);
        self.stats.sessions_resumed += 1;

        self.trace_secrets(&secrets, aead, [local_id, greeting.path_id]);
        let Some(session_id) = secrets.handshake_hash().first_chunk() else { return };
        let config = std::sync::Arc::clone(&self.session_defaults);
        let next =
            self.issue_ticket(now, greeting.network, &ticket.peer, secrets.resumption_secret());
        let unproven = Unproven {
            credit: HELLO_LEN - packet.len(),
            reply: packet,
            mac1: greeting.mac1,
            replied_elsewhere: false,
        };
        let early = if early { received(sealed.early) } else { EarlyData::None };
        let deadline = now.mono + config.handshake_timeout;
        let start = Start {
            initiator: false,
            integrity_limit: config.integrity_limit.min(aead.integrity_limit()),
            keys: Keys::new(secrets.keys(false, aead), config.key_update_packets),
            config,
            peer: ticket.peer,
            session_id: *session_id,
            path,
            local_id,
            peer_id: greeting.path_id,
            peer_params: sealed.params,
            peer_reset_token: Some(sealed.reset_token),
            max_udp_payload: self.config.max_udp_payload,
            first_window: self.memory.first_window(),
            rtt: None,
            beginning: Beginning::responder(early, next, Some(unproven)),
        };
        let session = Session::new(now.mono, start, State::AwaitAuthorize { deadline });
        let handle = self.admit(now, session, None);
        self.remember_resuming(greeting.ephemeral, handle);
    }

    /// Gives a session that a peer opened its place, and asks or decides whether it may stay.
    pub(super) fn admit(
        &mut self,
        now: Now,
        session: Session,
        refusal: Option<(ErrorCode, u8)>,
    ) -> SessionHandle {
        let (peer, remote) = (session.peer(), *session.remote());
        let (local_id, peer_id) = (session.local_id(), session.peer_id());
        let handle = self.slots.insert(Entry::Session(Box::new(session)));
        let slot = handle.index;
        self.routes.insert(local_id, Route::Slot(slot));
        self.remotes.entry((peer_id, remote.remote_bytes())).or_insert(slot);
        self.live += 1;
        self.accepted += 1;
        if refusal.is_none() {
            self.admission.open(slot, &remote, peer);
        }
        let authorize = self.listen.as_ref().is_some_and(|listen| listen.authorize);
        self.with_session(now, slot, |session, cx| match refusal {
            Some((code, subcode)) => session.refuse(cx, code, subcode),
            None if authorize => {
                cx.events.push_back(Event::Incoming { session: cx.handle, peer, remote });
            }
            None => session.accept(cx),
        });
        handle
    }

    /// A ticket for a session that is being made, unless none are given out.
    pub(super) fn issue_ticket(
        &mut self,
        now: Now,
        network: usize,
        peer: &stt_crypto::NodeId,
        secret: &[u8; 32],
    ) -> Option<Box<[u8]>> {
        let lifetime = self.listen.as_ref()?.ticket_lifetime;
        if lifetime.is_zero() {
            return None;
        }
        let ticket = self.tickets.issue(now.mono, &mut self.rng, lifetime, network, peer, secret);
        self.arm_half_open();
        ticket
    }

    /// Remembers which session a RESUME made, for its copies. Sessions whose peers have been heard
    /// fall out, so the table is no larger than twice the number of those that have not.
    fn remember_resuming(&mut self, ephemeral: [u8; 32], handle: SessionHandle) {
        if self.resuming.len() >= self.resuming_limit {
            let slots = &self.slots;
            self.resuming.retain(|_, handle| {
                slots.handle(handle.index) == Some(*handle)
                    && matches!(slots.get(handle.index),
                        Some(Entry::Session(session)) if session.is_unproven())
            });
            self.resuming_limit = 2 * self.resuming.len() + 16;
        }
        self.resuming.insert(ephemeral, handle);
    }
}
