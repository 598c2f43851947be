//! Whole transfers over bad links, many seeds each, and what holds for every run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use stt_proto::SessionConfig;
use stt_sim::{Link, Random, Transfer, pair};

/// The path of issue A: 5 % loss, 5 % duplication, reordering, 50 ms.
fn rough() -> Link {
    Link {
        loss: 0.05,
        duplicate: 0.05,
        reorder: 0.05,
        reorder_by: Duration::from_millis(10),
        jitter: Duration::from_millis(2),
        ..Link::with_delay(Duration::from_millis(25))
    }
}

#[test]
fn three_streams_cross_a_rough_path_exactly_once_and_in_order() {
    for seed in 1..=40 {
        let (mut world, client, server) = pair(seed, rough(), SessionConfig::default());
        let sizes = [40_000, 70_000, 1];
        let run = Transfer::start(&mut world, client, server, &sizes).and_then(|mut transfer| {
            transfer.run(&mut world, common::LIMIT)?;
            transfer.close(&mut world, Duration::from_secs(60))
        });
        assert!(run.is_ok(), "seed {seed}: {run:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_datagrams() {
    let transcript = |seed| {
        let (mut world, client, server) = pair(seed, rough(), SessionConfig::default());
        let mut transfer = Transfer::start(&mut world, client, server, &[30_000, 9]).unwrap();
        transfer.run(&mut world, common::LIMIT).unwrap();
        (world.transcript(), world.elapsed())
    };
    assert_eq!(transcript(7), transcript(7));
    assert_ne!(transcript(7), transcript(8));
}

#[test]
fn hostile_datagrams_beside_a_transfer_change_nothing() {
    let (mut world, client, server) =
        pair(3, Link::with_delay(Duration::from_millis(5)), SessionConfig::default());
    let mut random = Random::new(3, "hostile");
    let mut transfer = Transfer::start(&mut world, client, server, &[300_000]).unwrap();
    let genuine = common::steal(&mut world, client);
    let stranger = "10.66.6.6:666".parse().unwrap();
    let own = world.path_to(client).remote().unwrap();
    world
        .run_until(common::LIMIT, |world| {
            transfer.advance(world)?;
            for _ in 0..20 {
                let mut datagram = if random.chance(0.5) {
                    let len = random.below(1400) as usize;
                    (0..len).map(|_| random.draw() as u8).collect()
                } else {
                    let mut copy = genuine.clone();
                    copy.truncate(random.below(1201) as usize);
                    for _ in 0..random.below(4) {
                        if let Some(byte) = copy.get_mut(random.below(1200) as usize) {
                            *byte ^= 1 << random.below(8);
                        }
                    }
                    // Half of them get past the checksums.
                    if random.chance(0.5) && copy.len() >= 28 {
                        stt_wire::packet::seal_checksums(&mut copy);
                    }
                    copy
                };
                let node = if random.chance(0.5) { client } else { server };
                let from = if random.chance(0.5) { own } else { stranger };
                world.inject(node, from, &mut datagram);
            }
            Ok(transfer.is_complete().then_some(()))
        })
        .unwrap();
    let stats = world.endpoint_mut(server).stats();
    assert_eq!((stats.sessions, stats.half_open), (1, 0));
}
