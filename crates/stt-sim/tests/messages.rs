//! Messages over a simulated path: what arrives, what is counted, and what they leave to streams.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::{DELAY, Pair, closed, wait};
use stt_proto::{
    Close, EndpointConfig, ErrorCode, Event, FrameType, ListenConfig, Message, MessageDrop,
    MessageError, ReadOutcome, SessionConfig, SessionHandle, StreamId, StreamOptions,
};
use stt_sim::{Link, NodeId};

fn pair(session: SessionConfig, link: Link) -> Pair {
    let config = EndpointConfig { session, ..EndpointConfig::default() };
    Pair::with(config, ListenConfig::default(), link)
}

fn datagram(bytes: impl Into<Bytes>) -> Message {
    Message { frame_type: FrameType::DATAGRAM, bytes: bytes.into() }
}

fn send(
    pair: &mut Pair,
    node: NodeId,
    session: SessionHandle,
    message: Message,
) -> Result<(), MessageError> {
    let now = pair.world.now_at(node);
    pair.world.endpoint_mut(node).send_message(now, session, message)
}

fn received(pair: &mut Pair, node: NodeId, session: SessionHandle) -> Vec<Message> {
    let endpoint = pair.world.endpoint_mut(node);
    core::iter::from_fn(|| endpoint.read_message(session)).collect()
}

#[test]
fn messages_arrive_whole_after_one_trip_and_the_reader_is_told_once() {
    let mut pair = pair(SessionConfig::default(), Link::with_delay(DELAY));
    let (client, server) = (pair.client, pair.server);
    let (ours, theirs) = pair.establish();
    pair.world.run_for(Duration::from_secs(1));
    let now = pair.world.now_at(server);
    pair.world.endpoint_mut(server).handle_frames(now, theirs, FrameType(0x99), true);
    pair.world.take_events(server);
    let custom = Message { frame_type: FrameType(0x99), bytes: Bytes::from_static(b"ours") };
    let sent = [datagram("one"), custom, datagram(vec![7; 1_000])];
    for message in &sent {
        send(&mut pair, client, ours, message.clone()).unwrap();
    }
    pair.world.run_for(DELAY + Duration::from_millis(1));
    let told = |event: &Event| matches!(event, Event::MessagesReadable { .. });
    let events = pair.world.take_events(server);
    assert_eq!(events.iter().filter(|event| told(event)).count(), 1, "{events:?}");
    assert_eq!(received(&mut pair, server, theirs), sent);
}

#[test]
fn the_longest_message_grows_with_the_path() {
    let mut pair = pair(SessionConfig::default(), Link::with_delay(DELAY));
    let client = pair.client;
    let (ours, theirs) = pair.establish();
    let first = pair.world.endpoint_mut(client).max_message_size(ours);
    assert_eq!(first, 1_200 - 49);
    // What does not fit is reason enough to find out what the path carries.
    let too_long = send(&mut pair, client, ours, datagram(vec![1; first + 1]));
    assert_eq!(too_long, Err(MessageError::TooLarge { max: first }));
    let grown = wait(&mut pair.world, client, |event| match event {
        Event::MessageSize { max, .. } if *max > first => Some(*max),
        _ => None,
    });
    send(&mut pair, client, ours, datagram(vec![1; grown])).unwrap();
    let too_long = send(&mut pair, client, ours, datagram(vec![1; grown + 1]));
    assert_eq!(too_long, Err(MessageError::TooLarge { max: grown }));
    pair.world.run_for(Duration::from_secs(1));
    let server = pair.server;
    assert_eq!(received(&mut pair, server, theirs).len(), 1);
}

#[test]
fn lost_messages_are_not_sent_again_and_are_counted() {
    let link = Link { loss: 0.1, ..Link::with_delay(DELAY) };
    let mut pair = pair(SessionConfig::default(), link);
    let (client, server) = (pair.client, pair.server);
    let (ours, theirs) = pair.establish();
    let mut seen = Vec::new();
    for number in 0..2_000_u32 {
        send(&mut pair, client, ours, datagram(number.to_le_bytes().to_vec())).unwrap();
        pair.world.run_for(Duration::from_millis(5));
        seen.extend(received(&mut pair, server, theirs));
    }
    pair.world.run_for(Duration::from_secs(5));
    seen.extend(received(&mut pair, server, theirs));
    let numbers: std::collections::BTreeSet<_> = seen.iter().map(|m| m.bytes.clone()).collect();
    assert_eq!(numbers.len(), seen.len(), "none came twice");
    let stats = pair.world.endpoint_mut(client).session_stats(ours).unwrap().messages;
    assert_eq!((stats.sent, stats.dropped_sending), (2_000, 0));
    let missing = 2_000 - seen.len() as u64;
    assert!(missing > 100 && missing < 300, "{missing}");
    assert_eq!(stats.lost, missing, "every loss is noticed, and only losses are");
}

