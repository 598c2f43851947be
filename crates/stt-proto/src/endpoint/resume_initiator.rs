//! Returning by a ticket (PROTOCOL.md section 2.7): RESUME until RESUME_REPLY verifies, and the way
//! back to HELLO when the ticket is refused or nobody answers.

use std::sync::Arc;

use rand_core::Rng;
use stt_crypto::{Aead, RESUME_OVERHEAD, ResumeInitiator, Suite};
use stt_wire::handshake::{HELLO_PAYLOAD_LEN, Hello, write_hello_fields};
use stt_wire::packet::seal_checksums;
use stt_wire::resumption::{ResumeReplySealed, ResumeSealed, write_resume};
use stt_wire::{AAD_LEN, ErrorCode, FrameType, HEADER_LEN, HELLO_LEN, Header, PathId, Writer};

use crate::config::SessionConfig;
use crate::event::EarlyData;
use crate::fault::Fault;
use crate::session::{Beginning, Keys, Session, Start, State, unfinished};
use crate::ticket::ResumptionTicket;
use crate::time::Now;

use super::initiator::INITIAL_INTERVAL;
use super::initiator::{Attempt, Opening, PROLOGUE};
use super::{Endpoint, Entry, Route};

impl Endpoint {
    /// A RESUME with this ticket; `None` when it is not this node's, or of no seed held here.
    pub(super) fn resume_attempt(
        &mut self,
        now: Now,
        config: &SessionConfig,
        ticket: &ResumptionTicket,
        early: &[u8],
    ) -> Option<Attempt> {
        let network =
            self.networks.iter().position(|keys| *keys.fingerprint() == ticket.network)?;
        if ticket.own != self.node_id() {
            return None;
        }
        let path_id = self.fresh_path_id();
        let mut secret = [0; 32];
        self.rng.fill_bytes(&mut secret);
        let suite = match Aead::preferred() {
            Aead::Aes256Gcm => Suite::AesGcm,
            Aead::ChaCha20Poly1305 => Suite::ChaChaPoly,
        };
        let aeads = Aead::supported_bitmap();
        let mut fields = [0; Hello::PROLOGUE.end];
        write_hello_fields(&mut fields, suite.id(), aeads, now.unix_ms, path_id);
        let prologue = resume_prologue(&fields, &ticket.ticket);

        let sealed = ResumeSealed {
            params: self.params(config),
            reset_token: self.identity.reset_token(&path_id.0),
            early,
        };
        let mut plain = zeroize::Zeroizing::new([0; HELLO_PAYLOAD_LEN]);
        let mut out = Writer::new(&mut plain[..]);
        sealed.write(&mut out).ok()?;
        let len = out.len();
        let mut message = [0; HELLO_PAYLOAD_LEN + RESUME_OVERHEAD];
        let message = message.get_mut(..len + RESUME_OVERHEAD)?;
        let noise =
            ResumeInitiator::new(suite, &ticket.secret, &prologue, secret, &plain[..len], message)
                .ok()?;

        let mut packet = vec![0; HELLO_LEN].into_boxed_slice();
        let (head, body) = packet.split_first_chunk_mut::<HEADER_LEN>()?;
        Header::clear(FrameType::RESUME, PathId::ZERO, HELLO_PAYLOAD_LEN as u16).write(head);
        let payload = body.first_chunk_mut::<HELLO_PAYLOAD_LEN>()?;
        let ticket_bytes = &ticket.ticket;
        let layout =
            write_resume(payload, suite.id(), aeads, now.unix_ms, path_id, ticket_bytes, message)
                .ok()?;
        let keys = self.networks.get(network)?;
        let mac = keys.mac1(&[&head[..AAD_LEN], &payload[..layout.mac1]]);
        payload[layout.mac1..layout.cookie].copy_from_slice(&mac);
        seal_checksums(&mut packet);
        let ephemeral = *message.first_chunk()?;
        let noise = Opening::Resume(Box::new(noise), ticket.peer);
        let cookie_at = HEADER_LEN + layout.cookie;
        Some(Attempt::new(now.mono, network, path_id, noise, packet, cookie_at, ephemeral))
    }

    /// Nobody answers the RESUME: HELLO goes out, too. An answer to either is still good.
    pub(super) fn stop_resuming(&mut self, now: Now, slot: u32) {
        let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
        connecting.fall_back_at = None;
        let deadline = connecting.deadline;
        for attempt in &mut connecting.attempts {
            if matches!(attempt.noise, Opening::Resume(..)) {
                attempt.send_at = deadline;
            }
        }
        self.add_hello(now, slot);
    }

