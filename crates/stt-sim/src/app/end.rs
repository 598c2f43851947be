//! One end of a session: what it writes, and what it reads and checks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use stt_proto::{
    Direction, Event, OpenError, ReadOutcome, SessionHandle, StreamId, StreamOptions, WriteError,
};

use super::plan::Plan;
use crate::world::{NodeId, World};

/// Bytes of one write.
const CHUNK: u64 = 16 * 1024;
/// Bytes of one read.
const READ: usize = 64 * 1024;

/// The eight bytes of a stream's pattern that begin at `8 * index`: any shift, swap or repetition
/// shows.
fn word(key: u64, index: u64) -> [u8; 8] {
    let mixed =
        (index ^ key.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed ^ mixed >> 32).wrapping_mul(0xD6E8_FEB8_6659_FD93).to_le_bytes()
}

/// `len` bytes of the pattern from `offset` on.
pub(super) fn pattern(key: u64, offset: u64, len: usize) -> Bytes {
    let skip = (offset % 8) as usize;
    let mut out = BytesMut::with_capacity(skip + len + 8);
    let mut index = offset / 8;
    while out.len() < skip + len {
        out.put_slice(&word(key, index));
        index += 1;
    }
    out.freeze().slice(skip..skip + len)
}

#[derive(Debug)]
struct Writer {
    plan: Plan,
    written: u64,
    acked: u64,
    ended: bool,
}

#[derive(Debug)]
struct Reader {
    key: u64,
    received: u64,
    /// Its writer gives up what is too old.
    may_skip: bool,
    finished: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct End {
    to_open: Vec<Plan>,
    may_open: bool,
    writers: BTreeMap<StreamId, Writer>,
    readers: BTreeMap<StreamId, Reader>,
    /// Writers that may be able to write.
    writable: BTreeSet<StreamId>,
    /// Readers that have something to read, while the application does not.
    readable: BTreeSet<StreamId>,
    unconfirmed: usize,
    finished: usize,
    expected: usize,
    pub(super) received: u64,
    /// Bytes of streams with a deadline that came, and that were given up.
    pub(super) timely: u64,
    pub(super) skipped: u64,
    /// Bytes that a writer keeps unacknowledged.
    send_buffer: u64,
    pub(super) paused: bool,
    /// Resets, stops and refused calls are part of the game.
    pub(super) lenient: bool,
}

impl End {
    /// An end that opens `plans` and will be sent `expected` streams.
    pub(super) fn new(mut plans: Vec<Plan>, expected: usize, send_buffer: u64) -> Self {
        let unconfirmed = plans.len();
        plans.reverse();
        Self {
            to_open: plans,
            may_open: true,
            unconfirmed,
            expected,
            send_buffer,
            ..Self::default()
        }
    }

    /// Whether all was written, acknowledged, read and checked.
    pub(super) fn is_complete(&self) -> bool {
        self.to_open.is_empty() && self.unconfirmed == 0 && self.finished == self.expected
    }

    /// What is missing, for people.
    pub(super) fn missing(&self) -> String {
        format!(
            "{} to open, {} unconfirmed, {} of {} read, {} bytes received",
            self.to_open.len(),
            self.unconfirmed,
            self.finished,
            self.expected,
            self.received
        )
    }

