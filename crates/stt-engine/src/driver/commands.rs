//! What the application asked for, told to the core.

use std::sync::Arc;
use std::time::Duration;

use stt_proto::{
    Close, CloseReason, ConnectError, ErrorCode, Fault, FaultDetail, Now, OpenError, PathAddress,
    Shortage, StreamOptions,
};

use super::streams::Stream;
use super::{CLOSE_GRACE, Driver};
use crate::command::{CloseOptions, Command, ConnectTarget};
use crate::credit::SendCredit;
use crate::event::Event;
use crate::{SessionNumber, StreamNumber};

impl Driver {
    pub(super) fn run_commands(&mut self, now: Now) {
        let mut commands = std::mem::take(&mut self.commands);
        self.shared.commands.take(&mut commands);
        for command in commands.drain(..) {
            self.run_command(now, command);
        }
        self.commands = commands;
    }

    fn run_command(&mut self, now: Now, command: Command) {
        match command {
            Command::Listen(config) => self.core.set_listening(config),
            Command::Connect { session, to, options, credit } => {
                let path = match to {
                    ConnectTarget::Udp(remote) => Some(PathAddress::udp(remote)),
                    ConnectTarget::Connection(id) => {
                        self.connection(id).map(PathAddress::Connection)
                    }
                };
                let Some(path) = path else {
                    let fault = Fault::new(ErrorCode::WebSocketClosed);
                    self.push(Event::ConnectFailed { session, fault });
                    return;
                };
                match self.core.connect(now, path, *options) {
                    Ok(handle) => {
                        self.sessions.insert(session, handle, credit);
                        if let PathAddress::Udp { remote, .. } = path {
                            self.begin_asking(session, remote);
                        }
                    }
                    Err(error) => {
                        self.push(Event::ConnectFailed { session, fault: connect_fault(error) });
                    }
                }
            }
            Command::Accept(session) => {
                if let Some(handle) = self.sessions.handle(session) {
                    self.core.accept(now, handle);
                }
            }
            Command::Refuse(session, code) => {
                if let Some(handle) = self.sessions.handle(session) {
                    let code = ErrorCode::from_u16(code).unwrap_or(ErrorCode::AuthenticationFailed);
                    self.core.refuse(now, handle, code);
                    self.sessions.remove(session);
                }
            }
            Command::CloseSession(session, options) => {
                self.close_session(now, session, &options);
            }
            Command::Open { session, stream, options, credit } => {
                self.open(now, session, stream, *options, credit);
            }
            Command::Write(stream, bytes) => {
                if let Some(stream) = self.streams.get(&stream) {
                    // A stream that can no longer be written has an event that says so.
                    let _ = self.core.write(now, stream.handle, stream.id, bytes.freeze());
                }
            }
            Command::Finish(stream) => {
                if let Some(stream) = self.streams.get(&stream) {
                    let _ = self.core.finish(now, stream.handle, stream.id);
                }
            }
            Command::Reset(stream, code) => {
                if let Some(stream) = self.streams.get(&stream) {
                    stream.kill_sending();
                    let _ = self.core.reset(now, stream.handle, stream.id, code);
                }
            }
            Command::Stop(number, code) => {
                // Nothing more is delivered, not even an end.
                self.end_receiving(number);
                if let Some(stream) = self.streams.get(&number) {
                    let _ = self.core.stop(now, stream.handle, stream.id, code);
                }
            }
            Command::Consumed(stream, bytes) => self.consumed(now, stream, bytes),
            Command::Release(stream) => self.forget(now, stream),
            Command::Messages(session) => self.move_messages(now, session),
            Command::WantMtu(session) => {
                if let Some(handle) = self.sessions.handle(session) {
                    self.core.want_mtu(now, handle);
                }
            }
            Command::HandleFrames(session, frame_type, held) => {
                if let Some(handle) = self.sessions.handle(session) {
                    self.core.handle_frames(now, handle, frame_type, held);
                }
            }
            Command::Ping(session, token) => {
                if let Some(handle) = self.sessions.handle(session)
                    && let Some(sent) = self.core.ping(now, handle)
                {
                    self.pings.insert(session, token, sent);
                }
            }
            Command::CancelPing(session, token) => {
                if let Some(handle) = self.sessions.handle(session)
                    && let Some(sent) = self.pings.cancel(session, token)
                {
                    self.core.cancel_ping(now, handle, sent);
                }
            }
            Command::AnnounceEnd(session, within) => {
                if let Some(handle) = self.sessions.handle(session) {
                    self.core.announce_end(now, handle, within);
                }
            }
            Command::OpenConnection(connection, room, inflow) => {
                self.open_connection(connection, room, inflow);
            }
            Command::Received(id, message) => self.receive_message(now, id, message),
            Command::ConnectionWritable(id, bytes) => self.connection_writable(now, id, bytes),
            Command::CloseConnection(id) => self.close_connection(now, id),
            Command::Move { session, token, to } => self.move_session(now, session, token, to),
            Command::CancelMove(session, token) => self.cancel_move(now, session, token),
            Command::Seek(session, seeking) => self.seek_path(now, session, seeking),
            Command::Rebind(token, socket) => self.rebind(now, token, *socket),
            Command::Revoke(peer) => self.core.revoke(now, peer),
            Command::Close(drain) => self.close(now, drain),
            #[cfg(test)]
            Command::Panic => panic!("asked for by a test"),
        }
    }