    /// The peer does not know the ticket any more, and has not looked at what came with it.
    pub(super) fn on_ticket_refused(&mut self, now: Now, slot: u32, id: PathId) {
        let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
        connecting.attempts.retain(|attempt| attempt.path_id != id);
        connecting.fall_back_at = None;
        connecting.on_answer();
        if connecting.early_data == EarlyData::Unknown {
            connecting.early_data = EarlyData::Rejected;
        }
        let alone = connecting.attempts.is_empty();
        self.routes.remove(&id);
        if alone {
            self.add_hello(now, slot);
        }
        self.settle_connecting(now, slot);
    }

    fn add_hello(&mut self, now: Now, slot: u32) {
        let Some(attempt) = self.attempt(now, 0) else { return };
        self.routes.insert(attempt.path_id, Route::Slot(slot));
        if let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) {
            connecting.attempts.push(attempt);
        }
    }

    /// A RESUME_REPLY for a connect of ours. One that does not verify comes from nobody in particular.
    pub(super) fn on_resume_reply(&mut self, now: Now, slot: u32, id: PathId, payload: &[u8]) {
        let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
        if connecting.behind {
            return;
        }
        let Some(attempt) = connecting.attempt_mut(id) else { return };
        let Opening::Resume(noise, _) = &mut attempt.noise else { return };
        let mut sealed = [0; ResumeReplySealed::LEN];
        if payload.len() != ResumeReplySealed::PAYLOAD_LEN
            || noise.read_message2(payload, &mut sealed).is_err()
        {
            return;
        }
        let Some(reply) = ResumeReplySealed::read(&sealed).ok() else { return };
        let Some(aead) = Aead::from_bit(reply.aead) else {
            self.fail_connecting(slot, Fault::new(ErrorCode::HandshakeFailure));
            return;
        };
        let (path, early, started) = (connecting.path, connecting.early, connecting.started);
        let (config, deadline) = (Arc::clone(&connecting.config), connecting.deadline);
        let early_data = match (&connecting.early_data, reply.early_accepted) {
            (EarlyData::None, _) => EarlyData::None,
            (_, true) => EarlyData::Accepted,
            (_, false) => EarlyData::Rejected,
        };
        let mut ours = None;
        for attempt in core::mem::take(&mut connecting.attempts) {
            if attempt.path_id == id {
                ours = Some(attempt);
            } else {
                self.routes.remove(&attempt.path_id);
            }
        }
        let Some(attempt) = ours else { return };
        // Karn: an answer after several copies says nothing of the round-trip time.
        let rtt = (attempt.copies == 1).then(|| attempt.rtt(now.mono));
        let Opening::Resume(noise, peer) = attempt.noise else { return };
        self.trace_ephemeral(&attempt.ephemeral, noise.ephemeral_private());
        let (Ok(secrets), Some(network)) = (noise.finish(), self.networks.get(attempt.network))
        else {
            return;
        };
        let (fingerprint, own) = (*network.fingerprint(), self.identity.node_id());
        self.trace_secrets(&secrets, aead, [reply.path_id, id]);
        let Some(session_id) = secrets.handshake_hash().first_chunk() else { return };
        let ticket = unfinished(fingerprint, own, peer, secrets.resumption_secret());
        let start = Start {
            initiator: true,
            integrity_limit: config.integrity_limit.min(aead.integrity_limit()),
            keys: Keys::new(secrets.keys(true, aead), config.key_update_packets),
            config,
            peer,
            session_id: *session_id,
            path,
            local_id: id,
            peer_id: reply.path_id,
            peer_params: reply.params,
            peer_reset_token: None,
            max_udp_payload: self.config.max_udp_payload,
            first_window: self.memory.first_window(),
            rtt,
            beginning: Beginning::initiator(true, early_data, ticket),
        };
        let state = State::AwaitFinal { early, since: started, deadline };
        let session = Session::new(now.mono, start, state);
        self.take_lead(slot);
        self.remotes.entry((reply.path_id, path.remote_bytes())).or_insert(slot);
        self.replace(slot, Entry::Session(Box::new(session)));
        // A connection repeats by itself.
        let (first, interval) = match path.is_reliable() {
            true => (deadline, INITIAL_INTERVAL),
            false => (now.mono + INITIAL_INTERVAL, 2 * INITIAL_INTERVAL),
        };
        self.with_session(now, slot, |session, cx| {
            session.confirm_resumption(first, interval);
            if early {
                session.connected_early(cx);
            }
        });
    }
}

/// The prologue of a resumption: what RESUME says in clear before its Noise message.
pub(super) fn resume_prologue(fields: &[u8; Hello::PROLOGUE.end], ticket: &[u8]) -> Vec<u8> {
    [&PROLOGUE[..], fields, ticket].concat()
}
