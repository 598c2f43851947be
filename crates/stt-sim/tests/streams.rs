//! What streams promise one another on one session, measured on the virtual clock.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use common::{DELAY, Pair};
use stt_proto::{
    Direction, EndpointConfig, Event, ListenConfig, OpenError, ReadOutcome, SessionConfig,
    SessionHandle, StreamId, StreamOptions,
};
use stt_sim::Link;

const RTT: Duration = Duration::from_millis(50);

fn pair(session: SessionConfig, link: Link) -> Pair {
    let config = EndpointConfig { session, ..EndpointConfig::default() };
    Pair::with(config, ListenConfig::default(), link)
}

fn open(pair: &mut Pair, session: SessionHandle, options: StreamOptions) -> StreamId {
    let now = pair.world.now_at(pair.client);
    pair.world.endpoint_mut(pair.client).open_stream(now, session, options).unwrap()
}

fn write(pair: &mut Pair, session: SessionHandle, stream: StreamId, len: usize) {
    let now = pair.world.now_at(pair.client);
    pair.world.endpoint_mut(pair.client).write(now, session, stream, vec![7; len].into()).unwrap();
}

/// Reads at most `max` bytes that the server has of a stream, and gives their credit back.
fn read(pair: &mut Pair, session: SessionHandle, stream: StreamId, max: usize) -> usize {
    let (now, mut total) = (pair.world.now_at(pair.server), 0);
    let endpoint = pair.world.endpoint_mut(pair.server);
    while total < max
        && let Ok(ReadOutcome::Chunk(chunk)) = endpoint.read(session, stream, max - total)
    {
        endpoint.consumed(now, session, stream, chunk.len() as u64);
        total += chunk.len();
    }
    total
}

/// Bytes a second that a reader which takes `step` bytes every 5 ms gets over a path of 100 Mbit/s
/// and 50 ms, and how many wait for it in the end, when all of the window that the path can fill is full.
fn reading(step: usize) -> (u64, u64) {
    let session =
        SessionConfig { recv_buffer: 2 << 20, stream_recv_buffer: 2 << 20, ..Default::default() };
    let link = Link { rate: Some(12_500_000), queue: 400, ..Link::with_delay(DELAY) };
    let mut pair = pair(session, link);
    let (ours, theirs) = pair.establish();
    let stream = open(&mut pair, ours, StreamOptions::default());
    write(&mut pair, ours, stream, 60 << 20);
    let (mut total, mut last) = (0, 0);
    for turn in 0..800 {
        pair.world.run_for(Duration::from_millis(5));
        total += read(&mut pair, theirs, stream, step) as u64;
        if turn == 399 {
            last = total;
        }
    }
    pair.world.run_for(Duration::from_secs(1));
    let waiting = read(&mut pair, theirs, stream, usize::MAX) as u64;
    ((total - last) / 2, waiting)
}

#[test]
fn credit_follows_the_reader_up_to_what_the_path_carries() {
    // A window of 256 KiB, with which a stream begins, would give 5 MB/s.
    let (fast, _) = reading(usize::MAX);
    assert!(fast > 10_000_000, "{fast}");
    // Readers of up to 1.5 MB/s take three and a half round trips and more for the window that they began with,
    // and keep it; one of 2 MB/s takes less than three, and gets one of twice that, which is enough for it. Of a
    // window, up to the quarter of which nothing was told yet waits, and no byte more.
    for (step, rate, window) in [
        (2_500, 500_000, 256 * 1024),
        (5_000, 1_000_000, 256 * 1024),
        (7_500, 1_500_000, 256 * 1024),
        (10_000, 2_000_000, 512 * 1024),
    ] {
        let (slow, held) = reading(step);
        assert!(slow.abs_diff(rate) <= rate / 100, "{slow}");
        assert!((window / 4 * 3..=window).contains(&held), "{held} at {rate}");
    }
}

