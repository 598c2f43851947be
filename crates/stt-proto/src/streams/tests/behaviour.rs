//! What an application may rely on.

use super::*;

#[test]
fn bytes_go_both_ways_and_the_stream_is_forgotten() {
    let (mut a, mut b) = pair(4, 10_000);
    let id = a.open(StreamOptions { purpose: "greeting".into(), ..bidirectional() }).unwrap();
    a.write(NOW, id, text("hello")).unwrap();
    a.finish(id).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(
        events(&mut b),
        [
            StreamEvent::Opened {
                stream: id,
                purpose: "greeting".into(),
                name: None,
                priority: 3,
                deadline: None
            },
            StreamEvent::Readable { stream: id },
        ]
    );
    assert_eq!(
        events(&mut a),
        [StreamEvent::Released { stream: id, acked: 5 }, StreamEvent::Finished { stream: id }]
    );
    assert_eq!(read_all(&mut b, id), (b"hello".to_vec(), Ok(ReadOutcome::Finished)));
    b.write(NOW, id, text("world")).unwrap();
    b.finish(id).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(read_all(&mut a, id), (b"world".to_vec(), Ok(ReadOutcome::Finished)));
    for side in [&mut a, &mut b] {
        assert_eq!(events(side).last(), Some(&StreamEvent::Closed { stream: id }));
        assert!(side.table.is_empty() && side.is_drained() && !side.has_unread());
        assert_eq!(side.read(id, 1), Err(ReadError::UnknownStream));
        assert_eq!(side.write(NOW, id, text("x")), Err(WriteError::UnknownStream));
    }
}

#[test]
fn a_unidirectional_stream_has_one_half_on_each_side() {
    let (mut a, mut b) = pair(4, 10_000);
    let id = a.open(unidirectional()).unwrap();
    a.write(NOW, id, text("one way")).unwrap();
    a.finish(id).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(a.read(id, 10), Err(ReadError::UnknownStream));
    assert_eq!(b.write(NOW, id, text("x")), Err(WriteError::UnknownStream));
    assert_eq!(read_all(&mut b, id), (b"one way".to_vec(), Ok(ReadOutcome::Finished)));
    assert!(a.table.is_empty() && b.table.is_empty());
}

#[test]
fn a_reader_is_told_once_until_it_finds_nothing() {
    let (mut a, mut b) = pair(4, 10_000);
    let id = a.open(bidirectional()).unwrap();
    let readable = StreamEvent::Readable { stream: id };
    for _ in 0..3 {
        a.write(NOW, id, text("piece")).unwrap();
        settle(&mut a, &mut b);
    }
    assert_eq!(events(&mut b).iter().filter(|event| **event == readable).count(), 1);
    assert_eq!(b.read(id, 100), Ok(ReadOutcome::Chunk(text("piecepiecepiece"))));
    a.write(NOW, id, text("more")).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(events(&mut b), []);
    assert_eq!(b.read(id, 100), Ok(ReadOutcome::Chunk(text("more"))));
    assert_eq!(b.read(id, 100), Ok(ReadOutcome::Blocked));
    a.finish(id).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(events(&mut b), [readable]);
    assert_eq!(b.read(id, 100), Ok(ReadOutcome::Finished));
}

#[test]
fn releases_of_one_stream_are_told_together() {
    let (mut a, mut b) = pair(4, 100_000);
    let id = a.open(bidirectional()).unwrap();
    a.write(NOW, id, vec![0; 50_000].into()).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(events(&mut a), [StreamEvent::Released { stream: id, acked: 50_000 }]);
}

