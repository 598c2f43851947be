//! Connections that the application carries (WebSockets): their messages in and out.
//!
//! Packets for a connection gather until the turn ends, so that many of them leave in one message. How
//! much waits at the application is bounded by what it says to have passed on; how much waits here for
//! this thread is counted by [`Inflow`].

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use rustc_hash::FxHashMap;
use stt_proto::{Connection, Now, PathAddress};

use super::Driver;
use crate::event::Event;
use crate::inflow::Inflow;

/// A message takes no further packets beyond so many bytes, which is what a call to the core makes at
/// most: so much a socket of an application reads at a time, and memory of twice the size would be asked
/// of the system anew each time.
const MESSAGE: usize = 64 * 1024;
/// What this much has gathered into will hold more soon, and is given its full size at once.
const LARGE: usize = 8 * 1024;

/// The connections of an engine.
#[derive(Default)]
pub(super) struct Carried {
    open: FxHashMap<u32, Open>,
    /// Packets of this turn, by connection, in order.
    gathered: Vec<(u32, BytesMut)>,
}

struct Open {
    connection: Connection,
    inflow: Arc<Inflow>,
    /// Bytes that the application was given and has not passed on.
    given: u64,
}

impl Driver {
    pub(super) fn open_connection(
        &mut self,
        connection: Connection,
        room: usize,
        inflow: Arc<Inflow>,
    ) {
        self.core.open_connection(connection, room);
        self.carried.open.insert(connection.id as u32, Open { connection, inflow, given: 0 });
    }

    /// A message came by a connection.
    pub(super) fn receive_message(&mut self, now: Now, id: u32, mut message: BytesMut) {
        // Counted by whoever handed it over.
        self.core.memory().sub(message.len() as u64);
        let Some(open) = self.carried.open.get(&id) else { return };
        let (path, resumes) =
            (PathAddress::Connection(open.connection), open.inflow.leave(message.len()));
        self.core.handle_datagram(now, path, None, &mut message);
        if resumes {
            self.push(Event::ConnectionReadable(id));
        }
    }

    pub(super) fn close_connection(&mut self, now: Now, id: u32) {
        if let Some(open) = self.carried.open.remove(&id) {
            self.core.memory().sub(open.given);
            self.core.close_connection(now, u64::from(id));
        }
    }

    /// The application has passed on bytes that it was given.
    pub(super) fn connection_writable(&mut self, now: Now, id: u32, bytes: usize) {
        if let Some(open) = self.carried.open.get_mut(&id) {
            let passed_on = open.given.min(bytes as u64);
            open.given -= passed_on;
            self.core.memory().sub(passed_on);
        }
        self.core.connection_writable(now, u64::from(id), bytes);
    }

    /// The connection of a number, while it is open.
    pub(super) fn connection(&self, id: u32) -> Option<Connection> {
        self.carried.open.get(&id).map(|open| open.connection)
    }

    /// Packets for a connection, at the start of the buffer.
    pub(super) fn gather(&mut self, connection: Connection, len: usize) {
        let id = connection.id as u32;
        let bytes = &self.io.buffer()[..len];
        let gathered = &mut self.carried.gathered;
        match gathered.iter_mut().rev().find(|(own, _)| *own == id) {
            Some((_, message)) if message.len() + len <= MESSAGE => {
                if message.len() + len > LARGE {
                    message.reserve(MESSAGE - message.len());
                }
                message.extend_from_slice(bytes);
            }
            _ => {
                let size = if len > LARGE { MESSAGE } else { len };
                let mut message = BytesMut::with_capacity(size);
                message.extend_from_slice(bytes);
                gathered.push((id, message));
            }
        }
    }

    /// Hands over what has gathered.
    pub(super) fn carry(&mut self) {
        if self.carried.gathered.is_empty() {
            return;
        }
        for (connection, message) in std::mem::take(&mut self.carried.gathered) {
            let bytes: Bytes = message.freeze();
            if let Some(open) = self.carried.open.get_mut(&connection) {
                open.given += bytes.len() as u64;
                self.core.memory().add(bytes.len() as u64);
            }
            self.push(Event::Carry { connection, bytes });
        }
        self.publish();
    }
}
