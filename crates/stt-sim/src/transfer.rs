//! The application of most scenarios: streams of a known pattern, every byte checked on arrival.

use core::time::Duration;
use std::collections::BTreeMap;

use bytes::Bytes;
use stt_proto::{
    CloseReason, ConnectOptions, Direction, ErrorCode, Event, ReadOutcome, SessionHandle, StreamId,
    StreamOptions,
};

use crate::world::{Failure, NodeId, World};

/// Bytes that a writer keeps unacknowledged on one stream, as a driver's send buffer would.
const SEND_BUFFER: u64 = 512 * 1024;
/// Bytes of one write.
const CHUNK: u64 = 16 * 1024;
/// Bytes of one read.
const READ: usize = 64 * 1024;

/// The byte that stands at `offset` of stream number `stream`: any shift, swap or repetition shows.
#[must_use]
pub fn pattern(stream: u64, offset: u64) -> u8 {
    let mixed =
        (offset ^ stream.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    (mixed >> 56) as u8
}

fn pattern_bytes(stream: u64, offset: u64, len: u64) -> Bytes {
    (offset..offset + len).map(|at| pattern(stream, at)).collect()
}

/// One stream as its reader sees it.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    /// Which pattern; the number in the stream's purpose.
    number: u64,
    /// Bytes read and checked.
    pub received: u64,
    /// Whether FIN was read.
    pub finished: bool,
}

#[derive(Debug)]
struct Writer {
    number: u64,
    total: u64,
    written: u64,
    acked: u64,
    ended: bool,
    /// Whether every byte and the FIN are acknowledged.
    confirmed: bool,
}

/// A client that sends streams of given sizes, a server that checks them.
#[derive(Debug)]
pub struct Transfer {
    client: NodeId,
    server: NodeId,
    client_session: SessionHandle,
    server_session: Option<SessionHandle>,
    connected: bool,
    writers: BTreeMap<StreamId, Writer>,
    readers: BTreeMap<StreamId, Reader>,
    /// Sizes not opened yet, last first: the peer's limit may hold some back.
    waiting: Vec<(u64, u64)>,
    streams: usize,
    closed: [bool; 2],
}

impl Transfer {
    /// Connects `client` to `server`, which must listen, and will send streams of these sizes.
    ///
    /// # Errors
    /// The connect was refused on the spot.
    pub fn start(
        world: &mut World,
        client: NodeId,
        server: NodeId,
        sizes: &[u64],
    ) -> Result<Self, Failure> {
        Self::start_with(world, client, server, sizes, ConnectOptions::default())
    }

    /// The same with options.
    ///
    /// # Errors
    /// The connect was refused on the spot.
    pub fn start_with(
        world: &mut World,
        client: NodeId,
        server: NodeId,
        sizes: &[u64],
        options: ConnectOptions,
    ) -> Result<Self, Failure> {
        let (now, path) = (world.now_at(client), world.path_to(server));
        let client_session =
            world.endpoint_mut(client).connect(now, path, options).map_err(|error| Failure {
                what: format!("connect: {error:?}"),
                at: world.elapsed(),
            })?;
        let waiting =
            sizes.iter().enumerate().map(|(number, size)| (number as u64, *size)).rev().collect();
        Ok(Self {
            client,
            server,
            client_session,
            server_session: None,
            connected: false,
            writers: BTreeMap::new(),
            readers: BTreeMap::new(),
            waiting,
            streams: sizes.len(),
            closed: [false; 2],
        })
    }

    /// The client's handle.
    #[must_use]
    pub const fn client_session(&self) -> SessionHandle {
        self.client_session
    }

    /// The server's handle, once it has one.
    #[must_use]
    pub const fn server_session(&self) -> Option<SessionHandle> {
        self.server_session
    }

