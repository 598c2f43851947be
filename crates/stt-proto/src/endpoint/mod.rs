//! One endpoint: every session of a shard, the handshakes that lead to them, and the dispatch of
//! datagrams by path id.

mod admission;
#[cfg(test)]
mod closing_tests;
mod commands;
#[cfg(test)]
mod connection_tests;
mod connections;
mod cookie;
mod dispatch;
mod half_open;
mod initiator;
#[cfg(feature = "inspect")]
mod inspect;
mod limiter;
#[cfg(test)]
mod memory_tests;
#[cfg(test)]
mod moving_tests;
mod races;
mod refusal;
mod responder;
mod resume_initiator;
mod resume_responder;
mod seen;
mod slots;
mod sources;
#[cfg(test)]
mod tests;
mod tickets;
mod timers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use core::time::Duration;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use rustc_hash::FxHashMap;
use stt_crypto::{Aead, DecoyPool, NetworkKeys, NodeId, NodeIdentity, TrafficSecrets};
use stt_wire::PathId;

use crate::config::{EndpointConfig, ListenConfig, SessionConfig};
use crate::departures::Departures;
use crate::event::{Event, SessionHandle};
use crate::fault::Fault;
use crate::memory::Memory;
use crate::path::{PathAddress, Transmit};
use crate::recovery::{Content, Fate};
use crate::rtts::RttHistogram;
use crate::scratch::{self, FEW, Scratch};
use crate::session::{Context, Session};
use crate::stats::{EndpointStats, FrameErrorCounts};
use crate::streams::{Blocks, INITIAL_SESSION_WINDOW};
use crate::time::{Instant, Now};
use crate::trace::{TracedSecret, Tracer};

use self::admission::Admission;
use self::connections::Connections;
use self::cookie::Cookies;
use self::half_open::HalfOpenTable;
use self::initiator::Connecting;
use self::limiter::Limiter;
use self::races::Races;
use self::refusal::Stateless;
use self::seen::Seen;
use self::slots::Slots;
use self::sources::SourceLimiter;
use self::tickets::Tickets;
use self::timers::TimerHeap;

pub use self::commands::{Close, ConnectError};

/// Timer key of the half-open table and of tickets' keys.
const HALF_OPEN_TIMER: u32 = 0;
/// Timer key of the memory for what streams bring.
const BLOCKS_TIMER: u32 = 1;
/// Timer key of working memory that is not needed any more.
const SPARE_TIMER: u32 = 2;
/// Timer keys of slots come after those.
const FIRST_SLOT_TIMER: u32 = 3;

/// Bytes of memory to keep for what streams bring: an eighth of the ceiling at most.
fn kept_blocks(config: &EndpointConfig) -> usize {
    let most = usize::try_from(config.max_memory / 8).unwrap_or(usize::MAX);
    config.receive_blocks.min(most)
}

/// Timer key of a slot.
fn timer_key(slot: u32) -> u32 {
    slot + FIRST_SLOT_TIMER
}

/// What a path id that this endpoint issued stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Route {
    /// A session, or a connect in progress, by slot.
    Slot(u32),
    /// A half-open handshake at the responder, by its index in the table.
    HalfOpen(u32),
}

/// Whose a batch of datagrams was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum BatchOf {
    /// Of a session, or a connect in progress.
    Slot(u32),
    /// An answer to somebody who has neither.
    Nobody,
}

/// What a slot holds.
enum Entry {
    Connecting(Box<Connecting>),
    Session(Box<Session>),
}

