//! Datagrams in and out, and sleeping until there are more.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::{Events, Interest, Poll, Registry};
use stt_proto::{Ecn, Now, PathAddress, PathError, SendError, Transmit};
use stt_udp::{EcnCodepoint, PathErrorKind, RecvBatch, UdpSocket, wait_precisely};

use super::blocks::BLOCK;
use super::canaries::bit_of;
use super::{Driver, SOCKET};
use crate::shared::Sleep;

/// Receive calls a turn: with eight buffers of 64 KiB each this is up to 2 MiB.
const RECEIVE_CALLS: usize = 4;

/// Batches sent a turn: up to 2 MiB.
const TRANSMIT_BATCHES: usize = 32;

/// ICMP reports read a turn.
const PATH_ERRORS: usize = 64;

/// How much of a quoted datagram is looked at; a packet header has 24 bytes.
const QUOTED: usize = 128;

/// The poller counts in milliseconds, too coarse for pacing; shorter waits than this are worth the
/// price of a second system call.
const FINE_WAIT: Duration = Duration::from_millis(20);

/// Whether a receive call takes as many datagrams as there are and fit, and the poller tells of each
/// that comes later. Elsewhere only a call that finds nothing proves that nothing is left.
const DRAINS: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// The socket, its buffers and what is known about its state.
pub(super) struct Io {
    socket: UdpSocket,
    registry: Registry,
    batch: RecvBatch,
    buffer: Box<[u8]>,
    /// A batch in `buffer` that the socket had no room for, from the given byte on.
    blocked: Option<(Transmit, usize)>,
    /// The poller reports changes only, so what it said holds until a call finds nothing.
    readable: bool,
    failed: bool,
    /// Bytes received and sent that were not yet [counted](Io::take_moved).
    moved: usize,
    /// Counts the sockets, so that whoever watches another than this one is told.
    number: u32,
}

impl Io {
    pub(super) fn new(socket: UdpSocket, registry: Registry) -> Self {
        Self {
            socket,
            registry,
            batch: RecvBatch::new(),
            buffer: vec![0; BLOCK].into_boxed_slice(),
            blocked: None,
            readable: true,
            failed: true,
            moved: 0,
            number: 0,
        }
    }

    /// Which of the engine's sockets this is.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Bytes received and sent since the last call.
    pub(super) fn take_moved(&mut self) -> usize {
        std::mem::take(&mut self.moved)
    }

    /// Somebody else watches the socket, and the poller no more.
    pub(super) fn look_away(&mut self) -> io::Result<()> {
        self.registry.deregister(&mut self.socket)
    }

    /// The poller watches again, and tells of what is there already.
    pub(super) fn look_again(&mut self) -> io::Result<()> {
        self.registry.register(&mut self.socket, SOCKET, Interest::READABLE)
    }

    /// There is something to receive, whoever says so.
    pub(super) fn look_for_datagrams(&mut self) {
        self.readable = true;
    }

    /// There may be something to receive, or a report.
    pub(super) fn look(&mut self) {
        (self.readable, self.failed) = (true, true);
    }

    /// What is to be sent stands at its start.
    pub(super) fn buffer(&mut self) -> &mut Box<[u8]> {
        &mut self.buffer
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Goes on with a socket for every address instead of that which was bound to `bound`.
    pub(super) fn replace_socket(&mut self, bound: SocketAddr) -> io::Result<()> {
        let replaced = super::rebind::replace(&self.registry, &mut self.socket, bound);
        self.number += 1;
        (self.readable, self.failed) = (true, true);
        replaced
    }

    /// Goes on with another socket; the one before is closed.
    pub(super) fn take_socket(&mut self, mut fresh: UdpSocket) -> io::Result<()> {
        self.registry.register(&mut fresh, SOCKET, Interest::READABLE)?;
        // Closing it takes it out of the poller as well.
        let _ = self.registry.deregister(&mut self.socket);
        self.socket = fresh;
        self.number += 1;
        (self.readable, self.failed) = (true, true);
        if self.blocked.is_some() {
            // What waits for room in the old one goes out by the next turn that happens anyway.
            let _ = self.want_writable(true);
        }
        Ok(())
    }

    pub(super) fn segments(&self) -> usize {
        self.socket.max_segments()
    }

    /// Whether a batch waits for the socket to have room.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked.is_some()
    }

