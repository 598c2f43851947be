//! The side that listens (PROTOCOL.md section 2): HELLO, judged step by step so that a stranger
//! costs little, CHALLENGE, and the proof that makes a session.

use rand_core::Rng;
use stt_crypto::{Aead, NodeId, Responder, Suite};
use stt_wire::handshake::{
    AuthProof, CHALLENGE_LEN, CHALLENGE_SEALED_LEN, ChallengeSealed, Hello, PROOF_SEALED_LEN,
    ProofSealed,
};
use stt_wire::packet::seal_checksums;
use stt_wire::{
    AAD_LEN, CRC32_LEN, ErrorCode, FrameType, HEADER_LEN, HandshakeSubcode, Header, PathId,
    TransportParams, Writer,
};

use crate::config::SessionConfig;
use crate::event::EarlyData;
use crate::fault::{Fault, FaultDetail, Origin};
use crate::path::PathAddress;
use crate::recovery::INITIAL_RTT;
use crate::session::{Beginning, Keys, MAX_ACK_DELAY, REVOKED, Session, Start, State};
use crate::streams::LocalLimits;
use crate::time::Now;

use super::half_open::{HalfOpen, Held};
use super::initiator::PROLOGUE;
use super::seen::Sighting;
use super::sources::Source;
use super::{Endpoint, HALF_OPEN_TIMER, Route};

/// Refused sessions that may wait for their FINAL to be acknowledged.
const MAX_REFUSED: usize = 256;

/// What a HELLO or RESUME whose mac1 holds says of itself, and what answers to it are made from.
pub(super) struct Greeting {
    /// Index of the shared seed that mac1 holds under.
    pub(super) network: usize,
    pub(super) path_id: PathId,
    pub(super) timestamp_ms: u64,
    pub(super) ephemeral: [u8; 32],
    /// Stands for the whole packet but its cookie.
    pub(super) mac1: [u8; 16],
    pub(super) cookie: Option<[u8; 16]>,
}

impl Endpoint {
    /// A HELLO. `head` is its header, `payload` what follows without the checksum.
    pub(super) fn on_hello(&mut self, now: Now, path: PathAddress, head: &[u8], payload: &[u8]) {
        let Ok(hello) = Hello::parse(payload) else {
            self.count_frame_error(now, ErrorCode::InvalidFrame);
            return;
        };
        let head = &head[..AAD_LEN];
        let mac1 = hello.mac1();
        let parts: [&[u8]; 2] = [head, &payload[Hello::MAC1_INPUT]];
        let holder = self.networks.iter().position(|keys| keys.verify_mac1(&parts, &mac1));
        let Some(network) = holder else {
            self.on_strange_hello(now, path, head, &hello);
            return;
        };
        let greeting = Greeting {
            network,
            path_id: hello.fields().path_id(),
            timestamp_ms: hello.fields().timestamp_ms(),
            ephemeral: hello.ephemeral(),
            mac1,
            cookie: hello.cookie(),
        };
        if self.listen.is_some()
            && let Some(entry) = self.half_open.by_ephemeral(&greeting.ephemeral)
        {
            if stt_crypto::ct_eq(&entry.mac1, &mac1) {
                self.stateless.push_packet(path, entry.challenge_again(&path));
            } else {
                self.on_nonce_reuse(now, path);
            }
            return;
        }
        if !self.is_welcome(now, path, &greeting) {
            return;
        }
        let limits = self.listen.as_ref();
        let limits = limits.map(|listen| (listen.max_half_open, listen.max_half_open_per_source));
        let (max, of_source) = limits.unwrap_or_default();
        if self.half_open.len() >= max || self.half_open.of_source(&Source::of(&path)) >= of_source
        {
            self.stats.hello_shed += 1;
            return;
        }
        self.seen.remember(now.mono, &greeting.ephemeral, &path);
        self.challenge(now, path, &hello, &greeting);
    }

