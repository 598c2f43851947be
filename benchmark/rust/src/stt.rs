//! STT from Rust: the engine that the addon drives, without Node.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use serde_json::json;
use stt_crypto::{NodeSeed, SharedSeed};
use stt_engine::{
    CloseOptions, Engine, EngineConfig, Event, LogConfig, SessionNumber, SocketOptions,
    StreamNumber, Taken, Written,
};
use stt_proto::{
    ConnectOptions, EndpointConfig, ListenConfig, NetworkKeys, NodeIdentity, SessionConfig,
    StreamOptions,
};

use crate::report::{Meter, say};
use crate::{BLOCK, Failure, WARM_UP};

/// Bytes of a datagram on an Ethernet, and on one with jumbo frames, over IPv6.
pub(crate) const ETHERNET: usize = 1452;
pub(crate) const JUMBO: usize = 8952;

const PATIENCE: Duration = Duration::from_secs(30);
/// A server waits until it is killed.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);

/// An engine, and the bell that rings when it has something to say.
struct Node {
    engine: Engine,
    bell: Receiver<()>,
}

fn random(which: u8) -> [u8; 32] {
    std::array::from_fn(|i| (i as u8).wrapping_mul(151).wrapping_add(which) ^ 0x5c)
}

impl Node {
    fn start(which: u8, mtu: usize) -> Result<Self, Failure> {
        let (ring, bell) = sync_channel(1);
        let session = SessionConfig { mtu, ..SessionConfig::default() };
        let config = EngineConfig {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            socket: SocketOptions { send_buffer: 4 << 20, recv_buffer: 4 << 20, busy_poll: 0 },
            endpoint: EndpointConfig { session, ..EndpointConfig::default() },
            identity: NodeIdentity::from_seed(&NodeSeed::new(&random(which))?),
            networks: vec![NetworkKeys::new(&SharedSeed::new(&random(99))?)],
            rng_seed: random(which + 50),
            logs: LogConfig::default(),
        };
        let ring = Box::new(move || {
            // One that is full rings already.
            let _ = ring.try_send(());
        });
        Ok(Self { engine: Engine::start(config, ring)?, bell })
    }

    /// Hands events to `take` until it has what it wants.
    fn wait<T>(&self, take: impl FnMut(&mut Event) -> Option<T>) -> Result<T, Failure> {
        self.wait_for(PATIENCE, take)
    }

    fn wait_for<T>(
        &self,
        patience: Duration,
        mut take: impl FnMut(&mut Event) -> Option<T>,
    ) -> Result<T, Failure> {
        loop {
            let mut found = None;
            self.engine.poll(|event| {
                if found.is_some() {
                    return Taken::No;
                }
                found = take(event);
                Taken::Whole
            });
            match found {
                Some(found) => return Ok(found),
                None => self.bell.recv_timeout(patience)?,
            }
        }
    }

    fn connect(&self, target: SocketAddr) -> Result<SessionNumber, Failure> {
        self.engine.connect(target, ConnectOptions::default());
        self.wait(connected)?
    }

    fn send(&self, stream: StreamNumber, bytes: &[u8]) -> Result<(), Failure> {
        let mut left = bytes;
        while !left.is_empty() {
            match self.engine.write(stream, left) {
                Written::Taken(taken) => {
                    left = &left[taken..];
                    if !left.is_empty() {
                        self.wait(|event| matches!(event, Event::Writable(_)).then_some(()))?;
                    }
                }
                other => return Err(format!("{other:?}").into()),
            }
        }
        Ok(())
    }
}

pub(crate) fn serve(mtu: usize) -> Result<(), Failure> {
    let node = Node::start(1, mtu)?;
    node.engine.listen(Some(ListenConfig::default()));
    say(&json!({ "target": node.engine.address().to_string() }));
    let mut copy = vec![0; 1 << 20];
    loop {
        let (mut meter, mut bytes, mut from) = (None, 0, None);
        let whole = node.wait_for(FOR_EVER, |event| match event {
            Event::StreamOpened { stream, .. } => {
                (meter, from) = (Some(Meter::start()), Some(*stream));
                None
            }
            Event::Data { stream, bytes: part, fin } if Some(*stream) == from => {
                // As an application would that keeps what it reads.
                copy[..part.len()].copy_from_slice(part);
                bytes += part.len() as u64;
                node.engine.consumed(std::iter::once((*stream, part.len() as u64)));
                fin.then_some(*stream)
            }
            _ => None,
        })?;
        if let Some(meter) = meter {
            meter.report(bytes);
        }
        node.send(whole, &u64::to_le_bytes(bytes))?;
        node.engine.finish(whole);
    }
}

pub(crate) fn send(target: &str, bytes: u64, mtu: usize) -> Result<(), Failure> {
    let node = Node::start(2, mtu)?;
    let session = node.connect(target.parse()?)?;
    let block = vec![0x5a; BLOCK];
    for bytes in [WARM_UP, bytes] {
        let meter = Meter::start();
        let stream = node.engine.open_stream(session, StreamOptions::default());
        let mut left = bytes;
        while left > 0 {
            let part = &block[..BLOCK.min(left as usize)];
            node.send(stream, part)?;
            left -= part.len() as u64;
        }
        node.engine.finish(stream);
        let mut heard = Vec::new();
        node.wait(|event| match event {
            Event::Data { stream: from, bytes, fin } if *from == stream => {
                heard.extend_from_slice(bytes);
                fin.then_some(())
            }
            _ => None,
        })?;
        if heard != bytes.to_le_bytes() {
            return Err("not all has arrived".into());
        }
        meter.report(bytes);
    }
    Ok(())
}

pub(crate) fn connect(target: &str, count: usize, at_once: usize) -> Result<(), Failure> {
    let node = Node::start(2, ETHERNET)?;
    let target: SocketAddr = target.parse()?;
    let goodbye = CloseOptions {
        reason: stt_proto::CloseReason::Graceful,
        code: 0,
        message: String::new(),
        drain: Duration::ZERO,
    };
    let meter = Meter::start();
    let begin = || node.engine.connect(target, ConnectOptions::default());
    let (mut begun, mut done) = (at_once.min(count), 0);
    for _ in 0..begun {
        begin();
    }
    while done < count {
        let session = node.wait(connected)??;
        node.engine.close_session(session, goodbye.clone());
        done += 1;
        if begun < count {
            begin();
            begun += 1;
        }
    }
    meter.report_count(count);
    Ok(())
}

fn connected(event: &mut Event) -> Option<Result<SessionNumber, Failure>> {
    match event {
        Event::Connected { session, .. } => Some(Ok(*session)),
        Event::ConnectFailed { fault, .. } => Some(Err(format!("{fault:?}").into())),
        _ => None,
    }
}