    /// Notes what the poller said.
    pub(super) fn note(&mut self, ready: Ready) -> io::Result<()> {
        self.readable |= ready.readable;
        self.failed |= ready.failed;
        if ready.writable && self.blocked.is_some() {
            self.want_writable(false)?;
        }
        Ok(())
    }

    /// Writability is watched only while a batch waits for it: every datagram that leaves would
    /// otherwise wake the thread.
    fn want_writable(&mut self, want: bool) -> io::Result<()> {
        let interests = match want {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        self.registry.reregister(&mut self.socket, SOCKET, interests)
    }
}

/// What the poller said of the sockets.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ready {
    readable: bool,
    writable: bool,
    failed: bool,
    /// Canaries to look at, a bit each.
    pub(super) canaries: u64,
}

/// The poller, which the engine's thread sleeps on while others may use everything else.
pub(crate) struct Sleeper {
    poll: Poll,
    events: Events,
}

impl Sleeper {
    pub(crate) fn new(poll: Poll) -> Self {
        Self { poll, events: Events::with_capacity(8) }
    }
}

impl Sleep<Ready> for Sleeper {
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Ready> {
        let timeout = match timeout {
            Some(short) if short < FINE_WAIT => Some(wait_precisely(&self.poll, short)),
            other => other,
        };
        let mut ready = Ready::default();
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(ready),
            result => result?,
        }
        for event in &self.events {
            ready.canaries |= bit_of(event.token());
            if event.token() != SOCKET {
                continue;
            }
            ready.readable |= event.is_readable();
            ready.writable |= event.is_writable();
            ready.failed |= event.is_error();
        }
        Ok(ready)
    }
}

impl Driver {
    /// Takes in what has arrived; true when there may be more.
    pub(super) fn receive(&mut self, now: Now) -> bool {
        self.receive_some(now, RECEIVE_CALLS)
    }

    /// The same with so many calls at most.
    pub(super) fn receive_some(&mut self, now: Now, calls: usize) -> bool {
        if self.io.failed {
            self.receive_path_errors(now);
        }
        if !self.io.readable {
            return false;
        }
        for _ in 0..calls {
            match self.io.socket.recv(&mut self.io.batch) {
                Ok(filled) => {
                    self.stats.receive_calls += 1;
                    // What comes after a call that found less than it could take is told anew.
                    self.io.readable = !(DRAINS && self.io.batch.has_room(filled));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.io.readable = false;
                    return false;
                }
                Err(_) => {
                    // An ICMP report; what it said stands in the error queue.
                    self.io.failed = true;
                    return true;
                }
            }
            if !self.core.is_listening() {
                // What came may have been sent by somebody who saw this endpoint begin to listen, after the turn
                // looked for commands: it is not to be refused for that.
                self.run_commands(now);
            }
            for received in self.io.socket.received(&mut self.io.batch) {
                self.io.moved += received.bytes.len();
                let path = PathAddress::Udp { remote: received.remote, local: received.local };
                let ecn = received.ecn.map(ecn_in);
                self.core.handle_batch(now, path, ecn, received.bytes, received.stride);
            }
            if !self.io.readable {
                return false;
            }
        }
        true
    }

    fn receive_path_errors(&mut self, now: Now) {
        let mut quoted = [0; QUOTED];
        for _ in 0..PATH_ERRORS {
            let Some(report) = self.io.socket.recv_path_error(&mut quoted) else {
                self.io.failed = false;
                return;
            };
            self.stats.path_errors += 1;
            let quoted = (report.quoted > 0).then(|| &quoted[..report.quoted]);
            self.core.handle_path_error(now, report.remote, path_error(&report), quoted);
        }
    }

