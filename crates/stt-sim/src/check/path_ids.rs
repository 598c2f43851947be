//! Whether a watcher of two paths could tell that they are one session's: the path id of a sealed
//! packet is what anybody can read (PROTOCOL.md sections 1.1 and 6.3).

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
};

/// Where the path id stands in a header (PROTOCOL.md section 1.1).
const PATH_ID: core::ops::Range<usize> = 4..12;
/// Set in a packet's first byte where its payload is sealed.
const SEALED: u8 = 0x80;

/// Where each path id was seen first.
#[derive(Debug, Default)]
pub(crate) struct PathIds {
    seen: BTreeMap<[u8; 8], [SocketAddr; 2]>,
    /// What was seen elsewhere as well.
    joined: Option<String>,
}

impl PathIds {
    /// A datagram went from one address to another. All its packets are of one session.
    pub(crate) fn on_sent(&mut self, from: SocketAddr, to: SocketAddr, datagram: &[u8]) {
        let is_sealed = datagram.first().is_some_and(|first| first & SEALED != 0);
        let id = datagram.get(PATH_ID).and_then(|id| <[u8; 8]>::try_from(id).ok());
        let Some(id) = id.filter(|_| is_sealed) else { return };
        match self.seen.entry(id) {
            Entry::Vacant(place) => {
                place.insert([from, to]);
            }
            Entry::Occupied(place) if *place.get() != [from, to] => {
                let [old_from, old_to] = place.get();
                self.joined.get_or_insert_with(|| {
                    format!(
                        "path id {id:02x?} went from {old_from} to {old_to} and now from {from} to \
                         {to}: whoever sees both knows that they are one session"
                    )
                });
            }
            Entry::Occupied(_) => {}
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        self.joined.clone().map_or(Ok(()), Err)
    }
}
