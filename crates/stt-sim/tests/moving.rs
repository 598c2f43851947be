//! Transfers whose sender a NAT gives another port or address again and again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::SocketAddr;
use std::time::Duration;

use stt_proto::{Event, SessionConfig};
use stt_sim::pair;
use stt_sim::{Link, Transfer};

fn link(loss: f64) -> Link {
    Link { rate: Some(300_000), queue: 60, loss, ..Link::with_delay(Duration::from_millis(15)) }
}

/// Moves 3 MB while the client gets another address every two seconds; the virtual time it took.
fn transfer(seed: u64, loss: f64, address: impl Fn(u64) -> SocketAddr) -> Duration {
    let (mut world, client, server) = pair(seed, link(loss), SessionConfig::default());
    let mut transfer = Transfer::start(&mut world, client, server, &[3_000_000]).unwrap();
    let (started, mut moves) = (world.elapsed(), 0);
    world
        .run_until(Duration::from_secs(300), |world| {
            transfer.advance(world)?;
            if world.elapsed() - started >= Duration::from_secs(2 * (moves + 1)) {
                moves += 1;
                world.rebind(client, address(moves));
            }
            Ok(transfer.is_complete().then_some(()))
        })
        .unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
    let took = world.elapsed() - started;
    assert!(moves >= 4, "{moves} moves in {took:?}");
    transfer.close(&mut world, Duration::from_secs(60)).unwrap();
    took
}

#[test]
fn another_port_every_two_seconds_hardly_shows() {
    for seed in 0..5 {
        let took = transfer(seed, 0.0, |n| SocketAddr::from(([10, 0, 0, 1], 20_000 + n as u16)));
        // Ten seconds is what the rate allows.
        assert!(took < Duration::from_secs(13), "{took:?} with seed {seed}");
    }
}

#[test]
fn another_address_every_two_seconds_costs_a_start_from_nothing_each() {
    for seed in 0..5 {
        let took = transfer(seed, 0.0, |n| SocketAddr::from(([10, 0, 1, n as u8], 7788)));
        assert!(took < Duration::from_secs(20), "{took:?} with seed {seed}");
    }
}

#[test]
fn moves_and_loss_together_still_deliver_every_byte() {
    for seed in 0..5 {
        transfer(seed, 0.05, |n| SocketAddr::from(([10, 0, 2, n as u8], 7788)));
    }
}

#[test]
fn an_idle_session_is_found_again_by_its_keep_alives() {
    let (mut world, client, server) =
        pair(1, Link::with_delay(Duration::from_millis(25)), SessionConfig::default());
    let mut transfer = Transfer::start(&mut world, client, server, &[]).unwrap();
    transfer.run(&mut world, Duration::from_secs(5)).unwrap();
    world.run_for(Duration::from_secs(20));
    let there = SocketAddr::from(([10, 0, 3, 1], 9));
    world.rebind(client, there);
    world.take_events(server);
    world.run_for(Duration::from_secs(25));
    let moved = world.take_events(server).into_iter().find_map(|event| match event {
        Event::PathChange { remote, .. } => remote.remote(),
        _ => None,
    });
    assert_eq!(moved, Some(there));
    world.run_for(Duration::from_secs(120));
    assert_eq!(world.endpoint_mut(server).stats().sessions, 1, "it lives on");
    assert_eq!(world.endpoint_mut(client).stats().sessions, 1);
}
