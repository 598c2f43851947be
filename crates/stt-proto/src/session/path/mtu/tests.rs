use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_millis(300);

/// A path that loses what is larger than `carries`, from a host that refuses what is larger than
/// `interface`.
struct Link {
    search: MtuSearch,
    now: Instant,
    carries: usize,
    interface: usize,
    probes: Vec<usize>,
    refusals: usize,
}

impl Link {
    fn new(upper: usize, carries: usize, interface: usize) -> Self {
        let mut search = MtuSearch::new(upper);
        search.start(at(0));
        search.want(at(0));
        Self { search, now: at(0), carries, interface, probes: Vec::new(), refusals: 0 }
    }

    /// The probe that is due.
    fn due(&self) -> Option<usize> {
        self.search.probe_due(self.now)
    }

    /// Lets the search run until it rests or `end`.
    /// Whether datagrams had to shrink.
    fn run(&mut self, end: Instant) -> bool {
        let mut shrunk = false;
        while let Some(next) = self.search.next_timeout().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            let change = match self.search.probe_due(self.now) {
                Some(size) => self.probe(size),
                None => self.search.on_timeout(self.now, PAUSE),
            };
            shrunk |= change == MtuChange::Shrunk;
        }
        shrunk
    }

    fn probe(&mut self, size: usize) -> MtuChange {
        let nonce = self.probes.len() as u64;
        self.search.on_probe_sent(self.now, nonce, PATIENCE);
        if size > self.interface {
            self.refusals += 1;
            return self.search.on_refused(self.now, size);
        }
        self.probes.push(size);
        if size <= self.carries {
            assert!(self.search.is_probe(nonce));
            return self.search.on_probe_acked(self.now);
        }
        MtuChange::None
    }
}

#[test]
fn a_path_is_searched_up_to_what_it_carries() {
    for carries in
        [1200, 1201, 1232, 1252, 1300, 1392, 1420, 1452, 1472, 4000, 8972, 30_000, 65_507]
    {
        let mut link = Link::new(65_507, carries, 65_507);
        assert!(!link.run(at(100_000)));
        let found = link.search.current();
        let best = CANDIDATES.map(usize::from).into_iter().filter(|size| *size <= carries).max();
        assert_eq!(found, best.unwrap_or(1200), "of {carries}");
        assert!(link.probes.len() <= 18, "{}: {:?}", carries, link.probes);
    }
}

#[test]
fn sizes_that_links_have_are_met_exactly() {
    for carries in CANDIDATES {
        let carries = usize::from(carries);
        let mut link = Link::new(65_507, carries, carries);
        link.run(at(100_000));
        assert_eq!(link.search.current(), carries);
        assert!(link.refusals <= 5, "{} at {carries}", link.refusals);
    }
    let mut link = Link::new(1_400, 65_507, 65_507);
    link.run(at(100_000));
    assert_eq!(link.search.current(), 1_400, "no more than both sides allow");
    assert_eq!(link.search.next_timeout(), None, "and then there is nothing left to find out");
}

#[test]
fn loopback_takes_two_probes() {
    let mut link = Link::new(65_507, 65_507, 65_507);
    link.run(at(0));
    assert_eq!(link.probes, [1452, 65_507]);
}

#[test]
fn what_the_system_knows_of_its_link_ends_the_guessing() {
    let mut link = Link::new(65_507, 1_472, 1_472);
    for size in [1_452, 65_507] {
        assert_eq!(link.due(), Some(size));
        let _ = link.probe(size);
    }
    assert_eq!(link.search.on_packet_too_big(at(0), 1_472), MtuChange::None);
    assert_eq!(link.due(), Some(1_472));
    assert_eq!(link.probe(1_472), MtuChange::Proven);
    assert_eq!(link.search.on_packet_too_big(at(0), 1_472), MtuChange::None, "no news");
    assert_eq!(link.search.next_timeout(), None);
}

/// A search of a path that carries everything, of a session that has sent nothing yet.
fn unused() -> Link {
    let mut link = Link::new(65_507, 65_507, 65_507);
    link.search = MtuSearch::new(65_507);
    link.search.start(at(0));
    link
}

#[test]
fn a_session_that_fills_no_datagram_probes_nothing() {
    let mut link = unused();
    link.run(at(700_000));
    link.search.on_filled(at(700_000), 0);
    link.run(at(700_000));
    assert_eq!((link.search.next_timeout(), link.probes.as_slice()), (None, [].as_slice()));
}

#[test]
fn a_full_datagram_begins_the_search_and_as_many_bytes_as_a_large_one_has_let_it_be_tried() {
    let mut link = unused();
    link.search.on_filled(at(1), 1_200);
    assert!(!link.run(at(1)));
    assert_eq!((link.search.current(), link.due()), (1_452, None));
    link.search.on_filled(at(2), 65_506 - 1_200);
    assert!(!link.run(at(2)));
    assert_eq!(link.probes, [1_452], "a byte is missing");
    link.search.on_filled(at(3), 1);
    assert!(!link.run(at(3)));
    assert_eq!(link.probes, [1_452, 65_507]);
}

