//! What must hold of a session whatever it does, read off after each step in constant time: every
//! timer is armed that must be, nothing waits for ever, and no key changes before the peer has
//! followed.

use core::time::Duration;

use stt_proto::{
    Instant,
    inspect::{Deadlines, Inspection},
};

/// Where the backed-off probe timeout stops growing, unless twice a probe timeout is longer (PROTOCOL.md section 5.2).
const MAX_PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Packets that may leave over the window at a time: two probes (RFC 9002 section 6.2.4), one that
/// speeds up recovery (section 7.3.2), and the one that the window's last byte begins.
const OVER_THE_WINDOW: u64 = 4;

/// Whether a session at `now`, after its endpoint was drained, may be as it is.
pub(super) fn check(seen: &Inspection, now: Instant) -> Result<(), String> {
    check_timers(seen, now)?;
    check_progress(seen)?;
    if seen.is_usable && seen.queued_events > 0 {
        return Err(format!("{} events of streams are not told", seen.queued_events));
    }
    Ok(())
}

/// The same for what happened since `before`, which was one step ago if `is_next`.
pub(super) fn check_change(
    before: &Inspection,
    seen: &Inspection,
    is_next: bool,
) -> Result<(), String> {
    let (old, new) = (&before.sealing, &seen.sealing);
    if new.next < old.next || new.largest_acked < old.largest_acked {
        return Err(format!("packet numbers went back from {old:?} to {new:?}"));
    }
    if new.largest_acked >= Some(new.next) {
        return Err(format!("a packet counts as acknowledged that was never sent: {new:?}"));
    }
    // PROTOCOL.md section 4.4: the peer shows that it has followed by acknowledging a packet under
    // the key that is in use.
    if new.first != old.first && new.largest_acked < Some(old.first) {
        return Err(format!(
            "the key was changed at packet {}, and the peer has acknowledged none since {}, where \
             the one before began",
            new.first, old.first
        ));
    }
    let (old, new) = (&before.path, &seen.path);
    let most = old.window.max(new.window).max(old.in_flight) + OVER_THE_WINDOW * new.quantum;
    if is_next && new.in_flight > most && !new.reliable {
        return Err(format!("more was sent than the window allows: {old:?}, then {new:?}"));
    }
    Ok(())
}

/// Every moment at which the session must act lies ahead, and the endpoint wakes up for it.
fn check_timers(seen: &Inspection, now: Instant) -> Result<(), String> {
    let path = &seen.path;
    match seen.deadlines.loss {
        None if path.eliciting_in_flight > 0 && !path.reliable => {
            return Err(format!("{} bytes in flight and no loss timer", path.in_flight));
        }
        Some(_) if path.reliable => return Err("a connection has a loss timer".to_owned()),
        Some(at) if at > now + MAX_PROBE_INTERVAL.max(2 * Duration::from_nanos(path.pto_nanos)) => {
            return Err(format!("the loss timer is set for {}", ahead(at, now)));
        }
        _ => {}
    }
    for (what, at) in named(&seen.deadlines) {
        let Some(at) = at else { continue };
        // An ACK goes to an address that is not proven only once that has paid for it.
        if at <= now && what == "an ACK" && seen.is_held_by_address {
            continue;
        }
        // What is due this very moment has its turn in the next step; that it does not stay so is seen by
        // counting the timers that fire for nothing.
        if at < now {
            return Err(format!("{what} is overdue by {:?}", now.saturating_duration_since(at)));
        }
        if seen.timer.is_none_or(|timer| timer > at) {
            let timer = seen.timer.map_or("none".to_owned(), |timer| ahead(timer, now));
            return Err(format!("{what} is due {} and the timer is {timer}", ahead(at, now)));
        }
    }
    Ok(())
}

fn ahead(at: Instant, now: Instant) -> String {
    format!("in {:?}", at.saturating_duration_since(now))
}

fn named(deadlines: &Deadlines) -> [(&'static str, Option<Instant>); 14] {
    let Deadlines {
        loss,
        pacing,
        ack,
        proof,
        stale,
        verdict,
        keys,
        liveness,
        ending,
        expiry,
        frame_errors,
        mtu,
        moving,
        challenge,
    } = *deadlines;
    [
        ("loss recovery", loss),
        ("the pacer's grant", pacing),
        ("an ACK", ack),
        ("AUTH_PROOF", proof),
        ("the end of a handshake that nobody answers", stale),
        ("the handshake's verdict", verdict),
        ("the end of the previous key", keys),
        ("a keep-alive", liveness),
        ("the session's ending", ending),
        ("the expiry of old bytes", expiry),
        ("the report of frame errors", frame_errors),
        ("the search for a larger datagram", mtu),
        ("the end of a move", moving),
        ("a path's challenge", challenge),
    ]
}

/// What waits to be sent waits for something that will come: an ACK or a probe timeout, the pacer, or
/// the peer's proof of its address.
fn check_progress(seen: &Inspection) -> Result<(), String> {
    let path = &seen.path;
    let has_room = path.reliable || path.in_flight + path.quantum <= path.window;
    let waits = seen.is_queued || seen.is_held_by_address || seen.deadlines.pacing.is_some();
    if seen.wants_to_send && has_room && !waits {
        return Err(format!("has something to send and waits for nothing: {path:?}"));
    }
    Ok(())
}
