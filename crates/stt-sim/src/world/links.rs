//! The links between hosts, and other people's flows over them.

use crate::{
    cross::{CrossFlow, CrossKind, CrossStats},
    link::{IPV4_OVERHEAD, Link, LinkState, LinkStats},
    random::Random,
};

use super::{NodeId, World, arrivals::Cargo};

impl World {
    /// Sets the link from one node to another; the way back is its own.
    pub fn set_link(&mut self, from: NodeId, to: NodeId, link: Link) {
        self.link_state((from, 0), (to, 0)).link = link;
    }

    /// Sets both directions between two nodes.
    pub fn set_links(&mut self, a: NodeId, b: NodeId, link: &Link) {
        self.set_link(a, b, link.clone());
        self.set_link(b, a, link.clone());
    }

    /// The link from one interface to another, to be changed.
    pub fn link_mut(&mut self, from: (NodeId, usize), to: (NodeId, usize)) -> &mut Link {
        &mut self.link_state(from, to).link
    }

    /// Lets all these ways, each from an interface to another, share one link and its queue.
    pub fn share_link(&mut self, ways: &[[(NodeId, usize); 2]], link: Link) {
        let index = self.links.len();
        let random = Random::new(self.seed, &format!("shared link {index}"));
        self.links.push(LinkState::new(link, random));
        for way in ways {
            self.routes.insert(*way, index);
        }
    }

    /// Lets a model of another flow send over the link between two interfaces, from now on.
    pub fn add_cross_flow(
        &mut self,
        from: (NodeId, usize),
        to: (NodeId, usize),
        kind: CrossKind,
    ) -> usize {
        let delay = self.link_state(to, from).link.delay;
        let link = self.link_index(from, to);
        self.cross.push((link, CrossFlow::new(kind, delay, self.now)));
        self.cross.len() - 1
    }

    /// Ends every model of another flow; what it has on the way is dropped. Their numbers are void.
    pub fn end_cross_flows(&mut self) {
        self.cross.clear();
    }

    /// What a model has done so far.
    #[must_use]
    pub fn cross_stats(&self, flow: usize) -> CrossStats {
        self.cross[flow].1.stats()
    }

    /// Counters of one direction.
    pub fn link_stats(&mut self, from: NodeId, to: NodeId) -> LinkStats {
        self.link_state((from, 0), (to, 0)).stats
    }

    pub(super) fn link_state(
        &mut self,
        from: (NodeId, usize),
        to: (NodeId, usize),
    ) -> &mut LinkState {
        let index = self.link_index(from, to);
        &mut self.links[index]
    }

    pub(super) fn link_index(&mut self, from: (NodeId, usize), to: (NodeId, usize)) -> usize {
        let (seed, links, link) = (self.seed, &mut self.links, &self.default_link);
        *self.routes.entry([from, to]).or_insert_with(|| {
            let name = format!("link {}.{} {}.{}", from.0, from.1, to.0, to.1);
            links.push(LinkState::new(link.clone(), Random::new(seed, &name)));
            links.len() - 1
        })
    }

    pub(super) fn drain_cross(&mut self, flow: usize) {
        let now = self.now;
        let (link, model) = &mut self.cross[flow];
        let mut flights = Vec::new();
        while let Some((number, len)) = model.poll_transmit(now) {
            for flight in self.links[*link]
                .send(now, len - IPV4_OVERHEAD, IPV4_OVERHEAD, None)
                .into_iter()
                .flatten()
            {
                flights.push((flight.at, number));
            }
        }
        for (at, number) in flights {
            self.push(at, Cargo::Cross { flow, number });
        }
    }
}
