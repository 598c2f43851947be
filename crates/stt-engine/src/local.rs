//! The application's side of the hand-over: what waits to be offered, and what may be written.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::sync::Arc;

use bytes::BytesMut;
use rustc_hash::FxHashMap;
use stt_proto::CloseReason;

use crate::arena::Arena;
use crate::command::{Command, CommandQueue, join};
use crate::credit::{Reserved, SendCredit, SessionCredit};
use crate::engine::Taken;
use crate::event::{EngineEnd, Event};
use crate::inflow::Inflow;
use crate::ring::{Ring, data_len};
use crate::{SessionNumber, StreamNumber};

/// A stream that can be written.
pub(crate) struct Writer {
    pub(crate) session: SessionNumber,
    pub(crate) credit: Arc<SendCredit>,
    /// The application has ended it: it is kept for what the peer has yet to acknowledge.
    ended: bool,
}

impl Writer {
    pub(crate) fn new(session: SessionNumber, credit: Arc<SendCredit>) -> Self {
        Self { session, credit, ended: false }
    }
}

/// Why a write was cut short for more than want of room in the stream's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The stream takes nothing more.
    Dead,
    /// Not one of so many bytes was taken, and nothing of the stream is under way: memory is short.
    Short(u64),
}

/// What only the application's side uses.
#[derive(Default)]
pub(crate) struct Local {
    arena: Arena,
    inbox: VecDeque<Event>,
    pub(crate) sessions: FxHashMap<SessionNumber, Arc<SessionCredit>>,
    pub(crate) writers: FxHashMap<StreamNumber, Writer>,
    /// Writers whose end was offered: kept until the next poll, so that what is known of them can still
    /// be asked for while the events of this one are acted on.
    leaving: Vec<StreamNumber>,
    pub(crate) connections: FxHashMap<u32, Arc<Inflow>>,
    /// Bytes that were written and that nobody has seen to yet.
    held: usize,
}

impl Local {
    /// Copies the start of `pieces`, as much as the stream may have outstanding, and leaves it as
    /// commands: the caller [sees to it](crate::shared::Shared::see_to) that they go out. The
    /// number of bytes, and what cut it short.
    pub(crate) fn write<'a>(
        &mut self,
        commands: &CommandQueue,
        stream: StreamNumber,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> (usize, Option<Cut>) {
        let Self { arena, writers, .. } = self;
        let writer = writers.get(&stream).filter(|writer| !writer.ended);
        let Some(writer) = writer else { return (0, Some(Cut::Dead)) };
        let (mut total, mut waiting) = (0, BytesMut::new());
        let mut cut = None;
        for bytes in pieces {
            let Some(Reserved { taken, is_short }) = writer.credit.reserve(bytes.len()) else {
                cut = Some(Cut::Dead);
                break;
            };
            let mut rest = &bytes[..taken];
            while !rest.is_empty() {
                let piece = arena.copy(rest);
                rest = &rest[piece.len()..];
                if let Err(piece) = join(&mut waiting, piece) {
                    let whole = mem::replace(&mut waiting, piece);
                    commands.leave(std::iter::once(Command::Write(stream, whole)));
                }
            }
            total += taken;
            if taken < bytes.len() {
                cut = (is_short && total == 0).then_some(Cut::Short(bytes.len() as u64));
                break;
            }
        }
        if !waiting.is_empty() {
            commands.leave(std::iter::once(Command::Write(stream, waiting)));
        }
        (total, cut)
    }

    /// So many bytes more wait to be seen to: how many these are if that is to be now.
    pub(crate) fn hold(&mut self, bytes: usize, most: usize) -> usize {
        self.held += bytes;
        if self.held < most { 0 } else { mem::take(&mut self.held) }
    }