#[test]
fn a_search_that_has_begun_does_not_wait_for_more() {
    let mut link = unused();
    (link.carries, link.interface) = (1_392, 65_507);
    link.search.on_filled(at(1), 1);
    link.run(at(60_000));
    assert_eq!((link.search.current(), link.due()), (1_392, None), "{:?}", link.probes);
}

#[test]
fn what_was_sent_before_the_handshake_was_over_counts() {
    let mut search = MtuSearch::new(65_507);
    search.on_filled(at(0), 12_000);
    assert_eq!(search.next_timeout(), None);
    search.start(at(5));
    assert_eq!(search.probe_due(at(5)), Some(1_452));
}

#[test]
fn another_path_of_a_session_that_sends_is_searched_at_once() {
    let used = Link::new(65_507, 65_507, 65_507).search;
    let mut search = MtuSearch::new(65_507).after(&used, at(9));
    assert_eq!(search.next_timeout(), None, "not before it is proven");
    search.start(at(10));
    assert_eq!(search.probe_due(at(10)), Some(1_452));
    let mut before = MtuSearch::new(65_507);
    before.start(at(0));
    let back = before.after(&search, at(11));
    assert_eq!(back.probe_due(at(11)), Some(1_452), "and so is one that it goes back to");
    let mut idle = MtuSearch::new(65_507).after(&unused().search, at(9));
    idle.start(at(10));
    assert_eq!(idle.next_timeout(), None);
}

#[test]
fn a_report_of_a_limit_says_nothing_while_no_size_was_tried() {
    let mut link = unused();
    assert_eq!(link.search.on_packet_too_big(at(0), 1_300), MtuChange::None);
    link.search.on_filled(at(0), 1_200);
    assert_eq!(link.due(), Some(1_452));
}

#[test]
fn a_suspicion_is_tested_without_anything_more_to_send() {
    let mut link = unused();
    link.search.on_filled(at(1), 1_200);
    link.run(at(1));
    link.search.on_large_losses(at(1), 3);
    assert_eq!((link.search.usable(), link.due()), (1_200, Some(1_452)));
    link.run(at(1));
    assert_eq!((link.search.usable(), link.due()), (1_452, None), "and the search rests again");
}

#[test]
fn the_search_begins_anew_after_ten_minutes() {
    let mut link = Link::new(65_507, 1_452, 65_507);
    link.run(at(100_000));
    assert_eq!(link.search.current(), 1_452);
    link.carries = 8_972;
    link.search.on_filled(at(500_000), 1_452);
    link.run(at(700_000));
    assert_eq!(link.search.current(), 1_452, "too soon, and then there was nothing to send");
    link.now = at(750_000);
    link.search.on_filled(at(750_000), 1_452);
    link.run(at(800_000));
    assert_eq!(link.search.current(), 8_972);
}

#[test]
fn a_suspicion_is_tested_and_dropped_when_the_size_still_passes() {
    let mut link = Link::new(1_472, 1_472, 1_472);
    link.run(at(1_000));
    link.search.on_large_losses(at(1_000), 2);
    assert_eq!(link.search.usable(), 1_472);
    link.search.on_large_losses(at(1_000), 3);
    assert_eq!((link.search.usable(), link.search.current()), (1_200, 1_472));
    link.run(at(2_000));
    assert_eq!(link.search.usable(), 1_472);
    link.search.on_large_losses(at(3_000), 3);
    link.search.on_large_arrival(at(3_000));
    assert_eq!(link.search.usable(), 1_472, "a later one that arrived says the same");
}

#[test]
fn a_black_hole_leads_back_to_the_base_and_to_a_new_search() {
    let mut link = Link::new(1_472, 1_472, 1_472);
    link.run(at(1_000));
    link.carries = 1_252;
    link.search.on_large_losses(at(1_000), 3);
    assert!(link.run(at(20_000)));
    assert_eq!(link.search.usable(), 1_252);
}

#[test]
fn a_link_that_shrinks_under_the_socket_is_obeyed_at_once() {
    let mut link = Link::new(65_507, 65_507, 65_507);
    link.run(at(0));
    (link.carries, link.interface) = (1_472, 1_472);
    assert_eq!(link.search.on_refused(at(1), 65_507), MtuChange::Shrunk);
    assert_eq!(link.search.usable(), 1_200);
    link.run(at(10_000));
    assert_eq!(link.search.usable(), 1_472);
    assert_eq!(link.search.on_packet_too_big(at(10_001), 1_252), MtuChange::Shrunk);
    link.carries = 1_252;
    link.run(at(20_000));
    assert_eq!(link.search.usable(), 1_252);
    assert_eq!(link.search.on_packet_too_big(at(20_001), 600), MtuChange::None, "below the base");
    assert_eq!(link.search.on_packet_too_big(at(20_001), 9_000), MtuChange::None);
}
