//! Who watches the socket: the engine's thread, the application's event loop, or both.
//!
//! To wake a sleeping thread costs more than to open a small packet. While traffic is thin, the
//! application's own loop can therefore watch the socket, and take a datagram in and act on it in
//! one go (`docs/adr/0121-the-loop-reads-thin-traffic.md`). The loop only ever watches *as well*, until it has
//! shown that it is there; then the engine's thread looks away and from then on only checks, at
//! fixed intervals, whether the loop still comes, and takes the socket back when it does not.
//!
//! This is the judgement alone: plain state, kept with the driver under its lock, with the time as
//! an argument. What holds at any moment is that whoever is not watching will look by itself: the
//! engine's thread at its next check, the loop when it is told of something else.

use std::time::Duration;

use stt_proto::Instant;

/// How often the engine's thread checks the loop while it does not watch itself: no datagram lies
/// unread for more than two of these because the application is busy.
pub(crate) const CHECK: Duration = Duration::from_millis(1);

/// Checks in a row without any traffic after which the engine's thread watches again instead.
const QUIET_CHECKS: u32 = 16;

/// The loop is left alone only when its turns follow each other by less than this: checking costs more than it saves
/// when a datagram comes now and then.
const FREQUENT: Duration = Duration::from_millis(8);

/// Turns of the loop in a row that brought the application nothing, after which it stops watching.
/// What needs no answer (acknowledgements, keep-alives) is the engine's business.
const IDLE_TURNS: u32 = 4;

/// Bytes, in and out, within [`WINDOW`] from which on traffic is dense, some 100 MB/s, and more than the largest
/// datagram, which looks for the size that a path takes. Two threads
/// then share the work, and the application keeps its time for itself.
const DENSE_BYTES: usize = 96 * 1024;

/// What [`DENSE_BYTES`] are counted over.
const WINDOW: Duration = Duration::from_millis(1);

/// Traffic counts as dense for so long after it last was.
const DENSE_FOR: Duration = Duration::from_millis(50);

/// What follows a turn of the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Everybody watches what they watched.
    Stay,
    /// The engine's thread is to look away.
    Alone,
    /// The loop is to stop watching, and the engine's thread to watch.
    Leave,
}

/// What a check is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// It is not due, or the loop has come since the last one.
    Fine,
    /// Look whether something lies unread, and [say so](Watch::probed).
    Probe,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// The engine's thread does not watch the socket: when it checks next.
    check: Option<Instant>,
    /// Turns of the loop, and how many there were at the last check.
    turns: u64,
    seen: u64,
    /// Checks in a row that found neither the loop nor a datagram.
    quiet: u32,
    /// Turns of the loop in a row that brought nothing.
    idle: u32,
    /// When the loop last brought something.
    useful: Option<Instant>,
    /// Since when the bytes are counted, and how many they are.
    window: Option<Instant>,
    bytes: usize,
    dense_until: Option<Instant>,
}

impl Watch {
    /// Whether the loop watches alone.
    pub(crate) fn is_alone(&self) -> bool {
        self.check.is_some()
    }

    /// When the engine's thread has to check the loop.
    pub(crate) fn next_check(&self) -> Option<Instant> {
        self.check
    }

    /// So many bytes were received and sent in a turn, whosever it was.
    pub(crate) fn moved(&mut self, now: Instant, bytes: usize) {
        if self.window.is_none_or(|since| now >= since + WINDOW) {
            (self.window, self.bytes) = (Some(now), 0);
        }
        self.bytes += bytes;
        if self.bytes >= DENSE_BYTES {
            self.dense_until = Some(now + DENSE_FOR);
        }
    }

    /// Whether there is so much traffic that the engine's thread is to see to it.
    pub(crate) fn is_dense(&self, now: Instant) -> bool {
        self.dense_until.is_some_and(|until| now < until)
    }

    /// The loop took a turn, which brought the application something or not.
    pub(crate) fn on_loop_turn(&mut self, now: Instant, useful: bool) -> Next {
        self.turns += 1;
        self.quiet = 0;
        if self.is_dense(now) {
            return Next::Leave;
        }
        if !useful {
            self.idle += 1;
            return if self.idle < IDLE_TURNS { Next::Stay } else { Next::Leave };
        }
        self.idle = 0;
        let before = self.useful.replace(now);
        let frequent = before.is_some_and(|before| now < before + FREQUENT);
        if frequent && !self.is_alone() { Next::Alone } else { Next::Stay }
    }

