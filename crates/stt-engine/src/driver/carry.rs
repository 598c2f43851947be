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
use super::blocks::{BLOCK, Blocks};
use crate::event::Event;
use crate::inflow::{self, Inflow};
use crate::shared::LoopTurn;

/// A message takes no further packets beyond so many bytes, which is what a call to the core makes at
/// most: so much a socket of an application reads at a time.
const MESSAGE: usize = BLOCK;
/// From so many bytes on, packets are a message of their own, where they stand: a block that is half full at least.
const LARGE: usize = BLOCK / 2;

/// The connections of an engine.
#[derive(Default)]
pub(super) struct Carried {
    open: FxHashMap<u32, Open>,
    /// Packets of this turn, by connection, in order.
    gathered: Vec<(u32, Gathered)>,
    blocks: Blocks,
}

/// A message that is made.
enum Gathered {
    /// Small packets, behind which others find room.
    Open(BytesMut),
    /// Many packets, where the core has made them, and the bytes of each.
    Whole(Bytes, usize),
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
        self.shared.set_carries(true);
        self.carried.open.insert(connection.id as u32, Open { connection, inflow, given: 0 });
    }

    /// A message came by a connection.
    pub(super) fn receive_message(&mut self, now: Now, id: u32, mut message: BytesMut) {
        // Counted by whoever handed it over.
        let cost = inflow::cost(message.len());
        self.core.memory().sub(cost as u64);
        let Some(open) = self.carried.open.get(&id) else { return };
        let (path, resumes) = (PathAddress::Connection(open.connection), open.inflow.leave(cost));
        self.core.handle_datagram(now, path, None, &mut message);
        if resumes {
            self.push(Event::ConnectionReadable(id));
        }
    }

    /// A turn on the application's thread: messages of a connection go in, what they bring to the ring, and what
    /// is to be said to them out.
    pub(crate) fn turn_of_connection(
        &mut self,
        id: u32,
        each: impl FnOnce(&mut dyn FnMut(&mut [u8])),
    ) -> LoopTurn {
        self.stats.connection_turns += 1;
        let now = self.clock.now();
        // Among them what came before these.
        self.run_commands(now);
        if let Some(connection) = self.connection(id) {
            let path = PathAddress::Connection(connection);
            each(&mut |message| self.core.handle_datagram(now, path, None, message));
        }
        self.collect(now);
        let more = self.transmit_and_look(now);
        self.settle_messages();
        self.judge_traffic(now);
        self.publish_stats();
        let call = self.leaves_work(more);
        let events = self.shared.ring.publish_here(&mut self.out);
        self.out_bytes = 0;
        LoopTurn { stay: true, events, call }
    }

    pub(super) fn close_connection(&mut self, now: Now, id: u32) {
        if let Some(open) = self.carried.open.remove(&id) {
            self.core.memory().sub(open.given);
            self.core.close_connection(now, u64::from(id));
            if self.carried.open.is_empty() {
                self.shared.set_carries(false);
                self.carried.blocks.clear();
            }
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

    /// Packets for a connection, at the start of the buffer, of `stride` bytes each but the last.
    pub(super) fn gather(&mut self, connection: Connection, len: usize, stride: usize) {
        let id = connection.id as u32;
        let Carried { gathered, blocks, .. } = &mut self.carried;
        let last = gathered.iter_mut().rev().find(|(own, _)| *own == id);
        if len >= LARGE {
            gathered.push((id, Gathered::Whole(blocks.take(self.io.buffer(), len), stride)));
            return;
        }
        let bytes = &self.io.buffer()[..len];
        match last {
            Some((_, Gathered::Open(message))) if message.len() + len <= MESSAGE => {
                message.extend_from_slice(bytes);
            }
            _ => gathered.push((id, Gathered::Open(BytesMut::from(bytes)))),
        }
    }

    /// Hands over what has gathered.
    pub(super) fn carry(&mut self) {
        if self.carried.gathered.is_empty() {
            return;
        }
        for (connection, message) in std::mem::take(&mut self.carried.gathered) {
            let (bytes, stride) = match message {
                Gathered::Open(message) => {
                    let len = message.len();
                    (message.freeze(), len)
                }
                Gathered::Whole(message, stride) => (message, stride),
            };
            if let Some(open) = self.carried.open.get_mut(&connection) {
                open.given += bytes.len() as u64;
                self.core.memory().add(bytes.len() as u64);
            }
            self.push(Event::Carry { connection, bytes, stride });
        }
    }
}