    /// What is judged alike in HELLO and RESUME once mac1 holds: whether anybody listens, the clock,
    /// the load, and whether the ephemeral key was served before. What is due is answered here.
    pub(super) fn is_welcome(&mut self, now: Now, path: PathAddress, greeting: &Greeting) -> bool {
        let Some(listen) = &self.listen else {
            if !self.config.stealth {
                self.send_refusal(now, path, greeting, ErrorCode::ConnectionRefused, 0);
            }
            return false;
        };
        let (threshold, of_source) = (listen.retry_threshold, listen.retry_threshold_per_source);
        if !self.is_timely(now, path, greeting) {
            return false;
        }
        let table = &self.half_open;
        // What a cookie proves, a connection has proved by being there.
        let is_proven = path.is_reliable();
        if !is_proven
            && (table.len() >= threshold || table.of_source(&Source::of(&path)) >= of_source)
        {
            let (e, id) = (&greeting.ephemeral, greeting.path_id);
            let proven = greeting.cookie.is_some_and(|cookie| {
                self.cookies.verify(now.mono, &mut self.rng, &path, e, id, &cookie)
            });
            if !proven {
                let cookie = self.cookies.issue(now.mono, &mut self.rng, &path, e, id);
                self.send_retry(now, path, greeting, cookie);
                return false;
            }
        }
        match self.seen.look(&greeting.ephemeral, &path) {
            Sighting::Fresh => true,
            Sighting::SameSource => false,
            Sighting::Elsewhere => {
                self.on_nonce_reuse(now, path);
                false
            }
        }
    }

    /// A HELLO whose sender shows no knowledge of a shared seed.
    fn on_strange_hello(&mut self, now: Now, path: PathAddress, head: &[u8], hello: &Hello<'_>) {
        self.stats.hello_unknown_seed += 1;
        let Some(listen) = &self.listen else { return };
        let under_load = self.half_open.len() >= listen.retry_threshold;
        if !self.config.stealth && !under_load {
            self.send_decoy(now, path, head, hello);
        }
        let fault = Fault::new(ErrorCode::AuthenticationFailed)
            .with_subcode(HandshakeSubcode::ChallengeDecryptFailed as u8)
            .by(Origin::Transport);
        self.handshake_error(now, path, fault);
    }

    pub(super) fn on_nonce_reuse(&mut self, now: Now, path: PathAddress) {
        self.stats.hello_replayed += 1;
        let fault = Fault::new(ErrorCode::HandshakeFailure)
            .with_subcode(HandshakeSubcode::NonceReuse as u8);
        self.handshake_error(now, path, fault);
    }

    /// Whether a HELLO's clock is near enough to ours; its sender is told when it is not.
    fn is_timely(&mut self, now: Now, path: PathAddress, greeting: &Greeting) -> bool {
        let window = self.config.timestamp_window;
        let theirs = greeting.timestamp_ms;
        if window.is_zero() || u128::from(theirs.abs_diff(now.unix_ms)) <= window.as_millis() {
            return true;
        }
        self.stats.hello_expired += 1;
        let subcode = HandshakeSubcode::TimestampExpired as u8;
        let ms = theirs.wrapping_sub(now.unix_ms) as i64;
        let fault = Fault::new(ErrorCode::HandshakeFailure)
            .with_subcode(subcode)
            .with_detail(FaultDetail::ClockSkew { ms });
        self.handshake_error(now, path, fault);
        if !self.config.stealth {
            let code = ErrorCode::HandshakeFailure;
            self.send_refusal(now, path, greeting, code, subcode);
        }
        false
    }

    /// Answers a good HELLO and remembers the handshake.
    fn challenge(&mut self, now: Now, path: PathAddress, hello: &Hello<'_>, greeting: &Greeting) {
        let network = greeting.network;
        let (Some(suite), Some(aead)) =
            (Suite::from_id(hello.fields().suite()), Aead::choose(hello.fields().aeads()))
        else {
            // The seed's holder offers nothing that we have.
            self.send_refusal(now, path, greeting, ErrorCode::HandshakeFailure, 0);
            return;
        };
        let local_id = self.fresh_path_id();
        let mut secret = [0; 32];
        self.rng.fill_bytes(&mut secret);
        let Some(keys) = self.networks.get(network) else { return };
        let mut prologue = [0; PROLOGUE.len() + Hello::PROLOGUE.end];
        prologue[..PROLOGUE.len()].copy_from_slice(PROLOGUE);
        prologue[PROLOGUE.len()..].copy_from_slice(&hello.payload()[Hello::PROLOGUE]);
        let mut noise = Responder::new(suite, keys, &self.identity, &prologue, secret);
        if noise.read_message1(hello.noise()).is_err() {
            self.count_frame_error(now, ErrorCode::InvalidFrame);
            return;
        }
        let sealed = ChallengeSealed {
            path_id: local_id,
            aead: aead.bit(),
            timestamp_ms: now.unix_ms,
            params: self.params(&self.session_defaults),
        };
        let mut plain = [0; CHALLENGE_SEALED_LEN];
        let mut packet = vec![0; HEADER_LEN + CHALLENGE_LEN + CRC32_LEN].into_boxed_slice();
        let Some((head, body)) = packet.split_first_chunk_mut::<HEADER_LEN>() else { return };
        Header::clear(FrameType::CHALLENGE, hello.fields().path_id(), CHALLENGE_LEN as u16)
            .write(head);
        let written = sealed.write(&mut Writer::new(&mut plain)).is_ok()
            && noise.write_message2(&plain, &mut body[..CHALLENGE_LEN]).is_ok();
        if !written {
            // An ephemeral key of small order.
            self.count_frame_error(now, ErrorCode::InvalidFrame);
            return;
        }
        seal_checksums(&mut packet);
        self.stateless.push_packet(path, &packet);
        let entry = HalfOpen::new(
            network,
            noise,
            aead,
            hello.ephemeral(),
            hello.mac1(),
            hello.fields().path_id(),
            local_id,
            packet,
            now.mono,
            path,
        );
        let index = self.half_open.insert(entry);
        self.routes.insert(local_id, Route::HalfOpen(index));
        self.arm_half_open();
    }