#[test]
fn a_message_type_without_a_handler_is_acknowledged_dropped_and_told() {
    // Without a search for larger datagrams, whose probes would be in flight at any time.
    let session = SessionConfig { mtu: 1_200, ..SessionConfig::default() };
    let mut pair = pair(session, Link::with_delay(DELAY));
    let (client, server) = (pair.client, pair.server);
    let (ours, theirs) = pair.establish();
    for _ in 0..3 {
        let custom = Message { frame_type: FrameType(0xd0), bytes: Bytes::from_static(b"?") };
        send(&mut pair, client, ours, custom).unwrap();
    }
    let mut told = 0;
    while told < 3 {
        told += wait(&mut pair.world, server, |event| match event {
            Event::FrameError { code: ErrorCode::UnknownFrameType, count, .. } => Some(*count),
            _ => None,
        });
    }
    pair.world.run_for(Duration::from_secs(2));
    assert!(received(&mut pair, server, theirs).is_empty());
    let stats = pair.world.endpoint_mut(server).session_stats(theirs).unwrap();
    assert_eq!((stats.frame_errors.unknown, stats.messages.received), (3, 0));
    // A KEEP_ALIVE that is on its way just now has its ACK after a round trip and the delay of ACKs.
    pair.world.run_for(2 * DELAY + Duration::from_millis(50));
    let sender = pair.world.endpoint_mut(client).session_stats(ours).unwrap();
    assert_eq!((sender.messages.sent, sender.messages.lost), (3, 0));
    assert_eq!(sender.bytes_in_flight, 0, "acknowledged");
}

#[test]
fn a_graceful_close_sends_what_waits() {
    let mut pair = pair(SessionConfig::default(), Link::with_delay(DELAY));
    let (client, server) = (pair.client, pair.server);
    let (ours, theirs) = pair.establish();
    for _ in 0..100 {
        send(&mut pair, client, ours, datagram(vec![3; 1_000])).unwrap();
    }
    let now = pair.world.now_at(client);
    pair.world.endpoint_mut(client).close(now, ours, Close::graceful(Duration::from_secs(10)));
    assert_eq!(wait(&mut pair.world, client, closed), (None, 0));
    assert_eq!(received(&mut pair, server, theirs).len(), 100, "still readable after the end");
    let refused = send(&mut pair, client, ours, datagram("late"));
    assert_eq!(refused, Err(MessageError::SessionClosed));
}

/// Reads all that a stream has.
fn read(pair: &mut Pair, session: SessionHandle, stream: StreamId) -> u64 {
    let (node, mut total) = (pair.server, 0);
    let now = pair.world.now_at(node);
    let endpoint = pair.world.endpoint_mut(node);
    while let Ok(ReadOutcome::Chunk(chunk)) = endpoint.read(session, stream, 1 << 16) {
        endpoint.consumed(now, session, stream, chunk.len() as u64);
        total += chunk.len() as u64;
    }
    total
}

#[test]
fn on_a_full_path_messages_and_streams_each_get_half() {
    let session = SessionConfig { datagram_send_drop: MessageDrop::Oldest, ..Default::default() };
    // 10 Mbit/s.
    let link = Link { rate: Some(1_250_000), ..Link::with_delay(DELAY) };
    let mut pair = pair(session, link);
    let (client, server) = (pair.client, pair.server);
    let (ours, theirs) = pair.establish();
    let now = pair.world.now_at(client);
    let endpoint = pair.world.endpoint_mut(client);
    let stream = endpoint.open_stream(now, ours, StreamOptions::default()).unwrap();
    endpoint.write(now, ours, stream, Bytes::from(vec![0; 40 << 20])).unwrap();
    let (mut messages, mut data) = (0, 0);
    for _ in 0..2_000 {
        for _ in 0..20 {
            let _ = send(&mut pair, client, ours, datagram(vec![1; 1_000]));
        }
        pair.world.run_for(Duration::from_millis(5));
        messages += received(&mut pair, server, theirs).len() as u64 * 1_000;
        data += read(&mut pair, theirs, stream);
    }
    let all = messages + data;
    assert!(all > 10 * 1_250_000 * 80 / 100, "the path is used: {all}");
    assert!(messages * 100 > all * 40 && data * 100 > all * 40, "{messages} {data}");
}
