//! How a session ends (PROTOCOL.md section 6): drain, SESSION_CLOSE, its answer, and what remains
//! to be answered afterwards.

use core::time::Duration;

use stt_wire::{CloseReason, ErrorCode};

use crate::departures::send_fault;
use crate::event::{Event, Side};
use crate::fault::{Fault, FaultDetail, Origin};
use crate::time::Instant;
use crate::trace::TraceEvent;

use super::{Context, Session, State};

/// Probe timeouts for which SESSION_CLOSE is repeated, and for which an ended session still answers.
const LINGER: u32 = 3;

/// Sub-code of FINAL's 0x0103 for a node id that was revoked (PROTOCOL.md section 7).
pub(crate) const REVOKED: u8 = 16;

/// What SESSION_CLOSE says.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    pub(crate) reason: CloseReason,
    pub(crate) code: u16,
    pub(crate) message: String,
}

/// How far an ending has come.
pub(crate) enum Ending {
    /// Written data is still on its way; SESSION_CLOSE follows when it has arrived, or at the
    /// deadline. Once the last of it is out, an answer is `asked` for, which brings its ACK at once.
    Draining { words: Words, deadline: Instant, asked: bool },
    /// SESSION_CLOSE is out and unanswered. `late` packets of the peer's, that elicit an ACK, have come since.
    Closing { words: Words, pending: bool, at: Instant, until: Instant, late: u32 },
    /// Over for the application; what the peer sends late is answered by SESSION_CLOSE again, as
    /// `answers` says.
    Lingering {
        words: Words,
        pending: bool,
        until: Instant,
        answers: Answers,
        again: Option<Repeat>,
    },
    /// Over. What had arrived may still be read.
    Over,
}

/// When SESSION_CLOSE goes out again unasked, and how long that was waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeat {
    at: Instant,
    interval: Duration,
}

/// What a session that has ended still answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answers {
    /// Every SESSION_CLOSE: the peer ended the session, or both did.
    Closes,
    /// Everything that elicits an ACK: the peer may not know yet that the session is over. Its
    /// SESSION_CLOSE says that it does.
    Everything,
    /// Nothing: the peer knows. Two ends that answer each other would never stop.
    Nothing,
}

/// What a refusal by the peer, in FINAL or ERROR, means to the side that is refused.
pub(crate) fn refusal(code: ErrorCode, subcode: u8) -> Fault {
    let error = Fault::new(code).by(Origin::Peer);
    match (code, subcode) {
        (ErrorCode::AuthenticationFailed, REVOKED) => error.with_detail(FaultDetail::Revoked),
        // What the limit is the peer does not tell.
        (ErrorCode::TooManySessions | ErrorCode::ResourceExhausted, _) => {
            error.with_detail(FaultDetail::Limit { limit: 0, local: false })
        }
        _ => error.with_subcode(subcode),
    }
}

impl Ending {
    /// Whether the application knows that the session has ended.
    pub(super) fn is_told(&self) -> bool {
        matches!(self, Self::Lingering { .. } | Self::Over)
    }
}

impl Session {
    /// Whether nothing has ended yet, not even begun to.
    pub(crate) fn is_live(&self) -> bool {
        !matches!(
            self.state,
            State::Refused { .. }
                | State::Ending(Ending::Closing { .. } | Ending::Lingering { .. } | Ending::Over)
        )
    }

