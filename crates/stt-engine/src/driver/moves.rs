//! Sessions that the application moves to another path.

use stt_proto::{
    ErrorCode, Fault, FaultDetail, MoveFailure, Now, PathAddress, SendError, SessionHandle,
};

use super::Driver;
use crate::SessionNumber;
use crate::command::MoveTarget;
use crate::event::Event;

impl Driver {
    pub(super) fn move_session(
        &mut self,
        now: Now,
        session: SessionNumber,
        token: u64,
        to: MoveTarget,
    ) {
        let moved = self.sessions.handle(session).and_then(|handle| {
            let path = match to {
                MoveTarget::Connection(id) => PathAddress::Connection(self.connection(id)?),
                other => other.path_from(&self.core.path_of(handle)?)?,
            };
            self.core.move_session(now, handle, path).ok()
        });
        match moved {
            Some(ours) => drop(self.moves.insert((session, ours), token)),
            None => {
                let gone =
                    matches!(to, MoveTarget::Connection(id) if self.connection(id).is_none());
                let code = if gone { ErrorCode::WebSocketClosed } else { ErrorCode::SessionClosed };
                let fault = Fault::new(code);
                self.push(Event::MoveFailed { session, token, fault });
            }
        }
    }

    pub(super) fn cancel_move(&mut self, now: Now, session: SessionNumber, token: u64) {
        let ours = self
            .moves
            .iter()
            .find(|((of, _), theirs)| *of == session && **theirs == token)
            .map(|((_, ours), _)| *ours);
        if let Some(ours) = ours
            && let Some(handle) = self.sessions.handle(session)
        {
            self.core.cancel_move(now, handle, ours);
        }
    }

    pub(super) fn seek_path(&mut self, now: Now, session: SessionNumber, seeking: bool) {
        if let Some(handle) = self.sessions.handle(session) {
            self.core.seek_path(now, handle, seeking);
        }
    }

    /// What became of a move, told if somebody still waits for it.
    pub(super) fn on_moved(
        &mut self,
        session: SessionHandle,
        ours: u64,
        failure: Option<MoveFailure>,
    ) {
        let Some(session) = self.sessions.number(session) else { return };
        let Some(token) = self.moves.remove(&(session, ours)) else { return };
        let Some(failure) = failure else {
            self.push(Event::Moved { session, token });
            return;
        };
        if let Some(fault) = move_fault(failure) {
            self.push(Event::MoveFailed { session, token, fault });
        }
    }
}

/// `None` for what the application did itself.
fn move_fault(failure: MoveFailure) -> Option<Fault> {
    let waited = |code, waited: std::time::Duration| {
        Fault::new(code).with_detail(FaultDetail::Waited { ms: waited.as_millis() as u64 })
    };
    match failure {
        MoveFailure::NoAnswer { waited: time } => Some(waited(ErrorCode::ConnectionTimeout, time)),
        MoveFailure::NoPathId { waited: time } => Some(waited(ErrorCode::Timeout, time)),
        MoveFailure::Refused(error) => {
            let code = match error {
                SendError::Unreachable(_) => ErrorCode::NetworkUnreachable,
                _ => ErrorCode::UdpSendFailed,
            };
            let detail = FaultDetail::Os { errno: error.errno(), ms: 0 };
            Some(Fault::new(code).with_detail(detail))
        }
        MoveFailure::ConnectionLost => Some(Fault::new(ErrorCode::WebSocketClosed)),
        MoveFailure::Replaced | MoveFailure::Cancelled => None,
    }
}