#[test]
fn a_stream_waits_for_its_own_credit_and_all_for_the_session_s() {
    let limits = limits(8, 1_000, 2_500);
    let (mut a, mut b) = joined(limits, limits);
    let ids: Vec<_> = (0..4).map(|_| a.open(bidirectional()).unwrap()).collect();
    for id in &ids {
        a.write(NOW, *id, vec![7; 1_500].into()).unwrap();
    }
    settle(&mut a, &mut b);
    assert_eq!(b.recv_credit.received(), 2_500);
    assert!(!a.wants_data());
    let mut total = 0;
    for _ in 0..4 {
        for id in &ids {
            total += read_all(&mut b, *id).0.len();
        }
        settle(&mut a, &mut b);
    }
    assert_eq!(total, 6_000);
}

#[test]
fn a_fin_passes_where_no_byte_may() {
    let limits = limits(8, 1_000, 1_000);
    let (mut a, mut b) = joined(limits, limits);
    let (full, empty) = (a.open(bidirectional()).unwrap(), a.open(bidirectional()).unwrap());
    a.write(NOW, full, vec![7; 1_000].into()).unwrap();
    settle(&mut a, &mut b);
    a.finish(empty).unwrap();
    a.finish(full).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(read_all(&mut b, empty), (vec![], Ok(ReadOutcome::Finished)));
    assert!(events(&mut a).contains(&StreamEvent::Finished { stream: full }));
}

#[test]
fn a_reset_discards_and_gives_the_credit_back() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(bidirectional()).unwrap();
    a.write(NOW, id, vec![1; 5_000].into()).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(b.read(id, 300).map(|_| ()), Ok(()));
    a.reset(id, 42).unwrap();
    assert_eq!(a.reset(id, 43), Err(WriteError::Closed));
    assert_eq!(a.write(NOW, id, text("x")), Err(WriteError::Closed));
    settle(&mut a, &mut b);
    assert!(events(&mut b).contains(&StreamEvent::Reset { stream: id, code: 42 }));
    assert_eq!(b.read(id, 300), Ok(ReadOutcome::Reset(42)));
    assert_eq!(b.recv_credit.consumed(), 700, "what was read counts once it is consumed");
    consumed(&mut b, id, 300);
    assert_eq!(b.recv_credit.consumed(), 1_000);
    consumed(&mut b, id, 300);
    assert_eq!(b.recv_credit.consumed(), 1_000);
}

/// A writer that gives up after its last write went out has not finished: a cut is no end.
#[test]
fn a_reset_after_every_byte_arrived_is_still_a_reset() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(bidirectional()).unwrap();
    a.write(NOW, id, text("half a file")).unwrap();
    settle(&mut a, &mut b);
    a.reset(id, 1).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(b.read(id, 100), Ok(ReadOutcome::Reset(1)));
}

#[test]
fn a_reset_after_the_fin_arrived_changes_nothing() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(bidirectional()).unwrap();
    a.write(NOW, id, text("a whole file")).unwrap();
    a.finish(id).unwrap();
    let packet = transmit(&mut a, 1_200).unwrap();
    deliver(&mut b, &packet).unwrap();
    // The acknowledgement is on its way when the application changes its mind.
    a.reset(id, 1).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(read_all(&mut b, id), (b"a whole file".to_vec(), Ok(ReadOutcome::Finished)));
}

#[test]
fn a_reset_while_others_wait_holds_nobody_up() {
    let (mut a, mut b) = pair(4, 100_000);
    let (first, second) = (a.open(bidirectional()).unwrap(), a.open(bidirectional()).unwrap());
    a.write(NOW, first, vec![1; 50_000].into()).unwrap();
    a.write(NOW, second, vec![2; 50_000].into()).unwrap();
    let packet = transmit(&mut a, 1_200).unwrap();
    deliver(&mut b, &packet).unwrap();
    lost(&mut a, &packet);
    a.reset(first, 1).unwrap();
    settle(&mut a, &mut b);
    assert!(!a.wants_data() && !a.wants_control());
    assert_eq!(read_all(&mut b, second).0, vec![2; 50_000]);
}