    /// The engine's thread looks away from now on.
    pub(crate) fn look_away(&mut self, now: Instant) {
        self.check = Some(now + CHECK);
        (self.seen, self.quiet) = (self.turns, 0);
    }

    /// A turn of the engine's thread: what it has to check.
    pub(crate) fn check(&mut self, now: Instant) -> Check {
        match self.check {
            Some(at) if now >= at => {}
            _ => return Check::Fine,
        }
        self.check = Some(now + CHECK);
        if self.turns == self.seen {
            return Check::Probe;
        }
        (self.seen, self.quiet) = (self.turns, 0);
        Check::Fine
    }

    /// What a probe found. True when the engine's thread is to watch again: because the loop left
    /// something lying, or because nothing comes any more.
    pub(crate) fn probed(&mut self, found: bool) -> bool {
        self.quiet += 1;
        found || self.quiet >= QUIET_CHECKS
    }

    /// The engine's thread watches.
    pub(crate) fn take_back(&mut self) {
        self.check = None;
        // Whoever was late has to show anew that it comes.
        self.useful = None;
        self.idle = 0;
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_nanos(micros * 1_000)
    }

    fn alone() -> Watch {
        let mut watch = Watch::default();
        assert_eq!(watch.on_loop_turn(at(0), true), Next::Stay, "once is no habit");
        assert_eq!(watch.on_loop_turn(at(100), true), Next::Alone);
        watch.look_away(at(100));
        watch
    }

    #[test]
    fn a_loop_that_comes_again_soon_is_left_alone() {
        let mut watch = alone();
        assert!(watch.is_alone());
        assert_eq!(watch.on_loop_turn(at(200), true), Next::Stay, "it is alone already");
    }

    #[test]
    fn a_loop_that_comes_now_and_then_is_not_left_alone() {
        let mut watch = Watch::default();
        for turn in 0..10 {
            assert_eq!(watch.on_loop_turn(at(turn * 8_000), true), Next::Stay);
        }
    }

    #[test]
    fn a_loop_that_brings_nothing_leaves() {
        let mut watch = alone();
        for _ in 1..IDLE_TURNS {
            assert_eq!(watch.on_loop_turn(at(200), false), Next::Stay);
        }
        assert_eq!(watch.on_loop_turn(at(200), false), Next::Leave);
        let mut watch = alone();
        for turn in 0..100 {
            assert_eq!(watch.on_loop_turn(at(200), turn % 2 == 0), Next::Stay, "every other does");
        }
    }

    #[test]
    fn a_loop_that_comes_is_left_in_peace_by_the_checks() {
        let mut watch = alone();
        assert_eq!(watch.check(at(1_099)), Check::Fine, "not due");
        for check in 1..100 {
            watch.on_loop_turn(at(check * 1_100), true);
            assert_eq!(watch.check(at(check * 1_100)), Check::Fine);
            assert_eq!(watch.next_check(), Some(at(check * 1_100 + 1_000)));
        }
    }

    #[test]
    fn what_a_busy_loop_leaves_lying_ends_its_time_alone() {
        let mut watch = alone();
        assert_eq!(watch.check(at(1_100)), Check::Probe);
        assert!(!watch.probed(false), "nothing came");
        assert_eq!(watch.check(at(2_100)), Check::Probe);
        assert!(watch.probed(true));
        watch.take_back();
        assert!(!watch.is_alone());
        assert_eq!(watch.check(at(9_000)), Check::Fine, "the engine's thread watches");
        assert_eq!(watch.on_loop_turn(at(9_000), true), Next::Stay, "it has to show itself anew");
    }

    #[test]
    fn the_checks_end_when_nothing_comes() {
        let mut watch = alone();
        let mut checks = 0;
        loop {
            checks += 1;
            assert_eq!(watch.check(at(100 + u64::from(checks) * 1_000)), Check::Probe);
            if watch.probed(false) {
                break;
            }
        }
        assert_eq!(checks, QUIET_CHECKS);
    }

    #[test]
    fn dense_traffic_is_the_engines() {
        let mut watch = alone();
        for turn in 0..10 {
            watch.moved(at(turn * 1_000), DENSE_BYTES - 1);
            assert!(!watch.is_dense(at(turn * 1_000)), "spread over time");
        }
        watch.moved(at(9_500), 1);
        assert!(watch.is_dense(at(9_500)) && watch.is_dense(at(59_499)));
        assert_eq!(watch.on_loop_turn(at(9_600), true), Next::Leave);
        assert!(!watch.is_dense(at(59_500)));
    }
}
