use std::sync::mpsc::{Receiver, sync_channel};

use stt_proto::trace::{SessionTrace, SessionTraceStart, TraceEvent};
use stt_proto::{Instant, NodeId, Now, PathAddress, PathId};

use super::session::SessionLog;
use super::writer::{Job, Outbox};
use super::{LogConfig, Logs};

fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

fn log(capacity: usize) -> (SessionLog, Receiver<Job>) {
    let (sender, jobs) = sync_channel(capacity);
    let start = SessionTraceStart {
        initiator: true,
        session_id: [0xAB; 8],
        peer: NodeId([7; 32]),
        remote: PathAddress::udp(([127, 0, 0, 1], 9).into()),
        local_id: PathId([1; 8]),
        peer_id: PathId([2; 8]),
    };
    let now = Now { mono: at(0), unix_ms: 1_800_000_000_000 };
    (SessionLog::new(Outbox::of(sender), 5, now, &start), jobs)
}

fn mtu(old: u64) -> TraceEvent<'static> {
    TraceEvent::MtuUpdated { old, new: old + 1 }
}

/// Everything that was handed over for the file.
fn text(jobs: &Receiver<Job>) -> String {
    let append = |job| match job {
        Job::Append { file: 5, text } => Some(text),
        _ => None,
    };
    jobs.try_iter().filter_map(append).collect()
}

#[test]
fn records_are_handed_over_after_half_a_second_and_at_the_end() {
    let (mut log, jobs) = log(16);
    assert!(matches!(jobs.try_recv(), Ok(Job::Open { file: 5, name })
        if name == "abababababababab_client.sqlog"));
    log.event(at(499), &mtu(1));
    assert_eq!(text(&jobs), "");
    log.event(at(500), &mtu(2));
    assert_eq!(text(&jobs).matches("stt:mtu_updated").count(), 2);
    log.event(at(501), &mtu(3));
    drop(log);
    let mut rest: Vec<_> = jobs.try_iter().collect();
    assert!(matches!(rest.pop(), Some(Job::Close(5))));
    assert!(matches!(&rest[..], [Job::Append { text, .. }] if text.contains("\"old\":3")));
}

#[test]
fn records_that_find_no_room_are_counted_in_the_file() {
    let (mut log, jobs) = log(1);
    // The one place holds the opening of the file: the head, the start and both of these are lost.
    log.event(at(500), &mtu(1));
    log.event(at(1000), &mtu(2));
    assert!(matches!(jobs.try_recv(), Ok(Job::Open { .. })));
    log.event(at(1500), &mtu(3));
    let text = text(&jobs);
    assert!(text.contains("stt:records_missing\",\"data\":{\"count\":4}"), "{text}");
    assert!(text.contains("\"old\":3") && !text.contains("\"old\":2"), "{text}");
}

#[test]
fn a_file_ends_at_its_limit_and_says_so() {
    let (log, jobs) = log(16);
    let mut log = log.with_limit(1000);
    for n in 0..100 {
        log.event(at(1000 * (n + 1)), &mtu(n));
    }
    drop(log);
    let text = text(&jobs);
    assert_eq!(text.matches("stt:file_full").count(), 1, "{text}");
    assert!(text.len() < 2000, "{}", text.len());
}

#[test]
fn nothing_is_opened_unasked() {
    assert!(Logs::open(&LogConfig::default()).unwrap().is_none());
}
