//! The receiving half of a stream: bytes in any order in, bytes in order out.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Largest buffer that in-order bytes are gathered in.
const MAX_BUFFER: usize = 64 * 1024;
const MIN_BUFFER: usize = 512;
/// Separate stretches out of order on one stream. An honest sender's losses make a few; more than
/// this is meant to cost memory.
const MAX_STRETCHES: usize = 4096;

/// What the peer did that ends the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Breach {
    /// Bytes past the credit.
    Credit,
    /// Another final size, or bytes past it.
    FinalSize,
    /// Too many stretches.
    Fragments,
}

/// How the half ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Open,
    /// The peer aborted with this code, which the application has not been given yet.
    Reset(u64),
    /// The application wants no more; what comes is counted and dropped.
    Stopped,
    /// The application has read FIN or the abort.
    Told,
}

/// What a read found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadOutcome {
    /// The next bytes, in order.
    Chunk(Bytes),
    /// Nothing now; [`crate::Event::StreamReadable`] follows.
    Blocked,
    /// The peer ended the stream here, and all of it has been read.
    Finished,
    /// The peer aborted; what was not read is gone.
    Reset(u64),
}

/// See the module.
#[derive(Debug)]
pub(super) struct RecvHalf {
    /// In order, not read: full buffers, then the one that grows.
    full: VecDeque<Bytes>,
    tail: BytesMut,
    /// Bytes out of order, by offset; they do not overlap each other or what is in order.
    early: BTreeMap<u64, Bytes>,
    /// Offset past the last byte in order.
    contiguous: u64,
    /// Offset past the last byte read.
    read: u64,
    /// Offset past the highest byte seen: what counts against credit.
    highest: u64,
    final_size: Option<u64>,
    end: End,
    /// Credit told to the peer, what it is made of, and what the application has taken.
    limit: u64,
    window: u64,
    consumed: u64,
}

impl RecvHalf {
    pub(super) fn new(window: u64) -> Self {
        Self {
            full: VecDeque::new(),
            tail: BytesMut::new(),
            early: BTreeMap::new(),
            contiguous: 0,
            read: 0,
            highest: 0,
            final_size: None,
            end: End::Open,
            limit: window,
            window,
            consumed: 0,
        }
    }

    /// How many bytes above the highest so far a frame reaches.
    pub(super) fn growth(&self, offset: u64, len: u64) -> u64 {
        (offset + len).saturating_sub(self.highest)
    }

    /// Takes bytes; says whether there is something new to read.
    pub(super) fn on_data(&mut self, offset: u64, bytes: &[u8], fin: bool) -> Result<bool, Breach> {
        let end = offset + bytes.len() as u64;
        if end > self.limit {
            return Err(Breach::Credit);
        }
        self.settle_size(end, fin)?;
        self.highest = self.highest.max(end);
        if self.end != End::Open {
            return Ok(false);
        }
        let before = self.contiguous;
        if offset <= self.contiguous {
            let known = usize::try_from(self.contiguous - offset).unwrap_or(usize::MAX);
            if let Some(new) = bytes.get(known..).filter(|new| !new.is_empty()) {
                self.append(new);
                self.join_early();
            }
        } else if !bytes.is_empty() {
            self.keep_early(offset, bytes)?;
        }
        Ok(self.contiguous > before || self.is_fin_readable())
    }

