//! What is awaited of the peer while nothing is in flight (PROTOCOL.md section 6.1): more data by a side that
//! only receives, credit by a side that has used it up. Neither has sent anything whose acknowledgement could
//! fail to come, and both would learn of a dead path late.

use core::time::Duration;

use crate::time::Instant;

/// So many packets with data, none of them a probe timeout after the one before, are a flow. Fewer are
/// what an application says now and then, and no reason to probe after each word.
const FLOWING: u8 = 16;

/// Whether the peer is in the middle of sending.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PeerFlow {
    /// When data came last.
    last: Instant,
    /// Packets without a pause up to then, as far as they matter.
    packets: u8,
}

impl PeerFlow {
    /// A packet with data came; `pause` is what ends a flow.
    pub(super) fn on_data(&mut self, now: Instant, pause: Duration) {
        let goes_on = now.saturating_duration_since(self.last) < pause;
        self.packets = if goes_on { (self.packets + 1).min(FLOWING) } else { 1 };
        self.last = now;
    }

    /// When the flow, if there is one, has come to a standstill.
    pub(super) fn stands_still_at(&self, pause: Duration) -> Option<Instant> {
        (self.packets == FLOWING).then(|| self.last + pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(50);

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_flow_stands_still_a_pause_after_its_last_packet() {
        let mut flow = PeerFlow::default();
        for ms in 0..15 {
            flow.on_data(at(100 + ms), PAUSE);
            assert_eq!(flow.stands_still_at(PAUSE), None, "after {} packets", ms + 1);
        }
        flow.on_data(at(160), PAUSE);
        assert_eq!(flow.stands_still_at(PAUSE), Some(at(210)));
        flow.on_data(at(209), PAUSE);
        assert_eq!(flow.stands_still_at(PAUSE), Some(at(259)));
    }

    #[test]
    fn packets_with_pauses_between_them_are_no_flow() {
        let mut flow = PeerFlow::default();
        for n in 0..100 {
            flow.on_data(at(1_000 + 50 * n), PAUSE);
            assert_eq!(flow.stands_still_at(PAUSE), None);
        }
    }
}