#[test]
fn a_stop_is_answered_by_a_reset_and_frees_the_credit() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(bidirectional()).unwrap();
    a.write(NOW, id, vec![1; 5_000].into()).unwrap();
    settle(&mut a, &mut b);
    events(&mut b);
    b.stop(id, 9).unwrap();
    assert_eq!(b.stop(id, 9), Err(ReadError::UnknownStream));
    assert_eq!(b.read(id, 1), Err(ReadError::UnknownStream));
    settle(&mut a, &mut b);
    assert!(events(&mut a).contains(&StreamEvent::Stopped { stream: id, code: 9 }));
    assert_eq!(events(&mut b), [], "the application asked for it");
    assert_eq!((a.undelivered(), b.recv_credit.consumed()), (0, 1_000));
    // The other half lives on.
    b.write(NOW, id, text("still here")).unwrap();
    b.finish(id).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(read_all(&mut a, id), (b"still here".to_vec(), Ok(ReadOutcome::Finished)));
    assert!(a.table.is_empty() && b.table.is_empty());
}

#[test]
fn a_stop_after_the_fin_came_needs_no_answer() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(unidirectional()).unwrap();
    a.write(NOW, id, text("unwanted")).unwrap();
    a.finish(id).unwrap();
    settle(&mut a, &mut b);
    b.stop(id, 9).unwrap();
    settle(&mut a, &mut b);
    assert!(!events(&mut a).iter().any(|event| matches!(event, StreamEvent::Stopped { .. })));
    assert!(a.table.is_empty() && b.table.is_empty());
    assert_eq!(b.recv_credit.consumed(), 8);
}

#[test]
fn a_stop_after_the_last_byte_was_acknowledged_is_a_success() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(unidirectional()).unwrap();
    a.write(NOW, id, text("all of it")).unwrap();
    settle(&mut a, &mut b);
    a.finish(id).unwrap();
    let fin = transmit(&mut a, 1_200).unwrap();
    b.stop(id, 9).unwrap();
    carry(&mut b, &mut a);
    assert!(events(&mut a).contains(&StreamEvent::Finished { stream: id }));
    lost(&mut a, &fin);
    settle(&mut a, &mut b);
    assert_eq!(events(&mut a), [StreamEvent::Closed { stream: id }]);
    assert!(a.table.is_empty() && b.table.is_empty());
}

#[test]
fn the_limit_holds_and_one_that_ends_makes_room() {
    let (mut a, mut b) = pair(2, 10_000);
    let id = a.open(bidirectional()).unwrap();
    a.open(bidirectional()).unwrap();
    a.open(unidirectional()).unwrap();
    let refused = OpenError::TooManyStreams { limit: 2, local: true };
    assert_eq!(a.open(bidirectional()), Err(refused));
    a.finish(id).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(read_all(&mut b, id).1, Ok(ReadOutcome::Finished));
    b.finish(id).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(read_all(&mut a, id).1, Ok(ReadOutcome::Finished));
    settle(&mut a, &mut b);
    let available = StreamEvent::Available { direction: Direction::Bidirectional };
    let told = events(&mut a).into_iter().filter(|event| *event == available).count();
    assert_eq!(told, 1);
    a.open(bidirectional()).unwrap();
    assert_eq!(a.open(bidirectional()), Err(refused));
}

#[test]
fn the_last_release_tells_all_of_it_though_another_one_waits() {
    let (mut a, mut b) = pair(4, 10_000);
    let id = a.open(unidirectional()).unwrap();
    // The bytes in three packets, then FIN alone; nobody polls the events meanwhile.
    let mut packets = Vec::new();
    for _ in 0..3 {
        a.write(NOW, id, vec![7; 1_000].into()).unwrap();
        packets.push(transmit(&mut a, 1_200).unwrap());
    }
    a.finish(id).unwrap();
    packets.push(transmit(&mut a, 1_200).unwrap());
    for packet in &packets {
        deliver(&mut b, packet).unwrap();
        acked(&mut a, packet);
    }
    let mut released = events(&mut a).into_iter().filter_map(|event| match event {
        StreamEvent::Released { acked, .. } => Some(acked),
        _ => None,
    });
    assert_eq!(released.next_back(), Some(3_000));
}

