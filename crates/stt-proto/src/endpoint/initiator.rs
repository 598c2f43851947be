//! The side that connects (PROTOCOL.md section 2): HELLO until a CHALLENGE verifies, then
//! AUTH_PROOF and a session that waits for FINAL.

use std::sync::Arc;

use core::time::Duration;

use rand_core::Rng;
use stt_crypto::{Aead, Initiator, NodeId, ResumeInitiator, Suite};
use stt_wire::handshake::{
    AUTH_PROOF_LEN, CHALLENGE_LEN, CHALLENGE_SEALED_LEN, ChallengeSealed, ErrorPacket,
    HELLO_PAYLOAD_LEN, Hello, NOISE_3_LEN, PROOF_SEALED_LEN, ProofSealed, Retry, write_hello,
    write_hello_fields,
};
use stt_wire::packet::seal_checksums;
use stt_wire::{
    AAD_LEN, CRC32_LEN, ErrorCode, FrameType, HEADER_LEN, HELLO_LEN, HandshakeSubcode, Header,
    PathId, Writer,
};

use crate::config::{ConnectOptions, SessionConfig};
use crate::departures::{Departures, send_fault};
use crate::event::{EarlyData, Event, SessionHandle};
use crate::fault::{Fault, FaultDetail, Origin};
use crate::path::{PathAddress, SendError, Transmit};
use crate::session::{Beginning, Keys, MAX_INTERVAL, Session, Start, State, refusal, unfinished};
use crate::ticket::ResumptionTicket;
use crate::time::{Instant, Now};

use super::{Endpoint, Entry, Route, timer_key};

/// What the Noise prologue begins with.
pub(super) const PROLOGUE: &[u8; 5] = b"STT/1";
/// First pause before HELLO or AUTH_PROOF is repeated: the probe timeout of RFC 9002 section 6.2.2
/// without the doubling that its unknown variance adds.
pub(super) const INITIAL_INTERVAL: Duration = Duration::from_millis(333);
/// How long unauthenticated hints wait for something better, beside three round trips.
const HINT_PATIENCE: Duration = Duration::from_millis(500);
/// How long what the network told another socket waits for an answer, beside three times what that took.
const SECOND_HAND_PATIENCE: Duration = Duration::from_millis(50);
/// How long one HELLO, or one AUTH_PROOF, is repeated. A responder forgets a half-open handshake
/// after ten seconds and takes later copies of its HELLO for replays, so a connect with more time
/// begins anew before that.
const RENEWAL: Duration = Duration::from_secs(8);
/// How long an AUTH_PROOF that nobody answers holds others of its race back, unless three times what the
/// CHALLENGE took is longer: two copies go out in it.
const RACE_PATIENCE: Duration = Duration::from_millis(1_500);
/// How long a RESUME that nobody answers is all that a connect tries.
const RESUME_PATIENCE: Duration = Duration::from_secs(3);
/// RETRYs that one attempt follows; the responder's secret rotates once a minute at most.
const MAX_RETRIES: u8 = 8;

/// A connect until its CHALLENGE verifies.
pub(super) struct Connecting {
    pub(super) path: PathAddress,
    pub(super) peer: Option<NodeId>,
    pub(super) early: bool,
    pub(super) config: Arc<SessionConfig>,
    pub(super) started: Instant,
    pub(super) deadline: Instant,
    /// One for each shared seed tried so far. All of them stay good: a forged CHALLENGE to the
    /// first must not lose its real one.
    pub(super) attempts: Vec<Attempt>,
    /// What a message that proves nothing claimed, and until when to wait for better.
    hint: Option<(Instant, Fault)>,
    /// What the network told another socket of this host, and until when any answer proves it wrong.
    second_hand: Option<(Instant, Fault)>,
    /// When an unanswered RESUME is given up for HELLO.
    pub(super) fall_back_at: Option<Instant>,
    /// What has become of the early data so far.
    pub(super) early_data: EarlyData,
    /// Whether its packets leave this host.
    pub(super) departures: Departures,
    /// Another connect of its race proves this side: this one waits for how that ends.
    pub(super) behind: bool,
}

