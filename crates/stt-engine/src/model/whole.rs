//! Both threads, with all that lies between them.

use std::time::Duration;

use super::*;
use crate::event::EngineEnd;
use crate::{Sent, Taken};

/// Random schedules of each kind.
const RUNS: usize = 1_500;

/// What came, of everything that can come.
#[derive(Default)]
struct Came {
    bytes: Vec<u8>,
    messages: Vec<u8>,
    writable: usize,
    messages_writable: usize,
    end: Option<EngineEnd>,
}

impl Came {
    fn note(&mut self, events: Vec<Event>) {
        for event in events {
            assert!(self.end.is_none(), "{event:?} after the end");
            match event {
                Event::Data { bytes, .. } => self.bytes.extend_from_slice(&bytes),
                Event::Message { bytes, .. } => self.messages.extend_from_slice(&bytes),
                Event::Writable(_) => self.writable += 1,
                Event::MessagesWritable(_) => self.messages_writable += 1,
                Event::Closed(end) => self.end = Some(end),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits for the end, which always comes.
    fn wait_end(mut self, mut application: Application) -> Self {
        while self.end.is_none() {
            self.note(application.next());
        }
        application.thread.join().unwrap();
        assert!(application.shared.stats().is_none(), "the engine has ended");
        let more = application.local.poll(
            &application.shared.commands,
            &application.shared.ring,
            |event| panic!("{event:?} after the end"),
        );
        assert!(!more);
        self
    }
}

/// Writes all of `bytes`, waiting for room.
fn write_all(application: &mut Application, came: &mut Came, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let taken = application.write(bytes);
        bytes = &bytes[taken..];
        let told = came.writable;
        while !bytes.is_empty() && came.writable == told {
            came.note(application.next());
        }
    }
}

/// What is written comes back once, in order, however the threads take turns: no wake-up is lost,
/// on either side, and the ring and the send buffer keep their bounds (asserted where they stand).
#[test]
fn every_byte_comes_back_and_both_sides_see_the_end() {
    explore(RUNS, || {
        let mut application = Application::start();
        let mut came = Came::default();
        let bytes: Vec<u8> = (0..9).collect();
        write_all(&mut application, &mut came, &bytes);
        while came.bytes.len() < bytes.len() {
            came.note(application.next());
        }
        assert_eq!(came.bytes, bytes);
        application.shared.commands.push(Command::Close(Duration::ZERO));
        let came = came.wait_end(application);
        assert_eq!((came.end, came.bytes), (Some(EngineEnd::Closed), bytes));
    });
}

/// A close that comes behind what was written lets it out first, with nobody waiting for it.
#[test]
fn a_close_comes_after_what_was_written() {
    explore(RUNS, || {
        let mut application = Application::start();
        assert_eq!(application.write(&[1, 2]), 2);
        assert_eq!(application.send_message(3), Sent::Taken);
        application.shared.commands.push(Command::Close(Duration::ZERO));
        let came = Came::default().wait_end(application);
        assert_eq!((came.bytes, came.messages), (vec![1, 2], vec![3]));
    });
}

/// An engine that is stopped ends, whatever it does at that moment; what it has handed over by then
/// can still be taken, and no byte comes twice.
#[test]
fn a_stop_reaches_an_engine_wherever_it_is() {
    explore(RUNS, || {
        let mut application = Application::start();
        assert_eq!(application.write(&[1, 2]), 2);
        application.shared.commands.stop();
        application.shared.commands.stop();
        let came = Came::default().wait_end(application);
        assert!([1, 2].starts_with(&came.bytes), "{:?}", came.bytes);
        assert_eq!(came.end, Some(EngineEnd::Closed));
    });
}

/// Datagrams wake the engine at any time, and its turns then meet the writer's short ones.
#[test]
fn wake_ups_of_the_network_lose_nothing() {
    explore(RUNS, || {
        let mut application = Application::start();
        let network = Arc::clone(&application.waker);
        let network = shuttle::thread::spawn(move || (0..3).for_each(|_| network.call()));
        let mut came = Came::default();
        write_all(&mut application, &mut came, &[1, 2, 3, 4, 5]);
        while came.bytes.len() < 5 {
            came.note(application.next());
        }
        network.join().unwrap();
        application.shared.commands.push(Command::Close(Duration::ZERO));
        assert_eq!(came.wait_end(application).bytes, [1, 2, 3, 4, 5]);
    });
}

/// A ring that the application leaves full holds the engine back, not up.
#[test]
fn an_application_that_declines_gets_everything_later() {
    explore(RUNS, || {
        let mut application = Application::start();
        let mut came = Came::default();
        let mut declined = 0;
        for byte in 0..6 {
            while application.write(&[byte]) == 0 {
                came.note(application.next());
            }
            // It looks, and takes nothing.
            application.local.poll(&application.shared.commands, &application.shared.ring, |_| {
                declined += 1;
                Taken::No
            });
            assert!(declined <= usize::from(byte) + 1, "asked again in the same call");
        }
        while came.bytes.len() < 6 {
            came.note(application.next());
        }
        application.shared.commands.push(Command::Close(Duration::ZERO));
        assert_eq!(came.wait_end(application).bytes, [0, 1, 2, 3, 4, 5]);
    });
}

/// Messages and stream data share the ring, and their writers are told of room apart.
#[test]
fn messages_that_found_no_room_are_sent_when_there_is_some() {
    explore(RUNS, || {
        let mut application = Application::start();
        let mut came = Came::default();
        for byte in 0..5 {
            while application.send_message(byte) == Sent::Full {
                let told = came.messages_writable;
                while came.messages_writable == told {
                    came.note(application.next());
                }
            }
        }
        write_all(&mut application, &mut came, &[7, 8, 9]);
        while came.messages.len() < 5 || came.bytes.len() < 3 {
            came.note(application.next());
        }
        application.shared.commands.stop();
        let came = came.wait_end(application);
        assert_eq!((came.messages, came.bytes), (vec![0, 1, 2, 3, 4], vec![7, 8, 9]));
    });
}

/// A panic, on whichever thread it happens, ends the engine, and the application hears of it.
#[test]
fn a_panic_on_either_thread_is_the_end_and_is_told() {
    // The hook of the test harness would print each of them.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    explore(RUNS, || {
        let mut application = Application::start();
        application.shared.commands.leave(std::iter::once(Command::Panic));
        assert_eq!(application.write(&[1]), 1);
        let came = Came::default().wait_end(application);
        let words = "asked for by a test".to_owned();
        assert_eq!((came.end, came.bytes), (Some(EngineEnd::Panicked(words)), vec![]));
    });
    std::panic::set_hook(hook);
}

/// What a short turn cannot do itself it calls the engine's thread for: here, to end.
#[test]
fn a_short_turn_that_leaves_something_to_do_calls_the_engine() {
    explore(RUNS, || {
        let mut application = Application::start();
        application.shared.commands.leave(std::iter::once(Command::Close(Duration::ZERO)));
        assert_eq!(application.write(&[1]), 1);
        let came = Came::default().wait_end(application);
        assert_eq!(came.end, Some(EngineEnd::Closed));
        // An engine that was awake has ended before the write.
        assert!([1].starts_with(&came.bytes), "{:?}", came.bytes);
    });
}

/// Counters are read while either thread turns.
#[test]
fn counters_never_run_backwards() {
    explore(RUNS, || {
        let mut application = Application::start();
        let mut came = Came::default();
        let mut before = 0;
        for byte in 0..3 {
            while application.write(&[byte]) == 0 {
                came.note(application.next());
            }
            let turns = application.shared.stats().expect("it lives").turns;
            assert!(turns >= before, "{turns} after {before}");
            before = turns;
        }
        application.shared.commands.stop();
        came.wait_end(application);
    });
}
