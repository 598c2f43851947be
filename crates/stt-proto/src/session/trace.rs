//! What a watched session tells of itself. An unwatched one tests an empty `Option` and goes on.

use crate::event::Side;
use crate::path::{Ecn, PathAddress};
use crate::recovery::Loss;
use crate::time::Instant;
use crate::trace::{
    DropReason, Metrics, SessionTrace, SessionTraceStart, TraceEvent, TracedPacket, Tracer,
};

use super::{Context, Session};

/// The watcher of a session, and what it was told last.
pub(super) struct Watched {
    sink: Box<dyn SessionTrace>,
    metrics: Metrics,
    mtu: u64,
    remote: PathAddress,
    /// Key updates of this side and of the peer.
    generations: [u64; 2],
    losses: Vec<Loss>,
}

impl Session {
    /// Asks the tracer, once, whether it wants to watch this session.
    pub(crate) fn offer_to(&mut self, tracer: &mut dyn Tracer, cx: &Context<'_>) {
        if core::mem::replace(&mut self.offered, true) {
            return;
        }
        let start = SessionTraceStart {
            initiator: self.initiator,
            session_id: self.session_id,
            peer: self.peer,
            remote: *self.remote(),
            local_id: self.local_id,
            peer_id: self.peer_id(),
        };
        self.watched = tracer.session(cx.now, &start).map(|sink| {
            Box::new(Watched {
                sink,
                metrics: Metrics::default(),
                mtu: stt_wire::MIN_MTU as u64,
                remote: *self.remote(),
                generations: [0; 2],
                losses: Vec::new(),
            })
        });
        if self.watched.is_some() {
            self.recovery.note_losses();
        }
    }

    /// Tells of everything that is a state and not an event: what changed since the last time.
    pub(crate) fn trace_changes(&mut self, now: Instant) {
        let Some(watched) = &mut self.watched else { return };
        self.recovery.take_losses(&mut watched.losses);
        for Loss { number, bytes, trigger } in watched.losses.drain(..) {
            watched.sink.event(now, &TraceEvent::PacketLost { number, bytes, trigger });
        }
        let rtt = self.recovery.rtt();
        let metrics = Metrics {
            min_rtt: rtt.measured().map(|_| rtt.min()),
            smoothed_rtt: rtt.smoothed(),
            rtt_variance: rtt.variance(),
            pto_count: self.recovery.pto_count(),
            congestion_window: self.recovery.window(),
            bytes_in_flight: self.recovery.bytes_in_flight(),
        };
        if metrics != watched.metrics {
            watched.metrics = metrics;
            watched.sink.event(now, &TraceEvent::MetricsUpdated(metrics));
        }
        let mtu = self.path.mtu.current() as u64;
        if mtu != watched.mtu {
            let old = core::mem::replace(&mut watched.mtu, mtu);
            watched.sink.event(now, &TraceEvent::MtuUpdated { old, new: mtu });
        }
        let remote = self.path.address;
        if remote != watched.remote {
            watched.remote = remote;
            watched.sink.event(now, &TraceEvent::PathChanged { remote });
        }
    }

    /// Tells of one event, made only if somebody watches.
    #[inline]
    pub(super) fn trace<'a>(&mut self, now: Instant, event: impl FnOnce() -> TraceEvent<'a>) {
        if let Some(watched) = &mut self.watched {
            watched.sink.event(now, &event());
        }
    }

    #[inline]
    pub(super) fn trace_sent<'a>(
        &mut self,
        now: Instant,
        packet: impl FnOnce() -> TracedPacket<'a>,
    ) {
        self.trace(now, || TraceEvent::PacketSent(packet()));
    }

    #[inline]
    pub(super) fn trace_drop(
        &mut self,
        now: Instant,
        number: u64,
        bytes: usize,
        reason: DropReason,
    ) {
        self.trace(now, || TraceEvent::PacketDropped { number, bytes, reason });
    }

    /// The sending key of one side was updated.
    #[inline]
    pub(super) fn trace_key_update(&mut self, now: Instant, side: Side) {
        if let Some(watched) = &mut self.watched {
            let generation = &mut watched.generations[usize::from(side == Side::Remote)];
            *generation += 1;
            let event = TraceEvent::KeyUpdated { side, generation: *generation };
            watched.sink.event(now, &event);
        }
    }
}

/// ECT(0) is all that this side ever marks.
pub(super) fn sent_ecn(marked: bool) -> Option<Ecn> {
    marked.then_some(Ecn::Ect0)
}
