//! What the tests of this crate share: two nodes, and waiting for what they say.
#![allow(dead_code, reason = "each test file uses a part")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use stt_proto::{
    ConnectOptions, EndpointConfig, ErrorCode, Event, Fault, ListenConfig, SessionHandle,
};
use stt_sim::{Link, NodeId, World};

/// One way of the path of most tests.
pub(crate) const DELAY: Duration = Duration::from_millis(25);
/// How long anything may take on the virtual clock.
pub(crate) const LIMIT: Duration = Duration::from_secs(300);
/// The shared seed of both nodes unless a test says otherwise.
pub(crate) const SHARED: [u8; 32] = *b"\x8e\x11\x02\xc7\x5a\x93\xf4\x60\xb7\x2d\xe9\x14\x4f\xa8\x33\xdc\x01\x6b\x95\x7e\xf0\xc2\x48\x1a\xd6\x39\x87\xb4\x22\x5f\xeb\x70";
/// Another one.
pub(crate) const OTHER: [u8; 32] = *b"\x39\xd2\x7b\x05\xc8\x64\xa1\xfe\x12\x97\x4d\xb3\x58\xe0\x26\x8f\xca\x71\x0b\xd5\x93\x3e\x6c\xa7\x41\xf9\x80\x1d\xb6\x54\xe2\x2b";
/// The node seed of the server where it must last over a restart.
pub(crate) const NODE: [u8; 32] = *b"\x5d\x90\xe3\x2a\x17\xbc\x4f\x86\xf1\x08\xd9\x63\xa4\x7c\x35\xee\x42\x9b\x01\xc6\x58\xfd\x2f\x74\xba\x13\x8a\xe7\x60\xc5\x39\x0e";

/// Two nodes over a clean path; the second listens.
pub(crate) struct Pair {
    pub(crate) world: World,
    pub(crate) client: NodeId,
    pub(crate) server: NodeId,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(EndpointConfig::default(), ListenConfig::default(), Link::with_delay(DELAY))
    }

    pub(crate) fn with(config: EndpointConfig, listen: ListenConfig, link: Link) -> Self {
        Self::with_seeds(config, listen, link, &[SHARED], &[SHARED])
    }

    pub(crate) fn with_seeds(
        config: EndpointConfig,
        listen: ListenConfig,
        link: Link,
        client_seeds: &[[u8; 32]],
        server_seeds: &[[u8; 32]],
    ) -> Self {
        let mut world = World::new(1, link);
        let client = world.add_node_with(config.clone(), client_seeds, SHARED.map(|byte| !byte));
        let server = world.add_node_with(config, server_seeds, NODE);
        world.endpoint_mut(server).set_listening(Some(listen));
        Self { world, client, server }
    }

    pub(crate) fn connect(&mut self) -> SessionHandle {
        self.connect_with(ConnectOptions::default())
    }

    pub(crate) fn connect_with(&mut self, options: ConnectOptions) -> SessionHandle {
        let (now, path) = (self.world.now_at(self.client), self.world.path_to(self.server));
        self.world.endpoint_mut(self.client).connect(now, path, options).unwrap()
    }

    /// Connects and waits for both sides: their handles.
    pub(crate) fn establish(&mut self) -> (SessionHandle, SessionHandle) {
        let ours = self.connect();
        let theirs = wait(&mut self.world, self.server, |event| match event {
            Event::Connected { session, .. } => Some(*session),
            _ => None,
        });
        wait(&mut self.world, self.client, connected);
        (ours, theirs)
    }

    /// Waits for the connect to fail.
    pub(crate) fn failure(&mut self) -> Fault {
        wait(&mut self.world, self.client, |event| match event {
            Event::ConnectFailed { error, .. } => Some(*error),
            Event::Connected { .. } => panic!("connected: {event:?}"),
            _ => None,
        })
    }

    /// Sets both directions dark or light.
    pub(crate) fn set_dark(&mut self, dark: bool) {
        let link = Link { dark, ..Link::with_delay(DELAY) };
        self.world.set_links(self.client, self.server, &link);
    }
}

pub(crate) fn connected(event: &Event) -> Option<()> {
    matches!(event, Event::Connected { .. }).then_some(())
}

/// The end of a session: its error, and how many bytes were not delivered.
pub(crate) fn closed(event: &Event) -> Option<(Option<ErrorCode>, u64)> {
    match event {
        Event::SessionClosed { error, undelivered, .. } => {
            Some((error.map(|error| error.code), *undelivered))
        }
        _ => None,
    }
}

/// Runs until a node says what `pick` looks for. Events before it are dropped.
pub(crate) fn wait<T>(
    world: &mut World,
    node: NodeId,
    mut pick: impl FnMut(&Event) -> Option<T>,
) -> T {
    world
        .run_until(LIMIT, |world| Ok(world.take_events(node).iter().find_map(&mut pick)))
        .unwrap_or_else(|failure| panic!("{failure}"))
}

/// Takes the next datagram that a node would send, before it is sent.
pub(crate) fn steal(world: &mut World, node: NodeId) -> Vec<u8> {
    let now = world.now_at(node);
    let mut buffer = vec![0; 65_536];
    let transmit = world.endpoint_mut(node).poll_transmit(now, 1, &mut buffer).unwrap();
    buffer.truncate(transmit.len);
    buffer
}