#[test]
fn the_limit_of_the_peer_is_told_as_such() {
    let (mut a, mut b) = joined(limits(8, 1_000, 4_000), limits(1, 1_000, 4_000));
    let id = a.open(unidirectional()).unwrap();
    let refused = OpenError::TooManyStreams { limit: 1, local: false };
    assert_eq!(a.open(unidirectional()), Err(refused));
    a.finish(id).unwrap();
    settle(&mut a, &mut b);
    read_all(&mut b, id).1.unwrap();
    settle(&mut a, &mut b);
    let available = StreamEvent::Available { direction: Direction::Unidirectional };
    assert!(events(&mut a).contains(&available));
    a.open(unidirectional()).unwrap();
}

#[test]
fn names_that_both_open_at_once_fail_on_both_sides() {
    let (mut a, mut b) = pair(4, 1_000);
    let (ours, theirs) = (a.open(named(7)).unwrap(), b.open(named(7)).unwrap());
    assert_eq!(a.open(named(7)), Err(OpenError::NameConflict));
    a.write(NOW, ours, text("for nobody")).unwrap();
    settle(&mut a, &mut b);
    for (side, own) in [(&mut a, ours), (&mut b, theirs)] {
        let told = events(side);
        let code = stt_wire::ErrorCode::StreamIdConflict;
        assert!(told.contains(&StreamEvent::Failed { stream: own, code }), "{told:?}");
        let as_if_the_application = told
            .iter()
            .any(|event| matches!(event, StreamEvent::Reset { .. } | StreamEvent::Stopped { .. }));
        assert!(!as_if_the_application, "{told:?}");
        assert!(told.contains(&StreamEvent::Closed { stream: own }), "{told:?}");
        assert!(!told.iter().any(|event| matches!(event, StreamEvent::Opened { .. })), "{told:?}");
        assert_eq!(side.open(named(7)), Err(OpenError::NameConflict), "a name serves once");
        assert!(side.table.is_empty());
    }
}

#[test]
fn a_name_in_use_is_refused_to_its_own_side() {
    let (mut a, mut b) = pair(4, 1_000);
    a.open(named(7)).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(b.open(named(7)), Err(OpenError::NameConflict));
    b.open(named(8)).unwrap();
}

#[test]
fn names_are_bounded() {
    let (mut a, _) = pair(5_000, 1_000);
    for name in 0..4096 {
        a.open(named(name)).unwrap();
    }
    let refused = OpenError::TooManyStreams { limit: 4096, local: true };
    assert_eq!(a.open(named(u32::MAX)), Err(refused));
    a.open(bidirectional()).unwrap();
}

/// Every order in which the first frames of a stream can come.
#[test]
fn what_comes_before_its_open_is_held_until_then() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(bidirectional()).unwrap();
    let open = transmit(&mut a, 1_200).unwrap();
    a.write(NOW, id, text("early")).unwrap();
    let data = transmit(&mut a, 1_200).unwrap();
    deliver(&mut b, &data).unwrap();
    assert_eq!((events(&mut b), b.has_unread()), (vec![], false));
    deliver(&mut b, &open).unwrap();
    assert!(matches!(
        events(&mut b)[..],
        [StreamEvent::Opened { .. }, StreamEvent::Readable { .. }]
    ));
    deliver(&mut b, &open).unwrap();
    assert_eq!(events(&mut b), [], "a copy says nothing new");
}

