//! The applications of a scenario: sessions that connect, move streams of a known pattern whose every
//! byte is checked on arrival, and end.

mod carriers;
mod datagrams;
mod early;
mod end;
mod flow;
mod plan;
mod race;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use stt_proto::{EarlyData, Event, Instant, SessionHandle};

use crate::{
    link::Link,
    spec::FlowSpec,
    world::{NodeId, World},
};

use self::carriers::Carriers;
pub(crate) use self::flow::Flow;

/// All flows of a run.
pub(crate) struct App {
    pub(crate) flows: Vec<Flow>,
    server: NodeId,
    /// Whose a session is: its flow and its end, 0 for the client.
    owners: BTreeMap<(NodeId, u64), (usize, usize)>,
    /// Sessions of the server whose client has not told their name yet, and what happened in them.
    unclaimed: BTreeMap<[u8; 8], (SessionHandle, Option<Bytes>)>,
    /// Early data that the server was given: never twice.
    early: BTreeSet<Bytes>,
    held: BTreeMap<u64, Vec<Event>>,
    wakes: BTreeSet<(Instant, usize)>,
    dirty: BTreeSet<usize>,
    done: usize,
}

impl App {
    /// The flows of these kinds, which take turns over `clients`.
    pub(crate) fn new(
        specs: &[FlowSpec],
        clients: &[NodeId],
        server: NodeId,
        tcp: &[Link; 2],
        seed: u64,
    ) -> Self {
        let mut flows = Vec::new();
        for spec in specs {
            for copy in 0..spec.count.unwrap_or(1) {
                let number = flows.len();
                let client = clients[number % clients.len()];
                let carriers = Carriers::new(spec, [client, server], tcp.clone());
                flows.push(Flow::new(spec.clone(), number, copy, [client, server], carriers, seed));
            }
        }
        let wakes = flows.iter().enumerate().map(|(number, flow)| (flow.start(), number)).collect();
        Self {
            flows,
            server,
            owners: BTreeMap::new(),
            unclaimed: BTreeMap::new(),
            early: BTreeSet::new(),
            held: BTreeMap::new(),
            wakes,
            dirty: BTreeSet::new(),
            done: 0,
        }
    }

