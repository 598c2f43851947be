//! What one source may provoke (PROTOCOL.md section 3.2). An IPv4 address is a source, and so is an
//! IPv6 /64, as whoever has one address of it commonly has them all. The memory is fixed.

use core::time::Duration;
use std::net::IpAddr;

use rand_core::Rng;
use stt_crypto::CookieKey;

use crate::path::PathAddress;
use crate::time::Instant;

use super::limiter::Limiter;

/// Buckets of one kind of answer. Sources that meet in one share it: a limit is never exceeded by
/// that, and who meets whom is a secret of the process.
const BUCKETS: usize = 512;

/// Whoever is counted together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Source([u8; 9]);

impl Source {
    /// The source that a datagram, or a message of a connection, came from.
    pub(crate) fn of(path: &PathAddress) -> Self {
        let mut out = [0; 9];
        // By whatever carrier a host comes, it has one share.
        let remote = match path {
            PathAddress::Udp { remote, .. } => remote,
            PathAddress::Connection(connection) => &connection.remote,
        };
        match remote.ip().to_canonical() {
            IpAddr::V4(ip) => {
                out[0] = 4;
                out[1..5].copy_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out[0] = 6;
                out[1..].copy_from_slice(&ip.octets()[..8]);
            }
        }
        Self(out)
    }
}

/// Rates one kind of answer by source.
pub(crate) struct SourceLimiter {
    key: CookieKey,
    /// Empty until the first answer.
    buckets: Vec<Limiter>,
    full: Limiter,
}

impl SourceLimiter {
    /// Lets `burst` through at once to each source and one more every `interval`.
    pub(crate) fn new(rng: &mut impl Rng, interval: Duration, burst: u32) -> Self {
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        Self {
            key: CookieKey::new(&secret),
            buckets: Vec::new(),
            full: Limiter::new(interval, burst),
        }
    }

    /// Takes one token of the source's if there is one.
    pub(crate) fn take(&mut self, now: Instant, path: &PathAddress) -> bool {
        if self.buckets.is_empty() {
            self.buckets = vec![self.full; BUCKETS];
        }
        let mac = self.key.mac(&[&Source::of(path).0]);
        let index = usize::from(u16::from_le_bytes([mac[0], mac[1]])) % BUCKETS;
        self.buckets[index].take(now)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha12Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::path::Connection;

    fn path(address: &str) -> PathAddress {
        PathAddress::udp(address.parse().unwrap())
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_network() {
        let same = |a: &str, b: &str| Source::of(&path(a)) == Source::of(&path(b));
        assert!(same("10.0.0.1:1", "10.0.0.1:2"));
        assert!(same("10.0.0.1:1", "[::ffff:10.0.0.1]:2"));
        assert!(!same("10.0.0.1:1", "10.0.0.2:1"));
        assert!(same("[2001:db8::1]:1", "[2001:db8:0:0:ffff::2]:2"));
        assert!(!same("[2001:db8::1]:1", "[2001:db8:0:1::1]:1"));
        let remote = "192.0.2.1:9".parse().unwrap();
        let connection = PathAddress::Connection(Connection { id: 1, remote });
        assert_eq!(
            Source::of(&connection),
            Source::of(&path("192.0.2.1:1")),
            "whatever the carrier"
        );
    }

    #[test]
    fn one_network_uses_up_its_own_tokens_in_fixed_memory() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut limiter = SourceLimiter::new(&mut rng, Duration::from_millis(10), 8);
        let now = Instant::from_nanos(0);
        let taken = (0..1000_u16)
            .filter(|host| limiter.take(now, &path(&format!("[2001:db8::{host:x}]:{}", host + 1))))
            .count();
        assert_eq!(taken, 8);
        assert!(limiter.take(Instant::from_nanos(10_000_000), &path("[2001:db8::1]:1")));
        // Ten thousand other sources get what the buckets hold, and no more memory is used.
        let others = (0..10_000_u16)
            .filter(|network| limiter.take(now, &path(&format!("[2001:db9:0:{network:x}::1]:1"))))
            .count();
        assert!((8 * (BUCKETS - 2)..=8 * BUCKETS).contains(&others), "{others}");
        assert_eq!(limiter.buckets.len(), BUCKETS);
    }
}
