//! What must hold of a connect that nobody has answered, and of the handshakes that a listener keeps:
//! each has a timer, repeats itself neither too late nor too often, and holds no more than it may.

use core::time::Duration;

use stt_proto::{
    Instant,
    inspect::{ConnectInspection, HalfOpenInspection},
};

/// First pause between two copies of a HELLO (PROTOCOL.md section 2.3).
const FIRST_PAUSE: Duration = Duration::from_millis(333);
/// Longest one.
const LONGEST_PAUSE: Duration = Duration::from_millis(1_500);
/// Bytes kept for all half-open handshakes together.
const MAX_HELD: usize = 1 << 20;

/// Whether a connect at `now`, after its endpoint was drained, may be as it is.
pub(super) fn check_connect(seen: &ConnectInspection, now: Instant) -> Result<(), String> {
    let Some(timer) = seen.timer else { return Err("a connect has no timer".to_owned()) };
    let Some(next) = seen.next_send else { return Err("a connect has nothing to send".to_owned()) };
    let deadlines = [
        ("HELLO", Some(next)),
        ("the belief in a hint", seen.hint),
        ("the fall back to HELLO", seen.fall_back),
        ("giving up", Some(seen.deadline)),
    ];
    for (what, at) in deadlines {
        let Some(at) = at else { continue };
        if at < now {
            return Err(format!("{what} is overdue by {:?}", now.saturating_duration_since(at)));
        }
        if timer > at {
            let late = timer.saturating_duration_since(at);
            return Err(format!("{what} is due {late:?} before the timer"));
        }
    }
    if next > now + LONGEST_PAUSE && !seen.reliable {
        return Err(format!("no HELLO for {:?}", next.saturating_duration_since(now)));
    }
    let (copies, age) = seen.copies;
    let most = 1 + age.as_nanos() / FIRST_PAUSE.as_nanos();
    if u128::from(copies) > most {
        return Err(format!("{copies} copies of a HELLO in {age:?}"));
    }
    Ok(())
}

/// The same for the half-open handshakes of a listener.
pub(super) fn check_half_open(seen: &HalfOpenInspection, now: Instant) -> Result<(), String> {
    let (count, most) = seen.count;
    if count > most {
        return Err(format!("{count} handshakes are half open, of {most} at most"));
    }
    if seen.held[0] != seen.held[1] || seen.held[0] > MAX_HELD {
        return Err(format!("{:?} bytes are held for handshakes, kept and counted", seen.held));
    }
    let Some(until) = seen.until else { return Ok(()) };
    if until < now || seen.timer.is_none_or(|timer| timer > until) {
        return Err(format!(
            "a half-open handshake ends at {until:?}, the timer is {:?} at {now:?}",
            seen.timer
        ));
    }
    Ok(())
}
