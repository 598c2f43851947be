//! One session: keys, packet numbers, streams, and the path they use.

mod beginning;
mod close;
mod farewell;
#[cfg(feature = "inspect")]
mod inspect;
mod keys;
mod liveness;
mod migrate;
mod path;
mod proof;
mod quality;
mod receive;
mod strain;
#[cfg(test)]
mod tests;
mod timers;
mod trace;
mod transmit;

use std::collections::VecDeque;
use std::sync::Arc;

use core::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha12Rng;
use rand_core::Rng;
use stt_crypto::{NodeId, NodeIdentity, ReplayWindow};
use stt_wire::frame::{EcnCounts, KeepAlive};
use stt_wire::header::apply_mask;
use stt_wire::{
    ErrorCode, Flags, FrameType, HEADER_LEN, Header, PathId, TransportParams, decode_packet_number,
};

use crate::config::{CongestionControl, SessionConfig};
use crate::departures::send_fault;
use crate::event::{Event, SessionHandle};
use crate::fault::FaultDetail;
use crate::memory::{Memory, Room};
use crate::messages::{Message, MessageError, Messages};
use crate::path::{PathAddress, PathError, SendError};
use crate::recovery::congestion::{Bbr, Controller, Cubic, NewReno};
use crate::recovery::{Content, Fate, INITIAL_RTT, ReceivedPackets, Recovery, RecoveryConfig};
use crate::rtts::RttHistogram;
use crate::scratch::Scratch;
use crate::stats::{FrameErrorCounts, SessionStats};
use crate::streams::{
    Blocks, LocalLimits, OpenError, PeerLimits, ReadError, ReadOutcome, StreamId, StreamOptions,
    Streams, WriteError,
};
use crate::time::{Instant, Now};

pub(crate) use self::beginning::{Beginning, Unproven, received, unfinished};
use self::close::Ending;
pub(crate) use self::close::{REVOKED, Words, refusal};
use self::farewell::Farewell;
pub(crate) use self::keys::Keys;
use self::liveness::Liveness;
pub(crate) use self::migrate::{Arrival, RouteChanges};
pub use self::migrate::{MoveError, MoveFailure};
use self::path::{Moving, MtuChange, Path, PathIds, PeerId};
use self::proof::Proof;
use self::quality::Quality;
use self::receive::Untold;
pub use self::strain::PathStrain;
use self::strain::Strain;
pub(crate) use self::timers::MAX_INTERVAL;
use self::trace::Watched;

/// Longest time by which this side delays an ACK on purpose (RFC 9000 section 18.2's default).
pub(crate) const MAX_ACK_DELAY: Duration = Duration::from_millis(25);
/// Longest ACK delay that a peer may announce (RFC 9000 section 18.2 allows 2^14 ms; nobody needs it).
const MAX_PEER_ACK_DELAY: Duration = Duration::from_secs(1);
/// Malformed packets in a row that end a session (PROTOCOL.md section 1).
const MAX_MALFORMED: u8 = 16;
/// What congestion control takes for the size of a datagram at most (RFC 9002 section 7.2): its least
/// window, its steps and its bursts would be far too coarse in datagrams of 65 507 bytes. Larger ones
/// are used where the window holds many of them.
const MAX_CONTROL_QUANTUM: usize = 1472;
/// Echoes owed at once; a peer that asks for more than these gets the newest.
const MAX_ECHOES: usize = 4;

/// What every call into a session needs from its endpoint.
pub(crate) struct Context<'a> {
    pub(crate) now: Now,
    pub(crate) handle: SessionHandle,
    pub(crate) events: &'a mut VecDeque<Event>,
    /// How the packet came that is being acted on.
    pub(crate) arrival: Option<Arrival>,
    pub(crate) rng: &'a mut ChaCha12Rng,
    pub(crate) identity: &'a NodeIdentity,
    /// Frames dropped, of all sessions.
    pub(crate) frame_errors: &'a mut FrameErrorCounts,
    /// What the packet being built carries; emptied and filled for each.
    pub(crate) contents: &'a mut Scratch<Content>,
    /// What became of contents; emptied and filled for each ACK.
    pub(crate) fates: &'a mut Scratch<(Fate, Content)>,
    /// Memory for what streams bring.
    pub(crate) blocks: &'a mut Blocks,
    /// Where round-trip times are noted.
    pub(crate) rtts: &'a mut RttHistogram,
}

