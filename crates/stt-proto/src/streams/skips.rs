//! Deadline streams: what is too old is given up on both sides (PROTOCOL.md section 1.9).

use core::time::Duration;
use std::collections::BTreeSet;

use super::blocks::{BLOCK, Blocks};
use super::event::{PeerFault, StreamEvent};
use super::inbound::INVALID;
use super::recv::Breach;
use super::stream::{Half, Owed};
use super::{Streams, stream::Stream};
use crate::time::Instant;

/// Bytes that were given up for their age. Both only grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct SkipCounts {
    /// By this side, as sender.
    pub(crate) given_up: u64,
    /// By the peer, and never given to the application here.
    pub(crate) skipped: u64,
}

/// What a session's deadline streams need beside their own state.
#[derive(Debug, Default)]
pub(super) struct Skips {
    /// When the oldest bytes of each are too old.
    pub(super) expiries: BTreeSet<(Instant, u32)>,
    /// Those that gave up bytes never sent, and wait for credit to say so.
    pub(super) blocked: BTreeSet<u32>,
    pub(super) counts: SkipCounts,
}

impl Skips {
    /// Nothing is sent any more: the counts stay.
    pub(super) fn forget(&mut self) {
        self.expiries = BTreeSet::new();
        self.blocked = BTreeSet::new();
    }
}

impl Streams {
    /// When [`Streams::expire`] has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.skips.expiries.first().map(|(at, _)| *at)
    }

    /// Gives up what is too old at `now`.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((at, raw)) =
            self.skips.expiries.first().copied().filter(|(at, _)| *at <= now)
        {
            self.skips.expiries.remove(&(at, raw));
            let Some(stream) = self.table.get_mut(&raw) else { continue };
            stream.expiry = None;
            if let Some(send) = &mut stream.send {
                let given_up = send.expire(now);
                if given_up > 0 {
                    self.skips.counts.given_up += given_up;
                    if !core::mem::replace(&mut stream.is_release_queued, true) {
                        let (stream, acked) = (stream.id, send.released());
                        self.events.push_back(StreamEvent::Released { stream, acked });
                    }
                    self.owe(raw, Owed::SKIP);
                    self.schedule(raw);
                }
            }
            self.arm_expiry(raw);
        }
    }

    /// Keeps the timer of a stream in step with what it holds.
    pub(super) fn arm_expiry(&mut self, raw: u32) {
        let Some(stream) = self.table.get_mut(&raw) else { return };
        let next = stream.send.as_mut().and_then(|send| send.next_expiry());
        if stream.expiry == next {
            return;
        }
        if let Some(at) = core::mem::replace(&mut stream.expiry, next) {
            self.skips.expiries.remove(&(at, raw));
        }
        self.skips.expiries.extend(next.map(|at| (at, raw)));
    }

    /// Makes a stream of this side, or one that the peer opened so, a deadline stream.
    pub(super) fn set_deadline(stream: &mut Stream, age: Duration) {
        stream.deadline = Some(age);
        if let Some(send) = &mut stream.send {
            send.set_deadline(age);
        }
    }

    /// Streams whose skip waits for credit may have some now.
    pub(super) fn resume_skips(&mut self) {
        for raw in core::mem::take(&mut self.skips.blocked) {
            self.owe(raw, Owed::SKIP);
        }
    }

    /// STREAM_SKIP: the peer has given up everything before `offset`.
    pub(crate) fn handle_skip(
        &mut self,
        blocks: &mut Blocks,
        raw: u32,
        offset: u64,
    ) -> Result<(), PeerFault> {
        let Some(id) = self.admit(raw, Half::Receive)? else { return Ok(()) };
        let is_frugal = self.large_tails >= self.most_large_tails() || self.room.all < BLOCK as u64;
        let Some(stream) = self.table.get_mut(&raw) else { return Ok(()) };
        // Before STREAM_OPEN has come this side cannot tell whether the stream may skip.
        let is_known = stream.is_established || id.is_by_initiator() == self.initiator;
        if is_known && stream.deadline.is_none() {
            return Err(INVALID);
        }
        let Some(recv) = &mut stream.recv else { return Ok(()) };
        stream.is_skipped = true;
        let growth = recv.account(offset, false)?;
        self.recv_credit.receive(growth).map_err(Breach::Credit)?;
        if recv.stop_code().is_some() {
            self.release_credit(growth);
            return Ok(());
        }
        let (runs, large) = (recv.runs() as u64, u64::from(recv.has_large_tail()));
        recv.be_frugal(is_frugal);
        let skipped = recv.skip(blocks, offset);
        self.runs = self.runs + recv.runs() as u64 - runs;
        self.large_tails = self.large_tails + u64::from(recv.has_large_tail()) - large;
        self.skips.counts.skipped += skipped;
        let is_window_due = recv.is_window_due();
        self.release_credit(skipped);
        if is_window_due {
            self.owe(raw, Owed::WINDOW);
        }
        self.tell_readable(id);
        Ok(())
    }
}
