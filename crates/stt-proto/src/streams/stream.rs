//! One stream: its halves, and what it owes the peer and the application.

use core::time::Duration;

use super::id::{Direction, StreamId};
use super::recv::RecvHalf;
use super::send::SendHalf;
use crate::time::Instant;

/// Control frames that a stream owes the peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Owed(u8);

impl Owed {
    pub(super) const NOTHING: Self = Self(0);
    pub(super) const OPEN: Self = Self(1);
    pub(super) const CLOSE: Self = Self(1 << 1);
    pub(super) const STOP: Self = Self(1 << 2);
    pub(super) const WINDOW: Self = Self(1 << 3);
    pub(super) const SKIP: Self = Self(1 << 4);

    pub(super) const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(super) const fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) const fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

/// What STREAM_OPEN says beside the priority.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) purpose: String,
    pub(super) name: Option<u32>,
}

/// See the module. A half is `None` where the stream has none, and once it is done.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) priority: u8,
    pub(super) send: Option<SendHalf>,
    pub(super) recv: Option<RecvHalf>,
    /// Opened here: STREAM_OPEN, kept until it is acknowledged.
    pub(super) opening: Option<Box<Opening>>,
    /// Opened here: STREAM_OPEN was sent at least once, so data may follow.
    pub(super) is_open_sent: bool,
    /// Both sides know the stream: its STREAM_OPEN was acknowledged, or has come.
    pub(super) is_established: bool,
    /// The application knows the stream. It never hears of one whose name was refused.
    pub(super) is_told: bool,
    pub(super) owed: Owed,
    /// Where the stream waits, so that it never waits there twice.
    pub(super) is_in_control: bool,
    pub(super) is_in_repeat: bool,
    pub(super) is_in_fresh: bool,
    /// An event with the acknowledged prefix waits to be polled.
    pub(super) is_release_queued: bool,
    /// The application was told that the peer has everything.
    pub(super) is_finish_told: bool,
    /// The peer reset its half with this code.
    pub(super) reset_code: Option<u64>,
    /// The peer stopped this side's half before its STREAM_OPEN came.
    pub(super) early_stop: Option<u64>,
    /// Bytes older than this may be given up.
    pub(super) deadline: Option<Duration>,
    /// The moment under which it stands among those whose bytes grow too old.
    pub(super) expiry: Option<Instant>,
    /// The peer has skipped, which only a deadline stream may.
    pub(super) is_skipped: bool,
}

impl Stream {
    pub(super) fn new(id: StreamId, send: Option<SendHalf>, recv: Option<RecvHalf>) -> Self {
        Self {
            id,
            priority: 0,
            send,
            recv,
            opening: None,
            is_open_sent: false,
            is_established: false,
            is_told: false,
            owed: Owed::NOTHING,
            is_in_control: false,
            is_in_repeat: false,
            is_in_fresh: false,
            is_release_queued: false,
            is_finish_told: false,
            reset_code: None,
            early_stop: None,
            deadline: None,
            expiry: None,
            is_skipped: false,
        }
    }

    /// Whether nothing of the stream matters any more.
    pub(super) fn is_over(&self) -> bool {
        self.send.is_none() && self.recv.is_none() && self.is_established
    }
}

/// Which half of a stream a frame of the peer is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Half {
    /// The one that this side sends on.
    Send,
    /// The one that this side receives on.
    Receive,
}

impl Half {
    /// Whether a stream has this half at the side that opened it, if `is_own`, or at the other.
    pub(super) fn exists(self, direction: Direction, is_own: bool) -> bool {
        direction == Direction::Bidirectional || is_own == (self == Self::Send)
    }
}
