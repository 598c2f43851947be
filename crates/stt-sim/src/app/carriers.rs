//! What carries a client's session: UDP, or a connection. As the library's driver does, the client opens a
//! connection when UDP falls silent or the connection in use ends, moves the session there, and tries
//! UDP again after a while.

use core::time::Duration;

use stt_proto::{Instant, MoveError, PathAddress, SessionHandle};

use crate::{
    link::Link,
    spec::FlowSpec,
    world::{NodeId, World},
};

/// Pause before a connection is tried again that could not be opened, or that led nowhere.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct Carriers {
    ends: [NodeId; 2],
    links: [Link; 2],
    begins_by_connection: bool,
    failover: bool,
    return_pause: Option<Duration>,
    /// The connection that is open.
    connection: Option<u64>,
    /// When one will be open that is being opened.
    opens_at: Option<Instant>,
    /// When UDP is tried again.
    returns_at: Option<Instant>,
}

impl Carriers {
    pub(super) fn new(spec: &FlowSpec, ends: [NodeId; 2], links: [Link; 2]) -> Self {
        Self {
            ends,
            links,
            begins_by_connection: spec.websocket,
            failover: spec.failover,
            return_pause: (spec.return_ms > 0).then(|| Duration::from_millis(spec.return_ms)),
            connection: None,
            opens_at: None,
            returns_at: None,
        }
    }

    fn udp(&self, world: &World) -> PathAddress {
        world.path_to(self.ends[1])
    }

    fn open(&mut self, world: &mut World) -> PathAddress {
        self.end(world);
        let connection = world.open_connection(self.ends, self.links.clone());
        self.connection = Some(connection);
        world.path_by(connection, self.ends[1])
    }

    /// The path of a connect.
    pub(super) fn first(&mut self, world: &mut World) -> PathAddress {
        match self.begins_by_connection {
            true => {
                self.returns_at = self.return_pause.map(|pause| world.now() + pause);
                self.open(world)
            }
            false => self.udp(world),
        }
    }

    fn dial(&mut self, world: &World, pause: Duration) {
        if self.failover && self.opens_at.is_none() {
            self.opens_at = Some(world.now() + pause + World::opening_time(&self.links));
        }
    }

    /// UDP draws no answer any more, or does so again.
    pub(super) fn on_silence(&mut self, world: &World, silent: bool) {
        match silent {
            true => self.dial(world, Duration::ZERO),
            false => self.opens_at = None,
        }
    }

    /// The connection in use has ended.
    pub(super) fn on_lost(&mut self, world: &World) {
        self.connection = None;
        self.dial(world, Duration::ZERO);
    }

    pub(super) fn on_moved(&mut self, world: &mut World, path: &PathAddress) {
        self.opens_at = None;
        if path.connection().is_some() {
            self.returns_at = self.return_pause.map(|pause| world.now() + pause);
        } else {
            self.returns_at = None;
            self.end(world);
        }
    }

    pub(super) fn on_move_failed(&mut self, world: &mut World, path: &PathAddress) {
        match path.connection() {
            Some(connection) => {
                world.close_connection(connection.id);
                self.connection = self.connection.filter(|own| *own != connection.id);
                self.dial(world, RETRY_PAUSE);
            }
            None => self.returns_at = self.return_pause.map(|pause| world.now() + pause),
        }
    }

    /// Does what is due; the path that the session is to move to from now on, if that is another one.
    pub(super) fn advance(
        &mut self,
        world: &mut World,
        session: SessionHandle,
    ) -> Result<Option<PathAddress>, String> {
        let now = world.now();
        let path = if self.opens_at.is_some_and(|at| at <= now) {
            self.opens_at = None;
            if world.is_stalled() {
                self.dial(world, RETRY_PAUSE);
                return Ok(None);
            }
            self.open(world)
        } else if self.returns_at.is_some_and(|at| at <= now) {
            self.returns_at = None;
            self.udp(world)
        } else {
            return Ok(None);
        };
        let (client, at) = (self.ends[0], world.now_at(self.ends[0]));
        match world.endpoint_mut(client).move_session(at, session, path) {
            Ok(_) => Ok(Some(path)),
            // It is being closed.
            Err(MoveError::SessionClosed) => Ok(None),
            Err(error) => Err(format!("a move to {path:?}: {error:?}")),
        }
    }

    /// When it wants to act by itself.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        [self.opens_at, self.returns_at].into_iter().flatten().min()
    }

    /// The connection is of no use any more.
    pub(super) fn end(&mut self, world: &mut World) {
        if let Some(connection) = self.connection.take() {
            world.close_connection(connection);
        }
    }
}