    /// Sends what the core has ready; true when there is more and the socket has room.
    pub(super) fn transmit(&mut self, now: Now) -> bool {
        if let Some((transmit, from)) = self.io.blocked.take()
            && !self.send(now, transmit, from)
        {
            return false;
        }
        let segments = self.io.segments();
        for _ in 0..TRANSMIT_BATCHES {
            let Some(transmit) = self.core.poll_transmit(now, segments, &mut self.io.buffer) else {
                return false;
            };
            if !self.send(now, transmit, 0) {
                return false;
            }
        }
        true
    }

    /// False when the socket has no room; the rest then waits for it.
    fn send(&mut self, now: Now, transmit: Transmit, from: usize) -> bool {
        let (remote, local) = match transmit.path {
            PathAddress::Udp { remote, local } => (remote, local),
            PathAddress::Connection(connection) => {
                let stride = transmit.segment_size.unwrap_or(transmit.len);
                self.gather(connection, transmit.len, stride);
                return true;
            }
        };
        self.stats.send_calls += 1;
        self.io.moved += transmit.len - from;
        let result = self.io.socket.send(&stt_udp::Transmit {
            remote,
            local,
            ecn: transmit.ecn.map(ecn_out),
            segment_size: transmit.segment_size,
            bytes: &self.io.buffer[from..transmit.len],
        });
        let error = match result {
            Ok(()) => {
                if transmit.opens {
                    self.ask_canary(now, remote);
                }
                return true;
            }
            Err(stt_udp::SendError::WouldBlock { sent }) => {
                self.stats.send_blocked += 1;
                self.io.blocked = Some((transmit, from + sent));
                // Only the engine's thread waits for room.
                self.look_again();
                // Without the interest the batch goes out at the next turn that happens anyway.
                let _ = self.io.want_writable(true);
                return false;
            }
            Err(stt_udp::SendError::Permission(errno)) => SendError::Permission(errno),
            Err(stt_udp::SendError::NoBuffers(errno)) => SendError::NoBuffers(errno),
            Err(stt_udp::SendError::NetworkDown(errno)) => SendError::NetworkDown(errno),
            Err(stt_udp::SendError::MessageTooLong(errno)) => SendError::MessageTooLong(errno),
            Err(
                stt_udp::SendError::NetworkUnreachable(errno)
                | stt_udp::SendError::HostUnreachable(errno),
            ) => SendError::Unreachable(errno),
            Err(stt_udp::SendError::Other(number)) => SendError::Other(number),
            Err(_) => SendError::Other(0),
        };
        self.stats.send_errors += 1;
        if self.rebind_if_gone(now, error) {
            return true;
        }
        self.core.handle_send_error(now, transmit.path, error);
        self.refused = true;
        true
    }
}

/// A report of the network, in the core's words.
pub(super) fn path_error(report: &stt_udp::PathError) -> PathError {
    match report.kind {
        PathErrorKind::Refused => PathError::Refused,
        PathErrorKind::MessageTooLong { mtu } => PathError::MessageTooLong { mtu: mtu as usize },
        // A firewall that rejects looks like a host that is not there.
        _ => PathError::Unreachable { errno: report.errno },
    }
}

fn ecn_in(mark: EcnCodepoint) -> Ecn {
    match mark {
        EcnCodepoint::Ect0 => Ecn::Ect0,
        EcnCodepoint::Ect1 => Ecn::Ect1,
        EcnCodepoint::Ce => Ecn::Ce,
    }
}

fn ecn_out(mark: Ecn) -> EcnCodepoint {
    match mark {
        Ecn::Ect0 => EcnCodepoint::Ect0,
        Ecn::Ect1 => EcnCodepoint::Ect1,
        Ecn::Ce => EcnCodepoint::Ce,
    }
}
