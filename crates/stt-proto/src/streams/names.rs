//! Ids that applications choose themselves (PROTOCOL.md section 1).
//!
//! A name travels in STREAM_OPEN. Both sides and both kinds share one space, and a name serves once in
//! the life of a session, so what is remembered has a bound of its own.

use std::collections::BTreeMap;

use super::id::StreamId;

/// Names that a session can use up.
pub(super) const MAX_NAMES: usize = 4096;

/// Why a name cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NameError {
    /// This stream has, or had, the name.
    Taken(StreamId),
    /// The session has used up its names.
    Exhausted,
}

/// Every name that was used in a session, and by which stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(BTreeMap<u32, StreamId>);

impl Names {
    /// Whether `name` may be used.
    pub(super) fn check(&self, name: u32) -> Result<(), NameError> {
        if let Some(owner) = self.0.get(&name) {
            return Err(NameError::Taken(*owner));
        }
        if self.0.len() >= MAX_NAMES { Err(NameError::Exhausted) } else { Ok(()) }
    }

    /// Uses `name` for `stream`.
    pub(super) fn claim(&mut self, name: u32, stream: StreamId) -> Result<(), NameError> {
        self.check(name)?;
        self.0.insert(name, stream);
        Ok(())
    }
}
