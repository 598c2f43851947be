//! The reference: the two machines of RFC 9000 section 3, with bytes kept one by one, as PROTOCOL.md
//! section 1.9 adapts them. It knows nothing of buffers, ranges, queues or what may be forgotten.

use std::collections::BTreeSet;

use super::super::*;

/// RFC 9000 section 3.1, figure 2.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sending {
    Ready,
    Send,
    DataSent,
    ResetSent,
    DataRecvd,
    ResetRecvd,
}

impl Sending {
    /// Follows an arrow of the figure; there are no others.
    pub(super) fn go(&mut self, to: Self) {
        use Sending::*;
        let exists = matches!(
            (*self, to),
            (Ready, Send)
                | (Ready | Send | DataSent, ResetSent)
                | (Send, DataSent)
                | (DataSent, DataRecvd)
                | (ResetSent, ResetRecvd)
        );
        assert!(exists, "no arrow leads from {self:?} to {to:?}");
        *self = to;
    }

    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::DataRecvd | Self::ResetRecvd)
    }

    pub(super) fn is_reset(self) -> bool {
        matches!(self, Self::ResetSent | Self::ResetRecvd)
    }
}

/// RFC 9000 section 3.2, figure 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Receiving {
    Recv,
    SizeKnown,
    DataRecvd,
    ResetRecvd,
    DataRead,
    ResetRead,
}

impl Receiving {
    /// Follows an arrow of the figure, or one that PROTOCOL.md section 1.9 adds: what an application
    /// stops it will never read, so the half is over once its size is known.
    pub(super) fn go(&mut self, to: Self) {
        use Receiving::*;
        let exists = matches!(
            (*self, to),
            (Recv, SizeKnown)
                | (SizeKnown, DataRecvd)
                | (Recv | SizeKnown, ResetRecvd)
                | (DataRecvd, DataRead)
                | (ResetRecvd, ResetRead)
                | (SizeKnown, DataRead)
        );
        assert!(exists, "no arrow leads from {self:?} to {to:?}");
        *self = to;
    }

    /// Whether nothing that comes changes anything any more.
    pub(super) fn is_over(self) -> bool {
        !matches!(self, Self::Recv | Self::SizeKnown | Self::DataRecvd)
    }
}

/// The half that the side under test sends on.
#[derive(Clone, Debug)]
pub(super) struct SendModel {
    pub(super) state: Sending,
    /// Bytes that the application wrote.
    pub(super) written: u64,
    /// Offset past the highest byte that was sent, or whose skip was.
    pub(super) sent: u64,
    /// The application has finished.
    pub(super) is_finished: bool,
    pub(super) acked: BTreeSet<u64>,
    pub(super) is_fin_acked: bool,
    /// Everything before this was given up for its age.
    pub(super) floor: u64,
    pub(super) is_floor_acked: bool,
    pub(super) reset: Option<u64>,
    /// The application was told that the peer has everything.
    pub(super) is_told: bool,
}

impl SendModel {
    pub(super) fn new() -> Self {
        Self {
            state: Sending::Ready,
            written: 0,
            sent: 0,
            is_finished: false,
            acked: BTreeSet::new(),
            is_fin_acked: false,
            floor: 0,
            is_floor_acked: true,
            reset: None,
            is_told: false,
        }
    }

    /// Bytes that the peer has, or will never ask for, without a gap.
    pub(super) fn prefix(&self) -> u64 {
        (self.floor..).find(|at| !self.acked.contains(at)).unwrap_or(self.floor)
    }

    /// Bytes of which no acknowledgement has come, and which still matter.
    pub(super) fn undelivered(&self) -> u64 {
        if self.reset.is_some() || self.state.is_over() {
            return 0;
        }
        (self.floor..self.written).filter(|at| !self.acked.contains(at)).count() as u64
    }

    /// Whether the peer has every byte written so far, and knows of each that was given up.
    pub(super) fn is_delivered(&self) -> bool {
        self.prefix() == self.written && self.is_floor_acked
    }

    pub(super) fn is_drained(&self) -> bool {
        self.state.is_over() || (self.reset.is_none() && !self.is_finished && self.is_delivered())
    }