    fn open(
        &mut self,
        now: Now,
        session: SessionNumber,
        stream: StreamNumber,
        options: StreamOptions,
        credit: Arc<SendCredit>,
    ) {
        let opened = match self.sessions.handle(session) {
            Some(handle) => self.core.open_stream(now, handle, options).map(|id| (handle, id)),
            None => Err(OpenError::SessionClosed),
        };
        match opened {
            Ok((handle, id)) => {
                self.add_stream(stream, Stream::new(session, handle, id, Some(credit)));
                self.push(Event::Opened { stream, id });
            }
            Err(error) => {
                credit.kill();
                self.push(Event::OpenFailed { stream, fault: open_fault(error) });
            }
        }
    }

    fn close_session(&mut self, now: Now, number: SessionNumber, options: &CloseOptions) {
        let Some(session) = self.sessions.get_mut(number) else { return };
        let (handle, announced) = (session.handle, session.announced);
        let close = Close {
            reason: options.reason,
            code: options.code,
            message: &options.message,
            drain: options.drain,
        };
        self.core.close(now, handle, close);
        if !announced {
            // The core has no more to say of a connect that was given up.
            self.end_session(now, number);
            let fault = Fault::new(ErrorCode::SessionClosed);
            self.push(Event::ConnectFailed { session: number, fault });
        }
    }

    /// Closes every session and then the engine.
    fn close(&mut self, now: Now, drain: Duration) {
        if self.closing.is_some() {
            return;
        }
        self.closing = Some(now.mono + drain + CLOSE_GRACE);
        self.core.set_listening(None);
        let options = graceful(drain);
        for session in self.sessions.numbers() {
            self.close_session(now, session, &options);
        }
    }

    /// The engine ends at once: tells each peer, if the socket takes it, and waits for nothing. What was
    /// under way is lost, so that this is no graceful end.
    pub(super) fn say_goodbye(&mut self, now: Now) {
        self.core.set_listening(None);
        let options = CloseOptions {
            reason: CloseReason::Error,
            code: ErrorCode::SessionClosed.as_u16(),
            message: String::new(),
            drain: Duration::ZERO,
        };
        for session in self.sessions.numbers() {
            self.close_session(now, session, &options);
        }
        self.transmit(now);
        self.carry();
        self.publish();
        while let Some(event) = self.core.poll_event() {
            drop(event);
        }
    }
}

fn graceful(drain: Duration) -> CloseOptions {
    CloseOptions { reason: CloseReason::Graceful, code: 0, message: String::new(), drain }
}

fn connect_fault(error: ConnectError) -> Fault {
    match error {
        ConnectError::TooManySessions { limit } => Fault::new(ErrorCode::TooManySessions)
            .with_detail(FaultDetail::Limit { limit: limit as u64, local: true }),
        ConnectError::OutOfMemory(shortage) => out_of_memory(shortage),
        ConnectError::EarlyDataTooLong { limit, .. } => Fault::new(ErrorCode::BufferOverflow)
            .with_detail(FaultDetail::Limit { limit: limit as u64, local: true }),
    }
}

fn out_of_memory(shortage: Shortage) -> Fault {
    Fault::new(ErrorCode::ResourceExhausted).with_detail(FaultDetail::Memory(shortage))
}

fn open_fault(error: OpenError) -> Fault {
    match error {
        OpenError::TooManyStreams { limit, local } => {
            Fault::new(ErrorCode::TooManyStreams).with_detail(FaultDetail::Limit { limit, local })
        }
        OpenError::OutOfMemory(shortage) => out_of_memory(shortage),
        OpenError::NameConflict => Fault::new(ErrorCode::StreamIdConflict),
        _ => Fault::new(ErrorCode::SessionClosed),
    }
}
