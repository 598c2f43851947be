//! Everything in a session that happens by time.

use core::time::Duration;

use crate::event::Event;
use crate::recovery::{Content, Fate, RecoveryTimeout};
use crate::time::Instant;

use super::liveness::Verdict;
use super::{Context, Session, State};

/// Longest pause before HELLO or AUTH_PROOF is repeated. Nine copies fit the default of ten seconds, so
/// that one connect in 50 000 fails where 30 % is lost; with 3 s it would be one in 1 400.
pub(crate) const MAX_INTERVAL: Duration = Duration::from_millis(1_500);

/// Probe timeouts in a row after which a path counts as silent.
const SILENT_TIMEOUTS: u32 = 2;

impl Session {
    /// Acts on every deadline of this session that has come.
    pub(crate) fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.mono;
        match self.state {
            State::AwaitFinal { since, deadline, .. } if deadline <= now => {
                self.die_unanswered(cx, since);
            }
            State::AwaitAuthorize { deadline } if deadline <= now => {
                self.refuse(cx, stt_wire::ErrorCode::AuthenticationFailed, 0);
            }
            _ => self.ending_timeout(cx),
        }
        self.tell_frame_errors(cx);
        self.tell_departures(cx);
        self.keys.expire(now);
        self.streams.expire(now);
        if self.paced_until.is_some_and(|at| at <= now) {
            self.paced_until = None;
        }
        if self.is_over() {
            return;
        }
        self.recovery_timeout(cx);
        self.moving_timeout(cx);
        let change = self.path.mtu.on_timeout(now, self.recovery.pto());
        self.on_mtu_change(cx, change);
        if self.is_live() && self.is_established() {
            match self.liveness.check(now) {
                Verdict::Alive => {}
                Verdict::Probe => self.keep_alive_due = true,
                Verdict::Dead => self.die_of_silence(cx),
            }
        }
    }

    /// When [`Session::handle_timeout`] is to be called. What is due already and only waits to be
    /// sent has no timer: it stands in the queue of those that may send.
    pub(crate) fn next_timeout(&self, now: Instant) -> Option<Instant> {
        let mut next = self.ending_deadline();
        let mut consider = |at: Option<Instant>| {
            next = match (next, at) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        };
        if self.is_over() {
            return next;
        }
        match self.state {
            State::AwaitFinal { deadline, .. } | State::AwaitAuthorize { deadline } => {
                consider(Some(deadline));
            }
            _ => {}
        }
        let ahead = |at: Option<Instant>| at.filter(|at| *at > now);
        consider(ahead(self.proof.as_ref().map(|proof| proof.at)));
        consider(self.stale_at());
        consider(self.keys.next_timeout());
        consider(self.recovery.next_timeout());
        consider(ahead(self.received.ack_deadline()));
        consider(self.paced_until);
        consider(self.tell_at);
        consider(self.liveness.departures.next_timeout(now));
        consider(self.streams.next_expiry());
        if self.is_live() && self.is_established() {
            consider(Some(self.liveness.next_timeout()));
            // A probe that is due only waits to be sent; one that is lost this very moment has a timer.
            let waits = self.path.mtu.probe_due(now).is_some();
            consider(self.path.mtu.next_timeout().filter(|_| !waits));
            consider(self.moving.as_ref().and_then(|moving| moving.next_timeout(now)));
        }
        next
    }

    /// Twice at most: behind a loss time that has come a probe timeout may have come as well.
    fn recovery_timeout(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.mono;
        cx.fates.clear();
        let fates = &mut *cx.fates;
        let (mut silent, mut lost) = (false, 0);
        loop {
            match self.recovery.on_timeout(now, &mut |fate, content| fates.push((fate, content))) {
                RecoveryTimeout::None => break,
                RecoveryTimeout::Lost { packets, in_flight } => {
                    self.stats.packets_lost += u64::from(packets);
                    lost += u64::from(in_flight);
                    self.path.mtu.on_large_losses(now, self.recovery.large_lost_in_a_row());
                }
                RecoveryTimeout::Still => {
                    if self.expects_more() {
                        self.recovery.on_still_probe();
                        self.keep_alive_due = true;
                    }
                }
                RecoveryTimeout::Probe { count } => {
                    // What the oldest packets carried is what the peer most likely lacks; it goes
                    // out again although it may still arrive.
                    // Messages go once, whatever becomes of them.
                    let mut repeat = |content| {
                        if content != Content::Message {
                            fates.push((Fate::Lost, content));
                        }
                    };
                    self.recovery.probe_contents(usize::from(count), &mut repeat);
                    self.stats.probe_timeouts += 1;
                    self.keep_alive_due = true;
                    silent |= self.recovery.pto_count() >= SILENT_TIMEOUTS;
                }
            }
        }
        self.settle_fates(cx);
        if lost > 0 {
            self.on_packet_fates(cx, (0, 0), lost);
        }
        if silent {
            self.begin_silence(cx);
        }
    }

    /// Whether the peer has more data or credit to send, as far as this side knows.
    fn expects_more(&mut self) -> bool {
        let in_use = self.is_established() && self.is_live();
        in_use && (self.streams.ask_for_credit() || self.streams.is_receiving())
    }

    /// What is sent by the path in use draws no answer.
    pub(super) fn begin_silence(&mut self, cx: &mut Context<'_>) {
        if !self.silent && self.is_established() && self.is_live() {
            self.silent = true;
            let waiting = self.wants_data();
            let hint = self.strain.as_ref().and_then(|s| s.hint(cx.now.mono, waiting));
            self.tell_strain(cx, hint);
            cx.events.push_back(Event::PathSilence { session: cx.handle, silent: true });
        }
    }

    /// The peer answers, or packets go another way.
    pub(super) fn end_silence(&mut self, cx: &mut Context<'_>) {
        if core::mem::take(&mut self.silent) {
            cx.events.push_back(Event::PathSilence { session: cx.handle, silent: false });
        }
    }

    /// Whether the peer was heard under this session's keys and both sides may use it.
    pub(crate) fn is_established(&self) -> bool {
        !matches!(self.state, State::AwaitFinal { .. } | State::AwaitAuthorize { .. })
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Ending(super::Ending::Over))
    }
}
