//! Whether the peer is still there (PROTOCOL.md section 6): keep-alives, the dead timer, refusals.

use core::time::Duration;

use crate::departures::Departures;
use crate::time::Instant;

/// First pause after activity; each further one is twice as long, up to the interval.
const FIRST_PROBE: Duration = Duration::from_secs(1);
/// Pause between probes while the peer's port refuses them.
const REFUSED_PROBE: Duration = Duration::from_millis(250);
/// Refusals that end a path quote at least this many different packets...
const REFUSALS: u64 = 3;
/// ... over at least this long.
const REFUSAL_SPAN: Duration = Duration::from_millis(1500);
/// Keep-alives of our own whose answer is still of interest.
const OUTSTANDING: usize = 4;
/// Pings of the application that are under way at a time; more wait for their turn.
pub(super) const MAX_PINGS: usize = 256;
/// Those under way and those that wait, together: what an application asks for and never looks after is bounded.
pub(super) const MAX_ASKED_PINGS: usize = 4096;

/// See the module.
pub(crate) struct Liveness {
    interval: Duration,
    timeout: Duration,
    /// When something authentic came last.
    heard: Instant,
    /// When the next keep-alive is due.
    probe_at: Instant,
    /// Pause before the one after that.
    pause: Duration,
    refusals: Option<Box<Refusals>>,
    /// What left this host since `heard`.
    pub(super) departures: Departures,
    outstanding: [Option<Outstanding>; OUTSTANDING],
    /// Pings under way. Every one is answered, or lost and sent again; without any it holds no memory.
    pings: Vec<Ping>,
}

/// A keep-alive that was sent and not answered yet.
#[derive(Clone, Copy)]
struct Outstanding {
    nonce: u64,
    sent: Instant,
}

/// One that the application asked for.
struct Ping {
    nonce: u64,
    sent: Instant,
    token: u64,
}

/// What the peer's host said of our packets since the peer was heard.
struct Refusals {
    first: Instant,
    last: Instant,
    /// Different packets that were refused, each sent after the one before.
    count: u64,
    /// The number of the newest of them.
    newest: u64,
}

/// What the passing of time asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Nothing.
    Alive,
    /// A keep-alive.
    Probe,
    /// The end: nothing was heard for too long.
    Dead,
}

impl Liveness {
    /// `peer_timeout` is after how much silence the peer gives up; our keep-alives must beat it.
    pub(crate) fn new(
        now: Instant,
        interval: Duration,
        timeout: Duration,
        peer_timeout: Duration,
    ) -> Self {
        let interval = interval.min(peer_timeout / 3).max(Duration::from_millis(10));
        let pause = FIRST_PROBE.min(interval);
        Self {
            interval,
            timeout,
            heard: now,
            probe_at: now + pause,
            pause,
            refusals: None,
            departures: Departures::default(),
            outstanding: [None; OUTSTANDING],
            pings: Vec::new(),
        }
    }

    /// An authentic packet came; returns when the one before it did.
    pub(crate) fn on_heard(&mut self, now: Instant) -> Instant {
        let before = core::mem::replace(&mut self.heard, now);
        self.refusals = None;
        self.departures.restart();
        before
    }

    /// Something other than keep-alives went out or came in: probing starts anew, densely.
    pub(crate) fn on_activity(&mut self, now: Instant) {
        self.pause = FIRST_PROBE.min(self.interval);
        self.probe_at = now + self.pause;
    }

    /// The peer asked whether we are there. Our answer tells it, and its question told us: once both
    /// are long idle, ours would only repeat that. The initiator goes first, so that it is always the
    /// same one who asks: NATs are on its side more often, and two that ask at once would go on to.
    pub(crate) fn on_asked(&mut self, now: Instant, initiator: bool) {
        if self.pause < self.interval || self.refusals.is_some() {
            return;
        }
        let patience = if initiator { self.pause } else { self.pause * 5 / 4 };
        self.probe_at = self.probe_at.max(now + patience);
    }

    /// A batch was handed to the socket.
    pub(crate) fn on_sent(&mut self) {
        self.departures.on_sent();
    }

    /// The peer's host refused the packet of ours that has this number.
    pub(crate) fn on_refused(&mut self, now: Instant, number: u64) {
        let refusals = self.refusals.get_or_insert_with(|| {
            Box::new(Refusals { first: now, last: now, count: 1, newest: number })
        });
        refusals.last = now;
        if number > refusals.newest {
            refusals.newest = number;
            refusals.count += 1;
        }
        self.probe_at = self.probe_at.min(now + REFUSED_PROBE);
    }

