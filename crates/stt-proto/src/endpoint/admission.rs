//! What one source and one peer may have of a listening endpoint (PROTOCOL.md section 3.1): sessions
//! at a time, and new ones a second. Judged once the proof is there, so that nobody uses up another's
//! share: by then the source has answered from its address, and the node id is proved.

use std::collections::BTreeMap;

use core::time::Duration;

use stt_crypto::NodeId;

use crate::config::Cap;
use crate::path::PathAddress;
use crate::time::Instant;

use super::limiter::Limiter;
use super::sources::Source;

/// Idle entries that are kept before they are looked through.
const KEPT: usize = 64;

/// The shares of all peers and sources.
#[derive(Default)]
pub(super) struct Admission {
    sources: Shares<Source>,
    peers: Shares<NodeId>,
    /// Whose share each admitted session is of, by slot: its address may change while it lives.
    admitted: BTreeMap<u32, (Source, NodeId)>,
}

impl Admission {
    /// Whether one more session fits into both shares; counts against the rates when it does.
    pub(super) fn admits(
        &mut self,
        now: Instant,
        path: &PathAddress,
        peer: &NodeId,
        per_source: Cap,
        per_peer: Cap,
    ) -> bool {
        self.sources.admits(now, Source::of(path), per_source)
            && self.peers.admits(now, *peer, per_peer)
    }

    /// Books a session that was admitted.
    pub(super) fn open(&mut self, slot: u32, path: &PathAddress, peer: NodeId) {
        let source = Source::of(path);
        self.sources.open(source);
        self.peers.open(peer);
        self.admitted.insert(slot, (source, peer));
    }

    /// Gives back what the session in this slot had, if it was admitted.
    pub(super) fn close(&mut self, slot: u32) {
        if let Some((source, peer)) = self.admitted.remove(&slot) {
            self.sources.close(source);
            self.peers.close(peer);
        }
    }
}

/// What each key has, and how fast it may have more.
struct Shares<K> {
    /// Peers choose the keys: the cost of a look must not depend on the choice.
    entries: BTreeMap<K, Share>,
    /// Size from which on idle entries are let go.
    sweep_at: usize,
}

#[derive(Default)]
struct Share {
    sessions: u32,
    /// Set once a rate was asked for.
    arrivals: Option<Limiter>,
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), sweep_at: KEPT }
    }
}

impl<K: Ord + Copy> Shares<K> {
    fn admits(&mut self, now: Instant, key: K, cap: Cap) -> bool {
        if self.entries.get(&key).map_or(0, |share| share.sessions) >= cap.sessions {
            return false;
        }
        if cap.per_second == u32::MAX {
            return true;
        }
        self.sweep(now);
        let arrivals = self.entries.entry(key).or_default().arrivals.get_or_insert_with(|| {
            Limiter::new(Duration::from_secs(1) / cap.per_second.max(1), cap.per_second)
        });
        arrivals.take(now)
    }

    fn open(&mut self, key: K) {
        self.entries.entry(key).or_default().sessions += 1;
    }

    fn close(&mut self, key: K) {
        let Some(share) = self.entries.get_mut(&key) else { return };
        share.sessions = share.sessions.saturating_sub(1);
        if share.sessions == 0 && share.arrivals.is_none() {
            self.entries.remove(&key);
        }
    }

    /// Lets go of entries that have nothing and may have their whole rate again: they are as good
    /// as new. All idle ones are within a second, so what stays is bounded by what a second brings.
    fn sweep(&mut self, now: Instant) {
        if self.entries.len() < self.sweep_at {
            return;
        }
        self.entries.retain(|_, share| {
            share.sessions > 0 || share.arrivals.as_mut().is_some_and(|rate| !rate.is_full(now))
        });
        self.sweep_at = KEPT + 2 * self.entries.len();
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::path::Connection;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    fn path(text: &str) -> PathAddress {
        PathAddress::udp(text.parse::<SocketAddr>().unwrap())
    }

    fn peer(byte: u8) -> NodeId {
        NodeId([byte; 32])
    }

    const TWO: Cap = Cap { sessions: 2, per_second: u32::MAX };

    #[test]
    fn a_source_is_an_address_or_a_slash_64_whatever_the_port() {
        let same = |a: &str, b: &str| Source::of(&path(a)) == Source::of(&path(b));
        assert!(same("192.0.2.1:1", "192.0.2.1:65535"));
        assert!(same("192.0.2.1:1", "[::ffff:192.0.2.1]:2"));
        assert!(!same("192.0.2.1:1", "192.0.2.2:1"));
        assert!(same("[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::9]:2"));
        assert!(!same("[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1"));
        let remote = "192.0.2.1:9".parse().unwrap();
        let connection = PathAddress::Connection(Connection { id: 1, remote });
        assert_eq!(
            Source::of(&connection),
            Source::of(&path("192.0.2.1:1")),
            "whatever the carrier"
        );
    }

    #[test]
    fn a_share_is_given_back_with_its_session() {
        let mut admission = Admission::default();
        let here = path("192.0.2.1:1");
        for slot in [7, 8] {
            assert!(admission.admits(at(0), &here, &peer(1), TWO, Cap::NONE));
            admission.open(slot, &here, peer(1));
        }
        assert!(!admission.admits(at(0), &here, &peer(2), TWO, Cap::NONE), "by source");
        assert!(
            !admission.admits(at(0), &path("192.0.2.9:1"), &peer(1), Cap::NONE, TWO),
            "by peer"
        );
        assert!(admission.admits(at(0), &path("192.0.2.9:1"), &peer(2), TWO, TWO));
        admission.close(7);
        admission.close(7);
        assert!(admission.admits(at(0), &here, &peer(1), TWO, TWO));
        admission.close(8);
        assert!(admission.sources.entries.is_empty() && admission.peers.entries.is_empty());
    }

    #[test]
    fn a_rate_refills_and_idle_sources_are_forgotten() {
        let rate = Cap { sessions: u32::MAX, per_second: 4 };
        let mut admission = Admission::default();
        let here = path("192.0.2.1:1");
        let mut admits = |ms| admission.admits(at(ms), &here, &peer(1), rate, Cap::NONE);
        assert!((0..4).all(|_| admits(0)));
        assert!(!admits(249));
        assert!(admits(251));
        assert!(!admits(400));

        let mut most = 0;
        for number in 0..40_000_u32 {
            let source = PathAddress::udp(SocketAddr::from((number.to_be_bytes(), 1)));
            assert!(admission.admits(at(u64::from(number)), &source, &peer(1), rate, Cap::NONE));
            most = most.max(admission.sources.entries.len());
        }
        // 1000 a second come, each is full again after 250 ms.
        assert!(most < KEPT + 3 * 1_000, "{most} entries");
    }
}
