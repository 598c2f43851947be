//! Moves bytes between two engines over loopback and prints what it cost.
//!
//! `cargo run --release -p stt-engine --example bulk -- [MiB] [MTU]` runs both engines in this process;
//! the CPU seconds are those of both sides together, threads of the application included.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use stt_crypto::{NodeSeed, SharedSeed};
use stt_engine::{
    Engine, EngineConfig, Event, LogConfig, SocketOptions, StreamNumber, Taken, Written,
};
use stt_proto::{
    ConnectOptions, EndpointConfig, ListenConfig, NetworkKeys, NodeIdentity, SessionConfig,
    StreamOptions,
};

type Failure = Box<dyn Error + Send + Sync>;

fn random(which: u8) -> [u8; 32] {
    std::array::from_fn(|i| (i as u8).wrapping_mul(151).wrapping_add(which) ^ 0x5c)
}

fn start(which: u8, mtu: usize) -> Result<(Engine, Receiver<()>), Failure> {
    let (ring, bell) = sync_channel(1);
    let config = EngineConfig {
        bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        socket: SocketOptions { send_buffer: 4 << 20, recv_buffer: 4 << 20, busy_poll: 0 },
        endpoint: EndpointConfig {
            session: SessionConfig { mtu, ..SessionConfig::default() },
            ..EndpointConfig::default()
        },
        identity: NodeIdentity::from_seed(&NodeSeed::new(&random(which))?),
        networks: vec![NetworkKeys::new(&SharedSeed::new(&random(99))?)],
        rng_seed: random(which + 50),
        logs: LogConfig::default(),
    };
    Ok((
        Engine::start(
            config,
            Box::new(move || {
                let _ = ring.try_send(());
            }),
        )?,
        bell,
    ))
}

/// Hands events to `take` until it has what it wants.
fn wait<T>(
    engine: &Engine,
    bell: &Receiver<()>,
    mut take: impl FnMut(&mut Event) -> Option<T>,
) -> Result<T, Failure> {
    loop {
        let mut found = None;
        engine.poll(|event| {
            if found.is_some() {
                return Taken::No;
            }
            found = take(event);
            Taken::Whole
        });
        match found {
            Some(found) => return Ok(found),
            None => bell.recv_timeout(Duration::from_secs(30))?,
        }
    }
}

fn receive(engine: &Engine, bell: &Receiver<()>, total: u64) -> Result<(), Failure> {
    let mut seen = 0;
    let mut copy = vec![0; 1 << 20];
    wait(engine, bell, |event| {
        if let Event::Data { stream, bytes, .. } = event {
            copy[..bytes.len()].copy_from_slice(bytes);
            seen += bytes.len() as u64;
            engine.consumed(std::iter::once((*stream, bytes.len() as u64)));
        }
        (seen >= total).then_some(())
    })
}

fn send(
    engine: &Engine,
    bell: &Receiver<()>,
    stream: StreamNumber,
    total: u64,
) -> Result<(), Failure> {
    let chunk = vec![0x5a; 64 * 1024];
    let mut left = total;
    while left > 0 {
        let bytes = &chunk[..chunk.len().min(usize::try_from(left)?)];
        match engine.write(stream, bytes) {
            Written::Taken(taken) => {
                left -= taken as u64;
                if taken < bytes.len() {
                    wait(engine, bell, |event| matches!(event, Event::Writable(_)).then_some(()))?;
                }
            }
            Written::Dead => return Err("the stream died".into()),
            Written::Exhausted(shortage) => return Err(format!("{shortage:?}").into()),
        }
    }
    engine.finish(stream);
    wait(engine, bell, |event| matches!(event, Event::Finished(_)).then_some(()))
}

/// CPU seconds of this process so far, where the system tells.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // utime and stime, in hundredths of a second on every Linux that matters (proc(5)).
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

fn main() -> Result<(), Failure> {
    let mib: u64 = std::env::args().nth(1).map_or(Ok(2048), |arg| arg.parse())?;
    let total = mib << 20;
    let mtu = std::env::args().nth(2).map_or(Ok(65_507), |arg| arg.parse())?;
    let (server, server_bell) = start(1, mtu)?;
    let (client, client_bell) = start(2, mtu)?;
    server.listen(Some(ListenConfig::default()));
    let session = client.connect(server.address(), ConnectOptions::default());
    wait(&client, &client_bell, |event| match event {
        Event::Connected { .. } => Some(Ok(())),
        Event::ConnectFailed { fault, .. } => Some(Err(*fault)),
        _ => None,
    })??;
    let stream = client.open_stream(session, StreamOptions::default());
    let (started, cpu) = (Instant::now(), cpu_seconds());
    thread::scope(|scope| {
        let receiving = &server;
        let receiver = scope.spawn(move || receive(receiving, &server_bell, total));
        send(&client, &client_bell, stream, total)?;
        receiver.join().map_err(|_| "the receiver panicked")?
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let gigabytes = total as f64 / 1e9;
    println!("{:.0} MB/s ({mib} MiB in {seconds:.2} s)", gigabytes * 1000.0 / seconds);
    if let (Some(before), Some(after)) = (cpu, cpu_seconds()) {
        println!("{:.2} CPU s/GB, both sides", (after - before) / gigabytes);
    }
    for (name, engine) in [("sender", &client), ("receiver", &server)] {
        if let Some(stats) = engine.stats() {
            println!("{name}: {stats:?}");
        }
    }
    if let Some(stats) = client.session_stats(session) {
        println!("session: {stats:?}");
    }
    Ok(())
}