/// A HELLO or a RESUME, and what its answer is read with.
pub(super) struct Attempt {
    pub(super) network: usize,
    pub(super) path_id: PathId,
    pub(super) noise: Opening,
    pub(super) packet: Box<[u8]>,
    /// Where the cookie stands in it.
    pub(super) cookie_at: usize,
    pub(super) ephemeral: [u8; 32],
    created: Instant,
    pub(super) send_at: Instant,
    interval: Duration,
    /// When the packet went out last, and how often it did.
    sent: Option<Instant>,
    pub(super) copies: u32,
    retries: u8,
}

/// What follows from a verified CHALLENGE.
struct Proven {
    keys: Keys,
    session_id: [u8; 8],
    /// AUTH_PROOF.
    packet: Box<[u8]>,
    ticket: ResumptionTicket,
}

/// Which way an attempt goes.
pub(super) enum Opening {
    Hello(Box<Initiator>),
    Resume(Box<ResumeInitiator>, NodeId),
}

impl Connecting {
    pub(super) fn path_ids(&self) -> impl Iterator<Item = PathId> + '_ {
        self.attempts.iter().map(|attempt| attempt.path_id)
    }

    pub(super) fn remote(&self) -> &PathAddress {
        &self.path
    }

    /// Whether `quoted`, the start of a datagram, may be a HELLO of this connect. Without a quote
    /// long enough to tell, the address has to do.
    pub(super) fn sent(&self, quoted: Option<&[u8]>) -> bool {
        let at = HEADER_LEN + Hello::PROLOGUE.end - 8;
        match quoted.and_then(|bytes| bytes.get(at..at + 8)) {
            Some(id) => self.path_ids().any(|own| own.0 == *id),
            None => true,
        }
    }

    pub(super) fn next_timeout(&self, now: Instant) -> Instant {
        let ahead = self.attempts.iter().map(|attempt| attempt.send_at).filter(|at| *at > now);
        let resend = ahead.min().filter(|_| !self.behind);
        let hint = self.next_hint().map(|(at, _)| at);
        let tell = self.departures.next_report();
        [resend, hint, tell, self.fall_back_at.filter(|_| !self.behind)]
            .into_iter()
            .flatten()
            .fold(self.deadline, Instant::min)
    }

    pub(super) fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        if self.behind {
            return None;
        }
        let attempt = self.attempts.iter_mut().find(|attempt| attempt.send_at <= now)?;
        buf.get_mut(..HELLO_LEN)?.copy_from_slice(&attempt.packet);
        attempt.sent = Some(now);
        attempt.copies += 1;
        // A connection repeats by itself: no copy is due before the connect's end.
        attempt.send_at =
            if self.path.is_reliable() { self.deadline } else { now + attempt.interval };
        attempt.interval = (2 * attempt.interval).min(MAX_INTERVAL);
        self.departures.on_sent();
        let (path, len) = (self.path, HELLO_LEN);
        Some(Transmit { path, len, segment_size: None, ecn: None, opens: true })
    }

    /// Whether a HELLO is due.
    pub(super) fn wants_transmit(&self, now: Instant) -> bool {
        !self.behind && self.attempts.iter().any(|attempt| attempt.send_at <= now)
    }

    pub(super) fn attempt_mut(&mut self, id: PathId) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.path_id == id)
    }

    /// The last shared seed is not the peer's either, it seems: what was noted of an earlier seed says
    /// less.
    fn on_last_seed(&mut self, now: Instant, rtt: Duration, fault: Fault) {
        match &mut self.hint {
            Some((_, noted)) if noted.code == fault.code => {
                *noted = fault;
                self.on_answer();
            }
            _ => self.on_hint(now, rtt, fault),
        }
    }

    /// The endpoint fills in its timer.
    #[cfg(feature = "inspect")]
    pub(super) fn inspect(&self, now: Instant) -> crate::inspect::ConnectInspection {
        let age = |attempt: &Attempt| now.saturating_duration_since(attempt.created);
        let copies = self.attempts.iter().map(|attempt| (attempt.copies, age(attempt))).max();
        crate::inspect::ConnectInspection {
            reliable: self.path.is_reliable() || self.behind,
            timer: None,
            next_send: match self.behind {
                true => Some(self.deadline),
                false => self.attempts.iter().map(|attempt| attempt.send_at).min(),
            },
            hint: self.next_hint().map(|(at, _)| at),
            fall_back: self.fall_back_at.filter(|_| !self.behind),
            deadline: self.deadline,
            copies: copies.unwrap_or_default(),
        }
    }

    /// The next hint to be believed, unless something better comes before.
    fn next_hint(&self) -> Option<(Instant, Fault)> {
        [self.hint, self.second_hand].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Notes what the network said of a datagram that another socket sent to this peer, within `took`.
    /// The first word stands.
    fn on_second_hand(&mut self, now: Instant, took: Duration, fault: Fault) {
        let asked = self.attempts.iter().any(|attempt| attempt.sent.is_some());
        if asked && self.second_hand.is_none() {
            self.second_hand = Some((now + SECOND_HAND_PATIENCE.max(3 * took), fault));
        }
    }

    /// Somebody answers there.
    pub(super) fn on_answer(&mut self) {
        self.second_hand = None;
    }

    /// Notes what a message that proves nothing claims. The first claim about this attempt's seed
    /// or version stands; each new attempt gets its own time.
    fn on_hint(&mut self, now: Instant, rtt: Duration, fault: Fault) {
        self.on_answer();
        if self.hint.is_none() {
            self.hint = Some((now + HINT_PATIENCE.max(3 * rtt), fault));
        }
    }
}

