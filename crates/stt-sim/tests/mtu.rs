//! The search for the path's datagram size (PROTOCOL.md section 5.3), seen from outside.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::time::Duration;

use common::{DELAY, Pair};
use stt_proto::{EndpointConfig, ListenConfig, SendError, SessionConfig, SessionHandle};
use stt_sim::pair;
use stt_sim::{Link, NodeId, Transfer};

fn over(link: Link) -> Pair {
    Pair::with(EndpointConfig::default(), ListenConfig::default(), link)
}

fn mtu(pair: &mut Pair, node: NodeId, session: SessionHandle) -> u64 {
    pair.world.endpoint_mut(node).session_stats(session).unwrap().mtu
}

fn want_mtu(pair: &mut Pair, node: NodeId, session: SessionHandle) {
    let now = pair.world.now_at(node);
    pair.world.endpoint_mut(node).want_mtu(now, session);
}

#[test]
fn an_idle_session_probes_nothing() {
    let mut pair = over(Link { mtu: 65_507, ..Link::with_delay(DELAY) });
    let (ours, theirs) = pair.establish();
    pair.world.run_for(Duration::from_secs(1200));
    for (node, session) in [(pair.client, ours), (pair.server, theirs)] {
        let stats = pair.world.endpoint_mut(node).session_stats(session).unwrap();
        assert_eq!(stats.mtu, 1200);
        // Keep-alives, their answers and ACKs.
        assert!(stats.bytes_sent < 1200 * 20, "{stats:?}");
    }
}

#[test]
fn who_only_receives_does_not_search() {
    let link = Link { mtu: 65_507, ..Link::with_delay(DELAY) };
    let (mut world, client, server) = pair(1, link, SessionConfig::default());
    let mut transfer = Transfer::start(&mut world, client, server, &[3_000_000]).unwrap();
    transfer.run(&mut world, Duration::from_secs(60)).unwrap();
    let mut found = |node, session| world.endpoint_mut(node).session_stats(session).unwrap().mtu;
    assert_eq!(found(client, transfer.client_session()), 65_507);
    assert_eq!(found(server, transfer.server_session().unwrap()), 1200);
}

#[test]
fn both_sides_of_an_idle_session_find_what_the_link_carries_when_asked() {
    for size in [1232, 1252, 1412, 1472, 8972, 65_507] {
        let mut pair = over(Link { mtu: size, ..Link::with_delay(DELAY) });
        let (ours, theirs) = pair.establish();
        let (client, server) = (pair.client, pair.server);
        want_mtu(&mut pair, client, ours);
        want_mtu(&mut pair, server, theirs);
        pair.world.run_for(Duration::from_secs(60));
        assert_eq!(mtu(&mut pair, client, ours), size as u64);
        assert_eq!(mtu(&mut pair, server, theirs), size as u64);
        let stats = pair.world.endpoint_mut(client).session_stats(ours).unwrap();
        assert_eq!((stats.congestion_events, stats.probe_timeouts), (0, 0), "at {size}");
    }
}

#[test]
fn a_handshake_and_data_pass_a_tunnel_of_1280_bytes() {
    let link = Link { mtu: 1232, ..Link::with_delay(DELAY) };
    let (mut world, client, server) = pair(1, link, SessionConfig::default());
    let mut transfer = Transfer::start(&mut world, client, server, &[300_000]).unwrap();
    let took = transfer.run(&mut world, Duration::from_secs(60)).unwrap();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_link_that_shrinks_in_the_middle_stops_nothing_for_long() {
    for size in [1200, 1232, 1252, 1400] {
        let (mut world, client, server) = pair(
            2,
            Link { rate: Some(1_250_000), queue: 100, ..Link::with_delay(DELAY) },
            SessionConfig::default(),
        );
        let mut transfer = Transfer::start(&mut world, client, server, &[4_000_000]).unwrap();
        let middle = world.now() + Duration::from_millis(1500);
        world
            .run_until(Duration::from_secs(60), |world| {
                transfer.advance(world)?;
                Ok((world.now() >= middle).then_some(()))
            })
            .unwrap();
        let shrunk =
            Link { mtu: size, rate: Some(1_250_000), queue: 100, ..Link::with_delay(DELAY) };
        world.set_links(client, server, &shrunk);
        let took = transfer.run(&mut world, Duration::from_secs(60)).unwrap();
        // 3.4 seconds is what the rate allows.
        assert!(took < Duration::from_secs(8), "{took:?} at {size}");
    }
}

#[test]
fn random_loss_is_not_taken_for_a_black_hole() {
    for seed in 0..10 {
        let link = Link { loss: 0.15, ..Link::with_delay(DELAY) };
        let (mut world, client, server) = pair(seed, link, SessionConfig::default());
        let mut transfer = Transfer::start(&mut world, client, server, &[1_000_000]).unwrap();
        let (mut reached, mut least) = (0, 0);
        world
            .run_until(Duration::from_secs(600), |world| {
                transfer.advance(world)?;
                let session = transfer.client_session();
                if let Some(stats) = world.endpoint_mut(client).session_stats(session) {
                    if stats.mtu < reached {
                        least += 1;
                    }
                    reached = stats.mtu;
                }
                Ok(transfer.is_complete().then_some(()))
            })
            .unwrap();
        assert_eq!((reached, least), (1472, 0), "seed {seed}");
    }
}

#[test]
fn a_datagram_that_the_system_refuses_is_a_normal_event() {
    let mut pair = over(Link { mtu: 65_507, ..Link::with_delay(DELAY) });
    let (ours, _) = pair.establish();
    let client = pair.client;
    want_mtu(&mut pair, client, ours);
    pair.world.run_for(Duration::from_secs(1));
    assert_eq!(mtu(&mut pair, client, ours), 65_507);
    let (now, path) = (pair.world.now_at(client), pair.world.path_to(pair.server));
    // Whatever goes out last is small: nothing is learnt from it about large datagrams.
    pair.world.endpoint_mut(client).handle_send_error(now, path, SendError::MessageTooLong(90));
    assert_eq!(mtu(&mut pair, client, ours), 65_507);
    pair.world.run_for(Duration::from_secs(60));
    assert_eq!(pair.world.endpoint_mut(client).stats().sessions, 1);
}