    fn settle_size(&mut self, end: u64, fin: bool) -> Result<(), Breach> {
        let wrong = match self.final_size {
            Some(size) => end > size || (fin && end != size),
            None => fin && end < self.highest,
        };
        if wrong {
            return Err(Breach::FinalSize);
        }
        if fin {
            self.final_size = Some(end);
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) {
        self.contiguous += bytes.len() as u64;
        if self.tail.capacity() - self.tail.len() < bytes.len() {
            let wanted = (2 * self.tail.len()).clamp(MIN_BUFFER, MAX_BUFFER).max(bytes.len());
            if !self.tail.is_empty() {
                self.full.push_back(self.tail.split().freeze());
            }
            // Takes the old buffer back when nobody holds a part of it any more.
            self.tail.reserve(wanted);
        }
        self.tail.put_slice(bytes);
    }

    fn join_early(&mut self) {
        while let Some(entry) = self.early.first_entry() {
            if *entry.key() > self.contiguous {
                return;
            }
            let (offset, mut bytes) = entry.remove_entry();
            let known = usize::try_from(self.contiguous - offset).unwrap_or(usize::MAX);
            if known >= bytes.len() {
                continue;
            }
            bytes.advance(known);
            self.append(&bytes);
        }
    }

    /// Keeps what of `bytes` is not held yet; what came first stays.
    fn keep_early(&mut self, mut offset: u64, mut bytes: &[u8]) -> Result<(), Breach> {
        if let Some((start, held)) = self.early.range(..=offset).next_back() {
            let held_end = start + held.len() as u64;
            let skip = usize::try_from(held_end.saturating_sub(offset)).unwrap_or(usize::MAX);
            let Some(rest) = bytes.get(skip..) else { return Ok(()) };
            (offset, bytes) = (offset + skip as u64, rest);
        }
        while !bytes.is_empty() {
            let next = self.early.range(offset..).next().map(|(start, held)| (*start, held.len()));
            let gap = next.map_or(bytes.len(), |(start, _)| {
                usize::try_from(start - offset).unwrap_or(usize::MAX).min(bytes.len())
            });
            if gap > 0 {
                self.early.insert(offset, Bytes::copy_from_slice(&bytes[..gap]));
            }
            let skip = (gap + next.map_or(0, |(_, len)| len)).min(bytes.len());
            (offset, bytes) = (offset + skip as u64, &bytes[skip..]);
        }
        if self.early.len() > MAX_STRETCHES { Err(Breach::Fragments) } else { Ok(()) }
    }

    /// The peer gave the rest up. Says whether the application is to be told.
    pub(super) fn on_reset(&mut self, code: u64, final_size: u64) -> Result<bool, Breach> {
        if final_size > self.limit {
            return Err(Breach::Credit);
        }
        if final_size < self.highest || self.final_size.is_some_and(|size| size != final_size) {
            return Err(Breach::FinalSize);
        }
        // FIN and every byte before it were here already: nothing was cut.
        let whole = self.is_fin_readable();
        self.final_size = Some(final_size);
        self.highest = final_size;
        if self.end != End::Open || whole {
            return Ok(false);
        }
        self.end = End::Reset(code);
        self.drop_data();
        Ok(true)
    }

    /// The application wants no more.
    pub(super) fn stop(&mut self) {
        if matches!(self.end, End::Open | End::Reset(_)) {
            self.end = End::Stopped;
            self.drop_data();
        }
    }

    fn drop_data(&mut self) {
        self.full = VecDeque::new();
        self.tail = BytesMut::new();
        self.early = BTreeMap::new();
    }

    pub(super) fn read(&mut self, max: usize) -> ReadOutcome {
        match self.end {
            End::Reset(code) => {
                self.end = End::Told;
                return ReadOutcome::Reset(code);
            }
            End::Stopped | End::Told => return ReadOutcome::Finished,
            End::Open => {}
        }
        let chunk = match self.full.front_mut() {
            Some(front) if front.len() > max => front.split_to(max),
            Some(_) => self.full.pop_front().unwrap_or_default(),
            None => self.tail.split_to(self.tail.len().min(max)).freeze(),
        };
        if !chunk.is_empty() {
            self.read += chunk.len() as u64;
            return ReadOutcome::Chunk(chunk);
        }
        if self.is_fin_readable() {
            self.end = End::Told;
            self.drop_data();
            return ReadOutcome::Finished;
        }
        ReadOutcome::Blocked
    }

    fn is_fin_readable(&self) -> bool {
        self.final_size == Some(self.contiguous)
    }

    /// Whether bytes or an end wait for the application.
    pub(super) fn has_unread(&self) -> bool {
        match self.end {
            End::Open => self.read < self.contiguous || self.is_fin_readable(),
            End::Reset(_) => true,
            End::Stopped | End::Told => false,
        }
    }

    /// Bytes that count against the session's credit and that nobody will ever read.
    pub(super) fn unreadable(&self) -> u64 {
        if matches!(self.end, End::Reset(_) | End::Stopped) { self.highest - self.read } else { 0 }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.end == End::Stopped
    }

    /// Whether the peer may still send: no end is known.
    pub(super) fn is_size_open(&self) -> bool {
        self.final_size.is_none()
    }

    /// Whether nothing of this half matters any more.
    pub(super) fn is_done(&self) -> bool {
        match self.end {
            End::Told => true,
            End::Stopped => self.final_size == Some(self.highest),
            End::Open | End::Reset(_) => false,
        }
    }

    /// The application has taken bytes. Says whether new credit is due: half of the window is used.
    pub(super) fn on_consumed(&mut self, bytes: u64) -> bool {
        self.consumed = (self.consumed + bytes).min(self.highest);
        self.wants_window()
    }

    fn wants_window(&self) -> bool {
        self.end == End::Open
            && self.final_size.is_none()
            && self.consumed + self.window - self.limit >= self.window / 2
            && self.window > 0
    }

    /// The limit to tell now.
    pub(super) fn next_limit(&mut self) -> u64 {
        self.limit = self.limit.max(self.consumed + self.window);
        self.limit
    }
}
