//! The core's events, in the application's numbers.

use std::net::SocketAddr;
use std::sync::Arc;

use stt_proto::{Direction, Event as Core, Now, PathAddress, SessionHandle, Side};

use super::Driver;
use super::streams::Stream;
use crate::credit::{SendCredit, SessionCredit};
use crate::event::{Event, SharedCredit};
use crate::{SessionNumber, StreamNumber};

impl Driver {
    /// Moves events and stream data from the core to the ring while it has room.
    pub(super) fn collect(&mut self, now: Now) {
        self.take_events(now);
        self.read_messages();
        self.read_streams(now);
        // A read that finds the end of a stream has something to tell, too.
        self.take_events(now);
        self.tell_of_memory();
    }

    fn take_events(&mut self, now: Now) {
        while self.has_room() {
            let Some(event) = self.core.poll_event() else { break };
            self.translate(now, event);
        }
    }

    fn translate(&mut self, now: Now, event: Core) {
        match event {
            Core::Incoming { session, peer, remote } => {
                let (session, _) = self.number(session);
                let (remote, connection) = (address(&remote), connection(&remote));
                self.push(Event::Incoming { session, peer, remote, connection });
            }
            Core::Connected {
                session: handle,
                peer,
                session_id,
                remote,
                initiator,
                resumed,
                early_data,
            } => {
                let (session, credit) = self.number(handle);
                self.end_asking(session);
                credit.outbox.set_max_size(self.core.max_message_size(handle));
                let (remote, connection) = (address(&remote), connection(&remote));
                let credit = SharedCredit(credit);
                self.push(Event::Connected {
                    session,
                    peer,
                    session_id,
                    remote,
                    connection,
                    initiator,
                    resumed,
                    early_data,
                    credit,
                });
            }
            Core::Ticket { session, ticket } => {
                if let Some(session) = self.sessions.number(session) {
                    self.push(Event::Ticket(session, ticket));
                }
            }
            Core::ConnectFailed { session, error } => {
                if let Some(session) = self.sessions.number(session) {
                    self.end_session(now, session);
                    self.push(Event::ConnectFailed { session, fault: error });
                }
            }
            Core::StreamOpened {
                session,
                stream: id,
                direction,
                purpose,
                name,
                priority,
                deadline,
            } => {
                let (number, shared) = self.number(session);
                let stream = self.shared.stream_number();
                let credit = (direction == Direction::Bidirectional)
                    .then(|| SendCredit::new(&shared, self.session_config.send_buffer));
                self.add_stream(stream, Stream::new(number, session, id, credit.clone()));
                self.push(Event::StreamOpened {
                    session: number,
                    stream,
                    id,
                    direction,
                    purpose,
                    name,
                    priority,
                    deadline,
                    credit,
                });
                self.mark_readable(stream);
            }
            Core::MessagesReadable { session } => {
                if let Some(session) = self.sessions.number(session) {
                    self.message_readers.push_back(session);
                }
            }
            Core::MessageSize { session, max } => {
                if let Some(number) = self.sessions.number(session)
                    && let Some(session) = self.sessions.get_mut(number)
                {
                    session.credit.outbox.set_max_size(max);
                }
            }
            Core::StreamReadable { session, stream } => {
                if let Some(number) = self.sessions.stream(session, stream) {
                    self.mark_readable(number);
                }
            }
            Core::StreamReleased { session, stream, acked } => {
                let Some(number) = self.sessions.stream(session, stream) else { return };
                let Some(stream) = self.streams.get_mut(&number) else { return };
                let fresh = acked.saturating_sub(stream.acked);
                stream.acked += fresh;
                if stream.credit.as_ref().is_some_and(|credit| credit.release(fresh)) {
                    self.push(Event::Writable(number));
                }
            }
            Core::StreamFinished { session, stream } => {
                self.stream_event(session, stream, Event::Finished);
            }
            Core::StreamReset { session, stream, code } => {
                let Some(number) = self.sessions.stream(session, stream) else { return };
                self.end_receiving(number);
                self.stream_event(session, stream, |number| Event::Reset(number, code));
            }
            Core::StreamStopped { session, stream, code } => {
                let Some(number) = self.sessions.stream(session, stream) else { return };
                if let Some(stream) = self.streams.get(&number) {
                    stream.kill_sending();
                }
                self.stream_event(session, stream, |number| Event::Stopped(number, code));
            }
            Core::StreamFailed { session, stream, error } => {
                let Some(number) = self.sessions.stream(session, stream) else { return };
                self.end_receiving(number);
                let Some(state) = self.streams.get_mut(&number) else { return };
                state.kill_sending();
                // Either side may find the cause, and tell the other.
                if !std::mem::replace(&mut state.failed, true) {
                    self.stream_event(session, stream, |stream| Event::StreamFailed {
                        stream,
                        fault: error,
                    });
                }
            }
            Core::StreamClosed { session, stream } => {
                if let Some(number) = self.sessions.stream(session, stream) {
                    self.close_stream(now, number);
                }
            }
            Core::StreamsAvailable { session, direction } => {
                if let Some(session) = self.sessions.number(session) {
                    self.push(Event::StreamsAvailable(session, direction));
                }
            }
            Core::Pong { session, token, rtt } => {
                let Some(session) = self.sessions.number(session) else { return };
                if let Some(token) = self.pings.answered(session, token) {
                    self.push(Event::Pong { session, token, rtt });
                }
            }
            Core::PathChange { session, remote } => {
                if let Some(session) = self.sessions.number(session) {
                    let (remote, connection) = (address(&remote), connection(&remote));
                    self.push(Event::PathChange { session, remote, connection });
                }
            }
            Core::PathLost { session, .. } => {
                if let Some(session) = self.sessions.number(session) {
                    self.push(Event::PathLost(session));
                }
            }
            Core::ConnectionUsed { id } => self.push(Event::ConnectionUsed(id as u32)),
            Core::PathStrained { session, strain } => {
                if let Some(session) = self.sessions.number(session) {
                    self.push(Event::PathStrained(session, strain));
                }
            }
            Core::PathSilence { session, silent } => {
                if let Some(session) = self.sessions.number(session) {
                    self.push(Event::PathSilence(session, silent));
                }
            }
            Core::Moved { session, token, .. } => self.on_moved(session, token, None),
            Core::MoveFailed { session, token, reason, .. } => {
                self.on_moved(session, token, Some(reason));
            }
            Core::Draining { session } => {
                if let Some(session) = self.sessions.number(session) {
                    self.push(Event::Draining(session));
                }
            }
            Core::PeerDraining { session, within } => {
                if let Some(session) = self.sessions.number(session) {
                    self.push(Event::PeerDraining(session, within));
                }
            }
            Core::SessionClosed { session, reason, initiator, error, message, undelivered } => {
                let number = self.sessions.number(session);
                if let Some(number) = number {
                    self.end_session(now, number);
                }
                self.core.release(session);
                // One that was refused is not known any more.
                let Some(number) = number else { return };
                self.push(Event::SessionClosed {
                    session: number,
                    reason,
                    remote: initiator == Side::Remote,
                    fault: error,
                    message,
                    undelivered,
                });
            }
            Core::HandshakeError { remote, error } => {
                self.push(Event::HandshakeError { remote: address(&remote), fault: error });
            }
            Core::PathWarning { session, damaged, packets } => {
                if let Some(session) = self.sessions.number(session) {
                    self.push(Event::PathWarning { session, damaged, packets });
                }
            }
            Core::SendError { session, remote, error, count } => {
                let session = session.and_then(|session| self.sessions.number(session));
                let remote = address(&remote);
                self.push(Event::SendError { session, remote, fault: error, count });
            }
            Core::FrameError { session, code, count, frame_type } => {
                let session = session.and_then(|session| self.sessions.number(session));
                let (code, frame_type) = (code as u16, frame_type.map(|frame_type| frame_type.0));
                self.push(Event::FrameError { session, code, count, frame_type });
            }
            // Whatever a later core tells that this driver does not know.
            _ => {}
        }
    }