    /// Whether FINAL has arrived.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        self.connected
    }

    /// Bytes checked at the server so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.readers.values().map(|reader| reader.received).sum()
    }

    /// Whether every stream was read to its FIN and acknowledged to its writer.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.connected
            && self.server_session.is_some()
            && self.waiting.is_empty()
            && self.readers.len() == self.streams
            && self.readers.values().all(|reader| reader.finished)
            && self.writers.values().all(|writer| writer.confirmed)
    }

    /// Lets both applications act on what has happened. Call it after each step.
    ///
    /// # Errors
    /// What went wrong: a byte that is not the pattern's, a session that failed, a refused call.
    pub fn advance(&mut self, world: &mut World) -> Result<(), String> {
        for event in world.take_events(self.client) {
            self.on_client_event(world, &event)?;
        }
        for event in world.take_events(self.server) {
            self.on_server_event(world, &event)?;
        }
        if self.connected {
            self.open_waiting(world)?;
            self.write_all(world)?;
        }
        Ok(())
    }

    /// Runs to the end: every byte read and acknowledged. Returns the time it took.
    ///
    /// # Errors
    /// See [`Transfer::advance`] and [`World::run_until`].
    pub fn run(&mut self, world: &mut World, limit: Duration) -> Result<Duration, Failure> {
        let started = world.elapsed();
        world.run_until(limit, |world| {
            self.advance(world)?;
            Ok(self.is_complete().then_some(()))
        })?;
        Ok(world.elapsed() - started)
    }

    /// Closes gracefully from the client and waits until both sides have said so.
    ///
    /// # Errors
    /// See [`World::run_until`].
    pub fn close(&mut self, world: &mut World, limit: Duration) -> Result<(), Failure> {
        let now = world.now_at(self.client);
        world.endpoint_mut(self.client).close(
            now,
            self.client_session,
            stt_proto::Close::graceful(limit),
        );
        world.run_until(limit, |world| {
            self.advance(world)?;
            Ok((self.closed == [true; 2]).then_some(()))
        })
    }

    fn on_client_event(&mut self, world: &mut World, event: &Event) -> Result<(), String> {
        match event {
            Event::Connected { .. } => self.connected = true,
            Event::StreamReleased { stream, acked, .. } => {
                if let Some(writer) = self.writers.get_mut(stream) {
                    writer.acked = *acked;
                }
            }
            Event::StreamFinished { stream, .. } => {
                if let Some(writer) = self.writers.get_mut(stream) {
                    writer.acked = writer.total;
                    writer.confirmed = true;
                }
            }
            Event::SessionClosed { reason: CloseReason::Graceful, undelivered: 0, .. } => {
                self.closed[0] = true
            }
            Event::ConnectFailed { .. } | Event::SessionClosed { .. } => {
                return Err(format!("client: {event:?}"));
            }
            Event::StreamReset { .. } | Event::StreamStopped { .. } => {
                return Err(format!("client: {event:?}"));
            }
            // The server ends its half without a byte; a stream is over once that end is read.
            Event::StreamReadable { session, stream } => {
                match world.endpoint_mut(self.client).read(*session, *stream, READ) {
                    Ok(ReadOutcome::Finished) => {}
                    other => return Err(format!("client read {stream:?}: {other:?}")),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_server_event(&mut self, world: &mut World, event: &Event) -> Result<(), String> {
        match event {
            Event::Incoming { session, .. } => {
                let now = world.now_at(self.server);
                world.endpoint_mut(self.server).accept(now, *session);
            }
            Event::Connected { session, .. } => self.server_session = Some(*session),
            Event::StreamOpened { session, stream, purpose, .. } => {
                let number = purpose.parse().map_err(|_| format!("a stream for {purpose:?}"))?;
                if self.readers.insert(*stream, Reader { number, ..Reader::default() }).is_some() {
                    return Err(format!("{stream:?} opened twice"));
                }
                self.read(world, *session, *stream)?;
            }
            Event::StreamReadable { session, stream } => self.read(world, *session, *stream)?,
            Event::SessionClosed { reason: CloseReason::Graceful, .. } => self.closed[1] = true,
            // The client, which had heard nothing of this session, has begun its connect anew.
            Event::SessionClosed { session, error: Some(error), .. }
                if !self.connected && error.code == ErrorCode::SessionNotFound =>
            {
                self.server_session.take_if(|ended| ended == session);
            }
            Event::SessionClosed { .. } | Event::StreamReset { .. } => {
                return Err(format!("server: {event:?}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn read(
        &mut self,
        world: &mut World,
        session: SessionHandle,
        stream: StreamId,
    ) -> Result<(), String> {
        let now = world.now_at(self.server);
        let reader = self
            .readers
            .get_mut(&stream)
            .ok_or_else(|| format!("{stream:?} readable before it opened"))?;
        if reader.finished {
            // Readable was said before the read that STREAM_OPEN brought about found the end.
            return Ok(());
        }
        loop {
            match world.endpoint_mut(self.server).read(session, stream, READ) {
                Ok(ReadOutcome::Chunk(chunk)) => {
                    for byte in &chunk {
                        if *byte != pattern(reader.number, reader.received) {
                            return Err(format!(
                                "{stream:?}: wrong byte at offset {}",
                                reader.received
                            ));
                        }
                        reader.received += 1;
                    }
                    world.endpoint_mut(self.server).consumed(
                        now,
                        session,
                        stream,
                        chunk.len() as u64,
                    );
                }
                Ok(ReadOutcome::Finished) => {
                    reader.finished = true;
                    return self.finish_way_back(world, session, stream);
                }
                Ok(ReadOutcome::Blocked) => return Ok(()),
                Ok(other) => return Err(format!("{stream:?}: {other:?}")),
                Err(error) => return Err(format!("{stream:?}: {error:?}")),
            }
        }
    }

    /// The server sends nothing back, so it ends its half.
    fn finish_way_back(
        &self,
        world: &mut World,
        session: SessionHandle,
        stream: StreamId,
    ) -> Result<(), String> {
        let now = world.now_at(self.server);
        world
            .endpoint_mut(self.server)
            .finish(now, session, stream)
            .map_err(|error| format!("finish: {error:?}"))
    }

    fn open_waiting(&mut self, world: &mut World) -> Result<(), String> {
        let now = world.now_at(self.client);
        while let Some((number, total)) = self.waiting.last().copied() {
            let options = StreamOptions {
                direction: Direction::Bidirectional,
                purpose: number.to_string(),
                ..StreamOptions::default()
            };
            match world.endpoint_mut(self.client).open_stream(now, self.client_session, options) {
                Ok(stream) => {
                    self.waiting.pop();
                    let writer = Writer {
                        number,
                        total,
                        written: 0,
                        acked: 0,
                        ended: false,
                        confirmed: false,
                    };
                    self.writers.insert(stream, writer);
                }
                Err(stt_proto::OpenError::TooManyStreams { .. }) => return Ok(()),
                Err(error) => return Err(format!("open: {error:?}")),
            }
        }
        Ok(())
    }

    fn write_all(&mut self, world: &mut World) -> Result<(), String> {
        let now = world.now_at(self.client);
        let endpoint = world.endpoint_mut(self.client);
        for (stream, writer) in self.writers.iter_mut().filter(|(_, writer)| !writer.ended) {
            while writer.written < writer.total && writer.written - writer.acked < SEND_BUFFER {
                let len = CHUNK.min(writer.total - writer.written);
                let bytes = pattern_bytes(writer.number, writer.written, len);
                endpoint
                    .write(now, self.client_session, *stream, bytes)
                    .map_err(|error| format!("write: {error:?}"))?;
                writer.written += len;
            }
            if writer.written == writer.total {
                endpoint
                    .finish(now, self.client_session, *stream)
                    .map_err(|error| format!("finish: {error:?}"))?;
                writer.ended = true;
            }
        }
        Ok(())
    }
}