/// The sans-IO machine of one shard. See the crate's documentation for the law of its use.
pub struct Endpoint {
    config: EndpointConfig,
    session_defaults: Arc<SessionConfig>,
    identity: NodeIdentity,
    /// Keys of every shared seed, the one to use for new connects first.
    networks: Vec<NetworkKeys>,
    rng: ChaCha12Rng,
    slots: Slots<Entry>,
    /// Slots whose session or connect has not ended.
    live: usize,
    /// Those of them that peers opened.
    accepted: usize,
    /// What each source and peer has of them.
    admission: Admission,
    /// Peers that are not to come back.
    revoked: BTreeSet<NodeId>,
    /// Path ids issued here. All of them are random draws of this endpoint, so that no peer can
    /// choose where they fall in the table.
    routes: FxHashMap<PathId, Route>,
    /// Path ids that peers issued, with where they are used: what a reset is looked up by.
    remotes: BTreeMap<(PathId, [u8; 19]), u32>,
    connections: Connections,
    races: Races,
    timers: TimerHeap,
    /// Timer keys that one `handle_timeout` acts on; kept for its allocation.
    due: Vec<u32>,
    /// Slots that may have something to send; each stands here at most once.
    ready: VecDeque<u32>,
    /// Slots that the current call changed.
    touched: Vec<u32>,
    /// Slots whose numbers changed since they were last told; each stands here at most once.
    changed: Vec<u32>,
    events: VecDeque<Event>,
    /// The most events that waited at once since working memory was last given back.
    most_events: usize,
    /// Whether it is to be given back at a time that is set.
    is_spare_due: bool,
    stateless: Stateless,
    listen: Option<ListenConfig>,
    half_open: HalfOpenTable,
    seen: Seen,
    tickets: Tickets,
    /// Sessions that a RESUME made, by its ephemeral key, until their peers have been heard.
    resuming: BTreeMap<[u8; 32], SessionHandle>,
    /// How many of them bring on a look for those that have been heard.
    resuming_limit: usize,
    cookies: Cookies,
    decoys: DecoyPool,
    limits: Limits,
    stats: EndpointStats,
    /// Frame errors outside any session, not yet told.
    untold: FrameErrorCounts,
    /// Whose the last batch was, and of how many datagrams.
    last_transmit: (BatchOf, u32),
    /// What became of answers outside any session.
    departures: Departures,
    /// The slot whose datagram the system found too large last: what it says of its link is for it.
    too_large: Option<u32>,
    /// Working memory of the sessions, see [`Context`].
    contents: Scratch<Content>,
    fates: Scratch<(Fate, Content)>,
    blocks: Blocks,
    /// What the sessions hold, and their driver.
    memory: Arc<Memory>,
    /// What memory counts for blocks that nobody reads in.
    charged_blocks: u64,
    /// Of all sessions.
    rtts: RttHistogram,
    tracer: Option<Box<dyn Tracer>>,
}

/// What rates everything that strangers can provoke.
struct Limits {
    decoys: Limiter,
    refusals: Limiter,
    resets: Limiter,
    handshake_events: Limiter,
    frame_events: Limiter,
    /// The same for each source, and RETRY, which only holders of the seed draw.
    source_decoys: SourceLimiter,
    source_refusals: SourceLimiter,
    source_resets: SourceLimiter,
    source_retries: SourceLimiter,
}

impl Limits {
    fn new(rng: &mut ChaCha12Rng) -> Self {
        let every = Duration::from_millis;
        Self {
            decoys: Limiter::new(every(2), 100),
            refusals: Limiter::new(every(2), 100),
            resets: Limiter::new(every(2), 100),
            handshake_events: Limiter::new(every(100), 16),
            frame_events: Limiter::new(every(1000), 4),
            source_decoys: SourceLimiter::new(rng, every(20), 16),
            source_refusals: SourceLimiter::new(rng, every(10), 32),
            source_resets: SourceLimiter::new(rng, every(10), 32),
            source_retries: SourceLimiter::new(rng, every(1), 256),
        }
    }
}

impl Endpoint {
    /// An endpoint that neither listens nor connects yet.
    ///
    /// `networks` holds the keys of every shared seed, the newest first: connects use the first
    /// and fall back to the next, a listener takes any. `rng_seed` is all the randomness the
    /// endpoint ever gets: 32 bytes from the system's generator, never used twice.
    pub fn new(
        config: EndpointConfig,
        identity: NodeIdentity,
        networks: Vec<NetworkKeys>,
        rng_seed: [u8; 32],
    ) -> Self {
        let mut rng = ChaCha12Rng::from_seed(rng_seed);
        let seen = Seen::new(&mut rng, config.timestamp_window);
        let cookies = Cookies::new(&mut rng);
        let decoys = DecoyPool::new(&mut rng);
        let limits = Limits::new(&mut rng);
        let memory = Arc::new(Memory::new(config.max_memory));
        let blocks = Blocks::new(kept_blocks(&config));
        Self {
            session_defaults: Arc::new(config.session.clone()),
            config,
            identity,
            networks,
            slots: Slots::default(),
            live: 0,
            accepted: 0,
            admission: Admission::default(),
            revoked: BTreeSet::new(),
            routes: FxHashMap::default(),
            remotes: BTreeMap::new(),
            connections: Connections::default(),
            races: Races::default(),
            timers: TimerHeap::default(),
            due: Vec::new(),
            ready: VecDeque::new(),
            touched: Vec::new(),
            changed: Vec::new(),
            events: VecDeque::new(),
            most_events: 0,
            is_spare_due: false,
            stateless: Stateless::default(),
            listen: None,
            half_open: HalfOpenTable::default(),
            seen,
            tickets: Tickets::default(),
            resuming: BTreeMap::new(),
            resuming_limit: 16,
            cookies,
            decoys,
            limits,
            stats: EndpointStats::default(),
            untold: FrameErrorCounts::default(),
            last_transmit: (BatchOf::Nobody, 0),
            departures: Departures::default(),
            too_large: None,
            contents: Scratch::default(),
            fates: Scratch::default(),
            blocks,
            memory,
            charged_blocks: 0,
            rtts: RttHistogram::default(),
            tracer: None,
            rng,
        }
    }

