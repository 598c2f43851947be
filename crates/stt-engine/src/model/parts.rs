//! Each part of the hand-over alone, small enough for every schedule there is.

use std::sync::atomic::{AtomicBool, Ordering};

use shuttle::thread;
use stt_proto::MessageDrop;

use super::*;
use crate::credit::Reserved;
use crate::outbox::{Outbox, Sent};
use crate::snapshot::Snapshot;

/// Random schedules of each kind, where those that there are would be too many.
const MANY: usize = 4_000;

fn consumed(bytes: u64) -> impl Iterator<Item = (StreamNumber, u64)> {
    std::iter::once((STREAM, bytes))
}

/// The engine's side of a queue: sleeps until it is `done`, which is asked with what came.
fn serve(queue: &CommandQueue, waker: &Park, mut done: impl FnMut(&mut Vec<Command>) -> bool) {
    let mut commands = Vec::new();
    loop {
        queue.take(&mut commands);
        if done(&mut commands) {
            return;
        }
        commands.clear();
        if queue.prepare_sleep() {
            waker.wait();
            queue.woke();
        }
    }
}

fn push_and_take(count: usize) {
    let waker = Arc::<Park>::default();
    let queue = queue(&waker, 4);
    let theirs = Arc::clone(&queue);
    let engine = thread::spawn(move || {
        let mut seen = 0;
        serve(&theirs, &waker, |commands| {
            seen += commands.len();
            seen == count
        });
    });
    (0..count).for_each(|_| queue.push(Command::Finish(STREAM)));
    engine.join().unwrap();
    let mut rest = Vec::new();
    queue.take(&mut rest);
    assert!(rest.is_empty(), "taken twice");
}

#[test]
fn a_command_is_seen_once_whenever_it_comes() {
    let schedules = exhaust(|| push_and_take(1));
    assert!(schedules > 100, "{schedules}");
    explore(MANY, || push_and_take(4));
}

#[test]
fn an_engine_that_is_told_to_stop_does() {
    let schedules = exhaust(|| {
        let waker = Arc::<Park>::default();
        let queue = queue(&waker, 4);
        let theirs = Arc::clone(&queue);
        let engine = thread::spawn(move || serve(&theirs, &waker, |_| theirs.is_stopping()));
        queue.stop();
        engine.join().unwrap();
    });
    assert!(schedules > 10, "{schedules}");
}

/// A single byte wakes nobody, and two of them, wherever they meet, do.
#[test]
fn bytes_read_are_told_once_they_are_enough() {
    explore(MANY, || {
        let waker = Arc::<Park>::default();
        let queue = queue(&waker, 8);
        let theirs = Arc::clone(&queue);
        let engine = thread::spawn(move || {
            let mut sum = 0;
            serve(&theirs, &waker, |commands| {
                sum += commands
                    .iter()
                    .map(|command| match command {
                        Command::Consumed(_, bytes) => *bytes,
                        _ => 0,
                    })
                    .sum::<u64>();
                sum >= 2
            });
            sum
        });
        for bytes in [1, 2] {
            if queue.leave_consumed(consumed(bytes)) {
                queue.wake();
            }
        }
        let sum = engine.join().unwrap();
        let mut rest = Vec::new();
        queue.take(&mut rest);
        let rest: u64 = rest
            .iter()
            .map(|command| match command {
                Command::Consumed(_, bytes) => *bytes,
                _ => 0,
            })
            .sum();
        assert_eq!(sum + rest, 3);
    });
}

fn bell_of(bell: &Arc<Park>) -> Box<dyn Fn() + Send + Sync> {
    let bell = Arc::clone(bell);
    Box::new(move || bell.call())
}

fn event(number: u32) -> Vec<Event> {
    vec![Event::Writable(StreamNumber(number))]
}

