//! The receiving half of a stream: credit, final size, and what can be read.

use core::ops::Range;

use bytes::Bytes;

use super::assembler::Assembler;
use super::blocks::Blocks;
use super::flow::RecvCredit;

/// What the peer did that ends the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Breach {
    /// Bytes past this limit.
    Credit(u64),
    /// Another final size than before, or bytes past it.
    FinalSize,
}

/// What a read found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReadOutcome {
    /// The next bytes, in order.
    Chunk(Bytes),
    /// Nothing for now; [`crate::Event::StreamReadable`] follows.
    Blocked,
    /// The peer gave up these bytes for their age: reading goes on behind them.
    Skipped {
        /// Offset of the first of them: all before it has been read, or was skipped before.
        offset: u64,
        /// How many they are.
        len: u64,
    },
    /// The peer finished the stream here, and all of it has been read.
    Finished,
    /// The peer reset the stream with this code; what was not read is gone.
    Reset(u64),
}

/// Bytes that nobody will read, by what their credit waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unread {
    /// Were never handed out: their credit is free at once.
    pub(super) unread: u64,
    /// Were handed out, and the application has not said yet that it consumed them.
    pub(super) unconsumed: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct RecvHalf {
    assembler: Assembler,
    pub(super) credit: RecvCredit,
    /// Known from FIN.
    final_size: Option<u64>,
    /// The application wants no more: what comes is counted and dropped.
    stop: Option<u64>,
    /// Bytes before the next that can be read, given up by the peer: the reader has not been told.
    gap: Option<Range<u64>>,
    /// The reader found nothing and is to be told when there is something.
    pub(super) is_awaited: bool,
}

impl RecvHalf {
    pub(super) fn new(credit: RecvCredit) -> Self {
        Self {
            assembler: Assembler::default(),
            credit,
            final_size: None,
            stop: None,
            gap: None,
            is_awaited: true,
        }
    }

    /// Counts bytes of a frame that ends at `end`, and its FIN. Returns by how much the highest offset
    /// grew.
    pub(super) fn account(&mut self, end: u64, fin: bool) -> Result<u64, Breach> {
        let highest = self.credit.received();
        let contradicts = match self.final_size {
            Some(size) => end > size || (fin && end != size),
            None => fin && end < highest,
        };
        if contradicts {
            return Err(Breach::FinalSize);
        }
        if fin {
            self.final_size = Some(end);
        }
        let growth = end.saturating_sub(highest);
        self.credit.receive(growth).map_err(Breach::Credit)?;
        Ok(growth)
    }

    /// Whether its blocks are small from now on.
    pub(super) fn be_frugal(&mut self, is_frugal: bool) {
        self.assembler.be_frugal(is_frugal);
    }

    /// Whether it fills a block of more than [`SMALL_BLOCK`](super::assembler::SMALL_BLOCK) bytes.
    pub(super) const fn has_large_tail(&self) -> bool {
        self.assembler.has_large_tail()
    }

    /// Lets go of a large block in which nothing is unread. Returns whether there was one.
    pub(super) fn release_tail(&mut self) -> bool {
        self.assembler.release_tail()
    }

    /// Takes the bytes of a frame that was counted.
    pub(super) fn insert(&mut self, blocks: &mut Blocks, offset: u64, bytes: &[u8]) {
        if self.stop.is_none() {
            self.assembler.insert(blocks, offset, bytes);
        }
    }

    /// The code of the STREAM_STOP, once the application wants no more.
    pub(super) const fn stop_code(&self) -> Option<u64> {
        self.stop
    }

    /// Whether FIN has come.
    pub(super) const fn is_size_known(&self) -> bool {
        self.final_size.is_some()
    }

    /// Whether every byte and FIN have come.
    pub(super) fn is_complete(&self) -> bool {
        self.final_size == Some(self.assembler.contiguous())
    }

    /// Whether a read would find something: bytes, or the end.
    pub(super) fn is_readable(&self) -> bool {
        self.stop.is_none()
            && (self.gap.is_some()
                || self.assembler.contiguous() > self.assembler.read()
                || self.is_complete())
    }

    /// Takes out the next bytes, at most `max`.
    pub(super) fn read(&mut self, max: usize) -> ReadOutcome {
        if let Some(Range { start, end }) = self.gap.take() {
            return ReadOutcome::Skipped { offset: start, len: end - start };
        }
        if let Some(bytes) = self.assembler.take(max) {
            return ReadOutcome::Chunk(bytes);
        }
        if self.final_size == Some(self.assembler.read()) {
            return ReadOutcome::Finished;
        }
        self.is_awaited = true;
        ReadOutcome::Blocked
    }