#[test]
fn streams_of_one_priority_get_the_same_share_to_the_turn() {
    let link = Link { rate: Some(1_250_000), queue: 50, ..Link::with_delay(DELAY) };
    let mut pair = pair(SessionConfig::default(), link);
    let (ours, theirs) = pair.establish();
    let streams: Vec<StreamId> =
        (0..16).map(|_| open(&mut pair, ours, StreamOptions::default())).collect();
    // The last have a head start of nothing: all are written before anything is sent.
    for stream in &streams {
        write(&mut pair, ours, *stream, 4 << 20);
    }
    let mut got = vec![0_usize; streams.len()];
    for _ in 0..2_000 {
        pair.world.run_for(Duration::from_millis(5));
        for (stream, got) in streams.iter().zip(&mut got) {
            *got += read(&mut pair, theirs, *stream, usize::MAX);
        }
        let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
        // One turn of 16 KiB and a packet, and what a loss holds back at the reader: a window.
        assert!(most - least <= 256 * 1024, "{got:?}");
    }
    let (least, most) = (got.iter().min().unwrap(), got.iter().max().unwrap());
    assert!(*least > 300_000, "{got:?}");
    assert!((most - least) * 100 < most * 10, "within a tenth after ten seconds: {got:?}");
}

#[test]
fn the_urgent_go_first_and_the_background_never_stands_still() {
    let link = Link { rate: Some(1_250_000), queue: 50, ..Link::with_delay(DELAY) };
    let mut pair = pair(SessionConfig::default(), link);
    let (ours, theirs) = pair.establish();
    let priorities = [7, 5, 3, 0];
    let streams = priorities.map(|priority| {
        open(&mut pair, ours, StreamOptions { priority, ..StreamOptions::default() })
    });
    for stream in streams {
        write(&mut pair, ours, stream, 20 << 20);
    }
    let mut got = [0_usize; 4];
    let mut still = [0_u32; 4];
    for _ in 0..2_000 {
        pair.world.run_for(Duration::from_millis(5));
        for index in 0..4 {
            let bytes = read(&mut pair, theirs, streams[index], usize::MAX);
            got[index] += bytes;
            still[index] = if bytes == 0 { still[index] + 1 } else { 0 };
            // 256 KiB overtake a level, 16 KiB of it follow: at this rate every 0.3 s, for one of
            // three levels each time.
            assert!(still[index] < 400, "{index} stood still for two seconds: {got:?}");
        }
    }
    let all: usize = got.iter().sum();
    assert!(got[3] * 100 > all * 70, "{got:?}");
    assert!(got[..3].iter().all(|bytes| bytes * 100 > all * 2), "{got:?}");
}

/// Opens `count` streams of 32 bytes as fast as it may, and returns in how much time all have arrived.
fn short_streams(limit: u32, count: usize, warm: bool) -> Duration {
    let session = SessionConfig { max_concurrent_streams: limit, ..SessionConfig::default() };
    let mut pair = pair(session, Link::with_delay(DELAY));
    let (client, server) = (pair.client, pair.server);
    let (ours, theirs) = pair.establish();
    if warm {
        let stream = open(&mut pair, ours, StreamOptions::default());
        write(&mut pair, ours, stream, 4 << 20);
        for _ in 0..200 {
            pair.world.run_for(Duration::from_millis(5));
            read(&mut pair, theirs, stream, usize::MAX);
        }
    }
    pair.world.take_events(server);
    let started = pair.world.elapsed();
    let mut opened = 0;
    let mut got: BTreeMap<StreamId, usize> = BTreeMap::new();
    let mut done = 0;
    while done < count {
        assert!(pair.world.elapsed() - started < Duration::from_secs(60), "{done} of {count}");
        let now = pair.world.now_at(client);
        let endpoint = pair.world.endpoint_mut(client);
        while opened < count {
            let direction = Direction::Unidirectional;
            let options = StreamOptions { direction, ..StreamOptions::default() };
            match endpoint.open_stream(now, ours, options) {
                Ok(stream) => {
                    let bytes = Bytes::from_static(&[5; 32]);
                    endpoint.write(now, ours, stream, bytes).unwrap();
                    endpoint.finish(now, ours, stream).unwrap();
                    opened += 1;
                }
                Err(OpenError::TooManyStreams { .. }) => break,
                Err(other) => panic!("{other}"),
            }
        }
        pair.world.run_for(Duration::from_millis(1));
        for event in pair.world.take_events(server) {
            if let Event::StreamOpened { stream, .. } = event {
                got.insert(stream, 0);
            }
        }
        let now = pair.world.now_at(server);
        let endpoint = pair.world.endpoint_mut(server);
        got.retain(|stream, bytes| {
            loop {
                match endpoint.read(theirs, *stream, 99) {
                    Ok(ReadOutcome::Chunk(chunk)) => {
                        endpoint.consumed(now, theirs, *stream, chunk.len() as u64);
                        *bytes += chunk.len();
                    }
                    Ok(ReadOutcome::Finished) => {
                        assert_eq!(*bytes, 32);
                        done += 1;
                        return false;
                    }
                    _ => return true,
                }
            }
        });
    }
    pair.world.elapsed() - started
}