    /// Whether this session no longer counts as one.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.state {
            State::Ending(ending) => ending.is_told(),
            State::Refused { .. } => true,
            _ => false,
        }
    }

    /// Whether SESSION_CLOSE may still go out.
    pub(super) fn says_the_end(&self) -> bool {
        matches!(self.state, State::Ending(Ending::Closing { .. } | Ending::Lingering { .. }))
    }

    /// Whether nothing of the session is of use any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state, State::Ending(Ending::Over))
            && (self.released || !(self.streams.has_unread() || self.messages.has_unread()))
    }

    /// The driver will read no more of it.
    pub(crate) fn release(&mut self) {
        self.released = true;
    }

    /// Ends the session from this side: at once when `drain` is zero, else when all that was
    /// written has been acknowledged, after `drain` at the latest.
    pub(crate) fn close(&mut self, cx: &mut Context<'_>, words: Words, drain: Duration) {
        let now = cx.now.mono;
        match &self.state {
            State::Open | State::AwaitFinal { early: true, .. } => {}
            // Nobody uses it yet: the peer is told, the application knows.
            State::AwaitFinal { early: false, .. } => {
                self.proof = None;
                self.say_once(now, words);
                return;
            }
            State::AwaitAuthorize { .. } => {
                self.refuse(cx, ErrorCode::ConnectionRefused, 0);
                return;
            }
            State::Ending(Ending::Draining { .. }) if drain.is_zero() => {}
            State::Refused { .. } | State::Ending(_) => return,
        }
        if drain.is_zero() {
            self.say_close(now, words);
            return;
        }
        self.state = State::Ending(Ending::Draining { words, deadline: now + drain, asked: false });
        cx.events.push_back(Event::Draining { session: cx.handle });
        self.advance_drain(now);
        self.ask_for_last_ack();
    }

    /// While draining, once all that was written is out: a KEEP_ALIVE, whose answer leaves at once and
    /// takes along the ACK that the peer would hold back for more packets.
    pub(super) fn ask_for_last_ack(&mut self) {
        let all_out = !self.streams.wants_data();
        if let State::Ending(Ending::Draining { asked, .. }) = &mut self.state
            && all_out
            && !core::mem::replace(asked, true)
        {
            self.keep_alive_due = true;
        }
    }

    /// Goes from draining to SESSION_CLOSE when there is nothing left to wait for.
    pub(super) fn advance_drain(&mut self, now: Instant) {
        let State::Ending(Ending::Draining { words, deadline, .. }) = &mut self.state else {
            return;
        };
        // DRAIN, too, leaves before what it tells of: both may be asked for in one turn.
        let is_drained = self.streams.is_drained()
            && self.messages.is_drained()
            && !self.farewell.wants_control();
        if now >= *deadline || is_drained {
            let words = Words {
                reason: words.reason,
                code: words.code,
                message: core::mem::take(&mut words.message),
            };
            self.say_close(now, words);
        }
    }

    fn say_close(&mut self, now: Instant, words: Words) {
        // The first copy leaves now, the next after a probe timeout without an answer.
        let interval = self.pto();
        let (at, until) = (now + interval, now + LINGER * interval);
        self.state = State::Ending(Ending::Closing { words, pending: true, at, until, late: 0 });
    }

    /// The peer has closed, or has answered.
    fn linger(&mut self, now: Instant, words: Words, pending: bool) {
        let until = now + LINGER * self.pto();
        let answers = Answers::Closes;
        self.state =
            State::Ending(Ending::Lingering { words, pending, until, answers, again: None });
    }

    /// SESSION_CLOSE goes out once; the peer is told again when it shows that it does not know.
    fn say_and_linger(&mut self, now: Instant, words: Words, span: Duration) {
        let (pending, until, answers) = (true, now + span, Answers::Everything);
        self.state =
            State::Ending(Ending::Lingering { words, pending, until, answers, again: None });
    }

    fn say_once(&mut self, now: Instant, words: Words) {
        self.say_and_linger(now, words, LINGER * self.pto());
    }

    /// A packet that elicits an ACK came.
    pub(super) fn on_late_packet(&mut self) {
        match &mut self.state {
            State::Ending(Ending::Closing { pending, late, .. }) => {
                // It may not know yet, or SESSION_CLOSE was lost. One that was in the middle of sending has many
                // packets on their way, so that ever more of them are waited for (RFC 9000 section 10.2.1).
                *late = late.saturating_add(1);
                *pending |= late.is_power_of_two();
            }
            State::Ending(Ending::Lingering { pending, answers: Answers::Everything, .. }) => {
                *pending = true
            }
            _ => {}
        }
    }

    /// The peer's SESSION_CLOSE.
    pub(super) fn on_session_close(&mut self, cx: &mut Context<'_>, words: Words) {
        let now = cx.now.mono;
        match &mut self.state {
            State::Ending(Ending::Closing { words, .. }) => {
                let words = words.clone();
                self.tell(cx, Side::Local, &words, None);
                self.linger(now, words, false);
            }
            State::Ending(Ending::Lingering { pending, answers, again, .. }) => match answers {
                Answers::Closes => *pending = true,
                Answers::Everything => (*answers, *again) = (Answers::Nothing, None),
                Answers::Nothing => {}
            },
            State::Ending(Ending::Over) => {}
            State::Refused { .. } => self.state = State::Ending(Ending::Over),
            _ => {
                let code = ErrorCode::from_u16(words.code).unwrap_or(ErrorCode::SessionClosed);
                // The peer heard nothing, and that is why.
                let unable = self.liveness.departures.failing(now);
                let unable = unable.filter(|_| words.reason == CloseReason::Timeout);
                let unable = unable.map(|(failure, span)| {
                    send_fault(failure, span).with_cause(ErrorCode::SessionTimeout, 0)
                });
                let error = (words.reason != CloseReason::Graceful)
                    .then(|| unable.unwrap_or(Fault::new(code).by(Origin::Peer)));
                self.tell(cx, Side::Remote, &words, error);
                // The answer repeats the reason; the words were the peer's.
                self.linger(now, Words { message: String::new(), ..words }, true);
            }
        }
    }

    /// The responder's FINAL said no.
    pub(super) fn on_refusal(&mut self, cx: &mut Context<'_>, status: u16, subcode: u8) {
        let code = ErrorCode::from_u16(status).unwrap_or(ErrorCode::ConnectionRefused);
        let error = refusal(code, subcode);
        let reason = if code == ErrorCode::AuthenticationFailed {
            CloseReason::AuthFailure
        } else {
            CloseReason::Error
        };
        let words = Words { reason, code: status, message: String::new() };
        self.tell(cx, Side::Remote, &words, Some(error));
        // SESSION_CLOSE carries the ACK of FINAL, which is all that the responder waits for.
        self.say_once(cx.now.mono, words);
    }

    /// The peer broke the protocol, or a limit of ours was reached: ends the session and says so.
    pub(super) fn fail(&mut self, cx: &mut Context<'_>, error: Fault) {
        if !self.is_live() {
            return;
        }
        let words =
            Words { reason: CloseReason::Error, code: error.code.as_u16(), message: String::new() };
        self.tell(cx, Side::Local, &words, Some(error.by(Origin::Transport)));
        self.say_once(cx.now.mono, words);
    }

    /// The peer lost its right to be here.
    pub(crate) fn revoke(&mut self, cx: &mut Context<'_>, error: Fault) {
        match self.state {
            State::AwaitAuthorize { .. } => self.refuse(cx, error.code, REVOKED),
            _ if self.is_live() => {
                let words = Words {
                    reason: CloseReason::AuthFailure,
                    code: error.code.as_u16(),
                    message: String::new(),
                };
                self.tell(cx, Side::Local, &words, Some(error));
                self.say_once(cx.now.mono, words);
            }
            _ => {}
        }
    }

    /// Nothing authentic was heard for too long.
    pub(super) fn die_of_silence(&mut self, cx: &mut Context<'_>) {
        let silence = self.liveness.silence(cx.now.mono);
        let waited = FaultDetail::Waited { ms: silence.as_millis() as u64 };
        let error = match self.liveness.departures.failure() {
            _ if self.path.lost => {
                Fault::new(ErrorCode::WebSocketClosed).with_detail(waited).by(Origin::Path)
            }
            Some(failure) => send_fault(failure, silence),
            None => Fault::new(ErrorCode::SessionTimeout).with_detail(waited),
        };
        self.die(cx, error);
    }

    /// The peer's host refused so many packets over this time: nobody is there any more.
    pub(super) fn die_refused(&mut self, cx: &mut Context<'_>, count: u64, span: Duration) {
        let detail = FaultDetail::Refused { count, ms: span.as_millis() as u64 };
        let error = Fault::new(ErrorCode::SessionTimeout)
            .with_cause(ErrorCode::ConnectionRefused, 0)
            .with_detail(detail)
            .by(Origin::Path);
        self.die(cx, error);
    }

    /// Ends the session for want of a peer.
    fn die(&mut self, cx: &mut Context<'_>, error: Fault) {
        let words = Words {
            reason: CloseReason::Timeout,
            code: error.code.as_u16(),
            message: String::new(),
        };
        self.tell(cx, Side::Local, &words, Some(error));
        // Should only one direction be dead, this spares the peer the same wait.
        self.say_once(cx.now.mono, words);
    }

    /// The handshake took too long.
    pub(super) fn die_unanswered(&mut self, cx: &mut Context<'_>, since: Instant) {
        let error = match self.liveness.departures.failure() {
            Some(failure) => send_fault(failure, cx.now.mono.saturating_duration_since(since)),
            None => Fault::new(ErrorCode::ConnectionTimeout)
                .with_detail(Self::waited(since, cx.now.mono)),
        };
        let words = Words {
            reason: CloseReason::Timeout,
            code: error.code.as_u16(),
            message: String::new(),
        };
        self.tell(cx, Side::Local, &words, Some(error));
        self.say_once(cx.now.mono, words);
    }

    /// The network says that the peer cannot be there, before it was heard. True when that ended
    /// the connect.
    pub(crate) fn abort_handshake(&mut self, cx: &mut Context<'_>, error: Fault) -> bool {
        if self.proof.as_ref().is_none_or(|proof| proof.heard) {
            return false;
        }
        let words =
            Words { reason: CloseReason::Error, code: error.code.as_u16(), message: String::new() };
        self.tell(cx, Side::Local, &words, Some(error));
        self.state = State::Ending(Ending::Over);
        true
    }

    /// The peer proved that it does not know this session.
    pub(crate) fn on_reset(&mut self, cx: &mut Context<'_>) {
        if !self.has_ended() {
            let words = Words {
                reason: CloseReason::Error,
                code: ErrorCode::SessionNotFound.as_u16(),
                message: String::new(),
            };
            // A close that was on its way needs no answer from somebody who forgot the session.
            let error = match &self.state {
                State::Ending(Ending::Closing { words, .. })
                    if words.reason == CloseReason::Graceful =>
                {
                    None
                }
                _ => Some(Fault::new(ErrorCode::SessionNotFound)),
            };
            let words = match error {
                Some(_) => words,
                None => Words { reason: CloseReason::Graceful, code: 0, message: String::new() },
            };
            self.tell(cx, Side::Remote, &words, error);
        }
        self.state = State::Ending(Ending::Over);
    }

    /// The time of an ending is up.
    pub(super) fn ending_timeout(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.mono;
        self.advance_drain(now);
        let interval = self.pto();
        match &mut self.state {
            State::Refused { until } if *until <= now => {
                self.state = State::Ending(Ending::Over);
            }
            State::Ending(Ending::Closing { words, until, .. }) if *until <= now => {
                let words = words.clone();
                self.tell(cx, Side::Local, &words, None);
                // Where every copy was lost the peer still believes in the session, for as long as
                // it bears silence: whatever it sends until then is answered, and it may have
                // nothing to send, so that it is told a few times more.
                let span = self.config.keep_alive_timeout.max(LINGER * interval);
                self.say_and_linger(now, words, span);
                if let State::Ending(Ending::Lingering { again, .. }) = &mut self.state {
                    let interval = 2 * interval;
                    *again = Some(Repeat { at: now + interval, interval });
                }
            }
            State::Ending(Ending::Closing { pending, at, .. }) if *at <= now => {
                *pending = true;
                *at = now + interval;
            }
            State::Ending(Ending::Lingering { until, .. }) if *until <= now => {
                self.state = State::Ending(Ending::Over);
            }
            State::Ending(Ending::Lingering { pending, again: Some(again), .. })
                if again.at <= now =>
            {
                *pending = true;
                // Half a minute of silence sees a handful, however near the peer is.
                again.interval *= 2;
                again.at = now + again.interval;
            }
            _ => {}
        }
    }

    /// When [`Session::ending_timeout`] has something to do.
    pub(super) fn ending_deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Refused { until } => Some(*until),
            State::Ending(ending) => match ending {
                Ending::Draining { deadline, .. } => Some(*deadline),
                Ending::Closing { at, until, .. } => Some((*at).min(*until)),
                Ending::Lingering { until, again, .. } => {
                    Some(again.map_or(*until, |again| again.at.min(*until)))
                }
                Ending::Over => None,
            },
            _ => None,
        }
    }

    /// Tells the application, once, in the form that fits how far the session had come.
    fn tell(&mut self, cx: &mut Context<'_>, initiator: Side, words: &Words, error: Option<Fault>) {
        let usable = self.is_usable();
        self.proof = None;
        self.trace(cx.now.mono, || TraceEvent::SessionClosed {
            initiator,
            reason: words.reason,
            code: words.code,
            message: &words.message,
        });
        // What the streams have to say comes before the end, not after it.
        self.publish(cx);
        if usable {
            cx.events.push_back(Event::SessionClosed {
                session: cx.handle,
                reason: words.reason,
                initiator,
                error,
                message: words.message.clone(),
                undelivered: self.streams.undelivered(),
            });
        } else {
            let origin = match initiator {
                Side::Local => Origin::Local,
                Side::Remote => Origin::Peer,
            };
            let error = error.unwrap_or(Fault::new(ErrorCode::SessionClosed).by(origin));
            cx.events.push_back(Event::ConnectFailed { session: cx.handle, error });
            self.released = true;
        }
        self.streams.on_session_end();
        self.messages.on_session_end();
    }

    /// The probe timeout of the path, ACK delay included.
    pub(super) fn pto(&self) -> Duration {
        self.recovery.pto()
    }
}
