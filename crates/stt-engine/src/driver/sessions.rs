//! Which of the engine's numbers stand for which of the core's sessions and streams.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use stt_proto::{SessionHandle, StreamId};

use crate::credit::SessionCredit;
use crate::{SessionNumber, StreamNumber};

/// A session, or a connect in progress.
pub(super) struct Session {
    pub(super) handle: SessionHandle,
    pub(super) credit: Arc<SessionCredit>,
    /// The application knows of it as a session; until then it is a connect in progress.
    pub(super) announced: bool,
    /// Its streams. Ids come from the peer, so the map is one that no choice of keys slows down.
    pub(super) streams: BTreeMap<StreamId, StreamNumber>,
}

/// All sessions of the engine.
#[derive(Default)]
pub(super) struct Sessions {
    by_number: FxHashMap<SessionNumber, Session>,
    by_handle: FxHashMap<SessionHandle, SessionNumber>,
}

impl Sessions {
    pub(super) fn insert(
        &mut self,
        number: SessionNumber,
        handle: SessionHandle,
        credit: Arc<SessionCredit>,
    ) {
        self.by_handle.insert(handle, number);
        let session = Session { handle, credit, announced: false, streams: BTreeMap::new() };
        self.by_number.insert(number, session);
    }

    pub(super) fn remove(&mut self, number: SessionNumber) -> Option<Session> {
        let session = self.by_number.remove(&number)?;
        self.by_handle.remove(&session.handle);
        Some(session)
    }

    pub(super) fn get_mut(&mut self, number: SessionNumber) -> Option<&mut Session> {
        self.by_number.get_mut(&number)
    }

    pub(super) fn by_handle(&self, handle: SessionHandle) -> Option<&Session> {
        self.by_number.get(self.by_handle.get(&handle)?)
    }

    pub(super) fn handle(&self, number: SessionNumber) -> Option<SessionHandle> {
        self.by_number.get(&number).map(|session| session.handle)
    }

    pub(super) fn number(&self, handle: SessionHandle) -> Option<SessionNumber> {
        self.by_handle.get(&handle).copied()
    }

    pub(super) fn stream(&self, handle: SessionHandle, id: StreamId) -> Option<StreamNumber> {
        self.by_number.get(self.by_handle.get(&handle)?)?.streams.get(&id).copied()
    }

    pub(super) fn numbers(&self) -> Vec<SessionNumber> {
        let mut numbers: Vec<_> = self.by_number.keys().copied().collect();
        // The map's order depends on its history; the core's input shall not.
        numbers.sort_unstable();
        numbers
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }
}
