//! The latest value of something that one thread keeps changing, for others to read.

use std::array;

use crate::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, PoisonError, TryLockError, hint};

/// The one that is read, one that a reader may still be copying, one to write.
const COPIES: usize = 3;

/// See the module. Neither side ever waits for the other: the writer takes a copy that nobody reads,
/// and a reader whose copy is being written, or no longer the latest, looks which one is by now.
#[derive(Debug)]
pub(crate) struct Snapshot<T> {
    copies: [Mutex<T>; COPIES],
    latest: AtomicUsize,
}

impl<T: Copy> Snapshot<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { copies: array::from_fn(|_| Mutex::new(value)), latest: AtomicUsize::new(0) }
    }

    /// Makes `value` the latest. For one thread at a time.
    pub(crate) fn publish(&self, value: T) {
        let latest = self.latest.load(Ordering::Relaxed);
        // A copy stays locked only by a reader that began when it was the latest. Should readers
        // hold both of the others, the next turn publishes again.
        for next in (1..COPIES).map(|step| (latest + step) % COPIES) {
            if let Some(mut copy) = try_lock(&self.copies[next]) {
                *copy = value;
                drop(copy);
                self.latest.store(next, Ordering::Release);
                return;
            }
        }
    }

    /// The latest value.
    pub(crate) fn read(&self) -> T {
        loop {
            let latest = self.latest.load(Ordering::Acquire);
            // One that is no longer the latest may hold what is about to be: whoever got that, and
            // then asked again, would go back in time.
            if let Some(copy) = try_lock(&self.copies[latest])
                && self.latest.load(Ordering::Acquire) == latest
            {
                return *copy;
            }
            hint::spin_loop();
        }
    }
}

fn try_lock<T>(copy: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match copy.try_lock() {
        Ok(copy) => Some(copy),
        // Plain copies: nothing is ever left half done.
        Err(TryLockError::Poisoned(poisoned)) => Some(PoisonError::into_inner(poisoned)),
        Err(TryLockError::WouldBlock) => None,
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;

    #[test]
    fn a_reader_in_the_middle_holds_nobody_up() {
        let snapshot = Snapshot::new(1);
        let reading = snapshot.copies[0].lock().unwrap();
        for value in 2..10 {
            snapshot.publish(value);
            assert_eq!(snapshot.read(), value);
        }
        drop(reading);
        snapshot.publish(10);
        assert_eq!(snapshot.read(), 10);
    }

    #[test]
    fn what_is_read_is_whole_and_never_older_than_before() {
        let snapshot = Snapshot::new([0_u64; 40]);
        let last = 200_000;
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=last).for_each(|value| snapshot.publish([value; 40])));
            let mut before = 0;
            while before < last {
                let read = snapshot.read();
                assert!(read.iter().all(|value| *value == read[0]) && read[0] >= before);
                before = read[0];
            }
        });
    }
}