    /// What the core tells of its streams.
    pub(super) fn on_event(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::StreamOpened { stream, purpose, deadline, .. } => {
                self.on_opened(*stream, purpose, deadline.is_some())
            }
            Event::StreamFinished { stream, .. } => self.on_finished(*stream),
            Event::StreamReadable { stream, .. } => {
                self.on_readable(*stream);
                Ok(())
            }
            Event::StreamReleased { stream, acked, .. } => {
                self.on_released(*stream, *acked);
                Ok(())
            }
            Event::StreamsAvailable { .. } => {
                self.on_available();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_available(&mut self) {
        self.may_open = true;
    }

    /// Lets a stream whose length is open grow by `bytes`, or end where it is.
    pub(super) fn grow(&mut self, key: u64, bytes: u64, end: bool) {
        let writer = self.writers.iter_mut().find(|(_, writer)| writer.plan.key == key);
        let (plan, written) = match writer {
            Some((id, writer)) => {
                self.writable.insert(*id);
                (&mut writer.plan, writer.written)
            }
            // It waits for room among the streams.
            None => match self.to_open.iter_mut().find(|plan| plan.key == key) {
                Some(plan) => (plan, 0),
                None => return,
            },
        };
        plan.allowed = plan.allowed.saturating_add(bytes);
        if end {
            plan.allowed = plan.allowed.min(written.max(bytes));
            plan.total = Some(plan.allowed);
        }
    }

    /// Opens and writes what can be.
    pub(super) fn write(
        &mut self,
        world: &mut World,
        node: NodeId,
        session: SessionHandle,
    ) -> Result<(), String> {
        self.open(world, node, session)?;
        let now = world.now_at(node);
        let endpoint = world.endpoint_mut(node);
        while let Some(id) = self.writable.pop_first() {
            let Some(writer) = self.writers.get_mut(&id).filter(|writer| !writer.ended) else {
                continue;
            };
            let Plan { key, total, allowed, .. } = writer.plan;
            let outcome = loop {
                let room = (writer.acked + self.send_buffer).min(allowed) - writer.written;
                if room == 0 {
                    break Ok(());
                }
                let len = room.min(CHUNK);
                let bytes = pattern(key, writer.written, len as usize);
                if let Err(error) = endpoint.write(now, session, id, bytes) {
                    break Err(error);
                }
                writer.written += len;
            };
            let outcome = outcome.and_then(|()| {
                if Some(writer.written) != total {
                    return Ok(());
                }
                writer.ended = true;
                endpoint.finish(now, session, id)
            });
            self.tolerate(outcome, "write")?;
        }
        Ok(())
    }

    fn tolerate(&self, outcome: Result<(), WriteError>, what: &str) -> Result<(), String> {
        match outcome {
            Err(error) if !self.lenient => Err(format!("{what}: {error:?}")),
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        world: &mut World,
        node: NodeId,
        session: SessionHandle,
    ) -> Result<(), String> {
        let now = world.now_at(node);
        while let Some(plan) = self.to_open.last().copied().filter(|_| self.may_open) {
            let options = StreamOptions {
                direction: plan.direction,
                purpose: plan.key.to_string(),
                deadline: plan.deadline,
                ..StreamOptions::default()
            };
            match world.endpoint_mut(node).open_stream(now, session, options) {
                Ok(id) => {
                    self.to_open.pop();
                    let writer = Writer { plan, written: 0, acked: 0, ended: false };
                    self.writers.insert(id, writer);
                    self.writable.insert(id);
                }
                Err(OpenError::TooManyStreams { .. }) => self.may_open = false,
                Err(_) if self.lenient => return Ok(()),
                Err(error) => return Err(format!("open: {error:?}")),
            }
        }
        Ok(())
    }

    fn on_released(&mut self, id: StreamId, acked: u64) {
        if let Some(writer) = self.writers.get_mut(&id) {
            writer.acked = writer.acked.max(acked);
            if !writer.ended {
                self.writable.insert(id);
            }
        }
    }

    /// Every byte and the FIN were acknowledged.
    fn on_finished(&mut self, id: StreamId) -> Result<(), String> {
        // The way back of a stream that the peer opened is not counted.
        if let Some(writer) = self.writers.get_mut(&id) {
            if !writer.ended && !self.lenient {
                return Err(format!("{id:?} is said to be finished, which was not asked for"));
            }
            writer.acked = writer.written;
            self.unconfirmed = self.unconfirmed.saturating_sub(1);
        }
        Ok(())
    }

    /// The peer opened a stream.
    fn on_opened(&mut self, id: StreamId, purpose: &str, may_skip: bool) -> Result<(), String> {
        let key = purpose.parse().map_err(|_| format!("a stream for {purpose:?}"))?;
        let reader = Reader { key, received: 0, may_skip, finished: false };
        if self.readers.insert(id, reader).is_some() {
            return Err(format!("{id:?} opened twice"));
        }
        self.readable.insert(id);
        Ok(())
    }

    fn on_readable(&mut self, id: StreamId) {
        self.readable.insert(id);
    }

    /// The ids of all streams known here.
    pub(super) fn streams(&self) -> Vec<StreamId> {
        self.writers.keys().chain(self.readers.keys()).copied().collect()
    }

    /// Reads and checks what can be read, unless the application pauses.
    pub(super) fn read(
        &mut self,
        world: &mut World,
        node: NodeId,
        session: SessionHandle,
    ) -> Result<(), String> {
        while !self.paused
            && let Some(id) = self.readable.pop_first()
        {
            self.read_stream(world, node, session, id).map_err(|what| format!("{id:?}: {what}"))?;
        }
        Ok(())
    }

    fn read_stream(
        &mut self,
        world: &mut World,
        node: NodeId,
        session: SessionHandle,
        id: StreamId,
    ) -> Result<(), String> {
        let now = world.now_at(node);
        let endpoint = world.endpoint_mut(node);
        let Some(reader) = self.readers.get_mut(&id) else {
            // The way back of a stream of ours: the peer ends it without a byte.
            return match endpoint.read(session, id, READ) {
                Ok(ReadOutcome::Finished | ReadOutcome::Blocked) => Ok(()),
                _ if self.lenient => Ok(()),
                other => Err(format!("the way back: {other:?}")),
            };
        };
        if reader.finished {
            // Readable was said before the read that STREAM_OPEN brought about found the end.
            return Ok(());
        }
        loop {
            match endpoint.read(session, id, READ) {
                Ok(ReadOutcome::Chunk(chunk)) => {
                    let expected = pattern(reader.key, reader.received, chunk.len());
                    if chunk != expected {
                        let at = chunk.iter().zip(&expected).take_while(|(a, b)| a == b).count();
                        return Err(format!(
                            "wrong byte at offset {}",
                            reader.received + at as u64
                        ));
                    }
                    reader.received += chunk.len() as u64;
                    self.received += chunk.len() as u64;
                    self.timely += if reader.may_skip { chunk.len() as u64 } else { 0 };
                    endpoint.consumed(now, session, id, chunk.len() as u64);
                }
                Ok(ReadOutcome::Skipped { offset, len }) if reader.may_skip => {
                    if offset != reader.received || len == 0 {
                        return Err(format!("{len} skipped at {offset}, not {}", reader.received));
                    }
                    reader.received += len;
                    self.skipped += len;
                }
                Ok(ReadOutcome::Finished) => {
                    reader.finished = true;
                    self.finished += 1;
                    if id.direction() == Direction::Bidirectional {
                        let outcome = endpoint.finish(now, session, id);
                        return self.tolerate(outcome, "finish");
                    }
                    return Ok(());
                }
                Ok(ReadOutcome::Blocked) => return Ok(()),
                _ if self.lenient => return Ok(()),
                Ok(other) => return Err(format!("{other:?}")),
                Err(error) => return Err(format!("{error:?}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_does_not_depend_on_how_it_is_cut() {
        let whole = pattern(7, 0, 1000);
        for (offset, len) in [(0, 1), (1, 7), (8, 8), (13, 500), (999, 1)] {
            assert_eq!(pattern(7, offset as u64, len), whole[offset..offset + len]);
        }
        assert_ne!(pattern(8, 0, 64), whole[..64]);
        assert_ne!(whole[..64], whole[64..128]);
    }
}
