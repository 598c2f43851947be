use std::collections::VecDeque;

use proptest::prelude::*;
use stt_wire::{Bundle, Frame};

use super::*;

const MTU: usize = 1_200;

fn config(send: u64, recv: u64, drop: MessageDrop) -> SessionConfig {
    SessionConfig {
        datagram_send_buffer: send,
        datagram_recv_buffer: recv,
        datagram_send_drop: drop,
        datagram_recv_drop: drop,
        ..SessionConfig::default()
    }
}

fn messages(send: u64, recv: u64, drop: MessageDrop) -> Messages {
    Messages::new(&config(send, recv, drop), u16::MAX)
}

fn datagram(len: usize, fill: u8) -> Message {
    Message { frame_type: FrameType::DATAGRAM, bytes: vec![fill; len].into() }
}

/// What one packet carries of a side's messages.
fn packet(side: &mut Messages, data: bool) -> Vec<(FrameType, Vec<u8>)> {
    let mut room = vec![0; MTU - HEADER_LEN - TAG_LEN - CRC32_LEN];
    let (mut contents, mut bundle) = (Vec::new(), BundleWriter::new(&mut room));
    side.write(MTU, data, &mut bundle, &mut contents);
    let len = bundle.len();
    let parsed = Bundle::parse(&room[..len]).unwrap();
    let sent: Vec<_> = parsed
        .parts()
        .map(|part| match part.frame {
            Frame::Datagram(bytes) => (FrameType::DATAGRAM, bytes.to_vec()),
            Frame::Custom { frame_type, data } => (frame_type, data.to_vec()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(contents, vec![Content::Message; sent.len()]);
    sent
}

#[test]
fn the_longest_message_fills_a_packet_and_one_byte_more_is_refused() {
    let mut side = messages(1 << 20, 1 << 20, MessageDrop::Newest);
    let max = side.max_size(MTU);
    assert_eq!(max, MTU - 49);
    assert_eq!(side.send(datagram(max + 1, 1), MTU), Err(MessageError::TooLarge { max }));
    side.send(datagram(max, 2), MTU).unwrap();
    assert_eq!(packet(&mut side, false), [(FrameType::DATAGRAM, vec![2; max])]);
    assert_eq!(side.counts(), MessageCounts { sent: 1, dropped_sending: 1, ..Default::default() });
}

#[test]
fn a_peer_that_takes_none_gets_none_and_one_that_takes_little_gets_that() {
    let config = SessionConfig::default();
    let mut none = Messages::new(&config, 0);
    assert_eq!(none.send(datagram(0, 0), MTU), Err(MessageError::TooLarge { max: 0 }));
    let mut little = Messages::new(&config, 10);
    assert_eq!(little.poll_max_size(9_000), None, "as at first");
    let mut much = messages(1_000, 1_000, MessageDrop::Newest);
    assert_eq!(much.poll_max_size(MTU), None);
    assert_eq!(much.poll_max_size(1_400), Some(1_400 - 49));
    assert_eq!(much.poll_max_size(1_400), None, "told already");
    assert_eq!(little.send(datagram(11, 0), MTU), Err(MessageError::TooLarge { max: 10 }));
    little.send(datagram(10, 0), MTU).unwrap();
}

#[test]
fn only_message_types_are_taken() {
    let mut side = messages(1_000, 1_000, MessageDrop::Newest);
    for (frame_type, taken) in
        [(0x16, true), (0x80, true), (0xfe, true), (0xff, false), (0x10, false)]
    {
        let message = Message { frame_type: FrameType(frame_type), bytes: Bytes::new() };
        assert_eq!(side.send(message, MTU).is_ok(), taken, "{frame_type:#x}");
    }
}

#[test]
fn a_full_queue_drops_the_newest_or_the_oldest_as_configured() {
    let room = 3 * (10 + queue::OVERHEAD);
    let kept = |drop| {
        let mut side = messages(room, room, drop);
        let taken: Vec<bool> =
            (0..5).map(|fill| side.send(datagram(10, fill), MTU).is_ok()).collect();
        for fill in 0..5 {
            assert!(side.receive(FrameType::DATAGRAM, &[fill; 10], u64::MAX));
        }
        let counts = side.counts();
        assert_eq!((counts.dropped_sending, counts.dropped_receiving, counts.received), (2, 2, 5));
        let sent: Vec<u8> = packet(&mut side, false).iter().map(|(_, bytes)| bytes[0]).collect();
        let read: Vec<u8> =
            core::iter::from_fn(|| side.read()).map(|message| message.bytes[0]).collect();
        (taken, sent, read)
    };
    let newest = kept(MessageDrop::Newest);
    assert_eq!(newest, (vec![true, true, true, false, false], vec![0, 1, 2], vec![0, 1, 2]));
    let oldest = kept(MessageDrop::Oldest);
    assert_eq!(oldest, (vec![true; 5], vec![2, 3, 4], vec![2, 3, 4]));
}

#[test]
fn messages_and_data_take_turns_by_bytes() {
    let mut side = messages(1 << 20, 1 << 20, MessageDrop::Newest);
    let (mut ours, mut theirs) = (0_u64, 0_u64);
    for _ in 0..4_000 {
        while side.queued() < 100_000 {
            side.send(datagram(1_000, 0), MTU).unwrap();
        }
        if side.has_turn(true) {
            ours += packet(&mut side, true).len() as u64 * 1_000;
        } else {
            side.on_data_sent(1_000);
            theirs += 1_000;
        }
        assert!(ours.abs_diff(theirs) <= 2 * TURN, "{ours} {theirs}");
    }
    assert!(ours > 1_900_000 && theirs > 1_900_000, "{ours} {theirs}");
}

#[test]
fn nothing_holds_messages_back_while_no_data_waits() {
    let mut side = messages(1 << 20, 1 << 20, MessageDrop::Newest);
    for _ in 0..200 {
        side.send(datagram(1_000, 0), MTU).unwrap();
    }
    let mut packets = 0;
    while side.has_turn(false) {
        assert_eq!(packet(&mut side, false).len(), 1);
        packets += 1;
    }
    assert_eq!(packets, 200);
}

#[test]
fn a_message_without_room_beside_an_ack_goes_first_in_the_next_packet() {
    let mut side = messages(1 << 20, 1 << 20, MessageDrop::Newest);
    side.send(datagram(side.max_size(MTU), 0), MTU).unwrap();
    let (mut room, mut contents) = ([0; 600], Vec::new());
    side.write(MTU, false, &mut BundleWriter::new(&mut room), &mut contents);
    assert!(contents.is_empty() && side.goes_first());
    assert_eq!(packet(&mut side, false).len(), 1);
    assert!(!side.goes_first());
}

#[test]
fn what_no_longer_fits_the_path_is_dropped_and_counted() {
    let mut side = messages(1 << 20, 1 << 20, MessageDrop::Newest);
    side.send(datagram(1_400, 0), 1_500).unwrap();
    side.send(datagram(5, 7), 1_500).unwrap();
    assert_eq!(packet(&mut side, false), [(FrameType::DATAGRAM, vec![7; 5])]);
    assert_eq!(side.counts().dropped_sending, 1);
}

#[test]
fn the_longest_message_that_is_taken_always_has_room() {
    for recv in [0, 63, 64, 100, 1 << 20] {
        let config = config(1_000, recv, MessageDrop::Newest);
        let max = usize::from(own_max(&config));
        let mut side = Messages::new(&config, u16::MAX);
        assert_eq!(side.receive(FrameType::DATAGRAM, &vec![0; max], u64::MAX), max > 0);
        assert_eq!(side.read().map(|message| message.bytes.len()), (max > 0).then_some(max));
        assert!(!side.receive(FrameType::DATAGRAM, &vec![0; max + 1], u64::MAX));
    }
}

#[test]
fn a_reader_is_told_once_until_it_found_nothing() {
    let mut side = messages(1_000, 1_000, MessageDrop::Newest);
    assert!(!side.poll_readable());
    side.receive(FrameType::DATAGRAM, b"a", u64::MAX);
    assert!(side.poll_readable() && !side.poll_readable());
    side.receive(FrameType::DATAGRAM, b"b", u64::MAX);
    assert!(side.read().is_some() && side.read().is_some() && !side.poll_readable());
    assert!(side.read().is_none());
    side.receive(FrameType::DATAGRAM, b"c", u64::MAX);
    assert!(side.poll_readable());
}

/// One step of the model.
#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Packet { data: bool },
    Data(u64),
    Receive(usize),
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_usize..1_400).prop_map(Step::Send),
        2 => any::<bool>().prop_map(|data| Step::Packet { data }),
        1 => (0_u64..3_000).prop_map(Step::Data),
        3 => (0_usize..1_400).prop_map(Step::Receive),
        2 => Just(Step::Read),
    ]
}

