//! What a session waits for and holds, read from its state and not from the timers that it asked for.

use crate::inspect::{Deadlines, Inspection, PathState, Recount, Sealing};
use crate::time::Instant;

use super::close::Ending;
use super::{Session, State};

impl Session {
    /// `timer` and `is_queued` are the endpoint's to fill in.
    pub(crate) fn inspect(&self, now: Instant) -> Inspection {
        Inspection {
            session_id: self.session_id,
            initiator: self.initiator,
            timer: None,
            is_queued: false,
            deadlines: self.deadlines(now),
            wants_to_send: self.sends_frames()
                && (self.wants_control() || self.wants_data() || self.wants_messages(false)),
            is_held_by_address: self.is_held_by_address()
                || self.waits_for_the_socket(now)
                || self.path.held,
            queued_events: self.streams.queued_events(),
            is_usable: self.is_usable(),
            path: PathState {
                in_flight: self.recovery.bytes_in_flight(),
                eliciting_in_flight: self.recovery.eliciting_in_flight(),
                window: self.recovery.window(),
                quantum: self.recovery.quantum(),
                pto_nanos: self.recovery.pto().as_nanos() as u64,
                reliable: self.path.address.is_reliable(),
            },
            sealing: Sealing {
                first: self.keys.sealed_first(),
                next: self.next_pn,
                largest_acked: self.largest_acked,
            },
        }
    }

    pub(crate) fn recount(&self) -> Recount {
        let former = self.moving.as_ref().and_then(|moving| moving.former.as_ref());
        Recount {
            path: self.recovery.recount(),
            former: former
                .and_then(|former| former.known.as_ref())
                .map(|(_, recovery)| recovery.recount()),
            ack_ranges: self.received.ranges().len(),
            echoes: self.echoes.len(),
            messages: self.messages.held(),
            streams: self.streams.recount(),
        }
    }

    /// Whether anything but SESSION_CLOSE leaves.
    fn sends_frames(&self) -> bool {
        !matches!(
            self.state,
            State::Ending(Ending::Closing { .. } | Ending::Lingering { .. } | Ending::Over)
        )
    }

    fn is_held_by_address(&self) -> bool {
        let least = stt_wire::MIN_MTU.min(self.path.mtu.usable());
        self.address_room().is_none_or(|room| room < least) || self.send_credit() < least
    }

    fn deadlines(&self, now: Instant) -> Deadlines {
        if matches!(self.state, State::Ending(Ending::Over)) {
            return Deadlines::default();
        }
        let used = self.is_live() && self.is_established();
        let moving = self.moving.as_ref().filter(|_| used);
        let tries = moving.map(|moving| {
            let validation = moving.validation.as_ref().map(|v| &v.challenge);
            let candidate = moving.candidate.as_ref().map(|c| &c.challenge);
            [validation, candidate].into_iter().flatten()
        });
        let departures = &self.liveness.departures;
        let mtu_waits = self.path.mtu.probe_due(now).is_some();
        Deadlines {
            loss: self.recovery.loss_deadline(),
            pacing: self.paced_until.into_iter().chain(departures.next_try(now)).min(),
            ack: self.received.ack_deadline().filter(|_| self.sends_frames()),
            proof: self.proof.as_ref().map(|proof| proof.at),
            stale: self.stale_at(),
            verdict: match self.state {
                State::AwaitFinal { deadline, .. } | State::AwaitAuthorize { deadline } => {
                    Some(deadline)
                }
                _ => None,
            },
            keys: self.keys.next_timeout(),
            liveness: used.then(|| self.liveness.next_timeout()),
            ending: self.ending_deadline(),
            expiry: self.streams.next_expiry(),
            frame_errors: self.tell_at.into_iter().chain(departures.next_report()).min(),
            mtu: self.path.mtu.next_timeout().filter(|_| used && !mtu_waits),
            moving: moving.and_then(|moving| {
                let former = moving.former.as_ref().and_then(|former| former.until);
                let ends = tries.clone().into_iter().flatten().map(|challenge| challenge.deadline);
                ends.chain(former).chain(moving.wide_until).min()
            }),
            challenge: tries.into_iter().flatten().map(|c| c.at).filter(|at| *at > now).min(),
        }
    }
}