impl Attempt {
    pub(super) fn new(
        now: Instant,
        network: usize,
        path_id: PathId,
        noise: Opening,
        packet: Box<[u8]>,
        cookie_at: usize,
        ephemeral: [u8; 32],
    ) -> Self {
        Self {
            network,
            path_id,
            noise,
            packet,
            cookie_at,
            ephemeral,
            created: now,
            send_at: now,
            interval: INITIAL_INTERVAL,
            sent: None,
            copies: 0,
            retries: 0,
        }
    }

    pub(super) fn rtt(&self, now: Instant) -> Duration {
        self.sent.map_or(INITIAL_INTERVAL, |sent| now.saturating_duration_since(sent))
    }
}

impl Endpoint {
    /// Begins a connect in a new slot.
    pub(super) fn start_connecting(
        &mut self,
        now: Now,
        path: PathAddress,
        options: ConnectOptions,
    ) -> SessionHandle {
        let config = match options.session {
            Some(config) => Arc::new(config),
            None => Arc::clone(&self.session_defaults),
        };
        let ticket = options.resume.as_ref();
        let ticket = ticket.filter(|ticket| options.peer.is_none_or(|peer| peer == ticket.peer()));
        let resumption = ticket
            .and_then(|ticket| self.resume_attempt(now, &config, ticket, &options.early_data));
        let resumes = resumption.is_some();
        let attempts: Vec<Attempt> = match resumption {
            Some(attempt) => vec![attempt],
            None => self.attempt(now, 0).into_iter().collect(),
        };
        let connecting = Connecting {
            path,
            peer: options.peer,
            early: options.early,
            config,
            started: now.mono,
            deadline: now.mono + options.timeout,
            attempts,
            hint: None,
            second_hand: None,
            fall_back_at: resumes.then(|| now.mono + RESUME_PATIENCE.min(options.timeout / 2)),
            early_data: match (options.early_data.is_empty(), resumes) {
                (true, _) => EarlyData::None,
                (false, false) => EarlyData::Rejected,
                (false, true) => EarlyData::Unknown,
            },
            departures: Departures::default(),
            behind: false,
        };
        let ids: Vec<PathId> = connecting.path_ids().collect();
        let handle = self.slots.insert(Entry::Connecting(Box::new(connecting)));
        self.live += 1;
        self.memory.add(self.session_cost());
        if let Some(race) = options.race {
            self.races.enter(race, handle.index, options.peer.is_some());
            let behind = self.is_behind(handle.index);
            if let Some(Entry::Connecting(connecting)) = self.slots.get_mut(handle.index) {
                connecting.behind = behind;
            }
            if let Some(leader) = self.races.leader_of(race).filter(|_| behind) {
                let until = now.mono + RACE_PATIENCE;
                self.with_session(now, leader, |session, _| session.hurry_proof(until));
            }
        }
        for id in &ids {
            self.routes.insert(*id, Route::Slot(handle.index));
        }
        self.note_connection(handle.index);
        let gone = path.connection().is_some_and(|own| !self.connections.is_open(own.id));
        if gone {
            self.fail_connecting(handle.index, Fault::new(ErrorCode::WebSocketClosed));
        } else if ids.is_empty() {
            // Without a shared seed there is nothing to prove and nobody to prove it to.
            self.fail_connecting(handle.index, Fault::new(ErrorCode::AuthenticationFailed));
        } else {
            self.settle_connecting(now, handle.index);
        }
        handle
    }