impl Context<'_> {
    fn nonce(&mut self) -> u64 {
        self.rng.next_u64()
    }
}

/// What a handshake hands over.
pub(crate) struct Start {
    pub(crate) initiator: bool,
    pub(crate) config: Arc<SessionConfig>,
    pub(crate) peer: NodeId,
    pub(crate) session_id: [u8; 8],
    pub(crate) path: PathAddress,
    pub(crate) local_id: PathId,
    pub(crate) peer_id: PathId,
    pub(crate) keys: Keys,
    pub(crate) integrity_limit: u64,
    pub(crate) peer_params: TransportParams,
    pub(crate) peer_reset_token: Option<[u8; 16]>,
    pub(crate) max_udp_payload: usize,
    /// Most credit to begin with, as the transport parameters said.
    pub(crate) first_window: u64,
    /// Time from the handshake's last message to its answer, when the answer was to that one.
    pub(crate) rtt: Option<Duration>,
    pub(crate) beginning: Box<Beginning>,
}

/// How far a session has come.
pub(crate) enum State {
    /// Initiator: AUTH_PROOF is out. `early` says that the application uses the session already.
    AwaitFinal { early: bool, since: Instant, deadline: Instant },
    /// Responder: the proof holds, the application thinks.
    AwaitAuthorize { deadline: Instant },
    /// Responder: FINAL says no, until it is acknowledged.
    Refused { until: Instant },
    /// In use.
    Open,
    /// On its way out, or over.
    Ending(Ending),
}

/// What FINAL says.
#[derive(Clone, Copy)]
struct Verdict {
    status: u16,
    subcode: u8,
}

/// See the module.
pub(crate) struct Session {
    initiator: bool,
    state: State,
    config: Arc<SessionConfig>,
    peer: NodeId,
    session_id: [u8; 8],
    /// The id of this side that the peer sends to.
    local_id: PathId,
    /// Where the peer listens.
    remote_id: PeerId,
    /// Both sides' ids for moves to come.
    ids: Box<PathIds>,
    /// What there is to remember of a move.
    moving: Option<Box<Moving>>,
    keys: Keys,
    replay: ReplayWindow,
    integrity_limit: u64,
    failed_opens: u64,
    malformed_in_a_row: u8,
    /// Next packet number to send; never reused, whatever happens.
    next_pn: u64,
    largest_opened: Option<u64>,
    /// Largest packet number that the peer acknowledged.
    largest_acked: Option<u64>,
    /// ECN codepoints of packets that opened, once any had one.
    ecn_received: Option<EcnCounts>,
    path: Path,
    recovery: Recovery,
    received: ReceivedPackets,
    streams: Streams,
    /// Boxed, because most sessions have none: an idle one is to stay small.
    messages: Box<Messages>,
    liveness: Liveness,
    proof: Option<Box<Proof>>,
    beginning: Option<Box<Beginning>>,
    verdict: Option<Verdict>,
    /// FINAL has arrived.
    verdict_acked: bool,
    verdict_pending: bool,
    farewell: Farewell,
    /// Responder: an empty packet tells the initiator to stop repeating its proof.
    confirm: bool,
    echoes: Vec<KeepAlive>,
    pings: VecDeque<u64>,
    next_ping: u64,
    keep_alive_due: bool,
    /// The driver was told that the path in use is silent.
    silent: bool,
    /// The driver looks for another carrier.
    seeking: bool,
    /// Bytes of the largest datagram handed out last.
    last_datagram: u16,
    /// When the pacer lets the next packet go, while that is what holds it back.
    paced_until: Option<Instant>,
    stats: SessionStats,
    /// Boxed, like what else is used rarely: an idle session is to stay small.
    untold: Box<Untold>,
    tell_at: Option<Instant>,
    /// While packets came damaged of late.
    quality: Option<Box<Quality>>,
    /// Once the path in use has lost something.
    strain: Option<Box<Strain>>,
    /// No packet has come by the path in use since the session took it.
    path_is_new: bool,
    /// The driver reads no more.
    released: bool,
    /// Whether a tracer was asked if it wants to watch.
    offered: bool,
    watched: Option<Box<Watched>>,
    /// Bytes that the endpoint's memory counts for this session.
    charged: u64,
}

