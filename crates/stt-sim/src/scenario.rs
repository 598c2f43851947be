//! The scenarios that a sweep runs, each a function of its seed.

use core::time::Duration;

use stt_proto::{EndpointConfig, ListenConfig, SessionConfig};

use crate::{
    link::Link,
    random::Random,
    transfer::Transfer,
    world::{Failure, NodeId, World},
};

/// A named scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is about, in a line.
    pub about: &'static str,
    /// Bytes that one run moves.
    pub bytes: u64,
    run: fn(u64) -> Result<Duration, Failure>,
}

impl Scenario {
    /// Runs it once; the virtual time that it took.
    ///
    /// # Errors
    /// What failed, and when.
    pub fn run(&self, seed: u64) -> Result<Duration, Failure> {
        (self.run)(seed)
    }
}

const MIB: u64 = 1 << 20;
/// Virtual time that no run needs.
const LIMIT: Duration = Duration::from_secs(600);

/// All scenarios.
pub static SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "handshake",
        about: "a connect over a clean path of 50 ms",
        bytes: 0,
        run: handshake,
    },
    Scenario {
        name: "handshakeloss",
        about: "a connect at 30 % loss both ways",
        bytes: 0,
        run: handshake_loss,
    },
    Scenario {
        name: "handshakecorruption",
        about: "a connect with 30 % of the datagrams damaged",
        bytes: 0,
        run: handshake_corruption,
    },
    Scenario {
        name: "transfer",
        about: "2, 3 and 5 MB on three streams with tiny initial windows",
        bytes: 10_000_000,
        run: transfer,
    },
    Scenario {
        name: "transferloss",
        about: "2 MiB at 2 % loss",
        bytes: 2 * MIB,
        run: transfer_loss,
    },
    Scenario {
        name: "rough",
        about: "1 MiB at 5 % loss, 5 % duplication and reordering on a path of 50 ms",
        bytes: MIB,
        run: rough,
    },
    Scenario {
        name: "transfercorruption",
        about: "1 MiB with 2 % of the datagrams damaged",
        bytes: MIB,
        run: transfer_corruption,
    },
    Scenario {
        name: "duplicate",
        about: "1 MiB with half of the datagrams doubled",
        bytes: MIB,
        run: duplicate,
    },
    Scenario {
        name: "longrtt",
        about: "256 KiB over 750 ms one way",
        bytes: MIB / 4,
        run: long_rtt,
    },
    Scenario {
        name: "multiplexing",
        about: "2000 streams of 32 bytes under a limit of 1000",
        bytes: 64_000,
        run: multiplexing,
    },
    Scenario {
        name: "slow",
        about: "1 MiB over 10 Mbit/s, 15 ms one way, a queue of 25",
        bytes: MIB,
        run: slow,
    },
    Scenario {
        name: "random",
        about: "everything at once, drawn from the seed",
        bytes: 0,
        run: random,
    },
];

/// The scenario of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    SCENARIOS.iter().find(|scenario| scenario.name == name)
}

/// A client and a listening server over one kind of link, both ways.
#[must_use]
pub fn pair(seed: u64, link: Link, session: SessionConfig) -> (World, NodeId, NodeId) {
    let mut world = World::new(seed, link);
    let shared = Random::new(seed, "shared seed").bytes();
    let config = EndpointConfig { session, ..EndpointConfig::default() };
    let client = world.add_node(config.clone(), shared);
    let server = world.add_node(config, shared);
    world.endpoint_mut(server).set_listening(Some(ListenConfig::default()));
    (world, client, server)
}

