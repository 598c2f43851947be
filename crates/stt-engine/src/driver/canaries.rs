//! Closed ports, where the system tells the socket of the sessions nothing of them: while a connect waits for its
//! first answer, a socket apart asks the peer's host (docs/adr/0072).

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use mio::{Interest, Registry, Token};
use rustc_hash::FxHashMap;
use stt_proto::{Instant, Now};
use stt_udp::{Canary, PathError};

use super::Driver;
use super::io::path_error;
use crate::SessionNumber;

/// Canaries at once. A connect to a further address goes without one until its next HELLO: descriptors belong to
/// the application. As many as `Ready` has bits for.
const MOST: usize = 64;

/// The first canary in the poller; those after it have the numbers that follow.
const FIRST: usize = 2;

/// Which canary the poller means, as a bit.
pub(super) fn bit_of(token: Token) -> u64 {
    match token.0.checked_sub(FIRST) {
        Some(place) if place < MOST => 1 << place,
        _ => 0,
    }
}

/// The canaries of an engine: one for each address that a connect waits for.
#[derive(Default)]
pub(super) struct Canaries {
    /// By their number in the poller.
    places: Vec<Option<Asking>>,
    /// Connects that wait, and for whom.
    connects: FxHashMap<SessionNumber, SocketAddr>,
    /// How many of them wait for each address.
    waiting: BTreeMap<SocketAddr, u32>,
    /// Canaries that the poller told of.
    ready: u64,
}

struct Asking {
    canary: Canary,
    /// When it asked last.
    at: Instant,
}

/// What a canary was told, and when it had asked.
pub(super) type Told = (PathError, Instant);

impl Canaries {
    /// A connect waits for `remote`.
    pub(super) fn begin(&mut self, session: SessionNumber, remote: SocketAddr) {
        if self.connects.insert(session, remote).is_none() {
            *self.waiting.entry(remote).or_default() += 1;
        }
    }

    /// It waits no more.
    pub(super) fn end(&mut self, registry: &Registry, session: SessionNumber) {
        let Some(remote) = self.connects.remove(&session) else { return };
        let Some(count) = self.waiting.get_mut(&remote) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.waiting.remove(&remote);
        let idle = self
            .places
            .iter_mut()
            .find(|place| place.as_ref().is_some_and(|asking| asking.canary.remote() == remote));
        if let Some(mut asking) = idle.and_then(Option::take) {
            // Closing it takes it out of the poller as well.
            let _ = registry.deregister(&mut asking.canary);
        }
    }

    /// A HELLO went to `remote`: asks whether anybody is there. What an earlier question drew may come back.
    pub(super) fn ask(
        &mut self,
        registry: &Registry,
        now: Instant,
        local: IpAddr,
        remote: SocketAddr,
    ) -> Option<Told> {
        if !self.waiting.contains_key(&remote) {
            return None;
        }
        let asking = self.canary_for(registry, now, local, remote)?;
        match asking.canary.send() {
            Some(report) => Some((report, asking.at)),
            None => {
                asking.at = now;
                None
            }
        }
    }

    /// The canary for an address, made if there is none; `None` when that is impossible now. The connect goes
    /// on without it, and the next HELLO tries again.
    fn canary_for(
        &mut self,
        registry: &Registry,
        now: Instant,
        local: IpAddr,
        remote: SocketAddr,
    ) -> Option<&mut Asking> {
        let found = self.places.iter().position(|place| {
            place.as_ref().is_some_and(|asking| asking.canary.remote() == remote)
        });
        let place = match found {
            Some(place) => place,
            None => {
                let place = match self.places.iter().position(Option::is_none) {
                    Some(place) => place,
                    None if self.places.len() < MOST => {
                        self.places.push(None);
                        self.places.len() - 1
                    }
                    None => return None,
                };
                let mut canary = Canary::new(local, remote).ok()?;
                registry.register(&mut canary, Token(FIRST + place), Interest::READABLE).ok()?;
                *self.places.get_mut(place)? = Some(Asking { canary, at: now });
                place
            }
        };
        self.places.get_mut(place)?.as_mut()
    }

    /// The poller told of these.
    pub(super) fn note(&mut self, ready: u64) {
        self.ready |= ready;
    }

    /// What those were told that the poller spoke of.
    pub(super) fn hear(&mut self) -> Vec<Told> {
        let ready = std::mem::take(&mut self.ready);
        let told = self.places.iter().enumerate().filter_map(|(place, asking)| {
            let asking = asking.as_ref().filter(|_| ready & (1 << place) != 0)?;
            Some((asking.canary.recv()?, asking.at))
        });
        if ready == 0 { Vec::new() } else { told.collect() }
    }
}

impl Driver {
    /// A connect to `remote` has begun.
    pub(super) fn begin_asking(&mut self, session: SessionNumber, remote: SocketAddr) {
        if !self.io.socket().tells_refusals() {
            self.canaries.begin(session, remote);
        }
    }