impl Session {
    /// A session whose handshake has given it keys; `state` says what is still missing.
    pub(crate) fn new(now: Instant, start: Start, state: State) -> Self {
        let Start { config, peer_params, .. } = start;
        let mtu = config
            .mtu
            .min(usize::from(peer_params.max_udp_payload))
            .min(start.max_udp_payload)
            .max(stt_wire::MIN_MTU);
        let mut streams = Streams::new(
            start.initiator,
            LocalLimits::new(
                config.max_concurrent_streams,
                config.stream_recv_buffer,
                config.recv_buffer,
            )
            .beginning_with(start.first_window),
        );
        streams.set_peer_limits(PeerLimits {
            max_bidi: peer_params.max_bidi_streams,
            max_uni: peer_params.max_uni_streams,
            stream_window: peer_params.stream_window,
            session_window: peer_params.session_window,
        });
        let recovery = Recovery::new(
            &RecoveryConfig {
                mtu: stt_wire::MIN_MTU as u16,
                max_ack_delay: Duration::from_micros(u64::from(peer_params.max_ack_delay_us))
                    .min(MAX_PEER_ACK_DELAY),
                initial_rtt: start.rtt.unwrap_or(INITIAL_RTT),
                ecn: !start.path.is_reliable(),
                reliable: start.path.is_reliable(),
            },
            controller(config.congestion),
        );
        let peer_timeout = Duration::from_millis(u64::from(peer_params.max_idle_ms));
        Self {
            initiator: start.initiator,
            state,
            peer: start.peer,
            session_id: start.session_id,
            local_id: start.local_id,
            remote_id: PeerId {
                id: start.peer_id,
                reset_token: start.peer_reset_token,
                sequence: 0,
            },
            ids: Box::new(PathIds::new(start.local_id)),
            moving: None,
            keys: start.keys,
            replay: ReplayWindow::new(),
            integrity_limit: start.integrity_limit,
            failed_opens: 0,
            malformed_in_a_row: 0,
            next_pn: 0,
            largest_opened: None,
            largest_acked: None,
            ecn_received: None,
            path: Path::new(start.path, mtu, start.initiator),
            recovery,
            received: ReceivedPackets::new(MAX_ACK_DELAY),
            streams,
            messages: Box::new(Messages::new(&config, peer_params.max_message)),
            liveness: Liveness::new(
                now,
                config.keep_alive_interval,
                config.keep_alive_timeout,
                peer_timeout,
            ),
            proof: None,
            beginning: Some(start.beginning),
            verdict: None,
            verdict_acked: false,
            verdict_pending: false,
            farewell: Farewell::default(),
            confirm: false,
            echoes: Vec::new(),
            pings: VecDeque::new(),
            next_ping: 0,
            keep_alive_due: false,
            silent: false,
            seeking: false,
            last_datagram: 0,
            paced_until: None,
            stats: SessionStats::default(),
            untold: Box::default(),
            tell_at: None,
            quality: None,
            strain: None,
            path_is_new: true,
            released: false,
            offered: false,
            watched: None,
            charged: 0,
            config,
        }
    }

    pub(crate) fn config(&self) -> &Arc<SessionConfig> {
        &self.config
    }

    /// Responder: the proof came again, so that the peer lacks FINAL. It is told that the proof has
    /// arrived while there is no verdict, and the verdict once there is; nothing once it has that.
    pub(crate) fn on_repeated_proof(&mut self, now: Instant) {
        if matches!(self.state, State::AwaitAuthorize { .. }) {
            self.confirm = true;
        } else if self.repeats_final(now) {
            self.verdict_pending = true;
            self.on_late_packet();
        }
    }

    /// Responder: FINAL says yes.
    pub(crate) fn accept(&mut self, cx: &mut Context<'_>) {
        if !matches!(self.state, State::AwaitAuthorize { .. }) {
            return;
        }
        self.state = State::Open;
        self.verdict = Some(Verdict { status: 0, subcode: 0 });
        self.verdict_pending = true;
        self.connected(cx);
    }