#[test]
fn a_stream_that_ended_before_its_open_came_is_told_from_the_start() {
    let (mut a, mut b) = pair(4, 1_000);
    let id = a.open(bidirectional()).unwrap();
    let open = transmit(&mut a, 1_200).unwrap();
    a.reset(id, 5).unwrap();
    a.stop(id, 6).unwrap();
    let ends = transmit(&mut a, 1_200).unwrap();
    deliver(&mut b, &ends).unwrap();
    acked(&mut a, &ends);
    carry(&mut b, &mut a);
    assert_eq!(events(&mut b), []);
    lost(&mut a, &open);
    settle(&mut a, &mut b);
    let told = events(&mut b);
    assert!(matches!(told[0], StreamEvent::Opened { .. }), "{told:?}");
    assert_eq!(
        told[1..],
        [
            StreamEvent::Stopped { stream: id, code: 6 },
            StreamEvent::Reset { stream: id, code: 5 },
            StreamEvent::Closed { stream: id },
        ]
    );
    assert!(a.table.is_empty() && b.table.is_empty());
}

#[test]
fn late_frames_of_a_forgotten_stream_change_nothing() {
    let (mut a, mut b) = pair(1, 1_000);
    let id = a.open(unidirectional()).unwrap();
    a.write(NOW, id, text("once")).unwrap();
    a.finish(id).unwrap();
    let packet = transmit(&mut a, 1_200).unwrap();
    deliver(&mut b, &packet).unwrap();
    assert_eq!(read_all(&mut b, id), (b"once".to_vec(), Ok(ReadOutcome::Finished)));
    events(&mut b);
    for _ in 0..3 {
        deliver(&mut b, &packet).unwrap();
    }
    assert_eq!(events(&mut b), []);
    assert!(b.table.is_empty());
    assert_eq!(b.recv_credit.received(), 4);
}

#[test]
fn what_arrived_before_the_end_of_the_session_stays_readable() {
    let (mut a, mut b) = pair(4, 1_000);
    let (cut, whole) = (a.open(bidirectional()).unwrap(), a.open(bidirectional()).unwrap());
    a.write(NOW, cut, text("kept")).unwrap();
    a.write(NOW, whole, text("all")).unwrap();
    a.finish(whole).unwrap();
    settle(&mut a, &mut b);
    a.write(NOW, cut, text("lost")).unwrap();
    assert_eq!(a.undelivered(), 4);
    b.on_session_end();
    a.on_session_end();
    assert!(b.has_unread() && !a.has_unread());
    assert_eq!(read_all(&mut b, cut), (b"kept".to_vec(), Err(ReadError::SessionClosed)));
    assert_eq!(read_all(&mut b, whole), (b"all".to_vec(), Ok(ReadOutcome::Finished)));
    assert!(!b.has_unread() && !b.wants_control() && !b.wants_data());
    assert_eq!(b.read(cut, 1), Err(ReadError::SessionClosed));
    assert_eq!(b.write(NOW, cut, text("x")), Err(WriteError::SessionClosed));
    assert_eq!(b.open(bidirectional()), Err(OpenError::SessionClosed));
}

#[test]
fn draining_waits_for_bytes_ends_and_resets() {
    let (mut a, mut b) = pair(4, 1_000);
    let (one, two) = (a.open(bidirectional()).unwrap(), a.open(bidirectional()).unwrap());
    settle(&mut a, &mut b);
    assert!(a.is_drained());
    a.write(NOW, one, text("x")).unwrap();
    assert!(!a.is_drained());
    settle(&mut a, &mut b);
    assert!(a.is_drained());
    a.finish(one).unwrap();
    a.reset(two, 1).unwrap();
    carry(&mut b, &mut a);
    assert!(!a.is_drained());
    settle(&mut a, &mut b);
    assert!(a.is_drained());
}

#[test]
fn an_urgent_stream_overtakes_a_bulk_one() {
    let (mut a, _) = pair(4, 1 << 20);
    let bulk = a.open(StreamOptions { priority: 7, ..bidirectional() }).unwrap();
    a.write(NOW, bulk, vec![0; 100_000].into()).unwrap();
    transmit(&mut a, 1_200).unwrap();
    let urgent = a.open(StreamOptions { priority: 0, ..bidirectional() }).unwrap();
    a.write(NOW, urgent, text("now")).unwrap();
    let packet = transmit(&mut a, 1_200).unwrap();
    let first = packet.contents.iter().find_map(|content| match content {
        Content::Data { stream, .. } => Some(*stream),
        _ => None,
    });
    assert_eq!(first, Some(urgent.as_u32()));
}