    /// When that is enough to give the path up: how many packets were refused, and over how long.
    pub(crate) fn refused(&self) -> Option<(u64, Duration)> {
        let refusals = self.refusals.as_ref()?;
        let span = refusals.last.saturating_duration_since(refusals.first);
        (refusals.count >= REFUSALS && span >= REFUSAL_SPAN).then_some((refusals.count, span))
    }

    /// What is due.
    pub(crate) fn check(&mut self, now: Instant) -> Verdict {
        if now >= self.heard + self.timeout {
            return Verdict::Dead;
        }
        if now < self.probe_at {
            return Verdict::Alive;
        }
        if self.refusals.is_some() {
            self.probe_at = now + REFUSED_PROBE;
        } else {
            self.pause = (2 * self.pause).min(self.interval);
            self.probe_at = now + self.pause;
        }
        Verdict::Probe
    }

    /// When [`Liveness::check`] has something to say.
    pub(crate) fn next_timeout(&self) -> Instant {
        self.probe_at.min(self.heard + self.timeout)
    }

    /// How long nothing authentic has come.
    pub(crate) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }

    /// Whether another ping may go out.
    pub(crate) fn has_room_for_ping(&self) -> bool {
        self.pings.len() < MAX_PINGS
    }

    /// How many pings are under way.
    pub(crate) fn pings_under_way(&self) -> usize {
        self.pings.len()
    }

    /// Nobody waits for that ping any more: whatever becomes of its keep-alive says nothing, and its room is another's.
    pub(crate) fn cancel_ping(&mut self, token: u64) -> bool {
        let Some(place) = self.pings.iter().position(|ping| ping.token == token) else {
            return false;
        };
        self.remove_ping(place);
        true
    }

    /// A keep-alive goes out; `ping` is the application's token if it asked for it.
    pub(crate) fn on_keep_alive_sent(&mut self, now: Instant, nonce: u64, ping: Option<u64>) {
        if let Some(token) = ping {
            self.pings.push(Ping { nonce, sent: now, token });
            return;
        }
        // The oldest unanswered one makes room: its answer would say nothing that a later one
        // does not.
        let oldest =
            (0..OUTSTANDING).min_by_key(|index| self.outstanding[*index].map(|entry| entry.sent));
        if let Some(index) = oldest {
            self.outstanding[index] = Some(Outstanding { nonce, sent: now });
        }
    }

    /// A keep-alive was lost; the answer is the ping that waited for it.
    pub(crate) fn on_keep_alive_lost(&mut self, nonce: u64) -> Option<u64> {
        self.take_ping(nonce).map(|ping| ping.token)
    }

    /// An echo or an ACK came; returned is when its keep-alive was sent and for which ping.
    pub(crate) fn on_answer(&mut self, nonce: u64) -> Option<(Instant, Option<u64>)> {
        if let Some(ping) = self.take_ping(nonce) {
            return Some((ping.sent, Some(ping.token)));
        }
        let entry = self
            .outstanding
            .iter_mut()
            .find(|entry| entry.is_some_and(|entry| entry.nonce == nonce))?
            .take()?;
        Some((entry.sent, None))
    }

    fn take_ping(&mut self, nonce: u64) -> Option<Ping> {
        let place = self.pings.iter().position(|ping| ping.nonce == nonce)?;
        Some(self.remove_ping(place))
    }

    fn remove_ping(&mut self, place: usize) -> Ping {
        let ping = self.pings.remove(place);
        if self.pings.is_empty() {
            // An idle session holds nothing that it does not use.
            self.pings = Vec::new();
        }
        ping
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn liveness() -> Liveness {
        let s = Duration::from_secs;
        Liveness::new(at(0), s(10), s(30), s(30))
    }

    #[test]
    fn probes_thin_out_after_activity_up_to_the_interval() {
        let mut liveness = liveness();
        let mut probes = Vec::new();
        let mut now = at(0);
        while probes.len() < 7 {
            now = liveness.next_timeout();
            liveness.heard = now;
            if liveness.check(now) == Verdict::Probe {
                probes.push(now.as_nanos() / 1_000_000_000);
            }
        }
        assert_eq!(probes, [1, 3, 7, 15, 25, 35, 45]);
        liveness.on_activity(now);
        assert_eq!(liveness.next_timeout(), now + FIRST_PROBE);
    }

    #[test]
    fn of_two_that_are_long_idle_the_initiator_alone_asks() {
        let (mut ours, mut theirs) = (liveness(), liveness());
        let (mut asked, mut asked_there) = (0, 0);
        for ms in (0..200_000).step_by(5) {
            let now = at(ms);
            // Both at once, as after activity on both sides: each hears of it later.
            let (here, there) = (ours.check(now), theirs.check(now));
            ours.heard = now;
            theirs.heard = now;
            if here == Verdict::Probe {
                theirs.on_asked(now, false);
                asked += u32::from(ms > 40_000);
            }
            if there == Verdict::Probe {
                ours.on_asked(now, true);
                asked_there += u32::from(ms > 40_000);
            }
        }
        assert_eq!((asked, asked_there), (16, 0), "every ten seconds, by one of them");
    }

    #[test]
    fn who_is_asked_while_it_asks_densely_goes_on_to() {
        let mut liveness = liveness();
        liveness.on_asked(at(500), false);
        assert_eq!(liveness.next_timeout(), at(1_000));
    }

    #[test]
    fn silence_is_death_at_the_timeout_and_not_before() {
        let mut liveness = liveness();
        assert_ne!(liveness.check(at(29_999)), Verdict::Dead);
        assert_eq!(liveness.check(at(30_000)), Verdict::Dead);
    }

    #[test]
    fn refusals_end_a_path_only_when_several_packets_drew_them_over_time() {
        let mut liveness = liveness();
        let mut refused = |ms, number| {
            if number == 0 {
                liveness.on_heard(at(ms));
            } else {
                liveness.on_refused(at(ms), number);
            }
            liveness.refused()
        };
        assert_eq!(refused(0, 1), None);
        assert_eq!(refused(1600, 1), None, "one packet, quoted again");
        assert_eq!(refused(1700, 2), None);
        assert_eq!(refused(1750, 1), None, "the first once more");
        let span = Duration::from_millis(1800);
        assert_eq!(refused(1800, 3), Some((3, span)));
        assert_eq!(refused(1900, 0), None, "the peer was heard");
        assert_eq!(refused(2000, 4), None, "an authentic packet starts anew");
    }

    #[test]
    fn pings_and_plain_keep_alives_do_not_displace_each_other() {
        let mut liveness = liveness();
        liveness.on_keep_alive_sent(at(0), 7, Some(1));
        for nonce in 100..110 {
            liveness.on_keep_alive_sent(at(nonce), nonce, None);
        }
        for nonce in 200..300 {
            liveness.on_keep_alive_sent(at(nonce), nonce, Some(nonce));
        }
        assert_eq!(liveness.on_answer(7), Some((at(0), Some(1))));
        assert_eq!(liveness.on_answer(7), None);
        assert_eq!(liveness.on_answer(109), Some((at(109), None)));
        assert_eq!(liveness.on_answer(100), None);
        assert_eq!(liveness.on_keep_alive_lost(299), Some(299));
        for nonce in 200..299 {
            assert_eq!(liveness.on_answer(nonce), Some((at(nonce), Some(nonce))));
        }
        assert_eq!(liveness.pings.capacity(), 0, "nothing is held where nothing is under way");
    }

    #[test]
    fn a_ping_that_is_given_up_leaves_nothing_and_makes_room() {
        let mut liveness = liveness();
        let most = MAX_PINGS as u64;
        for nonce in 0..most {
            liveness.on_keep_alive_sent(at(nonce), nonce, Some(1_000 + nonce));
        }
        assert!(!liveness.has_room_for_ping());
        assert!(liveness.cancel_ping(1_007));
        assert!(!liveness.cancel_ping(1_007), "it is gone");
        assert!(!liveness.cancel_ping(7), "tokens are no nonces");
        assert!(liveness.has_room_for_ping());
        assert_eq!(liveness.on_answer(7), None, "its answer comes to nobody");
        for nonce in (0..most).filter(|nonce| *nonce != 7) {
            assert!(liveness.cancel_ping(1_000 + nonce));
            assert_eq!(liveness.on_keep_alive_lost(nonce), None, "and it is not sent again");
        }
        assert_eq!(liveness.pings.capacity(), 0, "nothing is held where nothing is under way");
    }
}
