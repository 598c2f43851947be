//! The checker finds what it is there to find: each of these makes, in a user of the parts, one of
//! the mistakes that the parts are written against. Were the checker blind, they would pass.

use shuttle::thread;

use super::*;

/// An engine that ends with the first commands it finds, and until then sleeps as it is told.
fn engine_that_takes_one(
    queue: &Arc<CommandQueue>,
    sleep: impl Fn(&CommandQueue) + Send + 'static,
) -> thread::JoinHandle<()> {
    let queue = Arc::clone(queue);
    thread::spawn(move || {
        let mut commands = Vec::new();
        loop {
            queue.take(&mut commands);
            if !commands.is_empty() {
                return;
            }
            sleep(&queue);
        }
    })
}

/// The second look before a sleep is what sees a command that came before the flag stood.
#[test]
#[should_panic(expected = "deadlock")]
fn a_sleep_without_a_second_look_loses_a_command() {
    exhaust(|| {
        let waker = Arc::<Park>::default();
        let queue = queue(&waker, 4);
        let engine = engine_that_takes_one(&queue, move |theirs| {
            // The mistake: asleep even where the queue says that something came. Raising the
            // flag again puts back what the refusal took away.
            if !theirs.prepare_sleep() {
                waker.wait();
            }
            theirs.woke();
        });
        queue.push(Command::Finish(STREAM));
        engine.join().unwrap();
    });
}

/// Only a command that is there before the flag is looked at wakes the right engine.
#[test]
#[should_panic(expected = "deadlock")]
fn a_wake_up_before_the_command_loses_it() {
    exhaust(|| {
        let waker = Arc::<Park>::default();
        let queue = queue(&waker, 4);
        let engine = engine_that_takes_one(&queue, move |theirs| {
            if theirs.prepare_sleep() {
                waker.wait();
                theirs.woke();
            }
        });
        // The mistake: the two in the wrong order.
        queue.wake();
        queue.leave(std::iter::once(Command::Finish(STREAM)));
        engine.join().unwrap();
    });
}

/// An engine that found no room is woken only by whoever heeds what [`Ring::taken`] says.
#[test]
#[should_panic(expected = "deadlock")]
fn room_that_is_not_told_leaves_the_engine_asleep() {
    explore(2_000, || {
        let (bell, waker) = (Arc::<Park>::default(), Arc::<Park>::default());
        let ring_it = Arc::clone(&bell);
        let ring = Arc::new(Ring::with_bounds(Box::new(move || ring_it.call()), 1, 8));
        let theirs = Arc::clone(&ring);
        let engine = thread::spawn(move || {
            for number in 0..3 {
                while !theirs.room(0, 0) {
                    waker.wait();
                }
                theirs.publish(&mut vec![Event::Writable(StreamNumber(number))]);
            }
        });
        let (mut inbox, mut seen) = (VecDeque::new(), 0);
        while seen < 3 {
            if !ring.take(&mut inbox) {
                bell.wait();
                continue;
            }
            seen += inbox.len();
            // The mistake: the answer is dropped.
            ring.taken(inbox.len(), 0);
            inbox.clear();
        }
        engine.join().unwrap();
    });
}

/// A writer must wait for what it is told, and be told of what it waits for.
#[test]
#[should_panic(expected = "deadlock")]
fn room_that_was_answered_and_not_announced_leaves_the_writer_waiting() {
    exhaust(|| {
        let config = SessionConfig { send_buffer: 1, ..SessionConfig::default() };
        let stream =
            SendCredit::new(&SessionCredit::new(&config, &Arc::new(Memory::new(u64::MAX))), 1);
        let theirs = Arc::clone(&stream);
        assert_eq!(stream.reserve(1), Some(1));
        let told = Arc::<Park>::default();
        // The mistake: nobody calls.
        let engine = thread::spawn(move || theirs.release(1));
        while stream.reserve(1) == Some(0) {
            told.wait();
        }
        engine.join().unwrap();
    });
}