    /// Offers the waiting events, in order, to `take` until it declines one or none is left.
    /// Returns whether there are more; if not, the doorbell rings for the next.
    pub(crate) fn poll(
        &mut self,
        commands: &CommandQueue,
        ring: &Ring,
        mut take: impl FnMut(&mut Event) -> Taken,
    ) -> bool {
        for stream in mem::take(&mut self.leaving) {
            self.writers.remove(&stream);
        }
        let (mut events, mut bytes) = (0, 0);
        let more = loop {
            let Some(event) = self.inbox.front_mut() else {
                if ring.take(&mut self.inbox) {
                    self.end_sessions_of_a_dead_engine();
                    continue;
                }
                break false;
            };
            let before = data_len(event);
            self.prepare();
            let Some(event) = self.inbox.front_mut() else { break false };
            let taken = take(event);
            bytes += before - data_len(event).min(before);
            if taken == Taken::No {
                break true;
            }
            bytes += data_len(event).min(before);
            if let Some(event) = self.inbox.pop_front() {
                self.leave(&event);
            }
            events += 1;
        };
        if ring.taken(events, bytes) {
            commands.wake();
        }
        more
    }

    /// Nothing more is written to this stream.
    pub(crate) fn end_writing(&mut self, stream: StreamNumber) {
        if let Some(writer) = self.writers.get_mut(&stream) {
            writer.ended = true;
        }
    }

    /// How far the peer has acknowledged a stream; `None` where nothing is known of it (any more).
    pub(crate) fn acknowledged(&self, stream: StreamNumber) -> Option<u64> {
        self.writers.get(&stream).map(|writer| writer.credit.acked())
    }

    /// Brings the tables in line with the event that is offered next. Doing so twice, when an event
    /// is offered again, changes nothing.
    fn prepare(&mut self) {
        match self.inbox.front() {
            Some(Event::Connected { session, credit, .. }) => {
                self.sessions.entry(*session).or_insert_with(|| Arc::clone(&credit.0));
            }
            Some(Event::StreamOpened { session, stream, credit: Some(credit), .. }) => {
                let writer = Writer::new(*session, Arc::clone(credit));
                self.writers.entry(*stream).or_insert(writer);
            }
            Some(_) | None => {}
        }
    }

    /// Brings the tables in line with an event that was taken.
    fn leave(&mut self, event: &Event) {
        match event {
            Event::OpenFailed { stream, .. } | Event::StreamClosed { stream, .. } => {
                self.leaving.push(*stream);
            }
            Event::ConnectFailed { session, .. } | Event::SessionClosed { session, .. } => {
                self.sessions.remove(session);
                for (stream, writer) in &self.writers {
                    if writer.session == *session {
                        // The engine has seen to it, unless it died.
                        writer.credit.kill();
                        self.leaving.push(*stream);
                    }
                }
            }
            _ => {}
        }
    }

    /// An engine that failed could not say goodbye for its sessions; the application is told of the
    /// end of each all the same, before the end of the engine.
    fn end_sessions_of_a_dead_engine(&mut self) {
        let Some(Event::Closed(end)) = self.inbox.back() else { return };
        let message = match end {
            EngineEnd::Closed => return,
            EngineEnd::Panicked(words) => words.clone(),
            EngineEnd::Poller(number) => io::Error::from_raw_os_error(*number).to_string(),
        };
        let mut live: Vec<SessionNumber> = self.sessions.keys().copied().collect();
        for event in &self.inbox {
            match event {
                Event::Connected { session, .. } if !live.contains(session) => live.push(*session),
                Event::ConnectFailed { session, .. } | Event::SessionClosed { session, .. } => {
                    live.retain(|other| other != session);
                }
                _ => {}
            }
        }
        live.sort_unstable();
        let last = self.inbox.pop_back();
        let mut streams: Vec<(StreamNumber, u64)> = self
            .writers
            .iter()
            .filter(|(_, writer)| live.contains(&writer.session))
            .map(|(stream, writer)| (*stream, writer.credit.acked()))
            .collect();
        streams.sort_unstable();
        self.inbox.extend(
            streams.into_iter().map(|(stream, acked)| Event::Acknowledged { stream, acked }),
        );
        let ends = live.into_iter().map(|session| Event::SessionClosed {
            session,
            reason: CloseReason::Error,
            remote: false,
            fault: None,
            message: message.clone(),
            undelivered: self.sessions.get(&session).map_or(0, |credit| credit.outstanding()),
        });
        self.inbox.extend(ends);
        self.inbox.extend(last);
    }
}