    /// Responder: FINAL says no.
    pub(crate) fn refuse(&mut self, cx: &mut Context<'_>, code: ErrorCode, subcode: u8) {
        if !matches!(self.state, State::AwaitAuthorize { .. }) {
            return;
        }
        self.state = State::Refused { until: cx.now.mono + self.config.handshake_timeout };
        self.verdict = Some(Verdict { status: code.as_u16(), subcode });
        self.verdict_pending = true;
        self.drop_early();
        self.forget_ticket();
    }

    /// Initiator with `early`: the application may use the session.
    pub(crate) fn connected_early(&mut self, cx: &mut Context<'_>) {
        self.announce(cx);
    }

    fn connected(&mut self, cx: &mut Context<'_>) {
        // The search for larger datagrams begins once FINAL is acknowledged: until then the path
        // owes the initiator nothing but that.
        if !self.verdict_pending {
            self.path.mtu.start(cx.now.mono);
        }
        self.liveness.on_activity(cx.now.mono);
        self.announce(cx);
    }

    fn announce(&mut self, cx: &mut Context<'_>) {
        let (resumed, early_data) = self.origin();
        cx.events.push_back(Event::Connected {
            session: cx.handle,
            peer: self.peer,
            session_id: self.session_id,
            remote: self.path.address,
            initiator: self.initiator,
            resumed,
            early_data,
        });
    }

    /// Whether the application knows the session as usable.
    fn is_usable(&self) -> bool {
        match &self.state {
            State::Open => true,
            State::AwaitFinal { early, .. } => *early,
            State::Ending(ending) => !ending.is_told(),
            State::AwaitAuthorize { .. } | State::Refused { .. } => false,
        }
    }

    /// Whether streams may be opened and written to.
    fn is_writable(&self) -> bool {
        match &self.state {
            State::Open => true,
            State::AwaitFinal { early, .. } => *early,
            _ => false,
        }
    }

    pub(crate) fn local_id(&self) -> PathId {
        self.local_id
    }

    pub(crate) fn peer_id(&self) -> PathId {
        self.remote_id.id
    }

    pub(crate) fn peer(&self) -> NodeId {
        self.peer
    }

    pub(crate) fn remote(&self) -> &PathAddress {
        &self.path.address
    }