/// What was lost is acknowledged after all, before it was sent again.
#[test]
fn a_spurious_loss_leaves_nothing_to_send() {
    let (mut a, mut b) = pair(4, 10_000);
    let id = a.open(bidirectional()).unwrap();
    a.write(NOW, id, text("sent once")).unwrap();
    let packet = transmit(&mut a, 1_200).unwrap();
    deliver(&mut b, &packet).unwrap();
    lost(&mut a, &packet);
    acked(&mut a, &packet);
    while transmit(&mut a, 1_200).is_some() {}
    assert!(!a.wants_data() && !a.wants_control());
    a.write(NOW, id, text(" and again")).unwrap();
    settle(&mut a, &mut b);
    assert_eq!(read_all(&mut b, id).0, b"sent once and again");
}

#[test]
fn windows_grow_with_a_fast_reader_up_to_their_bounds() {
    let bounds = LocalLimits::new(4, 1 << 20, 4 << 20);
    assert!(bounds.stream_window < bounds.max_stream_window);
    let (mut a, mut b) = joined(bounds, bounds);
    let id = a.open(unidirectional()).unwrap();
    a.write(NOW, id, vec![0; 32 << 20].into()).unwrap();
    let mut peak = 0;
    loop {
        carry(&mut a, &mut b);
        let (bytes, _) = read_all(&mut b, id);
        peak = peak.max(bytes.len() as u64);
        if bytes.is_empty() {
            break;
        }
        carry(&mut b, &mut a);
    }
    assert_eq!(peak, bounds.max_stream_window);
    assert_eq!(a.undelivered(), 0);
}

#[test]
fn many_short_streams_leave_nothing_behind() {
    let (mut a, mut b) = pair(64, 10_000);
    let mut opened = 0;
    while opened < 20_000 {
        while let Ok(id) = a.open(unidirectional()) {
            a.write(NOW, id, text("a short message of 32 bytes or so")).unwrap();
            a.finish(id).unwrap();
            opened += 1;
        }
        settle(&mut a, &mut b);
        for event in events(&mut b) {
            if let StreamEvent::Readable { stream } = event {
                assert_eq!(read_all(&mut b, stream).1, Ok(ReadOutcome::Finished));
            }
        }
        settle(&mut a, &mut b);
        events(&mut a);
    }
    for side in [&a, &b] {
        assert!(side.table.is_empty() && side.control.is_empty() && side.orphaned == 0);
    }
    assert!(b.peers[1].remembered() <= 1);
}

#[test]
fn a_stream_costs_little() {
    assert!(size_of::<Stream>() <= 640, "{}", size_of::<Stream>());
    assert!(size_of::<Streams>() <= 2_048, "{}", size_of::<Streams>());
}

#[test]
fn streams_that_nobody_reads_leave_room_for_others_up_to_the_bound() {
    let (window, bound) = (1_000, 16_000);
    let limits = LocalLimits { max_session_window: bound, ..limits(32, window, 4 * window) };
    let (mut a, mut b) = joined(limits, limits);
    let came: Vec<u64> = (0..20)
        .map(|_| {
            let id = a.open(bidirectional()).unwrap();
            a.write(NOW, id, Bytes::from(vec![7; window as usize])).unwrap();
            settle(&mut a, &mut b);
            let recv = b.table.get(&id.as_u32()).and_then(|stream| stream.recv.as_ref());
            recv.map_or(0, |recv| recv.unread().unread)
        })
        .collect();
    assert_eq!(came[..16], [window; 16], "what nobody reads keeps none of them waiting");
    assert_eq!(came[16..], [0; 4], "{came:?}");
    assert_eq!(b.recv_credit.promised(), bound, "and no more than the bound is held");
}