    /// Whether every flow has come to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.done == self.flows.len()
    }

    /// When an application wants to act by itself.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// The server's process is a new one: it knows none of its sessions.
    pub(crate) fn on_restart(&mut self) {
        let server = self.server;
        self.owners.retain(|(node, _), _| *node != server);
        self.unclaimed.clear();
        self.held.clear();
        for flow in &mut self.flows {
            flow.on_server_lost();
        }
    }

    /// Lets all applications act on what has happened.
    ///
    /// # Errors
    /// What went wrong: a byte that is not the pattern's, a session that failed, a refused call.
    pub(crate) fn advance(&mut self, world: &mut World) -> Result<(), String> {
        while let Some((at, number)) = self.wakes.first().copied().filter(|w| w.0 <= world.now()) {
            self.wakes.remove(&(at, number));
            self.dirty.insert(number);
        }
        for node in 0..world.node_count() {
            for event in world.take_events(node) {
                self.dispatch(world, node, event)?;
            }
        }
        while let Some(number) = self.dirty.pop_first() {
            self.advance_flow(world, number)?;
        }
        Ok(())
    }

    fn advance_flow(&mut self, world: &mut World, number: usize) -> Result<(), String> {
        let flow = &mut self.flows[number];
        let (was_done, before) = (flow.is_done(), flow.session(0));
        flow.advance(world).map_err(|what| format!("session {number}: {what}"))?;
        if let Some(session) = flow.session(0).filter(|session| before != Some(*session)) {
            self.owners.insert((flow.client(), session.as_u64()), (number, 0));
        }
        if let Some(at) = flow.next_wake(world.now()) {
            self.wakes.insert((at, number));
        }
        self.done += usize::from(!was_done && flow.is_done());
        Ok(())
    }

    fn dispatch(&mut self, world: &mut World, node: NodeId, event: Event) -> Result<(), String> {
        let Some(session) = session_of(&event) else { return Ok(()) };
        if let Some((number, end)) = self.owners.get(&(node, session.as_u64())).copied() {
            self.claim(world, number, &event)?;
            return self.tell(world, number, end, &event);
        }
        let now = world.now_at(node);
        match &event {
            Event::Incoming { .. } => world.endpoint_mut(node).accept(now, session),
            // Nobody's any more: a session that was replaced, or whose connect was given up.
            Event::SessionClosed { .. } => {
                self.held.remove(&session.as_u64());
                self.unclaimed.retain(|_, (other, _)| *other != session);
                world.endpoint_mut(node).release(session);
            }
            Event::Connected { session_id, early_data, .. } if node == self.server => {
                let early = match early_data {
                    EarlyData::Received(bytes) => Some(bytes.clone()),
                    _ => None,
                };
                if let Some(bytes) = early.as_ref().filter(|bytes| !bytes.is_empty())
                    && !self.early.insert(bytes.clone())
                {
                    return Err(format!("{} bytes of early data came twice", bytes.len()));
                }
                let known =
                    self.flows.iter().position(|flow| flow.session_id() == Some(*session_id));
                match known {
                    Some(number) => return self.adopt(world, number, session, early),
                    None => {
                        self.unclaimed.insert(*session_id, (session, early));
                    }
                }
            }
            _ if node == self.server => {
                self.held.entry(session.as_u64()).or_default().push(event);
            }
            _ => {}
        }
        Ok(())
    }

    /// A client that learns its session's name finds the server's end.
    fn claim(&mut self, world: &mut World, number: usize, event: &Event) -> Result<(), String> {
        let Event::Connected { session_id, .. } = event else { return Ok(()) };
        self.flows[number].set_session_id(*session_id);
        match self.unclaimed.remove(session_id) {
            Some((session, early)) => self.adopt(world, number, session, early),
            None => Ok(()),
        }
    }

    fn adopt(
        &mut self,
        world: &mut World,
        number: usize,
        session: SessionHandle,
        early: Option<Bytes>,
    ) -> Result<(), String> {
        self.owners.insert((self.server, session.as_u64()), (number, 1));
        self.flows[number].set_server_session(session, early);
        self.dirty.insert(number);
        for event in self.held.remove(&session.as_u64()).unwrap_or_default() {
            self.tell(world, number, 1, &event)?;
        }
        Ok(())
    }

    fn tell(
        &mut self,
        world: &mut World,
        number: usize,
        end: usize,
        event: &Event,
    ) -> Result<(), String> {
        let flow = &mut self.flows[number];
        self.dirty.insert(number);
        let told = flow.on_event(world, end, event);
        let over = matches!(event, Event::SessionClosed { .. } | Event::ConnectFailed { .. });
        if let Some(session) = session_of(event).filter(|_| over) {
            let node = if end == 0 { self.flows[number].client() } else { self.server };
            self.owners.remove(&(node, session.as_u64()));
        }
        told.map_err(|what| format!("session {number}: {what}"))
    }
}

fn session_of(event: &Event) -> Option<SessionHandle> {
    match event {
        Event::Incoming { session, .. }
        | Event::Connected { session, .. }
        | Event::ConnectFailed { session, .. }
        | Event::StreamOpened { session, .. }
        | Event::StreamReadable { session, .. }
        | Event::StreamReleased { session, .. }
        | Event::StreamFinished { session, .. }
        | Event::StreamReset { session, .. }
        | Event::StreamStopped { session, .. }
        | Event::StreamClosed { session, .. }
        | Event::StreamsAvailable { session, .. }
        | Event::Ticket { session, .. }
        | Event::MessagesReadable { session }
        | Event::PathChange { session, .. }
        | Event::Moved { session, .. }
        | Event::MoveFailed { session, .. }
        | Event::PathLost { session, .. }
        | Event::PathSilence { session, .. }
        | Event::SessionClosed { session, .. } => Some(*session),
        _ => None,
    }
}