#[test]
fn thousands_of_short_streams_need_one_trip_of_credit() {
    // With room for all, and a window that has grown: one way, as one long stream would take.
    let at_once = short_streams(4_096, 4_000, true);
    assert!(at_once < RTT, "{at_once:?}");
    // From the start of a session only slow start holds them back.
    let cold = short_streams(4_096, 4_000, false);
    assert!(cold < 8 * RTT, "{cold:?}");
    // With room for a quarter: each quarter follows the one before by a round trip, no more.
    let quarters = short_streams(1_024, 4_000, true);
    assert!(quarters < 5 * RTT, "{quarters:?}");
}

/// Writes 500 bytes every 10 ms for 4 s to a stream with a deadline over a path that loses a fifth.
fn timed(deadline: Option<Duration>) -> (usize, u64, Duration) {
    let link = Link { loss: 0.2, ..Link::with_delay(DELAY) };
    let mut pair = pair(SessionConfig::default(), link);
    let (ours, theirs) = pair.establish();
    let (client, server) = (pair.client, pair.server);
    let direction = Direction::Unidirectional;
    let options = StreamOptions { direction, deadline, ..StreamOptions::default() };
    let stream = open(&mut pair, ours, options);
    let started = pair.world.elapsed();
    let (mut at, mut bytes, mut gaps) = (0_u64, 0_usize, 0_u64);
    let mut oldest = Duration::ZERO;
    for turn in 0..2_000_u64 {
        if turn < 400 {
            write(&mut pair, ours, stream, 500);
        } else if turn == 400 {
            let now = pair.world.now_at(client);
            pair.world.endpoint_mut(client).finish(now, ours, stream).unwrap();
        }
        pair.world.run_for(Duration::from_millis(10));
        let (now, elapsed) = (pair.world.now_at(server), pair.world.elapsed() - started);
        let endpoint = pair.world.endpoint_mut(server);
        loop {
            match endpoint.read(theirs, stream, 500) {
                Ok(ReadOutcome::Chunk(chunk)) => {
                    // The first byte of a chunk was written in this turn.
                    let written = Duration::from_millis(10 * (at / 500));
                    oldest = oldest.max(elapsed.saturating_sub(written));
                    endpoint.consumed(now, theirs, stream, chunk.len() as u64);
                    at += chunk.len() as u64;
                    bytes += chunk.len();
                }
                Ok(ReadOutcome::Skipped { offset, len }) => {
                    assert_eq!(offset, at);
                    at += len;
                    gaps += len;
                }
                Ok(ReadOutcome::Finished) => {
                    assert_eq!(at, 200_000, "bytes and gaps make up the whole");
                    let sender = pair.world.endpoint_mut(client).session_stats(ours).unwrap();
                    let receiver = pair.world.endpoint_mut(server).session_stats(theirs).unwrap();
                    assert_eq!(receiver.bytes_skipped, gaps);
                    assert!(sender.bytes_given_up >= gaps);
                    return (bytes, gaps, oldest);
                }
                _ => break,
            }
        }
    }
    panic!("it never ended: {at}");
}

#[test]
fn a_deadline_bounds_how_old_bytes_are_that_arrive() {
    let (all, gaps, oldest) = timed(None);
    assert_eq!((all, gaps), (200_000, 0));
    assert!(oldest > Duration::from_millis(200), "losses delay a reliable stream: {oldest:?}");
    let age = Duration::from_millis(150);
    let (some, gaps, oldest) = timed(Some(age));
    assert_eq!(some as u64 + gaps, 200_000);
    assert!(gaps > 0 && some > 100_000, "{some} {gaps}");
    // One way, one more for a STREAM_SKIP that was lost, and a turn of this loop.
    assert!(oldest < age + 6 * DELAY + Duration::from_millis(100), "{oldest:?}");
}