    /// A HELLO under the shared seed number `network`, with a fresh ephemeral key and path id.
    pub(super) fn attempt(&mut self, now: Now, network: usize) -> Option<Attempt> {
        let path_id = self.fresh_path_id();
        let mut secret = [0; 32];
        self.rng.fill_bytes(&mut secret);
        let keys = self.networks.get(network)?;
        let suite = match Aead::preferred() {
            Aead::Aes256Gcm => Suite::AesGcm,
            Aead::ChaCha20Poly1305 => Suite::ChaChaPoly,
        };
        let mut prologue = [0; PROLOGUE.len() + Hello::PROLOGUE.end];
        let (label, fields) = prologue.split_at_mut(PROLOGUE.len());
        label.copy_from_slice(PROLOGUE);
        let aeads = Aead::supported_bitmap();
        write_hello_fields(fields, suite.id(), aeads, now.unix_ms, path_id);
        let noise = Initiator::new(suite, keys, &self.identity, &prologue, secret).ok()?;

        let mut hello = vec![0; HELLO_LEN].into_boxed_slice();
        let header = Header::clear(FrameType::HELLO, PathId::ZERO, HELLO_PAYLOAD_LEN as u16);
        let (head, body) = hello.split_first_chunk_mut::<HEADER_LEN>()?;
        header.write(head);
        let payload = body.first_chunk_mut::<HELLO_PAYLOAD_LEN>()?;
        let message = noise.write_message1();
        write_hello(payload, suite.id(), aeads, now.unix_ms, path_id, &message);
        let mac = keys.mac1(&[&head[..AAD_LEN], &payload[Hello::MAC1_INPUT]]);
        payload[Hello::MAC1].copy_from_slice(&mac);
        let mut ephemeral = [0; 32];
        ephemeral.copy_from_slice(&payload[Hello::EPHEMERAL]);
        seal_checksums(&mut hello);
        let cookie_at = HEADER_LEN + Hello::COOKIE.start;
        let noise = Opening::Hello(Box::new(noise));
        Some(Attempt::new(now.mono, network, path_id, noise, hello, cookie_at, ephemeral))
    }

    /// Brings timer and queue in line with a connect.
    pub(super) fn settle_connecting(&mut self, now: Now, slot: u32) {
        let Some(Entry::Connecting(connecting)) = self.slots.get(slot) else { return };
        let sendable = connecting.wants_transmit(now.mono);
        self.timers.set(timer_key(slot), Some(connecting.next_timeout(now.mono)));
        if sendable {
            self.wake(slot);
        }
    }

    pub(super) fn connecting_timeout(&mut self, now: Now, slot: u32) {
        let Some(Entry::Connecting(connecting)) = self.slots.get(slot) else { return };
        if let Some((at, fault)) = connecting.next_hint()
            && at <= now.mono
        {
            self.fail_connecting(slot, fault);
            return;
        }
        if connecting.deadline <= now.mono {
            let waited = now.mono.saturating_duration_since(connecting.started);
            let fault = match connecting.departures.failure() {
                Some(failure) => send_fault(failure, waited),
                None => Fault::new(ErrorCode::ConnectionTimeout)
                    .with_detail(FaultDetail::Waited { ms: waited.as_millis() as u64 }),
            };
            self.fail_connecting(slot, fault);
            return;
        }
        let falls_back = connecting.fall_back_at.is_some_and(|at| at <= now.mono);
        let behind = connecting.behind;
        self.tell_connecting(now, slot);
        if !behind {
            if falls_back {
                self.stop_resuming(now, slot);
            }
            self.renew_attempts(now, slot);
        }
        self.settle_connecting(now, slot);
    }

