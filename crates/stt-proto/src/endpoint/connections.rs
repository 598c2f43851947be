//! Connections below the protocol (PROTOCOL.md section 5.5): how much each takes now, which sessions
//! use it, and which of those wait for it.

use rustc_hash::FxHashMap;

use crate::event::Event;
use crate::fault::Fault;
use crate::path::{Connection, PathAddress};
use crate::time::Now;

use stt_wire::ErrorCode;

use super::{Endpoint, Entry};

/// Sessions of one connection that are told of its end. One is what a carrier is opened for; a peer
/// that brings more learns of the end by silence.
const MAX_USERS: usize = 16;

/// How far packets that wait for no room, such as answers to probes, may overdraw a connection. A peer
/// that draws more and does not read loses them, and our queue does not grow.
const MAX_OVERDRAFT: i64 = 256 * 1024;

/// Every connection that is open.
#[derive(Default)]
pub(super) struct Connections {
    open: FxHashMap<u64, Carrier>,
}

struct Carrier {
    /// Bytes that it takes now. A batch may overdraw it: what is left over cannot be split.
    room: i64,
    /// Slots that use it, or have.
    users: Vec<u32>,
    /// Slots that have something to send and wait for room.
    waiting: Vec<u32>,
    /// Packets of a session have come by it.
    used: bool,
}

impl Connections {
    /// Whether a slot may hand something over now; if not, it is woken when it may.
    pub(super) fn admits(&mut self, id: u64, slot: u32) -> bool {
        let Some(carrier) = self.open.get_mut(&id) else { return false };
        if carrier.room > 0 {
            return true;
        }
        if !carrier.waiting.contains(&slot) {
            carrier.waiting.push(slot);
        }
        false
    }

    /// Bytes are handed over; false where the connection is no more, or has far too much to pass on.
    pub(super) fn spend(&mut self, id: u64, bytes: usize) -> bool {
        let Some(carrier) = self.open.get_mut(&id) else { return false };
        if carrier.room < -MAX_OVERDRAFT {
            return false;
        }
        carrier.room = carrier.room.saturating_sub_unsigned(bytes as u64);
        true
    }

    /// A slot uses the connection, or is about to.
    pub(super) fn note_user(&mut self, id: u64, slot: u32) {
        if let Some(carrier) = self.open.get_mut(&id)
            && carrier.users.len() < MAX_USERS
            && !carrier.users.contains(&slot)
        {
            carrier.users.push(slot);
        }
    }

    /// A session's packets take the connection: true for the first one's first.
    fn begin_use(&mut self, id: u64) -> bool {
        self.open.get_mut(&id).is_some_and(|carrier| !core::mem::replace(&mut carrier.used, true))
    }

    pub(super) fn is_open(&self, id: u64) -> bool {
        self.open.contains_key(&id)
    }
}

impl Endpoint {
    /// A connection is open, and takes `room` bytes for now. Its messages come in through
    /// [`Endpoint::handle_datagram`], and [`Endpoint::poll_transmit`] names it as
    /// [`PathAddress::Connection`]. A number that was given before must not come again.
    pub fn open_connection(&mut self, connection: Connection, room: usize) {
        let carrier =
            Carrier { room: room as i64, users: Vec::new(), waiting: Vec::new(), used: false };
        self.connections.open.insert(connection.id, carrier);
    }

    /// The connection has passed on `bytes` of what it was given, and takes as many more.
    pub fn connection_writable(&mut self, now: Now, id: u64, bytes: usize) {
        let Some(carrier) = self.connections.open.get_mut(&id) else { return };
        carrier.room = carrier.room.saturating_add_unsigned(bytes as u64);
        if carrier.room <= 0 {
            return;
        }
        for slot in core::mem::take(&mut carrier.waiting) {
            self.with_session(now, slot, |session, _| session.hold(false));
        }
    }

    /// The connection is no more. What was under way on it is to go by another path: the driver is
    /// told of each session by [`crate::Event::PathLost`], and may move it; a connect fails.
    pub fn close_connection(&mut self, now: Now, id: u64) {
        let Some(carrier) = self.connections.open.remove(&id) else { return };
        for slot in carrier.users {
            match self.slots.get(slot) {
                Some(Entry::Connecting(connecting))
                    if connecting.remote().connection().is_some_and(|own| own.id == id) =>
                {
                    self.fail_connecting(slot, Fault::new(ErrorCode::WebSocketClosed));
                }
                Some(Entry::Session(_)) => {
                    self.with_session(now, slot, |session, cx| {
                        let closed = Fault::new(ErrorCode::WebSocketClosed);
                        let here = session.remote().connection().is_some_and(|own| own.id == id);
                        if !(here && session.abort_handshake(cx, closed)) {
                            session.on_connection_lost(cx, id);
                        }
                    });
                }
                _ => {}
            }
        }
    }

    /// Notes which connection a slot's session has come to use.
    pub(super) fn note_connection(&mut self, slot: u32) {
        let path = self.remote_of(slot).copied();
        if let Some(PathAddress::Connection(connection)) = path {
            self.connections.note_user(connection.id, slot);
            let is_session = matches!(self.slots.get(slot), Some(Entry::Session(_)));
            if is_session && self.connections.begin_use(connection.id) {
                self.events.push_back(Event::ConnectionUsed { id: connection.id });
            }
        }
    }

    /// Tells a session whether its connection takes anything now.
    pub(super) fn hold_if_full(&mut self, slot: u32) {
        if let Some(Entry::Session(session)) = self.slots.get_mut(slot)
            && let PathAddress::Connection(connection) = session.remote()
        {
            let id = connection.id;
            let held = !self.connections.admits(id, slot);
            session.hold(held);
        }
    }

    /// Charges what goes out by a connection; false where that takes no more, and nothing goes out.
    pub(super) fn charge(&mut self, path: &PathAddress, bytes: usize) -> bool {
        match path.connection() {
            Some(connection) => self.connections.spend(connection.id, bytes),
            None => true,
        }
    }
}