    /// An AUTH_PROOF for a half-open handshake.
    pub(super) fn on_proof(
        &mut self,
        now: Now,
        path: PathAddress,
        index: u32,
        head: &[u8],
        payload: &[u8],
    ) {
        let Some(entry) = self.half_open.get_mut(index) else { return };
        let proven = AuthProof::parse(payload).ok().and_then(|proof| {
            let keys = self.networks.get(entry.network)?;
            let hash = entry.noise.handshake_hash()?;
            let parts: [&[u8]; 3] = [&hash, &head[..AAD_LEN], proof.noise];
            if !keys.verify_mac2(&parts, &proof.mac2) {
                return None;
            }
            let mut sealed = [0; PROOF_SEALED_LEN];
            entry.noise.read_message3(proof.noise, &mut sealed).ok()?;
            ProofSealed::read(&sealed).ok()
        });
        // A forger must not end somebody else's handshake: the entry stays.
        let Some(proof) = proven else {
            self.stats.proof_failed += 1;
            let fault = Fault::new(ErrorCode::HandshakeFailure)
                .with_subcode(HandshakeSubcode::ProofVerificationFailed as u8);
            self.handshake_error(now, path, fault);
            return;
        };
        let Some(entry) = self.half_open.remove(index) else { return };
        self.routes.remove(&entry.local_id);
        self.arm_half_open();
        // Who answers has read the CHALLENGE, and so is where that went; where the answer seems to come from proves
        // nothing.
        let owing = (!entry.proves(&path)).then_some(HEADER_LEN + payload.len() + CRC32_LEN);
        self.open_session(now, path, entry, &proof, owing);
    }

    /// Makes the session that a good proof asks for, and gives it what came early. A path that is still to be proven
    /// is owed the bytes that came by it.
    fn open_session(
        &mut self,
        now: Now,
        path: PathAddress,
        mut entry: HalfOpen,
        proof: &ProofSealed,
        owing: Option<usize>,
    ) {
        let held = entry.take_held();
        let Some(peer) = entry.noise.remote_static().map(|key| NodeId::of(&key)) else { return };
        let refusal = self.refusal_for(now, &path, &entry, proof, &peer);
        let Ok(secrets) = entry.noise.finish() else { return };
        let Some(session_id) = secrets.handshake_hash().first_chunk() else { return };
        let config = std::sync::Arc::clone(&self.session_defaults);
        let keys = Keys::new(secrets.keys(false, entry.aead), config.key_update_packets);
        self.trace_secrets(&secrets, entry.aead, [entry.local_id, entry.initiator_id]);
        if refusal.is_some() && self.refused_sessions() >= MAX_REFUSED {
            return;
        }
        // Karn: a proof after several CHALLENGEs says nothing of the round-trip time.
        // An upper bound only: copies of AUTH_PROOF that were lost before this one cannot be seen. As
        // an estimate, seconds of them would hold FINAL back for many more seconds when it is lost.
        let rtt = (entry.copies == 1)
            .then(|| now.mono.saturating_duration_since(entry.created).min(INITIAL_RTT));
        let deadline = now.mono + config.handshake_timeout;
        let ticket = match refusal {
            Some(_) => None,
            None => self.issue_ticket(now, entry.network, &peer, secrets.resumption_secret()),
        };
        let start = Start {
            initiator: false,
            integrity_limit: config.integrity_limit.min(entry.aead.integrity_limit()),
            config,
            peer,
            session_id: *session_id,
            path,
            local_id: entry.local_id,
            peer_id: entry.initiator_id,
            keys,
            peer_params: proof.params,
            peer_reset_token: Some(proof.reset_token),
            max_udp_payload: self.config.max_udp_payload,
            first_window: self.memory.first_window(),
            rtt,
            beginning: Beginning::responder(EarlyData::None, ticket, None),
        };
        let mut session = Session::new(now.mono, start, State::AwaitAuthorize { deadline });
        if let Some(credit) = owing {
            session.challenge_here(now.mono, credit);
        }
        self.admit(now, session, refusal);
        for Held { path, ecn, mut bytes } in held {
            self.handle_held(now, path, ecn, &mut bytes);
        }
    }