    /// The socket refused a packet of a connect, which the next copy may pass by.
    pub(super) fn connecting_refused(
        &mut self,
        now: Now,
        slot: u32,
        error: SendError,
        datagrams: u32,
    ) {
        let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
        let untold = connecting.departures.on_refused(now.mono, error, datagrams);
        self.tell_unsent(slot, untold);
        self.settle_connecting(now, slot);
    }

    fn tell_connecting(&mut self, now: Now, slot: u32) {
        let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
        let untold = connecting.departures.due(now.mono);
        self.tell_unsent(slot, untold);
    }

    fn tell_unsent(&mut self, slot: u32, untold: Option<u32>) {
        let Some(Entry::Connecting(connecting)) = self.slots.get(slot) else { return };
        if let Some(count) = untold.map(u64::from) {
            let error = send_fault(connecting.departures.last_error(), Duration::ZERO);
            let (session, remote) = (self.slots.handle(slot), connecting.path);
            self.events.push_back(Event::SendError { session, remote, error, count });
        }
    }

    /// Replaces every HELLO that has been repeated for long enough.
    pub(super) fn renew_attempts(&mut self, now: Now, slot: u32) {
        loop {
            let Some(Entry::Connecting(connecting)) = self.slots.get(slot) else { return };
            let old = connecting.attempts.iter().enumerate().find(|(_, attempt)| {
                matches!(attempt.noise, Opening::Hello(_))
                    && attempt.send_at <= now.mono
                    && attempt.created + RENEWAL <= now.mono
            });
            let Some((index, network)) = old.map(|(index, old)| (index, old.network)) else {
                return;
            };
            let Some(fresh) = self.attempt(now, network) else { return };
            self.routes.insert(fresh.path_id, Route::Slot(slot));
            let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
            let old = core::mem::replace(&mut connecting.attempts[index], fresh);
            self.routes.remove(&old.path_id);
        }
    }

    /// A proof that nobody answers: the responder has forgotten the handshake, so the connect goes
    /// back to its beginning with the time that is left.
    pub(super) fn restart_if_stale(&mut self, now: Now, slot: u32) {
        let Some(Entry::Session(session)) = self.slots.get(slot) else { return };
        let Some((started, deadline)) = session.stale_connect(now.mono) else { return };
        let (path, config) = (*session.remote(), Arc::clone(session.config()));
        let (local_id, peer) = (session.local_id(), session.peer());
        let early_data = session.early_fate();
        let remote = (session.peer_id(), path.remote_bytes());
        self.routes.remove(&local_id);
        if self.remotes.get(&remote) == Some(&slot) {
            self.remotes.remove(&remote);
        }
        // Whoever verified once is whom the connect was for.
        let connecting = Connecting {
            path,
            peer: Some(peer),
            early: false,
            config,
            started,
            deadline,
            attempts: self.attempt(now, 0).into_iter().collect(),
            hint: None,
            second_hand: None,
            fall_back_at: None,
            early_data,
            departures: Departures::default(),
            behind: false,
        };
        for id in connecting.path_ids() {
            self.routes.insert(id, Route::Slot(slot));
        }
        self.replace(slot, Entry::Connecting(Box::new(connecting)));
        self.give_up_lead(now, slot);
        self.settle_connecting(now, slot);
    }

    /// Ends a connect and says why.
    pub(super) fn fail_connecting(&mut self, slot: u32, error: Fault) {
        if let Some(session) = self.slots.handle(slot) {
            self.events.push_back(Event::ConnectFailed { session, error });
        }
        self.remove(slot);
    }

