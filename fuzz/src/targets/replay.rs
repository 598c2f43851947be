//! The replay window against a plain set of numbers (PROTOCOL.md section 4).
//!
//! Input: pairs of an operation u8 and a value u8.

use std::collections::BTreeSet;

use stt_crypto::{Replay, ReplayWindow};

/// Numbers in a window of the largest span take 16 KiB.
const MOST_HEAP: usize = (1 << ReplayWindow::MAX_BITS) / 8;

/// Inserts what the input says and compares every answer.
pub fn run(data: &[u8]) {
    let mut window = ReplayWindow::new();
    let mut model =
        Model { seen: BTreeSet::new(), span: 1 << ReplayWindow::DEFAULT_BITS, floor: 0 };
    let mut at: u64 = 0;
    for pair in data.chunks_exact(2) {
        let value = u64::from(pair[1]);
        at = match pair[0] % 8 {
            0..=2 => at.saturating_add(1 + value % 4),
            3 => at.saturating_sub(value),
            4 => at.saturating_sub(value << 5),
            5 => at.saturating_add(value << (value % 12)),
            6 => at.saturating_add(value << (value % 56)),
            _ => {
                let bits = pair[1] % 20;
                window.resize(u32::from(bits));
                model.resize(u32::from(bits));
                continue;
            }
        };
        let expected = model.insert(at);
        assert_eq!(window.contains(at), expected.is_err(), "contains({at})");
        assert_eq!(window.insert(at), expected, "insert({at})");
        assert!(window.contains(at), "{at} is accepted twice");
        assert_eq!(window.largest(), model.seen.last().copied());
        assert!(window.heap_bytes() <= MOST_HEAP, "{} bytes", window.heap_bytes());
    }
}

/// In order, with gaps, with leaps, with changes of the span.
pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        [0, 0].repeat(200),
        [0, 3, 3, 2].repeat(100),
        [0, 0, 5, 200, 3, 100, 4, 90].repeat(30),
        [7, 6, 6, 150, 3, 60, 7, 17, 5, 251].repeat(20),
    ]
}

struct Model {
    seen: BTreeSet<u64>,
    span: u64,
    /// Numbers below were forgotten by a smaller span, for good.
    floor: u64,
}

impl Model {
    fn insert(&mut self, number: u64) -> Result<(), Replay> {
        let end = self.seen.last().map_or(0, |largest| largest + 1);
        if number == u64::MAX || (number < end && end - number > self.span) {
            return Err(Replay::TooOld);
        }
        if number < self.floor || self.seen.contains(&number) {
            return Err(Replay::Duplicate);
        }
        self.seen.insert(number);
        self.raise();
        Ok(())
    }

    fn resize(&mut self, bits: u32) {
        self.span = 1 << bits.clamp(ReplayWindow::MIN_BITS, ReplayWindow::MAX_BITS);
        self.raise();
    }

    fn raise(&mut self) {
        let end = self.seen.last().map_or(0, |largest| largest + 1);
        self.floor = self.floor.max(end.saturating_sub(self.span));
    }
}