    /// Why a peer that proved the seed is still refused, if it is.
    fn refusal_for(
        &mut self,
        now: Now,
        path: &PathAddress,
        entry: &HalfOpen,
        proof: &ProofSealed,
        peer: &NodeId,
    ) -> Option<(ErrorCode, u8)> {
        if proof.initiator_path_id != entry.initiator_id
            || proof.responder_path_id != entry.local_id
        {
            // Whoever holds the keys sealed something else than this handshake's ids.
            self.stats.proof_failed += 1;
            let subcode = HandshakeSubcode::ProofVerificationFailed as u8;
            let fault = Fault::new(ErrorCode::HandshakeFailure).with_subcode(subcode);
            self.handshake_error(now, *path, fault);
            return Some((ErrorCode::HandshakeFailure, subcode));
        }
        self.limit_for(now, path, peer).map(|code| (code, self.refusal_subcode(peer)))
    }

    /// Why this node may not have a session now, if it may not.
    pub(super) fn limit_for(
        &mut self,
        now: Now,
        path: &PathAddress,
        peer: &NodeId,
    ) -> Option<ErrorCode> {
        if self.revoked.contains(peer) {
            return Some(ErrorCode::AuthenticationFailed);
        }
        let Some(listen) = &self.listen else { return Some(ErrorCode::ConnectionRefused) };
        let (per_source, per_peer) = (listen.per_source, listen.per_peer);
        let full = self.accepted >= listen.max_sessions
            || self.live >= self.config.max_sessions
            || !self.admission.admits(now.mono, path, peer, per_source, per_peer);
        if full {
            return Some(ErrorCode::TooManySessions);
        }
        let cost = self.session_cost();
        if self.memory.room() < cost {
            self.memory.refuse(cost);
            return Some(ErrorCode::ResourceExhausted);
        }
        None
    }

    /// What FINAL says beside a code of [`Self::limit_for`].
    pub(super) fn refusal_subcode(&self, peer: &NodeId) -> u8 {
        if self.revoked.contains(peer) { REVOKED } else { 0 }
    }

    fn refused_sessions(&self) -> usize {
        self.slots.len().saturating_sub(self.live)
    }

    /// Lets go of half-open handshakes that took too long, and of keys of tickets.
    pub(super) fn expire_half_open(&mut self, now: Now) {
        self.tickets.expire(now.mono);
        let timeout = self.session_defaults.handshake_timeout;
        while let Some((created, index)) = self.half_open.oldest() {
            if created + timeout > now.mono {
                break;
            }
            if let Some(entry) = self.half_open.remove(index) {
                self.routes.remove(&entry.local_id);
            }
        }
        self.arm_half_open();
    }

    pub(super) fn arm_half_open(&mut self) {
        let timeout = self.session_defaults.handshake_timeout;
        let handshake = self.half_open.oldest().map(|(created, _)| created + timeout);
        let deadlines = [handshake, self.tickets.next_timeout()];
        self.timers.set(HALF_OPEN_TIMER, deadlines.into_iter().flatten().min());
    }

    /// What this side tells the peer of its limits.
    pub(super) fn params(&self, config: &SessionConfig) -> TransportParams {
        // Sessions are built with the same limits: what is told here is what they begin with.
        let limits = LocalLimits::new(
            config.max_concurrent_streams,
            config.stream_recv_buffer,
            config.recv_buffer,
        )
        .beginning_with(self.memory.first_window());
        TransportParams {
            max_idle_ms: u32::try_from(config.keep_alive_timeout.as_millis()).unwrap_or(u32::MAX),
            session_window: limits.session_window,
            stream_window: limits.stream_window,
            max_bidi_streams: limits.max_bidi,
            max_uni_streams: limits.max_uni,
            max_ack_delay_us: MAX_ACK_DELAY.as_micros() as u32,
            max_udp_payload: u16::try_from(self.config.max_udp_payload).unwrap_or(u16::MAX),
            max_message: crate::messages::own_max(config),
        }
    }
}
