//! Closing without delay, keys that change while both sides send, and how full a link is kept.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{LIMIT, Pair, closed, wait};
use stt_proto::{
    Close, CongestionControl, EndpointConfig, Event, ListenConfig, ReadOutcome, SessionConfig,
    SessionHandle, StreamId, StreamOptions,
};
use stt_sim::{Link, NodeId, World, pattern};

/// The round trip of the clean path.
const RTT: Duration = Duration::from_millis(50);
/// What a local step may add.
const SLACK: Duration = Duration::from_millis(2);

fn close(pair: &mut Pair, session: SessionHandle) {
    let now = pair.world.now_at(pair.client);
    let close = Close::graceful(Duration::from_secs(10));
    pair.world.endpoint_mut(pair.client).close(now, session, close);
}

#[test]
fn a_close_with_nothing_on_its_way_takes_one_round_trip() {
    let mut pair = Pair::new();
    let (ours, _) = pair.establish();
    pair.world.run_for(Duration::from_secs(5));
    let (client, server) = (pair.client, pair.server);
    let (started, sent) = (pair.world.elapsed(), pair.world.link_stats(client, server).sent);
    close(&mut pair, ours);
    assert_eq!(wait(&mut pair.world, client, closed), (None, 0));
    let took = pair.world.elapsed() - started;
    assert!(took <= RTT + SLACK, "{took:?}");
    assert_eq!(pair.world.link_stats(client, server).sent - sent, 1, "one SESSION_CLOSE");
}

#[test]
fn a_close_behind_data_waits_for_its_ack_and_for_nothing_else() {
    for len in [1, 100, 10_000] {
        let mut pair = Pair::new();
        let (ours, _) = pair.establish();
        pair.world.run_for(Duration::from_secs(5));
        let client = pair.client;
        let now = pair.world.now_at(client);
        let endpoint = pair.world.endpoint_mut(client);
        let stream = endpoint.open_stream(now, ours, StreamOptions::default()).unwrap();
        endpoint.write(now, ours, stream, Bytes::from(vec![7; len])).unwrap();
        endpoint.finish(now, ours, stream).unwrap();
        let started = pair.world.elapsed();
        close(&mut pair, ours);
        assert_eq!(wait(&mut pair.world, client, closed), (None, 0));
        let took = pair.world.elapsed() - started;
        assert!(took <= 2 * RTT + SLACK, "{len} bytes: {took:?}");
    }
}

#[test]
fn a_close_right_after_the_last_packet_left_is_no_slower() {
    let mut pair = Pair::new();
    let (ours, _) = pair.establish();
    pair.world.run_for(Duration::from_secs(5));
    let client = pair.client;
    let now = pair.world.now_at(client);
    let endpoint = pair.world.endpoint_mut(client);
    let stream = endpoint.open_stream(now, ours, StreamOptions::default()).unwrap();
    endpoint.write(now, ours, stream, Bytes::from(vec![7; 100])).unwrap();
    endpoint.finish(now, ours, stream).unwrap();
    pair.world.run_for(Duration::from_millis(5));
    let started = pair.world.elapsed();
    close(&mut pair, ours);
    assert_eq!(wait(&mut pair.world, client, closed), (None, 0));
    let took = pair.world.elapsed() - started;
    assert!(took <= 2 * RTT + SLACK, "{took:?}");
}

#[test]
fn what_a_darkness_held_up_goes_on_two_seconds_after_it() {
    for seconds in 1..28 {
        let mut pair = Pair::new();
        let (ours, _) = pair.establish();
        pair.world.run_for(Duration::from_secs(5));
        let client = pair.client;
        pair.set_dark(true);
        let now = pair.world.now_at(client);
        let endpoint = pair.world.endpoint_mut(client);
        let stream = endpoint.open_stream(now, ours, StreamOptions::default()).unwrap();
        // More than a window, which keeps keep-alives back: probes alone can leave.
        endpoint.write(now, ours, stream, Bytes::from(vec![7; 100_000])).unwrap();
        endpoint.finish(now, ours, stream).unwrap();
        let end = pair.world.elapsed() + Duration::from_secs(seconds);
        let over = |world: &mut World| Ok((world.elapsed() >= end).then_some(()));
        pair.world.run_until(LIMIT, over).unwrap_or_else(|failure| panic!("{failure}"));
        pair.set_dark(false);
        let light = pair.world.elapsed();
        let released = |event: &Event| {
            let alive = !matches!(event, Event::SessionClosed { .. });
            assert!(alive, "{seconds} s dark: {event:?}");
            matches!(event, Event::StreamReleased { .. }).then_some(())
        };
        wait(&mut pair.world, client, released);
        let took = pair.world.elapsed() - light;
        let limit = Duration::from_secs(2) + RTT + SLACK;
        assert!(took <= limit, "{seconds} s dark: {took:?} more");
    }
}

/// One direction of a transfer: what was written, acknowledged and read.
#[derive(Default)]
struct Way {
    stream: Option<StreamId>,
    written: u64,
    acked: u64,
    read: u64,
    done: bool,
}

const TOTAL: u64 = 3_000_000;