    /// A CHALLENGE for a connect of ours.
    pub(super) fn on_challenge(
        &mut self,
        now: Now,
        path: PathAddress,
        slot: u32,
        id: PathId,
        payload: &[u8],
    ) {
        let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
        if connecting.behind {
            return;
        }
        let from_peer = connecting.path.same_remote(&path);
        let Some(attempt) = connecting.attempt_mut(id) else { return };
        let rtt = attempt.rtt(now.mono);
        let Opening::Hello(noise) = &mut attempt.noise else { return };
        let mut sealed = [0; CHALLENGE_SEALED_LEN];
        let opened =
            payload.len() == CHALLENGE_LEN && noise.read_message2(payload, &mut sealed).is_ok();
        if opened {
            self.on_verified_challenge(now, slot, id, &sealed);
        } else if from_peer {
            self.on_wrong_challenge(now, slot, id, rtt);
        }
    }

    /// A CHALLENGE that our seed does not open: try the next seed, or wait for a better answer and
    /// then say that the seeds differ.
    fn on_wrong_challenge(&mut self, now: Now, slot: u32, id: PathId, rtt: Duration) {
        let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
        let subcode = HandshakeSubcode::ChallengeDecryptFailed as u8;
        let fault = Fault::new(ErrorCode::AuthenticationFailed)
            .with_subcode(subcode)
            .with_cause(ErrorCode::HandshakeFailure, subcode)
            .by(Origin::Peer);
        let newest = connecting.attempts.last().map(|attempt| (attempt.path_id, attempt.network));
        let next = newest.filter(|(newest, _)| *newest == id).map(|(_, network)| network + 1);
        if let Some(next) = next.filter(|next| *next < self.networks.len())
            && let Some(attempt) = self.attempt(now, next)
        {
            self.routes.insert(attempt.path_id, Route::Slot(slot));
            let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
            connecting.attempts.push(attempt);
            connecting.hint = None;
            connecting.on_hint(now.mono, rtt, fault);
        } else if let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) {
            let count = self.networks.len() as u32;
            let fault = match count {
                0 | 1 => fault,
                _ => fault.with_detail(FaultDetail::Seeds { count }),
            };
            connecting.on_last_seed(now.mono, rtt, fault);
        }
        self.settle_connecting(now, slot);
    }

    /// The responder holds the seed: prove ours, and go on as a session.
    fn on_verified_challenge(&mut self, now: Now, slot: u32, id: PathId, sealed: &[u8]) {
        let Some(Entry::Connecting(connecting)) = self.slots.get(slot) else { return };
        let Some(attempt) = connecting.attempts.iter().find(|attempt| attempt.path_id == id) else {
            return;
        };
        let Opening::Hello(noise) = &attempt.noise else { return };
        let peer = noise.remote_static().map(|key| NodeId::of(&key));
        let challenge = ChallengeSealed::read(sealed).ok();
        let aead = challenge.and_then(|challenge| Aead::from_bit(challenge.aead));
        let (Some(peer), Some(challenge), Some(aead)) = (peer, challenge, aead) else {
            // The seed's holder chose an AEAD that nobody offered.
            self.fail_connecting(slot, Fault::new(ErrorCode::HandshakeFailure));
            return;
        };
        if connecting.peer.is_some_and(|pinned| pinned != peer) {
            let fault = Fault::new(ErrorCode::AuthenticationFailed)
                .with_detail(FaultDetail::Answered { by: peer });
            self.fail_connecting(slot, fault);
            return;
        }
        let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
        let (path, early, started) = (connecting.path, connecting.early, connecting.started);
        let (config, deadline) = (Arc::clone(&connecting.config), connecting.deadline);
        let early_data = core::mem::take(&mut connecting.early_data);
        let mut proving = None;
        for attempt in core::mem::take(&mut connecting.attempts) {
            if attempt.path_id == id {
                proving = Some(attempt);
            } else {
                self.routes.remove(&attempt.path_id);
            }
        }
        let Some(attempt) = proving else { return };
        // Karn: an answer after several copies says nothing of the round-trip time.
        let rtt = (attempt.copies == 1).then(|| attempt.rtt(now.mono));
        let took = now.mono.saturating_duration_since(attempt.created);
        let Some(Proven { keys, session_id, packet, ticket }) =
            self.prove(&config, attempt, &peer, id, challenge.path_id, aead)
        else {
            self.routes.remove(&id);
            self.fail_connecting(slot, Fault::new(ErrorCode::HandshakeFailure));
            return;
        };
        let start = Start {
            initiator: true,
            integrity_limit: config.integrity_limit.min(aead.integrity_limit()),
            config,
            peer,
            session_id,
            path,
            local_id: id,
            peer_id: challenge.path_id,
            keys,
            peer_params: challenge.params,
            peer_reset_token: None,
            max_udp_payload: self.config.max_udp_payload,
            first_window: self.memory.first_window(),
            rtt,
            beginning: Beginning::initiator(false, early_data, ticket),
        };
        let state = State::AwaitFinal { early, since: started, deadline };
        let mut session = Session::new(now.mono, start, state);
        let (interval, stale) = match path.is_reliable() {
            true => (deadline.saturating_duration_since(now.mono), deadline),
            false => (INITIAL_INTERVAL, now.mono + RENEWAL),
        };
        session.send_proof(now.mono, packet, interval, stale);
        if self.take_lead(slot) {
            session.hurry_proof(now.mono + RACE_PATIENCE.max(3 * took));
        }
        self.remotes.entry((challenge.path_id, path.remote_bytes())).or_insert(slot);
        self.replace(slot, Entry::Session(Box::new(session)));
        self.with_session(now, slot, |session, cx| {
            if early {
                session.connected_early(cx);
            }
        });
    }

    /// Message 3 and what follows from it.
    fn prove(
        &mut self,
        config: &SessionConfig,
        attempt: Attempt,
        peer: &NodeId,
        local_id: PathId,
        peer_id: PathId,
        aead: Aead,
    ) -> Option<Proven> {
        let keys = self.networks.get(attempt.network)?;
        let Opening::Hello(mut noise_state) = attempt.noise else { return None };
        let hash = noise_state.handshake_hash()?;
        let mut sealed = [0; PROOF_SEALED_LEN];
        let proof = ProofSealed {
            initiator_path_id: local_id,
            responder_path_id: peer_id,
            params: self.params(config),
            reset_token: self.identity.reset_token(&local_id.0),
        };
        proof.write(&mut Writer::new(&mut sealed)).ok()?;
        let mut packet = vec![0; HEADER_LEN + AUTH_PROOF_LEN + CRC32_LEN].into_boxed_slice();
        let (head, body) = packet.split_first_chunk_mut::<HEADER_LEN>()?;
        Header::clear(FrameType::AUTH_PROOF, peer_id, AUTH_PROOF_LEN as u16).write(head);
        let (noise, tail) = body.split_at_mut(NOISE_3_LEN);
        noise_state.write_message3(&sealed, noise).ok()?;
        let (mac, network) = (keys.mac2(&[&hash, &head[..AAD_LEN], noise]), *keys.fingerprint());
        tail.first_chunk_mut::<16>()?.copy_from_slice(&mac);
        seal_checksums(&mut packet);
        self.trace_ephemeral(&attempt.ephemeral, noise_state.ephemeral_private());
        let secrets = noise_state.finish().ok()?;
        self.trace_secrets(&secrets, aead, [peer_id, local_id]);
        let session_id = *secrets.handshake_hash().first_chunk()?;
        let own = self.identity.node_id();
        let ticket = unfinished(network, own, *peer, secrets.resumption_secret());
        let keys = Keys::new(secrets.keys(true, aead), config.key_update_packets);
        Some(Proven { keys, session_id, packet, ticket })
    }

    /// A RETRY: the HELLO goes out again at once, with the cookie.
    pub(super) fn on_retry(&mut self, now: Now, slot: u32, id: PathId, payload: &[u8]) {
        let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
        let Some(attempt) = connecting.attempt_mut(id) else { return };
        let (Ok(retry), Some(keys)) = (Retry::parse(payload), self.networks.get(attempt.network))
        else {
            return;
        };
        let parts: [&[u8]; 3] = [&attempt.ephemeral, &[FrameType::RETRY.0], &retry.cookie];
        if !keys.verify_err_mac(&parts, &retry.mac) || attempt.retries == MAX_RETRIES {
            return;
        }
        attempt.retries += 1;
        let at = attempt.cookie_at;
        attempt.packet[at..at + retry.cookie.len()].copy_from_slice(&retry.cookie);
        seal_checksums(&mut attempt.packet);
        attempt.send_at = now.mono;
        // The way there and back works: what is lost from here on is lost for the first time.
        attempt.interval = INITIAL_INTERVAL;
        attempt.copies = 0;
        connecting.on_answer();
        self.settle_connecting(now, slot);
    }

    /// The network told another socket than the one that carries the sessions of this path.
    pub(super) fn connecting_hint(&mut self, now: Now, slot: u32, took: Duration, fault: Fault) {
        if let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) {
            connecting.on_second_hand(now.mono, took, fault);
            self.settle_connecting(now, slot);
        }
    }

    /// An ERROR in answer to a HELLO: a refusal that proves the seed acts at once, a list of
    /// versions is a hint.
    pub(super) fn on_handshake_error(
        &mut self,
        now: Now,
        path: PathAddress,
        slot: u32,
        id: PathId,
        payload: &[u8],
    ) {
        let Ok(error) = ErrorPacket::parse(payload) else { return };
        let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
        let from_peer = connecting.path.same_remote(&path);
        let Some(attempt) = connecting.attempt_mut(id) else { return };
        let rtt = attempt.rtt(now.mono);
        match error {
            ErrorPacket::Refusal { code, subcode, timestamp_ms, mac } => {
                let body = &payload[..ErrorPacket::REFUSAL_MAC_AT];
                let parts: [&[u8]; 3] = [&attempt.ephemeral, &[FrameType::ERROR.0], body];
                let genuine = self
                    .networks
                    .get(attempt.network)
                    .is_some_and(|keys| keys.verify_err_mac(&parts, &mac));
                if !genuine {
                    return;
                }
                let code = ErrorCode::from_u16(code).unwrap_or(ErrorCode::ConnectionRefused);
                if matches!(attempt.noise, Opening::Resume(..))
                    && code == ErrorCode::SessionNotFound
                {
                    self.on_ticket_refused(now, slot, id);
                    return;
                }
                let mut fault = refusal(code, subcode);
                if code == ErrorCode::AuthenticationFailed {
                    // Whoever holds the seed can say so, and has not shown which node it is.
                    fault = fault.by(Origin::Transport);
                }
                if code == ErrorCode::HandshakeFailure
                    && subcode == HandshakeSubcode::TimestampExpired as u8
                {
                    let ms = timestamp_ms.wrapping_sub(now.unix_ms) as i64;
                    fault.detail = FaultDetail::ClockSkew { ms };
                }
                self.fail_connecting(slot, fault);
            }
            ErrorPacket::Versions { versions } if from_peer => {
                let mut list = [0; 8];
                let count = versions.len().min(list.len());
                list[..count].copy_from_slice(&versions[..count]);
                let detail = FaultDetail::Versions { list, count: count as u8 };
                let fault = Fault::new(ErrorCode::ProtocolVersionMismatch).with_detail(detail);
                connecting.on_hint(now.mono, rtt, fault);
                self.settle_connecting(now, slot);
            }
            ErrorPacket::Versions { .. } | ErrorPacket::Reset { .. } => {}
        }
    }

    /// An ERROR in another version's packet: its header names a version that the peer speaks.
    pub(super) fn on_foreign_error(&mut self, now: Now, path: PathAddress, slot: u32, version: u8) {
        let Some(Entry::Connecting(connecting)) = self.slots.get_mut(slot) else { return };
        if connecting.path.same_remote(&path) {
            let mut list = [0; 8];
            list[0] = version;
            let fault = Fault::new(ErrorCode::ProtocolVersionMismatch)
                .with_detail(FaultDetail::Versions { list, count: 1 });
            connecting.on_hint(now.mono, INITIAL_INTERVAL, fault);
            self.settle_connecting(now, slot);
        }
    }
}