/// A queue as simple as it can be.
struct Model {
    held: VecDeque<(u8, usize)>,
    limit: u64,
    drop: MessageDrop,
}

impl Model {
    fn cost(&self) -> u64 {
        self.held.iter().map(|(_, len)| *len as u64 + queue::OVERHEAD).sum()
    }

    /// Returns how many messages were dropped, and whether the new one was.
    fn push(&mut self, fill: u8, len: usize) -> (u64, bool) {
        let cost = len as u64 + queue::OVERHEAD;
        let free = self.limit.saturating_sub(self.cost());
        if cost > self.limit || (self.drop == MessageDrop::Newest && cost > free) {
            return (1, true);
        }
        let mut dropped = 0;
        self.held.push_back((fill, len));
        while self.cost() > self.limit {
            self.held.pop_front();
            dropped += 1;
        }
        (dropped, false)
    }
}

proptest! {
    /// Both queues do what a plain list would, whatever comes: order, bounds, drops and counts.
    #[test]
    fn queues_follow_the_model(
        steps in prop::collection::vec(step(), 1..200),
        limits in (64_u64..6_000, 64_u64..6_000),
        oldest in any::<bool>(),
    ) {
        let drop = if oldest { MessageDrop::Oldest } else { MessageDrop::Newest };
        let model = |limit| Model { held: VecDeque::new(), limit, drop };
        let (mut out, mut inward) = (model(limits.0), model(limits.1));
        let mut side = messages(limits.0, limits.1, drop);
        let mut expected = MessageCounts::default();
        let own_max = usize::from(own_max(&config(limits.0, limits.1, drop)));
        for (fill, step) in (0_u8..=255).cycle().zip(steps) {
            match step {
                Step::Send(len) => {
                    let fits = len <= side.max_size(MTU);
                    let (dropped, itself) = if fits { out.push(fill, len) } else { (1, true) };
                    expected.dropped_sending += dropped;
                    prop_assert_eq!(side.send(datagram(len, fill), MTU).is_err(), itself);
                }
                Step::Packet { data } => {
                    for (_, bytes) in packet(&mut side, data) {
                        let (fill, len) = out.held.pop_front().unwrap();
                        prop_assert_eq!(bytes, vec![fill; len]);
                        expected.sent += 1;
                    }
                    prop_assert!(data || out.held.is_empty() || expected.sent > 0);
                }
                Step::Data(bytes) => side.on_data_sent(bytes),
                Step::Receive(len) => {
                    let fits = len <= own_max && own_max > 0;
                    prop_assert_eq!(side.receive(FrameType::DATAGRAM, &vec![fill; len], u64::MAX), fits);
                    if fits {
                        expected.received += 1;
                        expected.dropped_receiving += inward.push(fill, len).0;
                    }
                }
                Step::Read => {
                    let read = side.read().map(|message| message.bytes.to_vec());
                    prop_assert_eq!(read, inward.held.pop_front().map(|(fill, len)| vec![fill; len]));
                }
            }
            prop_assert_eq!(side.counts(), expected);
            prop_assert_eq!(side.queued(), out.cost());
            prop_assert!(side.queued() <= limits.0 && side.incoming.cost() <= limits.1);
            prop_assert_eq!(side.is_drained(), out.held.is_empty());
        }
    }
}
