use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// The plainest window there is: every number ever accepted.
struct Model {
    seen: BTreeSet<u64>,
    span: u64,
    /// Below this all is too old for good: a span once smaller does not give numbers back.
    floor: u64,
}

impl Model {
    fn new(span: u64) -> Self {
        Self { seen: BTreeSet::new(), span, floor: 0 }
    }

    fn insert(&mut self, number: u64) -> bool {
        if number < self.floor || !self.seen.insert(number) {
            return false;
        }
        self.slide();
        true
    }

    fn resize(&mut self, bits: u32) {
        self.span = 1 << bits;
        self.slide();
    }

    fn slide(&mut self) {
        let end = self.seen.last().map_or(0, |last| last + 1);
        self.floor = self.floor.max(end.saturating_sub(self.span));
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// Relative to the largest so far.
    Insert(i64),
    Resize(u32),
    Compact,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => (-3_i64..6).prop_map(Step::Insert),
        20 => (-140_i64..140).prop_map(Step::Insert),
        6 => (-5000_i64..5000).prop_map(Step::Insert),
        1 => (-140_000_i64..140_000).prop_map(Step::Insert),
        1 => (ReplayWindow::MIN_BITS..=ReplayWindow::MAX_BITS).prop_map(Step::Resize),
        1 => Just(Step::Compact),
    ]
}

proptest! {
    #[test]
    fn agrees_with_the_model(start in 0_u64..200_000, steps in prop::collection::vec(step(), 1..400)) {
        let mut window = ReplayWindow::new();
        let mut model = Model::new(1 << ReplayWindow::DEFAULT_BITS);
        prop_assert_eq!(window.insert(start).is_ok(), model.insert(start));
        for step in steps {
            match step {
                Step::Insert(offset) => {
                    let largest = window.largest().unwrap_or(0);
                    let number = largest.saturating_add_signed(offset);
                    let refused = window.contains(number);
                    let accepted = model.insert(number);
                    prop_assert_eq!(refused, !accepted, "contains {}", number);
                    prop_assert_eq!(window.insert(number).is_ok(), accepted, "insert {}", number);
                }
                Step::Resize(bits) => {
                    window.resize(bits);
                    model.resize(bits);
                }
                Step::Compact => window.compact(),
            }
            prop_assert!(window.heap_bytes() as u64 <= window.span / 8);
        }
        // Every number near and below the window, not only those drawn.
        let largest = window.largest().unwrap_or(0);
        for number in largest.saturating_sub(window.span + 70)..largest + 3 {
            let accepted = number >= model.floor && !model.seen.contains(&number);
            prop_assert_eq!(window.contains(number), !accepted, "in the end {}", number);
        }
    }
}

/// All orders in which each of seven numbers, spread around the span of 64, arrives.
#[test]
fn all_orders_around_a_small_window() {
    fn permute(numbers: &mut [u64], at: usize, check: &mut impl FnMut(&[u64])) {
        if at == numbers.len() {
            return check(numbers);
        }
        for other in at..numbers.len() {
            numbers.swap(at, other);
            permute(numbers, at + 1, check);
            numbers.swap(at, other);
        }
    }
    let mut orders = 0;
    permute(&mut [0, 1, 63, 64, 65, 127, 200], 0, &mut |order| {
        let mut window = ReplayWindow::new();
        window.resize(ReplayWindow::MIN_BITS);
        let mut model = Model::new(64);
        for number in order.iter().chain(order) {
            assert_eq!(
                window.insert(*number).is_ok(),
                model.insert(*number),
                "{number} in {order:?}"
            );
        }
        orders += 1;
    });
    assert_eq!(orders, 5040);
}

#[test]
fn tells_a_duplicate_from_a_number_too_old() {
    let mut window = ReplayWindow::new();
    assert_eq!(window.largest(), None);
    assert_eq!(window.insert(10_000), Ok(()));
    assert_eq!(window.largest(), Some(10_000));
    assert_eq!(window.insert(10_000), Err(Replay::Duplicate));
    assert_eq!(window.insert(10_000 - 4096), Err(Replay::TooOld));
    assert_eq!(window.insert(10_000 - 4095), Ok(()));
    assert_eq!(window.insert(10_000 - 4095), Err(Replay::Duplicate));
}

#[test]
fn first_seen_within_the_span_is_accepted_exactly_once() {
    let mut window = ReplayWindow::new();
    assert_eq!(window.insert(5000), Ok(()));
    for number in (5000 - 4095..5000).rev() {
        assert_eq!(window.insert(number), Ok(()));
        assert_eq!(window.insert(number), Err(Replay::Duplicate));
    }
    assert!(window.heap_bytes() <= 512);
    window.compact();
    assert_eq!(window.heap_bytes(), 0);
}

#[test]
fn in_order_packets_take_no_memory() {
    let mut window = ReplayWindow::new();
    for number in 0..10_000 {
        assert_eq!(window.insert(number), Ok(()));
    }
    assert_eq!(window.heap_bytes(), 0);
    assert_eq!(window.insert(9_999), Err(Replay::Duplicate));
    assert_eq!(window.insert(0), Err(Replay::TooOld));
}

#[test]
fn survives_the_end_of_the_numbers() {
    let mut window = ReplayWindow::new();
    assert_eq!(window.insert(u64::MAX), Err(Replay::TooOld));
    assert_eq!(window.insert(u64::MAX - 1), Ok(()));
    assert_eq!(window.insert(u64::MAX), Err(Replay::TooOld));
    assert_eq!(window.insert(u64::MAX - 1), Err(Replay::Duplicate));
    assert_eq!(window.insert(u64::MAX - 3), Ok(()));
    assert_eq!(window.insert(0), Err(Replay::TooOld));
}

#[test]
fn the_last_number_is_refused_also_where_nothing_is_missing() {
    let mut window = ReplayWindow::new();
    window.resize(ReplayWindow::MIN_BITS);
    for number in u64::MAX - 64..u64::MAX {
        assert_eq!(window.insert(number), Ok(()));
    }
    // The common case, in order and without a gap, ends here too.
    assert_eq!(window.insert(u64::MAX), Err(Replay::TooOld));
    assert_eq!(window.insert(u64::MAX - 1), Err(Replay::Duplicate));
    assert_eq!(window.largest(), Some(u64::MAX - 1));
}

#[test]
fn gaps_take_one_bit_a_number_and_whole_words() {
    let mut window = ReplayWindow::new();
    for (number, bytes) in [(0, 0), (2, 8), (64, 8), (65, 16), (200, 32), (4000, 512)] {
        assert_eq!(window.insert(number), Ok(()));
        assert_eq!(window.heap_bytes(), bytes, "after {number}");
    }
    for number in 1..199 {
        let _ = window.insert(number);
    }
    // What is missing still begins behind them; room for it is a power of two.
    window.compact();
    assert_eq!(window.heap_bytes(), 512);
    for number in 199..4000 {
        let _ = window.insert(number);
    }
    window.compact();
    assert_eq!(window.heap_bytes(), 0);
}
