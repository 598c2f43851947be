//! One session of a scenario, from its connect to its end.

use core::time::Duration;

use bytes::Bytes;
use stt_proto::{
    Close, CloseReason, ConnectOptions, Event, Instant, PathAddress, SessionHandle, StreamId,
};

use super::{
    carriers::Carriers,
    datagrams::Datagrams,
    early::Early,
    end::End,
    plan::{EARLY, plans},
    race::Race,
    schedule::Schedule,
};
use crate::{
    random::Random,
    spec::FlowSpec,
    world::{NodeId, World},
};

/// How long a graceful end may take.
const DRAIN: Duration = Duration::from_secs(60);
/// Pause before a failed session is replaced.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Pause before a client comes back.
const RETURN_PAUSE: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Until this time.
    Waiting(Instant),
    Connecting,
    Open,
    Closing,
    Done,
}

/// See the module.
pub(crate) struct Flow {
    spec: FlowSpec,
    number: usize,
    client: NodeId,
    server: NodeId,
    start: Instant,
    phase: Phase,
    pub(crate) attempts: u32,
    sessions: [Option<SessionHandle>; 2],
    session_id: Option<[u8; 8]>,
    closed: [bool; 2],
    ends: [End; 2],
    send_buffer: u64,
    completed_at: Option<Instant>,
    schedule: Schedule,
    race: Option<Race>,
    random: Random,
    /// What brings the client back, and how often it has come.
    pub(crate) early: Early,
    returned: u32,
    pub(crate) datagrams: Datagrams,
    /// Moves that it was told of.
    pub(crate) moved: u64,
    /// The same for the server.
    pub(crate) followed: u64,
    /// Where it was moved to last, and whether the move is over.
    wanted: Option<(PathAddress, bool)>,
    carriers: Carriers,
}

impl Flow {
    pub(super) fn new(
        spec: FlowSpec,
        number: usize,
        copy: usize,
        [client, server]: [NodeId; 2],
        carriers: Carriers,
        seed: u64,
    ) -> Self {
        let start = Duration::from_millis(spec.start_ms + copy as u64 * spec.every_ms);
        let start = Instant::from_nanos(0) + start;
        Self {
            datagrams: Datagrams::new(&spec, number as u64),
            early: Early::default(),
            returned: 0,
            moved: 0,
            followed: 0,
            wanted: None,
            carriers,
            spec,
            number,
            client,
            server,
            start,
            phase: Phase::Waiting(start),
            attempts: 0,
            sessions: [None; 2],
            session_id: None,
            closed: [false; 2],
            ends: [End::default(), End::default()],
            send_buffer: 512 * 1024,
            completed_at: None,
            schedule: Schedule::default(),
            race: None,
            random: Random::new(seed, &format!("flow {number}")),
        }
    }

    pub(crate) fn set_send_buffer(&mut self, bytes: u64) {
        self.send_buffer = bytes;
    }

    pub(super) const fn start(&self) -> Instant {
        self.start
    }

    pub(super) const fn client(&self) -> NodeId {
        self.client
    }

    pub(super) const fn session(&self, end: usize) -> Option<SessionHandle> {
        self.sessions[end]
    }

    pub(super) const fn session_id(&self) -> Option<[u8; 8]> {
        self.session_id
    }

    pub(super) const fn set_session_id(&mut self, id: [u8; 8]) {
        self.session_id = Some(id);
    }

    /// The server's end, and the early data that it was given.
    pub(super) fn set_server_session(&mut self, session: SessionHandle, early: Option<Bytes>) {
        self.sessions[1] = Some(session);
        self.early.on_received(early);
    }