fn move_bytes(
    seed: u64,
    link: Link,
    session: SessionConfig,
    sizes: &[u64],
) -> Result<Duration, Failure> {
    let (mut world, client, server) = pair(seed, link, session);
    let mut transfer = Transfer::start(&mut world, client, server, sizes)?;
    let time = transfer.run(&mut world, LIMIT)?;
    transfer.close(&mut world, Duration::from_secs(60))?;
    Ok(time)
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn handshake(seed: u64) -> Result<Duration, Failure> {
    move_bytes(seed, Link::with_delay(ms(25)), SessionConfig::default(), &[])
}

/// A connect that must succeed although much is lost: with time enough, and no retries by hand.
fn connect_patiently(seed: u64, link: Link) -> Result<Duration, Failure> {
    let (mut world, client, server) = pair(seed, link, SessionConfig::default());
    let options =
        stt_proto::ConnectOptions { timeout: Duration::from_secs(120), ..Default::default() };
    let mut transfer = Transfer::start_with(&mut world, client, server, &[], options)?;
    let started = world.elapsed();
    world.run_until(LIMIT, |world| {
        transfer.advance(world)?;
        Ok((transfer.is_connected() && transfer.server_session().is_some()).then_some(()))
    })?;
    Ok(world.elapsed() - started)
}

fn handshake_loss(seed: u64) -> Result<Duration, Failure> {
    connect_patiently(seed, Link { loss: 0.3, ..Link::with_delay(ms(25)) })
}

fn handshake_corruption(seed: u64) -> Result<Duration, Failure> {
    connect_patiently(seed, Link { corrupt: 0.3, ..Link::with_delay(ms(25)) })
}

fn transfer(seed: u64) -> Result<Duration, Failure> {
    let session = SessionConfig {
        stream_recv_buffer: 16 * 1024,
        recv_buffer: 32 * 1024,
        ..SessionConfig::default()
    };
    move_bytes(seed, Link::with_delay(ms(5)), session, &[2_000_000, 3_000_000, 5_000_000])
}

fn transfer_loss(seed: u64) -> Result<Duration, Failure> {
    move_bytes(
        seed,
        Link { loss: 0.02, ..Link::with_delay(ms(15)) },
        SessionConfig::default(),
        &[2 * MIB],
    )
}

fn rough(seed: u64) -> Result<Duration, Failure> {
    let link = Link {
        loss: 0.05,
        duplicate: 0.05,
        reorder: 0.1,
        reorder_by: ms(20),
        jitter: ms(2),
        ..Link::with_delay(ms(25))
    };
    move_bytes(seed, link, SessionConfig::default(), &[MIB / 2, MIB / 4, MIB / 4])
}

fn transfer_corruption(seed: u64) -> Result<Duration, Failure> {
    move_bytes(
        seed,
        Link { corrupt: 0.02, ..Link::with_delay(ms(15)) },
        SessionConfig::default(),
        &[MIB],
    )
}

fn duplicate(seed: u64) -> Result<Duration, Failure> {
    move_bytes(
        seed,
        Link { duplicate: 0.5, ..Link::with_delay(ms(15)) },
        SessionConfig::default(),
        &[MIB],
    )
}

fn long_rtt(seed: u64) -> Result<Duration, Failure> {
    move_bytes(seed, Link::with_delay(ms(750)), SessionConfig::default(), &[MIB / 4])
}

fn multiplexing(seed: u64) -> Result<Duration, Failure> {
    let session = SessionConfig { max_concurrent_streams: 1000, ..SessionConfig::default() };
    move_bytes(seed, Link::with_delay(ms(15)), session, &[32; 2000])
}

fn slow(seed: u64) -> Result<Duration, Failure> {
    let link = Link { rate: Some(1_250_000), queue: 25, ..Link::with_delay(ms(15)) };
    move_bytes(seed, link, SessionConfig::default(), &[MIB])
}

fn random(seed: u64) -> Result<Duration, Failure> {
    let mut draw = Random::new(seed, "random scenario");
    let share = |draw: &mut Random, most: u64| draw.below(most * 100 + 1) as f64 / 10_000.0;
    let link = Link {
        delay: draw.duration(ms(200)),
        jitter: draw.duration(ms(30)),
        rate: draw.chance(0.5).then(|| 100_000 + draw.below(10_000_000)),
        queue: 10 + draw.below(200) as usize,
        loss: share(&mut draw, 8),
        duplicate: share(&mut draw, 20),
        reorder: share(&mut draw, 20),
        reorder_by: draw.duration(ms(50)),
        corrupt: share(&mut draw, 3),
        mtu: 1_200 + draw.below(3_000) as usize,
        dark: false,
    };
    let window = 2_048 << draw.below(10);
    let session = SessionConfig {
        stream_recv_buffer: window,
        recv_buffer: 2 * window,
        ..SessionConfig::default()
    };
    let sizes: Vec<u64> = (0..=draw.below(8)).map(|_| draw.below(60_000)).collect();
    move_bytes(seed, link, session, &sizes)
}