/// Both nodes send each other 3 MB at once, every byte checked.
fn exchange(pair: &mut Pair, handles: [SessionHandle; 2]) {
    let nodes = [pair.client, pair.server];
    let mut ways = [Way::default(), Way::default()];
    let limit = Duration::from_secs(120);
    pair.world
        .run_until(limit, |world| {
            for side in 0..2 {
                step(world, nodes, handles, side, &mut ways)?;
            }
            Ok(ways.iter().all(|way| way.done).then_some(()))
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

fn step(
    world: &mut World,
    nodes: [NodeId; 2],
    handles: [SessionHandle; 2],
    side: usize,
    ways: &mut [Way; 2],
) -> Result<(), String> {
    let (node, session) = (nodes[side], handles[side]);
    let now = world.now_at(node);
    for event in world.take_events(node) {
        match event {
            Event::StreamReleased { acked, .. } => ways[side].acked = acked,
            Event::StreamReadable { stream, .. } | Event::StreamOpened { stream, .. } => {
                read(world, nodes, handles, side, &mut ways[1 - side], stream)?;
            }
            Event::SessionClosed { .. } | Event::FrameError { .. } => {
                return Err(format!("{event:?}"));
            }
            _ => {}
        }
    }
    let way = &mut ways[side];
    let endpoint = world.endpoint_mut(node);
    let stream = match way.stream {
        Some(stream) => stream,
        None => {
            let opened = endpoint.open_stream(now, session, StreamOptions::default());
            *way.stream.insert(opened.map_err(|error| format!("{error:?}"))?)
        }
    };
    while way.written < TOTAL && way.written - way.acked < 256 * 1024 {
        let len = 16_384.min(TOTAL - way.written);
        let range = way.written..way.written + len;
        let bytes: Bytes = range.map(|at| pattern(side as u64, at)).collect();
        endpoint.write(now, session, stream, bytes).map_err(|error| format!("{error:?}"))?;
        way.written += len;
        if way.written == TOTAL {
            endpoint.finish(now, session, stream).map_err(|error| format!("{error:?}"))?;
        }
    }
    Ok(())
}

fn read(
    world: &mut World,
    nodes: [NodeId; 2],
    handles: [SessionHandle; 2],
    side: usize,
    way: &mut Way,
    stream: StreamId,
) -> Result<(), String> {
    let now = world.now_at(nodes[side]);
    let endpoint = world.endpoint_mut(nodes[side]);
    while !way.done {
        match endpoint.read(handles[side], stream, 65_536) {
            Ok(ReadOutcome::Chunk(chunk)) => {
                for byte in &chunk {
                    if *byte != pattern(1 - side as u64, way.read) {
                        return Err(format!("wrong byte at {}", way.read));
                    }
                    way.read += 1;
                }
                endpoint.consumed(now, handles[side], stream, chunk.len() as u64);
            }
            Ok(ReadOutcome::Finished) => way.done = way.read == TOTAL,
            Ok(_) => return Ok(()),
            Err(error) => return Err(format!("{error:?}")),
        }
    }
    Ok(())
}

#[test]
fn keys_rotate_under_traffic_both_ways_at_two_percent_of_loss() {
    let link = Link {
        rate: Some(1_250_000),
        queue: 25,
        loss: 0.02,
        reorder: 0.01,
        reorder_by: Duration::from_millis(5),
        ..Link::with_delay(Duration::from_millis(15))
    };
    for congestion in [CongestionControl::Cubic, CongestionControl::Bbr] {
        // 45 packets of 1452 bytes are 64 KiB.
        let session =
            SessionConfig { key_update_packets: 45, congestion, ..SessionConfig::default() };
        let config = EndpointConfig { session, ..EndpointConfig::default() };
        let mut pair = Pair::with(config, ListenConfig::default(), link.clone());
        let (ours, theirs) = pair.establish();
        exchange(&mut pair, [ours, theirs]);
        for (node, session) in [(pair.client, ours), (pair.server, theirs)] {
            let stats = pair.world.endpoint_mut(node).session_stats(session).unwrap();
            assert_eq!(stats.frame_errors.encryption, 0, "every packet found its key");
            assert!(stats.key_updates >= 10, "{}", stats.key_updates);
        }
    }
}

/// 10 Mbit/s, 15 ms one way, a queue of 25.
fn slow() -> Link {
    Link { rate: Some(1_250_000), queue: 25, ..Link::with_delay(Duration::from_millis(15)) }
}

/// Moves bytes over `link` one way for as long as `bytes` take; percent of what packets of 1452 bytes
/// leave of it.
fn goodput(link: Link, congestion: CongestionControl, bytes: u64) -> u64 {
    let rate = link.rate.unwrap();
    let session = SessionConfig { congestion, ..SessionConfig::default() };
    let config = EndpointConfig { session, ..EndpointConfig::default() };
    let Pair { mut world, client, server } = Pair::with(config, ListenConfig::default(), link);
    let mut transfer = stt_sim::Transfer::start(&mut world, client, server, &[bytes]).unwrap();
    let time = transfer.run(&mut world, Duration::from_secs(120)).unwrap();
    // Header, tag, checksum, and DATA's offset.
    let most = u128::from(rate) * (1452 - 54) / 1452;
    (u128::from(bytes) * 1_000_000_000 * 100 / time.as_nanos() / most) as u64
}

#[test]
fn the_slow_link_is_kept_full() {
    for congestion in [CongestionControl::Cubic, CongestionControl::Bbr] {
        let percent = goodput(slow(), congestion, 20_000_000);
        assert!(percent >= 95, "{congestion:?}: {percent} %");
    }
}

#[test]
fn bbr_holds_the_slow_link_at_two_percent_of_loss() {
    let percent = goodput(Link { loss: 0.02, ..slow() }, CongestionControl::Bbr, 10_000_000);
    assert!(percent >= 70, "{percent} %");
}

#[test]
fn one_percent_of_reordering_leaves_the_slow_link_full() {
    let link = Link { reorder: 0.01, reorder_by: Duration::from_millis(5), ..slow() };
    for congestion in [CongestionControl::Cubic, CongestionControl::Bbr] {
        let percent = goodput(link.clone(), congestion, 10_000_000);
        assert!(percent >= 90, "{congestion:?}: {percent} %");
    }
}