    /// The number of a session, given now if the core has just made it.
    fn number(&mut self, handle: SessionHandle) -> (SessionNumber, Arc<SessionCredit>) {
        if let Some(number) = self.sessions.number(handle)
            && let Some(session) = self.sessions.get_mut(number)
        {
            session.announced = true;
            return (number, Arc::clone(&session.credit));
        }
        let number = self.shared.session_number();
        let credit = SessionCredit::new(&self.session_config, self.core.memory());
        self.sessions.insert(number, handle, Arc::clone(&credit));
        if let Some(session) = self.sessions.get_mut(number) {
            session.announced = true;
        }
        (number, credit)
    }

    pub(super) fn add_stream(&mut self, number: StreamNumber, stream: Stream) {
        if let Some(session) = self.sessions.get_mut(stream.session) {
            session.streams.insert(stream.id, number);
        }
        self.streams.insert(number, stream);
    }

    fn stream_event(
        &mut self,
        session: SessionHandle,
        stream: stt_proto::StreamId,
        event: impl FnOnce(StreamNumber) -> Event,
    ) {
        let Some(number) = self.sessions.stream(session, stream) else { return };
        if self.streams.get(&number).is_some_and(|stream| !stream.forgotten) {
            self.push(event(number));
        }
    }

    /// Forgets a session and its streams, after what they still had to give.
    pub(super) fn end_session(&mut self, now: Now, number: SessionNumber) {
        self.end_asking(number);
        let Some(session) = self.sessions.get_mut(number) else { return };
        let streams: Vec<StreamNumber> = session.streams.values().copied().collect();
        for stream in streams {
            self.drop_stream(now, stream);
        }
        self.end_messages(number);
        // Streams that were done but for bytes the application had yet to consume.
        self.streams.retain(|_, stream| stream.session != number);
        self.pings.end(number);
        self.moves.retain(|(session, _), _| *session != number);
        self.sessions.remove(number);
    }
}

/// The socket address of a path's far end.
fn address(path: &PathAddress) -> SocketAddr {
    match path {
        PathAddress::Udp { remote, .. } => *remote,
        PathAddress::Connection(connection) => connection.remote,
    }
}

/// The number of a path's connection, where it is one.
fn connection(path: &PathAddress) -> Option<u32> {
    path.connection().map(|connection| connection.id as u32)
}