    /// Bytes up to `end` have left, or their skip, and FIN with them if `fin`.
    pub(super) fn on_sent(&mut self, end: u64, fin: bool) {
        self.sent = self.sent.max(end);
        if self.state == Sending::Ready {
            self.state.go(Sending::Send);
        }
        if fin && self.state == Sending::Send {
            self.state.go(Sending::DataSent);
        }
    }

    pub(super) fn reset(&mut self, code: u64) {
        self.state.go(Sending::ResetSent);
        self.reset = Some(code);
    }
}

/// The half that it receives on.
#[derive(Clone, Debug)]
pub(super) struct RecvModel {
    pub(super) state: Receiving,
    pub(super) got: BTreeSet<u64>,
    /// Offset past the highest byte that the peer has used.
    pub(super) highest: u64,
    pub(super) size: Option<u64>,
    /// Offset of the next byte to read.
    pub(super) read: u64,
    /// What the reader will be told to skip first.
    pub(super) gap: Option<(u64, u64)>,
    pub(super) reset: Option<u64>,
    /// The application wants no more.
    pub(super) stopped: Option<u64>,
    /// The reader found nothing, and is to be told.
    pub(super) is_awaited: bool,
}

impl RecvModel {
    pub(super) fn new() -> Self {
        Self {
            state: Receiving::Recv,
            got: BTreeSet::new(),
            highest: 0,
            size: None,
            read: 0,
            gap: None,
            reset: None,
            stopped: None,
            is_awaited: true,
        }
    }

    /// Offset past the last byte that stands in order.
    pub(super) fn in_order(&self) -> u64 {
        (self.read..).find(|at| !self.got.contains(at)).unwrap_or(self.read)
    }

    pub(super) fn is_readable(&self) -> bool {
        !self.state.is_over()
            && self.stopped.is_none()
            && (self.gap.is_some()
                || self.in_order() > self.read
                || self.state == Receiving::DataRecvd)
    }

    /// Whether a frame that ends at `end`, and says whether that is the final size, contradicts
    /// what came before: the final size never changes, and nothing lies beyond it.
    pub(super) fn contradicts(&self, end: u64, is_final: bool) -> bool {
        match self.size {
            Some(size) => end > size || (is_final && end != size),
            None => is_final && end < self.highest,
        }
    }

    /// Bytes came, or the word that some never will: the size and all of them may be known now.
    pub(super) fn settle(&mut self) {
        let Some(size) = self.size else { return };
        if self.state == Receiving::Recv {
            self.state.go(Receiving::SizeKnown);
        }
        if self.state == Receiving::SizeKnown {
            if self.stopped.is_some() {
                self.state.go(Receiving::DataRead);
            } else if self.in_order() == size {
                self.state.go(Receiving::DataRecvd);
            }
        }
    }
}

/// A stream.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) send: Option<SendModel>,
    pub(super) recv: Option<RecvModel>,
    pub(super) is_own: bool,
    /// STREAM_OPEN was acknowledged, or has come.
    pub(super) is_established: bool,
    /// The application knows it.
    pub(super) is_told: bool,
    pub(super) is_closed: bool,
    pub(super) is_open_sent: bool,
    pub(super) is_stop_acked: bool,
    pub(super) is_timely: bool,
    pub(super) is_skipped: bool,
    /// What came before STREAM_OPEN did.
    pub(super) early_stop: Option<u64>,
}

impl Model {
    pub(super) fn new(direction: Direction, is_own: bool, is_timely: bool) -> Self {
        let both = direction == Direction::Bidirectional;
        Self {
            send: (both || is_own).then(SendModel::new),
            recv: (both || !is_own).then(RecvModel::new),
            is_own,
            is_established: false,
            is_told: is_own,
            is_closed: false,
            is_open_sent: false,
            is_stop_acked: false,
            is_timely: is_own && is_timely,
            is_skipped: false,
            early_stop: None,
        }
    }

    /// Whether nothing of it matters any more: it may be forgotten.
    pub(super) fn is_over(&self) -> bool {
        self.is_established
            && self.send.as_ref().is_none_or(|send| send.state.is_over())
            && self.recv.as_ref().is_none_or(|recv| recv.state.is_over())
    }
}