/// The application's side of a ring: waits until `count` events came, which must be in order.
fn collect(ring: &Ring, bell: &Park, count: u32, waker: Option<&Park>) {
    let (mut inbox, mut next) = (VecDeque::new(), 0);
    while next < count {
        if !ring.take(&mut inbox) {
            bell.wait();
            continue;
        }
        let came = inbox.len();
        for event in inbox.drain(..) {
            assert!(matches!(event, Event::Writable(StreamNumber(number)) if number == next));
            next += 1;
        }
        if ring.taken(came, 0)
            && let Some(waker) = waker
        {
            waker.call();
        }
    }
}

fn publish_and_collect(count: u32) {
    let bell = Arc::<Park>::default();
    let ring = Arc::new(Ring::with_bounds(bell_of(&bell), 8, 8));
    let theirs = Arc::clone(&ring);
    let engine = thread::spawn(move || (0..count).for_each(|n| theirs.publish(&mut event(n))));
    collect(&ring, &bell, count, None);
    engine.join().unwrap();
    assert_eq!(ring.held(), (0, 0));
    assert!(!ring.take(&mut VecDeque::new()), "taken twice");
    // None at all where the application looked before it could be told.
    assert!(ring.rings() <= count as usize, "{} rings", ring.rings());
}

#[test]
fn an_event_is_seen_once_whenever_it_comes() {
    let schedules = exhaust(|| publish_and_collect(1));
    assert!(schedules > 100, "{schedules}");
    explore(MANY, || publish_and_collect(4));
}

#[test]
fn an_engine_without_room_waits_and_is_woken_for_it() {
    explore(MANY, || {
        let (bell, waker) = (Arc::<Park>::default(), Arc::<Park>::default());
        let ring = Arc::new(Ring::with_bounds(bell_of(&bell), 1, 8));
        let (theirs, sleep) = (Arc::clone(&ring), Arc::clone(&waker));
        let engine = thread::spawn(move || {
            for number in 0..4 {
                while !theirs.room(0, 0) {
                    sleep.wait();
                }
                theirs.publish(&mut event(number));
                assert!(theirs.held().0 <= 1, "the bound");
            }
        });
        collect(&ring, &bell, 4, Some(&waker));
        engine.join().unwrap();
    });
}

fn credit() -> (Arc<SessionCredit>, Arc<SendCredit>) {
    let config = SessionConfig { send_buffer: SEND_BUFFER, ..SessionConfig::default() };
    let session = SessionCredit::new(&config, &Arc::new(Memory::new(u64::MAX)));
    let stream = SendCredit::new(&session, SEND_BUFFER);
    (session, stream)
}

/// A writer that found no room is told of it, exactly once for each time that it was cut short.
#[test]
fn a_writer_that_was_cut_short_is_told_of_room() {
    explore(MANY, || {
        let (_session, stream) = credit();
        assert_eq!(stream.reserve(2).map(|reserved| reserved.taken), Some(2));
        let told = Arc::<Park>::default();
        let (theirs, tell) = (Arc::clone(&stream), Arc::clone(&told));
        let engine = thread::spawn(move || {
            for _ in 0..2 {
                if theirs.release(1) {
                    tell.call();
                }
            }
        });
        let mut left = 2;
        while left > 0 {
            let reserved = stream.reserve(left).unwrap();
            assert!(!reserved.is_short, "memory has no ceiling");
            left -= reserved.taken;
            if left > 0 {
                told.wait();
            }
        }
        engine.join().unwrap();
        assert_eq!(stream.held(), (2, 2));
    });
}