    /// This node's id.
    pub fn node_id(&self) -> NodeId {
        self.identity.node_id()
    }

    /// Starts or stops accepting peers. Sessions that live already are left alone.
    pub fn set_listening(&mut self, listen: Option<ListenConfig>) {
        self.listen = listen;
    }

    /// Whether peers are accepted.
    pub fn is_listening(&self) -> bool {
        self.listen.is_some()
    }

    /// What the sessions hold together. A driver counts what it holds for them in it, too.
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// Counts in `memory` from now on, which takes the place of the one made from the configuration:
    /// before there is any session.
    pub fn share_memory(&mut self, memory: Arc<Memory>) {
        debug_assert!(self.slots.len() == 0, "sessions are counted elsewhere already");
        self.memory = memory;
    }

    /// Sessions from here on are offered to `tracer`, and secrets if it wants them; see
    /// [`crate::trace`].
    pub fn set_tracer(&mut self, tracer: Option<Box<dyn Tracer>>) {
        self.tracer = tracer;
    }

    /// Takes the next event, in the order of what happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        // Whoever drives takes them all after each call: as many as wait then waited at once.
        self.most_events = self.most_events.max(self.events.len());
        self.events.pop_front()
    }

    /// When [`Endpoint::handle_timeout`] is to be called at the latest.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        self.timers.next()
    }

    /// Acts on every deadline that has come.
    pub fn handle_timeout(&mut self, now: Now) {
        // All of them first, each acted on once: what a deadline makes sendable stays due until it
        // has been sent.
        let mut due = core::mem::take(&mut self.due);
        while let Some(key) = self.timers.pop_due(now.mono) {
            due.push(key);
        }
        for key in due.drain(..) {
            let slot = match key {
                HALF_OPEN_TIMER => {
                    self.expire_half_open(now);
                    continue;
                }
                BLOCKS_TIMER => {
                    let next = self.blocks.end_period(now.mono);
                    self.timers.set(BLOCKS_TIMER, next);
                    self.charge_blocks();
                    continue;
                }
                SPARE_TIMER => {
                    self.give_back_spare(now.mono);
                    continue;
                }
                slot => slot - FIRST_SLOT_TIMER,
            };
            match self.slots.get_mut(slot) {
                Some(Entry::Connecting(_)) => self.connecting_timeout(now, slot),
                Some(Entry::Session(_)) => {
                    self.with_session(now, slot, |session, context| {
                        session.handle_timeout(context);
                    });
                    self.restart_if_stale(now, slot);
                }
                None => {}
            }
        }
        self.due = due;
    }

    /// Writes the next datagram, or the next batch of equal datagrams for one peer, to the start of
    /// `buf` and says where it goes. `None` when there is nothing to send now.
    ///
    /// A batch has at most `max_segments` datagrams, `buf.len()` bytes, and 65 507 bytes.
    pub fn poll_transmit(
        &mut self,
        now: Now,
        max_segments: usize,
        buf: &mut [u8],
    ) -> Option<Transmit> {
        let transmit = self.next_transmit(now, max_segments, buf)?;
        let segments = transmit.segment_size.map_or(1, |size| transmit.len.div_ceil(size));
        self.last_transmit.1 = segments as u32;
        self.stats.datagrams_sent += segments as u64;
        self.stats.bytes_sent += transmit.len as u64;
        Some(transmit)
    }

    fn next_transmit(&mut self, now: Now, max_segments: usize, buf: &mut [u8]) -> Option<Transmit> {
        while let Some(transmit) = self.stateless.pop(buf) {
            if self.charge(&transmit.path, transmit.len) {
                self.last_transmit.0 = BatchOf::Nobody;
                return Some(transmit);
            }
        }
        while let Some(slot) = self.ready.pop_front() {
            self.slots.set_queued(slot, false);
            self.hold_if_full(slot);
            let transmit = match self.slots.get_mut(slot) {
                Some(Entry::Connecting(connecting)) => {
                    let transmit = connecting.poll_transmit(now.mono, buf);
                    self.settle_connecting(now, slot);
                    transmit
                }
                Some(Entry::Session(_)) => {
                    let transmit = self
                        .run(now, slot, |session, cx| session.poll_transmit(cx, max_segments, buf))
                        .flatten();
                    self.arm(now.mono, slot);
                    if transmit.is_some() {
                        // To the end of the queue: sessions take turns batch by batch.
                        self.wake(slot);
                    }
                    transmit
                }
                None => None,
            };
            if let Some(transmit) = transmit
                && self.charge(&transmit.path, transmit.len)
            {
                self.last_transmit.0 = BatchOf::Slot(slot);
                return Some(transmit);
            }
        }
        None
    }

    /// Counters of this endpoint.
    pub fn stats(&self) -> EndpointStats {
        EndpointStats {
            sessions: self.live as u64,
            half_open: self.half_open.len() as u64,
            receive_blocks_made: self.blocks.made(),
            receive_blocks_held: self.blocks.held(),
            memory_used: self.memory.used(),
            memory_limit: self.memory.limit(),
            memory_refused: self.memory.refused(),
            rtt_samples: self.rtts.samples(),
            rtt_p50: self.rtts.median(),
            rtt_p99: self.rtts.p99(),
            ..self.stats
        }
    }

    /// Runs `act` on a session, then brings timers, queues and events in line with what it changed.
    fn with_session<R>(
        &mut self,
        now: Now,
        slot: u32,
        act: impl FnOnce(&mut Session, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let result = self.run(now, slot, act)?;
        self.settle(now, slot);
        Some(result)
    }

    /// Runs `act` on a session; [`Endpoint::settle`] must follow.
    fn run<R>(
        &mut self,
        now: Now,
        slot: u32,
        act: impl FnOnce(&mut Session, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let handle = self.slots.handle(slot)?;
        let Some(Entry::Session(session)) = self.slots.get_mut(slot) else { return None };
        let mut context = Context {
            now,
            handle,
            events: &mut self.events,
            arrival: None,
            rng: &mut self.rng,
            identity: &self.identity,
            frame_errors: &mut self.stats.frame_errors,
            contents: &mut self.contents,
            fates: &mut self.fates,
            blocks: &mut self.blocks,
            rtts: &mut self.rtts,
        };
        let ended = session.has_ended();
        session.set_room(self.memory.look());
        if let Some(tracer) = &mut self.tracer {
            session.offer_to(&mut **tracer, &context);
        }
        let result = act(session, &mut context);
        session.trace_changes(now.mono);
        session.charge_memory(&self.memory);
        if !ended && session.has_ended() {
            self.live -= 1;
            self.accepted -= usize::from(!session.is_initiator());
            self.admission.close(slot);
        }
        self.charge_blocks();
        Some(result)
    }

    /// Brings timers, queues and events in line with a session that was changed.
    fn settle(&mut self, now: Now, slot: u32) {
        self.update_routes(slot);
        self.note_connection(slot);
        self.judge_race(now, slot);
        let sendable = self.run(now, slot, |session, cx| {
            session.publish(cx);
            session.wants_transmit(cx.now.mono)
        });
        self.arm(now.mono, slot);
        if sendable == Some(true) {
            self.wake(slot);
        }
    }

    /// Brings the tables by which datagrams find a session in line with where it is, and sets path
    /// ids aside for it.
    fn update_routes(&mut self, slot: u32) {
        let Some(Entry::Session(session)) = self.slots.get_mut(slot) else { return };
        if let Some(changes) = session.take_route_changes() {
            let now = (session.peer_id(), session.remote().remote_bytes());
            for route in changes.left {
                if self.remotes.get(&route) == Some(&slot) {
                    self.remotes.remove(&route);
                }
            }
            self.remotes.entry(now).or_insert(slot);
            for id in changes.retired {
                self.routes.remove(&id);
            }
        }
        while matches!(self.slots.get(slot), Some(Entry::Session(s)) if s.wants_path_id()) {
            let id = self.fresh_path_id();
            let Some(Entry::Session(session)) = self.slots.get_mut(slot) else { return };
            session.issue_path_id(id);
            self.routes.insert(id, Route::Slot(slot));
        }
    }

    /// Sets a session's timer, or forgets the session when nothing of it is of use any more.
    fn arm(&mut self, now: Instant, slot: u32) {
        let Some(Entry::Session(session)) = self.slots.get(slot) else { return };
        if session.is_gone() {
            self.remove(slot);
        } else {
            let deadline = session.next_timeout(now);
            self.timers.set(timer_key(slot), deadline);
            if self.slots.set_changed(slot, true) {
                self.changed.push(slot);
            }
        }
        self.watch_spare(now);
    }

    /// Sets a time for giving working memory back, once there is more of it than is always kept.
    fn watch_spare(&mut self, now: Instant) {
        if !self.is_spare_due
            && (self.fates.has_spare() || self.contents.has_spare() || self.events.capacity() > FEW)
        {
            self.is_spare_due = true;
            self.timers.set(SPARE_TIMER, Some(now + scratch::PERIOD));
        }
    }

    /// Gives back the working memory that was not needed since it was last given back.
    fn give_back_spare(&mut self, now: Instant) {
        self.fates.give_back();
        self.contents.give_back();
        let kept = scratch::kept(core::mem::take(&mut self.most_events));
        if self.events.capacity() > kept {
            self.events.shrink_to(kept);
        }
        self.is_spare_due = false;
        self.watch_spare(now);
    }

    /// Puts a slot in the queue of those that may send, once.
    fn wake(&mut self, slot: u32) {
        if self.slots.set_queued(slot, true) {
            self.ready.push_back(slot);
        }
    }

    /// Forgets a slot and everything that pointed to it.
    fn remove(&mut self, slot: u32) {
        let Some(entry) = self.slots.remove(slot) else { return };
        self.timers.set(timer_key(slot), None);
        self.races.leave(slot);
        match entry {
            Entry::Connecting(connecting) => {
                self.live -= 1;
                self.memory.sub(self.session_cost());
                for id in connecting.path_ids() {
                    self.routes.remove(&id);
                }
            }
            Entry::Session(session) => {
                self.memory.sub(session.charged());
                for id in session.local_ids() {
                    self.routes.remove(&id);
                }
                let remote = (session.peer_id(), session.remote().remote_bytes());
                if self.remotes.get(&remote) == Some(&slot) {
                    self.remotes.remove(&remote);
                }
            }
        }
    }

    /// What a session takes as it begins, a connect in progress included.
    fn session_cost(&self) -> u64 {
        let window = self.session_defaults.recv_buffer.min(self.memory.first_window());
        Memory::SESSION + window.min(INITIAL_SESSION_WINDOW)
    }

    /// Puts something else in a slot.
    fn replace(&mut self, slot: u32, entry: Entry) {
        let cost = self.session_cost();
        let charged = |entry: &Entry| match entry {
            Entry::Connecting(_) => cost,
            Entry::Session(session) => session.charged(),
        };
        let before = self.slots.get(slot).map_or(0, charged);
        self.memory.adjust(before, charged(&entry));
        self.slots.replace(slot, entry);
    }

    /// Counts the blocks that are kept for use again, and lets go of them where memory is short.
    fn charge_blocks(&mut self) {
        if self.memory.is_short() {
            self.blocks.give_back();
        }
        let kept = self.blocks.kept();
        if kept != self.charged_blocks {
            self.memory.adjust(self.charged_blocks, kept);
            self.charged_blocks = kept;
        }
    }

    /// A path id that this endpoint issues, not in use.
    fn fresh_path_id(&mut self) -> PathId {
        loop {
            let mut id = [0; 8];
            self.rng.fill_bytes(&mut id);
            id[0] = self.config.shard;
            let id = PathId(id);
            if id != PathId::ZERO && !self.routes.contains_key(&id) {
                return id;
            }
        }
    }

    /// Tells the private ephemeral key of an initiator's handshake, if anybody asked for it.
    fn trace_ephemeral(&mut self, public: &[u8; 32], private: &[u8; 32]) {
        if let Some(tracer) = self.tracer.as_mut().filter(|tracer| tracer.wants_secrets()) {
            tracer.secret(&TracedSecret::Ephemeral { public, private });
        }
    }

    /// Tells the first secrets of both directions, if anybody asked for them. `ids` are the path
    /// ids that the two directions' headers carry, the initiator's packets first.
    fn trace_secrets(&mut self, secrets: &TrafficSecrets, aead: Aead, ids: [PathId; 2]) {
        let Some(tracer) = self.tracer.as_mut().filter(|tracer| tracer.wants_secrets()) else {
            return;
        };
        for (path_id, secret) in ids.into_iter().zip(secrets.first_secrets()) {
            tracer.secret(&TracedSecret::Traffic { path_id, aead: aead.bit(), secret });
        }
    }

    fn handshake_error(&mut self, now: Now, remote: PathAddress, error: Fault) {
        if self.limits.handshake_events.take(now.mono) {
            self.events.push_back(Event::HandshakeError { remote, error });
        }
    }

    fn slot_of(&self, handle: SessionHandle) -> Option<u32> {
        (self.slots.handle(handle.index)? == handle).then_some(handle.index)
    }
}