    /// The peer has given up everything before `offset`, which was counted. Returns how many bytes the
    /// reader will never see for it; they count as consumed.
    pub(super) fn skip(&mut self, blocks: &mut Blocks, offset: u64) -> u64 {
        let read = self.assembler.read();
        if self.stop.is_some() || offset <= read {
            return 0;
        }
        self.assembler.skip_to(blocks, offset);
        // Nothing is read between two gaps, or the first would have been told.
        let start = self.gap.as_ref().map_or(read, |gap| gap.start);
        self.gap = Some(start..offset);
        self.credit.consume(offset - read);
        offset - read
    }

    /// The application consumed bytes that it had read. Returns how many of them it had not said so
    /// before.
    pub(super) fn consume(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.min(self.assembler.read() - self.credit.consumed());
        self.credit.consume(bytes);
        bytes
    }

    /// Whether the peer should get more credit now.
    pub(super) fn is_window_due(&self) -> bool {
        self.wants_more() && self.credit.is_due(u64::MAX)
    }

    /// Whether more bytes of this stream are welcome.
    pub(super) const fn wants_more(&self) -> bool {
        self.stop.is_none() && self.final_size.is_none()
    }

    /// Whether bytes have come, and more are to come.
    pub(super) fn is_begun(&self) -> bool {
        self.stop.is_none() && self.credit.received() > 0 && !self.is_complete()
    }

    /// What is unread now that nobody will read any more.
    pub(super) fn unread(&self) -> Unread {
        let read = self.assembler.read();
        if self.stop.is_some() {
            return Unread { unread: 0, unconsumed: 0 };
        }
        Unread { unread: self.credit.received() - read, unconsumed: read - self.credit.consumed() }
    }

    /// The application wants no more.
    pub(super) fn stop(&mut self, code: u64) {
        self.assembler = Assembler::default();
        self.gap = None;
        self.stop = Some(code);
    }

    /// The credit, and what lies in buffers.
    #[cfg(feature = "inspect")]
    pub(super) fn counted(&self) -> crate::inspect::RecvCount {
        crate::inspect::RecvCount {
            held: self.assembler.held(),
            runs: self.assembler.runs() as u64,
            ..self.credit.counted()
        }
    }

    /// See [`Assembler::memory`].
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.assembler.memory()
    }

    /// Runs out of order.
    pub(super) fn runs(&self) -> usize {
        self.assembler.runs()
    }

    /// Nothing comes any more: what is out of order stays unreadable.
    pub(super) fn discard_early(&mut self) {
        self.assembler.discard_early();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(window: u64) -> RecvHalf {
        RecvHalf::new(RecvCredit::new(window, window))
    }

    fn data(half: &mut RecvHalf, offset: u64, bytes: &[u8], fin: bool) -> Result<u64, Breach> {
        let growth = half.account(offset + bytes.len() as u64, fin)?;
        half.insert(&mut Blocks::default(), offset, bytes);
        Ok(growth)
    }

    #[test]
    fn reading_ends_only_on_fin() {
        let mut half = half(100);
        data(&mut half, 0, b"abc", false).unwrap();
        assert_eq!(half.read(10), ReadOutcome::Chunk(Bytes::from_static(b"abc")));
        assert_eq!(half.read(10), ReadOutcome::Blocked);
        data(&mut half, 3, b"", true).unwrap();
        assert!(half.is_readable());
        assert_eq!(half.read(10), ReadOutcome::Finished);
    }

    #[test]
    fn a_final_size_never_changes() {
        let mut half = half(100);
        data(&mut half, 0, b"abcdef", false).unwrap();
        assert_eq!(half.account(5, true), Err(Breach::FinalSize));
        assert_eq!(half.account(8, true), Ok(2));
        assert_eq!(half.account(8, true), Ok(0));
        assert_eq!(half.account(8, false), Ok(0));
        assert_eq!(half.account(9, false), Err(Breach::FinalSize));
        assert_eq!(half.account(7, true), Err(Breach::FinalSize));
    }

    #[test]
    fn credit_counts_the_highest_offset_once() {
        let mut half = half(10);
        assert_eq!(data(&mut half, 6, b"gh", false), Ok(8));
        assert_eq!(data(&mut half, 0, b"abcdef", false), Ok(0));
        assert_eq!(data(&mut half, 8, b"ijk", false), Err(Breach::Credit(10)));
    }

    #[test]
    fn only_what_was_read_can_be_consumed() {
        let mut half = half(10);
        data(&mut half, 0, b"abcdef", false).unwrap();
        assert_eq!(half.consume(3), 0);
        half.read(4);
        assert_eq!((half.consume(3), half.consume(3)), (3, 1));
        assert_eq!(half.unread(), Unread { unread: 2, unconsumed: 0 });
    }
}