    pub(super) fn on_server_lost(&mut self) {
        if self.sessions[1].take().is_some() {
            self.closed[1] = true;
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// Time from the first connect to completion.
    pub(crate) fn took(&self) -> Option<Duration> {
        Some(self.completed_at?.saturating_duration_since(self.start))
    }

    /// Bytes that were read and checked, both ways.
    pub(crate) fn received(&self) -> u64 {
        self.ends[0].received + self.ends[1].received
    }

    /// The same for what one end read; 0 is the client.
    pub(crate) fn received_at(&self, end: usize) -> u64 {
        self.ends[end].received
    }

    /// Bytes that had arrived when the endless stream was ended, and the time that it took.
    pub(crate) fn steady(&self) -> Option<(u64, Duration)> {
        self.schedule.steady
    }

    /// Where it stands, for people.
    pub(crate) fn standing(&self) -> String {
        format!(
            "session {} {:?}; client: {}; server: {}",
            self.number,
            self.phase,
            self.ends[0].missing(),
            self.ends[1].missing()
        )
    }

    fn node(&self, end: usize) -> NodeId {
        if end == 0 { self.client } else { self.server }
    }

    fn key(&self, end: usize, index: u64) -> u64 {
        stream_key(self.number, self.attempts + self.returned, end, index)
    }

    fn begin(&mut self, world: &mut World) -> Result<(), String> {
        let plans = plans(&self.spec, |end, index| self.key(end, index));
        let counts = [plans[1].len(), plans[0].len()];
        let [forth, back] = plans;
        self.ends = [
            End::new(forth, counts[0], self.send_buffer),
            End::new(back, counts[1], self.send_buffer),
        ];
        let mut options = ConnectOptions { early: self.spec.early, ..ConnectOptions::default() };
        if let Some(limit) = self.spec.connect_timeout_ms {
            options.timeout = Duration::from_millis(limit);
        }
        if self.returned > 0 {
            let key = self.key(0, EARLY);
            self.early.prepare(&mut options, key, self.spec.early_data as usize);
        }
        let (now, path) = (world.now_at(self.client), self.carriers.first(world));
        let session = world
            .endpoint_mut(self.client)
            .connect(now, path, options)
            .map_err(|error| format!("connect: {error:?}"))?;
        self.sessions = [Some(session), None];
        self.closed = [false; 2];
        self.phase = Phase::Connecting;
        Ok(())
    }

    /// Acts on the time and on what has become possible.
    pub(super) fn advance(&mut self, world: &mut World) -> Result<(), String> {
        let now = world.now();
        if matches!(self.phase, Phase::Waiting(at) if at <= now) {
            self.begin(world)?;
        }
        if self.phase == Phase::Open {
            if let Some(session) = self.sessions[0].filter(|_| !self.closed[0])
                && let Some(path) = self.carriers.advance(world, session)?
            {
                self.wanted = Some((path, false));
            }
            self.tick(world)?;
            for end in 0..2 {
                self.move_bytes(world, end)?;
            }
            let complete = self.race.is_none()
                && self.ends.iter().all(End::is_complete)
                && self.datagrams.is_complete(world, [self.client, self.server], self.sessions);
            if let (true, [Some(_), Some(_)]) = (complete, self.sessions) {
                self.early.check()?;
                self.datagrams.check(world, [self.client, self.server], self.sessions)?;
                self.completed_at = Some(now);
                self.phase = Phase::Closing;
                if let Some(session) = self.sessions[0] {
                    let now = world.now_at(self.client);
                    world.endpoint_mut(self.client).close(now, session, Close::graceful(DRAIN));
                }
            }
        } else if self.phase == Phase::Connecting && self.sessions[1].is_some() {
            // A server that may use the session already.
            self.move_bytes(world, 1)?;
        }
        // A client that uses its session early may end it before its server says yes, or has heard of it at all. What
        // the server makes of it must end all the same, and be gone: `Play::forget` sees to that.
        if self.race.is_some() && self.closed[0] && self.sessions[1].is_none() {
            self.closed[1] = true;
        }
        if matches!(self.phase, Phase::Open | Phase::Closing) && self.closed == [true; 2] {
            self.completed_at = self.completed_at.or(Some(now));
            self.phase = Phase::Done;
            self.carriers.end(world);
            if self.returned < self.spec.returns {
                self.returned += 1;
                self.completed_at = None;
                self.start_over(now + RETURN_PAUSE);
            }
        }
        Ok(())
    }

    fn move_bytes(&mut self, world: &mut World, end: usize) -> Result<(), String> {
        let node = self.node(end);
        let Some(session) = self.sessions[end].filter(|_| !self.closed[end]) else { return Ok(()) };
        self.ends[end].write(world, node, session)?;
        self.ends[end].read(world, node, session)?;
        if end == 1 {
            self.schedule.pause(&self.spec, world.now(), &mut self.ends[1]);
        }
        Ok(())
    }

    /// What the application does by the clock.
    fn tick(&mut self, world: &mut World) -> Result<(), String> {
        let keys = |index| stream_key(self.number, self.attempts + self.returned, 0, index);
        self.schedule.advance(&self.spec, world.now(), &mut self.ends, keys);
        let nodes = [self.client, self.server];
        self.datagrams.advance(world, nodes, self.sessions)?;
        if let Some(race) = &mut self.race {
            race.advance(world, nodes, self.sessions, &self.ends);
        }
        Ok(())
    }

    /// When it wants to act by itself, after `now`.
    pub(super) fn next_wake(&self, now: Instant) -> Option<Instant> {
        let wakes = match self.phase {
            Phase::Waiting(at) => [Some(at), None, None, None, None, None],
            Phase::Open => {
                let [steady, chat, resume] = self.schedule.next_wakes(&self.spec);
                let race = self.race.as_ref().and_then(Race::next_wake);
                let carriers = self.carriers.next_wake();
                [steady, chat, resume, race, self.datagrams.next_wake(), carriers]
            }
            _ => [None; 6],
        };
        wakes.into_iter().flatten().filter(|at| *at > now).min()
    }

    pub(super) fn on_event(
        &mut self,
        world: &mut World,
        end: usize,
        event: &Event,
    ) -> Result<(), String> {
        match event {
            Event::Connected { early_data, .. } if end == 0 && self.phase == Phase::Connecting => {
                self.early.on_answer(early_data);
                self.on_connected(world);
            }
            Event::Ticket { ticket, .. } if end == 0 => self.early.ticket = Some(ticket.clone()),
            Event::PathChange { remote, .. } if end == 0 => {
                self.moved += 1;
                // Told again of where it is, after a path between that was never proven: it stayed.
                if let Some((wanted, true)) = &self.wanted
                    && wanted != remote
                {
                    return Err(format!("moved to {wanted:?} and went on to {remote:?} by itself"));
                }
            }
            Event::PathChange { .. } => self.followed += 1,
            Event::Moved { path, .. } => {
                self.wanted = Some((*path, true));
                self.carriers.on_moved(world, path);
            }
            Event::MoveFailed { path, .. } if end == 0 && self.spec.failover => {
                self.carriers.on_move_failed(world, path);
            }
            Event::MoveFailed { .. } => return Err(format!("end {end}: {event:?}")),
            Event::PathSilence { silent, .. } if end == 0 => {
                self.carriers.on_silence(world, *silent);
            }
            Event::PathLost { .. } if end == 0 => self.carriers.on_lost(world),
            Event::PathLost { .. } | Event::PathSilence { .. } => {}
            Event::MessagesReadable { session } => {
                self.datagrams.read(world, self.node(end), end, *session)?;
            }
            Event::StreamReset { stream, .. } | Event::StreamStopped { stream, .. } => {
                self.on_aborted(end, *stream, event)?;
            }
            Event::ConnectFailed { .. } => self.on_failed(world, end, event)?,
            Event::SessionClosed { session, reason, error, .. } => {
                // What arrived before the end is read first.
                self.move_rest(world, end, *session)?;
                world.endpoint_mut(self.node(end)).release(*session);
                let expected = matches!(self.phase, Phase::Closing) || self.race.is_some();
                if expected && *reason == CloseReason::Graceful && error.is_none() {
                    self.closed[end] = true;
                } else {
                    self.on_failed(world, end, event)?;
                }
            }
            _ => self.ends[end].on_event(event)?,
        }
        Ok(())
    }

    fn on_connected(&mut self, world: &World) {
        self.phase = Phase::Open;
        self.schedule.on_connected(world.now());
        if self.spec.race {
            self.race = Some(Race::new(world.now(), &mut self.random));
            self.ends.iter_mut().for_each(|end| end.lenient = true);
        }
    }

    fn move_rest(
        &mut self,
        world: &mut World,
        end: usize,
        session: SessionHandle,
    ) -> Result<(), String> {
        let node = self.node(end);
        let lenient = core::mem::replace(&mut self.ends[end].lenient, true);
        let read = self.ends[end].read(world, node, session);
        self.ends[end].lenient = lenient;
        read
    }

    fn on_aborted(&self, end: usize, stream: StreamId, event: &Event) -> Result<(), String> {
        match &self.race {
            Some(race) if race.has_aborted(stream) => Ok(()),
            _ => Err(format!("end {end}: {event:?}")),
        }
    }

    /// Lets another session do all of it again, from this time on.
    fn start_over(&mut self, at: Instant) {
        self.sessions = [None; 2];
        self.session_id = None;
        self.schedule.start_over();
        self.datagrams = Datagrams::new(&self.spec, self.number as u64);
        self.phase = Phase::Waiting(at);
    }

    /// Moves the session to these interfaces of its client and of its server, if it is open.
    pub(crate) fn move_to(
        &mut self,
        world: &mut World,
        [near, far]: [usize; 2],
    ) -> Result<(), String> {
        let (Phase::Open, Some(session)) = (self.phase, self.sessions[0]) else { return Ok(()) };
        let several = world.interfaces(self.client) > 1;
        let local = several.then(|| world.interface_address(self.client, near).ip());
        let path = PathAddress::Udp { remote: world.interface_address(self.server, far), local };
        self.wanted = Some((path, false));
        let now = world.now_at(self.client);
        let moved = world.endpoint_mut(self.client).move_session(now, session, path);
        moved.map(drop).map_err(|error| format!("session {}: move: {error:?}", self.number))
    }

    /// Bytes of streams with a deadline, and those of them that were given up.
    pub(crate) fn skipped(&self) -> [u64; 2] {
        let [timely, skipped] = [self.ends[1].timely, self.ends[1].skipped];
        [timely + skipped, skipped]
    }

    /// A session came to an end that was not asked for.
    fn on_failed(&mut self, world: &World, end: usize, event: &Event) -> Result<(), String> {
        if self.attempts >= self.spec.reconnects {
            return Err(format!("end {end}: {event:?}"));
        }
        self.closed[end] = true;
        // The server waits for its client; and a session that had done its work needs no other.
        if end == 0 && self.phase != Phase::Closing {
            self.attempts += 1;
            self.start_over(world.now() + RECONNECT_PAUSE);
        } else if end == 0 {
            self.closed = [true; 2];
        }
        Ok(())
    }
}

/// What the bytes of a stream are made from, another for each stream of each session of each flow.
fn stream_key(flow: usize, attempt: u32, end: usize, index: u64) -> u64 {
    ((flow as u64 * 64 + u64::from(attempt)) * 2 + end as u64) << 20 | index
}