    pub(crate) fn is_initiator(&self) -> bool {
        self.initiator
    }

    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.state, State::Refused { .. })
    }

    /// Moves what the streams have to tell into the endpoint's events.
    pub(crate) fn publish(&mut self, cx: &mut Context<'_>) {
        self.publish_to(cx.handle, cx.events);
    }

    /// The same, where nothing else of the endpoint is at hand.
    pub(crate) fn publish_to(&mut self, handle: SessionHandle, events: &mut VecDeque<Event>) {
        if self.is_usable() {
            while let Some(event) = self.streams.poll_event() {
                events.push_back(event.for_session(handle));
            }
            if let Some(max) = self.messages.poll_max_size(self.message_room()) {
                events.push_back(Event::MessageSize { session: handle, max });
            }
            if self.messages.poll_readable() {
                events.push_back(Event::MessagesReadable { session: handle });
            }
        }
    }

    pub(crate) fn open_stream(&mut self, options: StreamOptions) -> Result<StreamId, OpenError> {
        if !self.is_writable() {
            return Err(OpenError::SessionClosed);
        }
        self.streams.open(options)
    }

    pub(crate) fn write(
        &mut self,
        now: Instant,
        id: StreamId,
        bytes: Bytes,
    ) -> Result<(), WriteError> {
        if !self.is_writable() {
            return Err(WriteError::SessionClosed);
        }
        self.streams.write(now, id, bytes)
    }

    pub(crate) fn finish(&mut self, id: StreamId) -> Result<(), WriteError> {
        self.streams.finish(id)
    }

    pub(crate) fn reset(&mut self, id: StreamId, code: u64) -> Result<(), WriteError> {
        self.streams.reset(id, code)
    }

    pub(crate) fn stop(&mut self, id: StreamId, code: u64) -> Result<(), ReadError> {
        self.streams.stop(id, code)
    }

    pub(crate) fn read(&mut self, id: StreamId, max: usize) -> Result<ReadOutcome, ReadError> {
        self.streams.read(id, max)
    }

    pub(crate) fn consumed(&mut self, now: Instant, id: StreamId, bytes: u64) {
        self.streams.consumed(now, self.recovery.rtt().measured(), id, bytes);
    }

    /// Takes a message to send.
    pub(crate) fn send_message(
        &mut self,
        now: Instant,
        message: Message,
    ) -> Result<(), MessageError> {
        if !self.is_writable() {
            return Err(MessageError::SessionClosed);
        }
        self.path.mtu.want(now);
        self.messages.send(message, self.message_room())
    }

    /// Takes out the next message of the peer.
    pub(crate) fn read_message(&mut self) -> Option<Message> {
        self.messages.read()
    }

    /// How much more the endpoint may hold, from now on.
    pub(crate) fn set_room(&mut self, room: Room) {
        self.streams.set_room(room);
    }

    /// Brings what `memory` counts for this session in line with what it holds and has promised. What
    /// the application writes its driver counts.
    pub(crate) fn charge_memory(&mut self, memory: &Memory) {
        let held =
            Memory::SESSION + self.streams.memory(self.has_ended()) + self.messages.held_incoming();
        if held != self.charged {
            memory.adjust(self.charged, held);
            self.charged = held;
        }
    }

    /// Bytes that the endpoint's memory counts for this session.
    pub(crate) const fn charged(&self) -> u64 {
        self.charged
    }

    /// The size of the packets that messages may count on: larger ones come and go with the window.
    pub(super) fn message_room(&self) -> usize {
        self.path.mtu.usable().min(MAX_CONTROL_QUANTUM)
    }

    /// The longest message that would be taken now.
    pub(crate) fn max_message_size(&self) -> usize {
        self.messages.max_size(self.message_room())
    }

    /// Looks for what the path carries, whether or not there is anything to send.
    pub(crate) fn want_mtu(&mut self, now: Instant) {
        self.path.mtu.want(now);
    }

    /// Bytes of messages that wait to be sent, each message's own cost included.
    pub(crate) fn queued_messages(&self) -> u64 {
        self.messages.queued()
    }

    /// Whether custom frames of this type are for the application.
    pub(crate) fn handle_frames(&mut self, frame_type: FrameType, held: bool) {
        self.messages.set_handled(frame_type, held);
    }

    /// Asks the peer for a sign of life; the answer is `Event::Pong` with the token returned. `None` when as many
    /// as may be are asked for already.
    pub(crate) fn ping(&mut self) -> Option<u64> {
        if self.pings.len() + self.liveness.pings_under_way() >= liveness::MAX_ASKED_PINGS {
            return None;
        }
        let token = self.next_ping;
        self.next_ping += 1;
        self.pings.push_back(token);
        Some(token)
    }

    /// Nobody waits for the answer to that ping any more.
    pub(crate) fn cancel_ping(&mut self, token: u64) {
        if self.liveness.cancel_ping(token) {
            return;
        }
        // Those given up are the oldest more often than not.
        if let Some(place) = self.pings.iter().position(|waiting| *waiting == token) {
            self.pings.remove(place);
        }
        if self.pings.is_empty() {
            self.pings = VecDeque::new();
        }
    }

    pub(crate) fn stats(&self) -> SessionStats {
        let (rtt, skips) = (self.recovery.rtt(), self.streams.skip_counts());
        SessionStats {
            rtt: rtt.smoothed(),
            rtt_var: rtt.variance(),
            rtt_min: rtt.min(),
            congestion_window: self.recovery.window(),
            bytes_in_flight: self.recovery.bytes_in_flight(),
            mtu: self.path.mtu.current() as u64,
            messages: self.messages.counts(),
            bytes_given_up: skips.given_up,
            bytes_skipped: skips.skipped,
            ..self.stats
        }
    }

    /// What the network said about our datagrams.
    pub(crate) fn on_path_error(
        &mut self,
        cx: &mut Context<'_>,
        error: PathError,
        quoted: Option<&[u8]>,
    ) {
        match error {
            PathError::Refused => {
                let number = quoted.and_then(|quoted| self.quoted_number(quoted));
                if let Some(number) = number {
                    self.liveness.on_refused(cx.now.mono, number);
                    self.begin_silence(cx);
                    self.die_if_refused(cx);
                }
            }
            PathError::MessageTooLong { mtu: 0 } => {}
            PathError::MessageTooLong { mtu } => {
                let limit = mtu.saturating_sub(self.path.ip_overhead());
                let change = self.path.mtu.on_packet_too_big(cx.now.mono, limit);
                self.on_mtu_change(cx, change);
            }
            // A host that is away for a moment is no reason to end a session: silence decides.
            PathError::Unreachable { .. } => {}
        }
    }

    /// The number of the packet of ours that a report quotes, if it does quote one that is on its way:
    /// who sees no packet of this session cannot make one up, as number and header are masked with a
    /// key, and what the peer has acknowledged was not refused (PROTOCOL.md section 6.2).
    fn quoted_number(&self, quoted: &[u8]) -> Option<u64> {
        let (head, rest) = quoted.split_first_chunk::<HEADER_LEN>()?;
        let mut head = *head;
        apply_mask(&mut head, &self.keys.mask(rest.first_chunk()?));
        let header = Header::read(&head);
        if !header.flags.contains(Flags::SEALED) || header.path_id != self.remote_id.id {
            return None;
        }
        let number = decode_packet_number(self.next_pn.checked_sub(1), header.packet_number);
        (number < self.next_pn && self.largest_acked < Some(number)).then_some(number)
    }

    /// What the socket said about a batch of so many datagrams.
    pub(crate) fn on_send_error(
        &mut self,
        cx: &mut Context<'_>,
        path: &PathAddress,
        error: SendError,
        datagrams: u32,
    ) {
        if self.on_other_path_refused(cx, path, error) {
            self.liveness.departures.retract();
            return;
        }
        // What every path must carry: this one cannot be used at all, as far as it is up to us.
        let hopeless = usize::from(self.last_datagram) <= stt_wire::MIN_MTU;
        if !error.is_too_long() || hopeless {
            self.stats.send_errors += u64::from(datagrams);
            let untold = self.liveness.departures.on_refused(cx.now.mono, error, datagrams);
            self.tell_refused(cx, untold, error);
            // What was in it, and what is in flight, goes out again once something can. ACKs and
            // keep-alives do not come back by that: something has to find out whether it can.
            self.requeue_in_flight(cx);
            self.keep_alive_due |= self.is_established() && self.is_live();
            self.on_local_address_lost(cx, error);
            return;
        }
        self.liveness.departures.retract();
        self.recovery.on_too_large();
        let change = self.path.mtu.on_refused(cx.now.mono, usize::from(self.last_datagram));
        self.on_mtu_change(cx, change);
    }

    /// Tells of datagrams that the socket refused.
    fn tell_refused(&mut self, cx: &mut Context<'_>, untold: Option<u32>, error: SendError) {
        if let Some(count) = untold.map(u64::from) {
            let (session, remote) = (Some(cx.handle), self.path.address);
            let error = send_fault(error, Duration::ZERO);
            cx.events.push_back(Event::SendError { session, remote, error, count });
        }
    }

    /// Tells of those since the last time, once a second.
    fn tell_departures(&mut self, cx: &mut Context<'_>) {
        let error = self.liveness.departures.last_error();
        let untold = self.liveness.departures.due(cx.now.mono);
        self.tell_refused(cx, untold, error);
    }

    /// Brings what depends on the size of datagrams in line with it.
    pub(super) fn on_mtu_change(&mut self, cx: &mut Context<'_>, change: MtuChange) {
        if change != MtuChange::None {
            self.recovery.on_mtu_update(self.path.mtu.current().min(MAX_CONTROL_QUANTUM) as u16);
        }
        if change == MtuChange::Shrunk {
            self.requeue_in_flight(cx);
        }
    }

    /// A reset claims that the peer does not know this session; true when its token proves it.
    pub(crate) fn is_reset_by(&self, token: &[u8; 16]) -> bool {
        self.remote_id.reset_token.is_some_and(|expected| stt_crypto::ct_eq(&expected, token))
    }

    fn waited(since: Instant, now: Instant) -> FaultDetail {
        FaultDetail::Waited { ms: now.saturating_duration_since(since).as_millis() as u64 }
    }
}

fn controller(kind: CongestionControl) -> Box<dyn Controller> {
    let mtu = stt_wire::MIN_MTU as u16;
    match kind {
        CongestionControl::Cubic => Box::new(Cubic::new(mtu)),
        CongestionControl::Bbr => Box::new(Bbr::new(mtu)),
        CongestionControl::NewReno => Box::new(NewReno::new(mtu)),
    }
}
