//! The simplest world: two nodes and one link.

use stt_proto::{EndpointConfig, ListenConfig, SessionConfig};

use crate::{
    link::Link,
    random::Random,
    world::{NodeId, World},
};

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
