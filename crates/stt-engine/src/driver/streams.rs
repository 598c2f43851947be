//! Moving stream data from the core to the ring, as far as the application keeps up.

use std::sync::Arc;

use bytes::Bytes;
use stt_proto::{Now, ReadOutcome, SessionHandle, StreamId};

use super::Driver;
use crate::credit::SendCredit;
use crate::event::Event;
use crate::{SessionNumber, StreamNumber};

/// Bytes taken from one stream before the next has its turn.
const READ_ONCE: usize = 256 * 1024;

/// One stream as the driver knows it.
pub(super) struct Stream {
    pub(super) session: SessionNumber,
    pub(super) handle: SessionHandle,
    pub(super) id: StreamId,
    pub(super) credit: Option<Arc<SendCredit>>,
    /// Bytes acknowledged by the peer so far.
    pub(super) acked: u64,
    /// Bytes given to the application that it has not consumed.
    given: u64,
    /// The core said that there is something, and no read has found nothing since.
    readable: bool,
    /// Stands in the queue of streams to read.
    queued: bool,
    /// The end of the incoming side has been given: nothing follows.
    ended: bool,
    /// STT's own end of the stream has been told.
    pub(super) failed: bool,
    /// The application has forgotten it: what still comes is consumed unseen.
    pub(super) forgotten: bool,
    /// Both halves are done; kept only until what was given is consumed, because that is session
    /// credit.
    pub(super) closed: bool,
}

impl Stream {
    pub(super) fn new(
        session: SessionNumber,
        handle: SessionHandle,
        id: StreamId,
        credit: Option<Arc<SendCredit>>,
    ) -> Self {
        Self {
            session,
            handle,
            id,
            credit,
            acked: 0,
            given: 0,
            readable: true,
            queued: false,
            ended: false,
            failed: false,
            forgotten: false,
            closed: false,
        }
    }

    /// Nothing more can be written.
    pub(super) fn kill_sending(&self) {
        if let Some(credit) = &self.credit {
            credit.kill();
        }
    }
}

/// How far a read may go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Limit {
    /// To the read-ahead and the room in the ring.
    Budget,
    /// To the end: the stream is about to be forgotten by the core.
    Everything,
}

impl Driver {
    /// The core has something to read on this stream.
    pub(super) fn mark_readable(&mut self, number: StreamNumber) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.readable = true;
        if !stream.queued && !stream.ended {
            stream.queued = true;
            self.readable.push_back(number);
        }
    }

    /// The application has consumed `bytes`.
    pub(super) fn consumed(&mut self, now: Now, number: StreamNumber, bytes: u64) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let bytes = bytes.min(stream.given);
        stream.given -= bytes;
        self.core.consumed(now, stream.handle, stream.id, bytes);
        if stream.closed && stream.given == 0 {
            self.streams.remove(&number);
        } else if stream.readable {
            self.mark_readable(number);
        }
    }

    /// The application forgets the stream; what it has not consumed counts as consumed.
    pub(super) fn forget(&mut self, now: Now, number: StreamNumber) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.forgotten = true;
        let given = stream.given;
        self.consumed(now, number, given);
    }

    /// Both halves are done: hands over what is unread and lets go of the id.
    pub(super) fn close_stream(&mut self, now: Now, number: StreamNumber) {
        self.read(now, number, Limit::Everything);
        let Some(stream) = self.streams.get_mut(&number) else { return };
        stream.kill_sending();
        stream.closed = true;
        let acked = stream.acked;
        let (session, id) = (stream.session, stream.id);
        let (forgotten, given) = (stream.forgotten, stream.given);
        if let Some(session) = self.sessions.get_mut(session) {
            session.streams.remove(&id);
        }
        if given == 0 {
            self.streams.remove(&number);
        }
        if !forgotten {
            self.push(Event::StreamClosed { stream: number, acked });
        }
    }

    /// The session is over: hands over what is unread and forgets the stream.
    pub(super) fn drop_stream(&mut self, now: Now, number: StreamNumber) {
        self.read(now, number, Limit::Everything);
        if let Some(stream) = self.streams.remove(&number) {
            stream.kill_sending();
            if stream.credit.is_some() && !stream.forgotten {
                self.push(Event::Acknowledged { stream: number, acked: stream.acked });
            }
        }
    }

    /// The peer aborted the incoming side: nothing more is read.
    pub(super) fn end_receiving(&mut self, number: StreamNumber) {
        if let Some(stream) = self.streams.get_mut(&number) {
            stream.ended = true;
        }
    }

    /// Reads from the streams that have something, in turns, while the ring has room.
    pub(super) fn read_streams(&mut self, now: Now) {
        for _ in 0..self.readable.len() {
            if !self.has_room() {
                return;
            }
            let Some(number) = self.readable.pop_front() else { return };
            if let Some(stream) = self.streams.get_mut(&number) {
                stream.queued = false;
                self.read(now, number, Limit::Budget);
            }
        }
    }

    fn read(&mut self, now: Now, number: StreamNumber, limit: Limit) {
        let Some(stream) = self.streams.get_mut(&number) else { return };
        let start = self.out.len();
        let mut total = 0;
        while stream.readable && !stream.ended {
            let max = match limit {
                Limit::Everything => READ_ONCE,
                Limit::Budget if stream.forgotten => READ_ONCE - total.min(READ_ONCE),
                Limit::Budget => {
                    let budget = self.read_ahead.saturating_sub(stream.given);
                    usize::try_from(budget)
                        .unwrap_or(READ_ONCE)
                        .min(READ_ONCE - total.min(READ_ONCE))
                }
            };
            if max == 0 {
                break;
            }
            match self.core.read(stream.handle, stream.id, max) {
                Ok(ReadOutcome::Chunk(bytes)) => {
                    total += bytes.len();
                    if stream.forgotten {
                        let (handle, id) = (stream.handle, stream.id);
                        self.core.consumed(now, handle, id, bytes.len() as u64);
                    } else {
                        stream.given += bytes.len() as u64;
                        self.out.push(Event::Data { stream: number, bytes, fin: false });
                    }
                }
                Ok(ReadOutcome::Skipped { offset, len }) => {
                    if !stream.forgotten {
                        self.out.push(Event::Gap { stream: number, offset, len });
                    }
                }
                Ok(ReadOutcome::Blocked) => stream.readable = false,
                Ok(ReadOutcome::Finished) => {
                    stream.ended = true;
                    if stream.forgotten {
                        break;
                    }
                    match self.out[start..].last_mut() {
                        Some(Event::Data { fin, .. }) => *fin = true,
                        _ => {
                            let bytes = Bytes::new();
                            self.out.push(Event::Data { stream: number, bytes, fin: true });
                        }
                    }
                }
                // The reset has, or will have, an event of its own.
                Ok(ReadOutcome::Reset(_)) | Err(_) => stream.ended = true,
            }
        }
        if !stream.forgotten {
            self.out_bytes += total;
        }
        // Stopped at the share of one turn, not at what the application may have.
        let again = stream.readable
            && !stream.ended
            && total >= READ_ONCE
            && (stream.forgotten || stream.given < self.read_ahead);
        if again && !stream.queued {
            stream.queued = true;
            self.readable.push_back(number);
        }
    }
}