    /// It is over, or the peer has answered it.
    pub(super) fn end_asking(&mut self, session: SessionNumber) {
        self.canaries.end(self.io.registry(), session);
    }

    /// A HELLO went to `remote`.
    pub(super) fn ask_canary(&mut self, now: Now, remote: SocketAddr) {
        let local = self.io.socket().local_addr().ip();
        if let Some(told) = self.canaries.ask(self.io.registry(), now.mono, local, remote) {
            self.take_hint(now, told);
        }
    }

    /// Passes on what canaries were told.
    pub(super) fn hear_canaries(&mut self, now: Now) {
        for told in self.canaries.hear() {
            self.take_hint(now, told);
        }
    }

    fn take_hint(&mut self, now: Now, (report, asked): Told) {
        self.stats.path_errors += 1;
        let took = now.mono.saturating_duration_since(asked);
        self.core.handle_path_hint(now, report.remote, path_error(&report), took);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_closed_port_is_told_and_an_open_one_gets_an_empty_datagram() {
        for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let mut poll = Poll::new().unwrap();
            let registry = poll.registry().try_clone().unwrap();
            let mut canaries = Canaries::default();
            let (open, other) =
                (UdpSocket::bind((ip, 0)).unwrap(), UdpSocket::bind((ip, 0)).unwrap());
            let (theirs, closed) = (open.local_addr().unwrap(), other.local_addr().unwrap());
            // It takes from itself alone, and nobody else gets the port. Windows refuses for nobody then.
            other.connect(closed).unwrap();
            let _held = cfg!(unix).then_some(other);
            for (number, remote) in [(1, closed), (2, theirs)] {
                canaries.begin(SessionNumber(number), remote);
                assert_eq!(canaries.ask(&registry, at(5), ip, remote), None);
            }
            let mut events = Events::with_capacity(8);
            poll.poll(&mut events, Some(Duration::from_secs(20))).unwrap();
            for event in &events {
                canaries.note(bit_of(event.token()));
            }
            let told = canaries.hear();
            assert_eq!(told.len(), 1, "{told:?}");
            assert_eq!((told[0].0.remote, told[0].1), (closed, at(5)));
            assert_eq!(told[0].0.kind, stt_udp::PathErrorKind::Refused);
            assert_eq!(canaries.hear(), [], "each report once");
            open.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert_eq!(open.recv(&mut [0; 8]).unwrap(), 0);
        }
    }

    #[test]
    fn connects_to_one_address_share_a_canary_that_goes_with_the_last() {
        let poll = Poll::new().unwrap();
        let (registry, ip) = (poll.registry(), IpAddr::from(Ipv4Addr::LOCALHOST));
        let mut canaries = Canaries::default();
        let open = UdpSocket::bind((ip, 0)).unwrap();
        let remote = open.local_addr().unwrap();
        assert_eq!(canaries.ask(registry, at(0), ip, remote), None, "nobody waits for it");
        assert_eq!(canaries.places.len(), 0);
        for number in [1, 2] {
            canaries.begin(SessionNumber(number), remote);
            assert_eq!(canaries.ask(registry, at(0), ip, remote), None);
        }
        assert_eq!(canaries.places.iter().flatten().count(), 1);
        canaries.end(registry, SessionNumber(1));
        canaries.end(registry, SessionNumber(1));
        assert_eq!(canaries.places.iter().flatten().count(), 1);
        canaries.end(registry, SessionNumber(2));
        assert_eq!(canaries.places.iter().flatten().count(), 0);
        assert!(canaries.connects.is_empty() && canaries.waiting.is_empty());
    }

    #[test]
    fn there_are_so_many_canaries_and_places_are_used_again() {
        let poll = Poll::new().unwrap();
        let (registry, ip) = (poll.registry(), IpAddr::from(Ipv4Addr::LOCALHOST));
        let mut canaries = Canaries::default();
        let remotes: Vec<SocketAddr> =
            (0..=MOST as u16).map(|port| SocketAddr::new(ip, 9_000 + port)).collect();
        for (number, remote) in (1..).zip(&remotes) {
            canaries.begin(SessionNumber(number), *remote);
            let _ = canaries.ask(registry, at(0), ip, *remote);
        }
        let has = |canaries: &Canaries, remote: &SocketAddr| {
            canaries.places.iter().flatten().any(|asking| asking.canary.remote() == *remote)
        };
        assert_eq!(canaries.places.iter().flatten().count(), MOST);
        assert!(!has(&canaries, &remotes[MOST]));
        canaries.end(registry, SessionNumber(7));
        let _ = canaries.ask(registry, at(0), ip, remotes[MOST]);
        assert!(has(&canaries, &remotes[MOST]) && canaries.places.len() == MOST);
    }
}