/// A small write for which memory has no room is taken whole, or refused, or told of room: its own
/// acknowledgement and another stream's, which make it, may come at any moment.
#[test]
fn a_writer_that_memory_has_no_room_for_is_refused_or_told() {
    explore(MANY, || {
        // Whoever waits is told of a sixteenth, which is what is written.
        let memory = Arc::new(Memory::new(32));
        let config = SessionConfig { send_buffer: 64, ..SessionConfig::default() };
        let session = SessionCredit::new(&config, &memory);
        let (hog, stream) = (SendCredit::new(&session, 64), SendCredit::new(&session, 64));
        assert_eq!(stream.reserve(1), Some(Reserved { taken: 1, is_short: false }));
        assert_eq!(hog.reserve(64).map(|reserved| reserved.taken), Some(31));
        let told = Arc::<Park>::default();
        let (theirs, tell) = (Arc::clone(&stream), Arc::clone(&told));
        let engine = thread::spawn(move || {
            let mut own = theirs.release(1);
            hog.release(1);
            own |= memory.relieve() && theirs.take_wanted();
            if own {
                tell.call();
            }
        });
        loop {
            let reserved = stream.reserve(2).unwrap();
            if reserved.taken == 2 {
                break;
            }
            assert_eq!(reserved.taken, 0, "cut in two");
            told.wait();
        }
        engine.join().unwrap();
        assert_eq!(stream.held().0, 2);
    });
}

/// However a write and the death of its stream meet, nothing stays counted against the session.
#[test]
fn a_stream_that_dies_during_a_write_weighs_nothing() {
    let schedules = exhaust(|| {
        let (_session, stream) = credit();
        let theirs = Arc::clone(&stream);
        let engine = thread::spawn(move || theirs.kill());
        let taken = stream.reserve(1);
        engine.join().unwrap();
        assert!(taken.is_none_or(|reserved| reserved.taken == 1), "there was room");
        assert_eq!(stream.reserve(1), None);
        assert_eq!(stream.held(), (0, 0));
    });
    assert!(schedules > 50, "{schedules}");
}

/// Messages come out in order, once, and one that found no room is tried again when told so.
#[test]
fn a_message_is_moved_once_and_a_refused_one_hears_of_room() {
    explore(MANY, || {
        let memory = Arc::new(Memory::new(u64::MAX));
        let outbox = Arc::new(Outbox::new(65, MessageDrop::Newest, &memory));
        outbox.set_max_size(1);
        let (told, work) = (Arc::<Park>::default(), Arc::<Park>::default());
        let (theirs, tell, sleep) = (Arc::clone(&outbox), Arc::clone(&told), Arc::clone(&work));
        let engine = thread::spawn(move || {
            let mut moved = Vec::new();
            while moved.len() < 2 {
                sleep.wait();
                moved.extend(theirs.take().into_iter().map(|message| message.bytes[0]));
                if theirs.settle(0) {
                    tell.call();
                }
            }
            moved
        });
        for byte in 0..2 {
            loop {
                let (sent, announce) = outbox.push(FrameType::DATAGRAM, &[byte]);
                if announce {
                    work.call();
                }
                if sent == Sent::Taken {
                    break;
                }
                told.wait();
            }
        }
        assert_eq!(engine.join().unwrap(), [0, 1]);
    });
}

/// A reader gets a value that was published, whole, and never an older one than before.
#[test]
fn what_is_read_is_never_older_than_what_was_read() {
    explore(MANY, || {
        let snapshot = Arc::new(Snapshot::new((0, 0)));
        let over = Arc::new(AtomicBool::new(false));
        let (theirs, ended) = (Arc::clone(&snapshot), Arc::clone(&over));
        let writer = thread::spawn(move || {
            for value in 1..=5 {
                theirs.publish((value, value));
            }
            ended.store(true, Ordering::SeqCst);
        });
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let snapshot = Arc::clone(&snapshot);
                thread::spawn(move || {
                    let mut before = 0;
                    for _ in 0..4 {
                        let (one, other) = snapshot.read();
                        assert_eq!(one, other, "half of a value");
                        assert!(one >= before, "{one} after {before}");
                        before = one;
                    }
                })
            })
            .collect();
        writer.join().unwrap();
        for reader in readers {
            reader.join().unwrap();
        }
        assert!(over.load(Ordering::SeqCst));
        // With two readers both other copies may have been held at the last publication, and only
        // the next one makes up for it: the turn after always comes.
        snapshot.publish((6, 6));
        assert_eq!(snapshot.read(), (6, 6));
    });
}
