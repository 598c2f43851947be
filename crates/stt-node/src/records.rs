//! Events as numbers: the table that one poll fills, beside the slab that holds their bytes.
//!
//! The table is a `Float64Array` of rows of [`STRIDE`] numbers. Row 0 is the header: the end of what
//! was written to the slab, and the state. Every other row begins with a kind and is laid out as
//! the function that writes it says; `ts/native/records.ts` reads the same layout, and a test holds
//! the two tables of kinds together.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use napi_derive::napi;
use stt_engine::{EngineEnd, Event, Frames, Resource, Taken};
use stt_proto::{Direction, EarlyData, Fault, FaultDetail};

use crate::convert::fault_numbers;

/// Numbers in a row.
pub(crate) const STRIDE: usize = 12;

/// The kinds of rows; the value is what stands in a row's first place.
const KINDS: [&str; 40] = [
    "none",
    "incoming",
    "connected",
    "connectFailed",
    "streamOpened",
    "opened",
    "openFailed",
    "data",
    "writable",
    "finished",
    "reset",
    "stopped",
    "streamClosed",
    "streamsAvailable",
    "pong",
    "pathChange",
    "draining",
    "sessionClosed",
    "handshakeError",
    "frameError",
    "resourceWarning",
    "endpointClosed",
    "message",
    "messagesWritable",
    "ticket",
    "gap",
    "moved",
    "moveFailed",
    "rebound",
    "rebindFailed",
    "streamFailed",
    "acknowledged",
    "sendError",
    "pathWarning",
    "carry",
    "connectionReadable",
    "pathLost",
    "pathSilence",
    "connectionUsed",
    "pathStrained",
];

const INCOMING: f64 = 1.0;
const CONNECTED: f64 = 2.0;
const CONNECT_FAILED: f64 = 3.0;
const STREAM_OPENED: f64 = 4.0;
const OPENED: f64 = 5.0;
const OPEN_FAILED: f64 = 6.0;
const DATA: f64 = 7.0;
const WRITABLE: f64 = 8.0;
const FINISHED: f64 = 9.0;
const RESET: f64 = 10.0;
const STOPPED: f64 = 11.0;
const STREAM_CLOSED: f64 = 12.0;
const STREAMS_AVAILABLE: f64 = 13.0;
const PONG: f64 = 14.0;
const PATH_CHANGE: f64 = 15.0;
const DRAINING: f64 = 16.0;
const SESSION_CLOSED: f64 = 17.0;
const HANDSHAKE_ERROR: f64 = 18.0;
const FRAME_ERROR: f64 = 19.0;
const RESOURCE_WARNING: f64 = 20.0;
const ENDPOINT_CLOSED: f64 = 21.0;
const MESSAGE: f64 = 22.0;
const MESSAGES_WRITABLE: f64 = 23.0;
const TICKET: f64 = 24.0;
const GAP: f64 = 25.0;
const MOVED: f64 = 26.0;
const MOVE_FAILED: f64 = 27.0;
const REBOUND: f64 = 28.0;
const REBIND_FAILED: f64 = 29.0;
const STREAM_FAILED: f64 = 30.0;
const ACKNOWLEDGED: f64 = 31.0;
const SEND_ERROR: f64 = 32.0;
const PATH_WARNING: f64 = 33.0;
const CARRY: f64 = 34.0;
const CONNECTION_READABLE: f64 = 35.0;
const PATH_LOST: f64 = 36.0;
const PATH_SILENCE: f64 = 37.0;
const CONNECTION_USED: f64 = 38.0;
const PATH_STRAINED: f64 = 39.0;

/// Names of the kinds of rows, by their number, and the length of a row: for the test that compares
/// them with the TypeScript side.
#[napi(object, object_from_js = false)]
pub struct RecordLayout {
    pub kinds: Vec<String>,
    pub stride: u32,
}

/// The layout of the records that `poll` writes.
#[napi(catch_unwind)]
pub fn record_layout() -> RecordLayout {
    RecordLayout { kinds: KINDS.map(str::to_owned).to_vec(), stride: STRIDE as u32 }
}

/// Why a poll stopped; the second number of the header.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing is left: the doorbell rings for what comes next.
    Drained = 0,
    /// The table is full: poll again.
    TableFull = 1,
    /// The slab is full: poll again with another.
    SlabFull = 2,
}

/// Fills one table and one slab.
pub(crate) struct Records<'a> {
    slab: &'a mut [u8],
    /// Where the next bytes go in the slab.
    cursor: usize,
    rows: &'a mut [f64],
    /// Rows written, the header included.
    count: usize,
    state: State,
    /// Connections whose frames are masked.
    masked: &'a BTreeSet<u32>,
}

impl<'a> Records<'a> {
    /// Nothing when the table has no room for the header and a row.
    pub(crate) fn new(
        slab: &'a mut [u8],
        offset: usize,
        rows: &'a mut [f64],
        masked: &'a BTreeSet<u32>,
    ) -> Option<Self> {
        let cursor = offset.min(slab.len());
        (rows.len() >= 2 * STRIDE).then_some(Self {
            slab,
            cursor,
            rows,
            count: 1,
            state: State::Drained,
            masked,
        })
    }

    /// Writes the header and returns the number of rows behind it.
    pub(crate) fn finish(self) -> u32 {
        self.rows[0] = self.cursor as f64;
        self.rows[1] = f64::from(self.state as u8);
        (self.count - 1) as u32
    }

    /// Writes one event.
    pub(crate) fn take(&mut self, event: &mut Event) -> Taken {
        if let Event::Data { stream, bytes, fin } = event {
            let (written, taken) = self.data(stream.0, bytes, *fin);
            drop(bytes.split_to(written));
            return taken;
        }
        if (self.count + 1) * STRIDE > self.rows.len() {
            self.state = State::TableFull;
            return Taken::No;
        }
        match self.other(event) {
            Some(()) => Taken::Whole,
            None => {
                self.state = State::SlabFull;
                Taken::No
            }
        }
    }

    /// `data: stream, offset, length, fin`. What follows on the same stream joins the same row.
    fn data(&mut self, stream: u32, bytes: &[u8], fin: bool) -> (usize, Taken) {
        let len = bytes.len().min(self.slab.len() - self.cursor);
        if len == 0 && !bytes.is_empty() {
            self.state = State::SlabFull;
            return (0, Taken::No);
        }
        let whole = len == bytes.len();
        let (start, end) = (self.cursor, self.cursor + len);
        let last = &mut self.rows[(self.count - 1) * STRIDE..];
        let joins = self.count > 1
            && last[0] == DATA
            && last[1] == f64::from(stream)
            && last[4] == 0.0
            && last[2] + last[3] == start as f64;
        if joins {
            last[3] += len as f64;
            last[4] = f64::from(u8::from(fin && whole));
        } else {
            let row = [
                DATA,
                f64::from(stream),
                start as f64,
                len as f64,
                f64::from(u8::from(fin && whole)),
            ];
            if self.row(&row).is_none() {
                self.state = State::TableFull;
                return (0, Taken::No);
            }
        }
        self.slab[start..end].copy_from_slice(&bytes[..len]);
        self.cursor = end;
        if whole {
            return (len, Taken::Whole);
        }
        self.state = State::SlabFull;
        (len, Taken::No)
    }

    /// `carry: connection, offset, length, bytes of packets`. Packets in frames; what follows by the same connection
    /// joins the same row.
    fn carry(&mut self, connection: u32, packets: &[u8], stride: usize) -> Option<()> {
        let frames = Frames::new(stride, self.masked.contains(&connection));
        let start = self.cursor;
        let len = frames.write(packets, self.slab.get_mut(start..)?)?;
        self.cursor += len;
        let last = &mut self.rows[(self.count - 1) * STRIDE..];
        let joins = self.count > 1
            && last[0] == CARRY
            && last[1] == f64::from(connection)
            && last[2] + last[3] == start as f64;
        if joins {
            last[3] += len as f64;
            last[4] += packets.len() as f64;
            return Some(());
        }
        let row = [CARRY, connection.into(), start as f64, len as f64, packets.len() as f64];
        self.row(&row)
    }

    /// `None` when the slab has no room for the event's bytes.
    fn other(&mut self, event: &Event) -> Option<()> {
        match event {
            Event::Incoming { session, peer, remote, connection } => {
                let text = self.bytes(&[&peer.0, ip(remote).as_bytes()])?;
                self.row(&[
                    INCOMING,
                    session.0.into(),
                    port(remote),
                    family(remote),
                    text.0,
                    text.1,
                    by(*connection),
                ])
            }
            Event::Connected {
                session,
                peer,
                session_id,
                remote,
                connection,
                initiator,
                resumed,
                early_data,
                ..
            } => {
                let (fate, early): (f64, &[u8]) = match early_data {
                    EarlyData::None => (0.0, &[]),
                    EarlyData::Accepted => (1.0, &[]),
                    EarlyData::Rejected => (2.0, &[]),
                    EarlyData::Unknown => (3.0, &[]),
                    EarlyData::Received(bytes) => (4.0, bytes),
                };
                // Early data stands behind the address.
                let text = self.bytes(&[&peer.0, session_id, ip(remote).as_bytes(), early])?;
                let initiator = f64::from(u8::from(*initiator));
                let row = [
                    CONNECTED,
                    session.0.into(),
                    port(remote),
                    family(remote),
                    text.0,
                    text.1 - early.len() as f64,
                    initiator,
                    f64::from(u8::from(*resumed)),
                    fate,
                    early.len() as f64,
                    by(*connection),
                ];
                self.row(&row)
            }
            Event::Ticket(session, ticket) => {
                let bytes = self.bytes(&[&ticket.to_bytes()])?;
                self.row(&[TICKET, session.0.into(), bytes.0, bytes.1])
            }
            Event::ConnectFailed { session, fault } => {
                let answered: &[u8] = match &fault.detail {
                    FaultDetail::Answered { by } => &by.0,
                    _ => &[],
                };
                let node = self.bytes(&[answered])?;
                self.fault_row(&[CONNECT_FAILED, session.0.into(), node.0, node.1], fault)
            }
            Event::StreamOpened {
                session,
                stream,
                id,
                direction,
                purpose,
                name,
                priority,
                deadline,
                ..
            } => {
                let text = self.bytes(&[purpose.as_bytes()])?;
                let row = [
                    STREAM_OPENED,
                    session.0.into(),
                    stream.0.into(),
                    id.as_u32().into(),
                    is_unidirectional(*direction),
                    f64::from(*priority),
                    // No name is told from every name by being negative.
                    name.map_or(-1.0, f64::from),
                    text.0,
                    text.1,
                    deadline.map_or(-1.0, |age| age.as_millis() as f64),
                ];
                self.row(&row)
            }
            Event::Opened { stream, id } => {
                self.row(&[OPENED, stream.0.into(), id.as_u32().into()])
            }
            Event::OpenFailed { stream, fault } => {
                self.fault_row(&[OPEN_FAILED, stream.0.into()], fault)
            }
            Event::Gap { stream, offset, len } => {
                self.row(&[GAP, stream.0.into(), *offset as f64, *len as f64])
            }
            Event::Message { session, frame_type, bytes } => {
                let data = self.bytes(&[bytes])?;
                self.row(&[MESSAGE, session.0.into(), data.0, data.1, frame_type.0.into()])
            }
            Event::MessagesWritable(session) => self.row(&[MESSAGES_WRITABLE, session.0.into()]),
            Event::Writable(stream) => self.row(&[WRITABLE, stream.0.into()]),
            Event::Finished(stream) => self.row(&[FINISHED, stream.0.into()]),
            Event::Reset(stream, code) => self.row(&[RESET, stream.0.into(), *code as f64]),
            Event::Stopped(stream, code) => self.row(&[STOPPED, stream.0.into(), *code as f64]),
            Event::StreamFailed { stream, fault } => {
                self.fault_row(&[STREAM_FAILED, stream.0.into()], fault)
            }
            Event::StreamClosed { stream, acked } => {
                self.row(&[STREAM_CLOSED, stream.0.into(), *acked as f64])
            }
            Event::Acknowledged { stream, acked } => {
                self.row(&[ACKNOWLEDGED, stream.0.into(), *acked as f64])
            }
            Event::StreamsAvailable(session, direction) => {
                self.row(&[STREAMS_AVAILABLE, session.0.into(), is_unidirectional(*direction)])
            }
            Event::Pong { session, token, rtt } => {
                self.row(&[PONG, session.0.into(), *token as f64, rtt.as_micros() as f64])
            }
            Event::PathChange { session, remote, connection } => {
                let text = self.bytes(&[ip(remote).as_bytes()])?;
                let row = [
                    PATH_CHANGE,
                    session.0.into(),
                    port(remote),
                    family(remote),
                    text.0,
                    text.1,
                    by(*connection),
                ];
                self.row(&row)
            }
            Event::PathLost(session) => self.row(&[PATH_LOST, session.0.into()]),
            Event::PathStrained(session, strain) => self.row(&[
                PATH_STRAINED,
                session.0.into(),
                f64::from(u8::from(strain.sending)),
                strain.packets as f64,
                strain.lost as f64,
                strain.bytes_per_second as f64,
            ]),
            Event::PathSilence(session, silent) => {
                self.row(&[PATH_SILENCE, session.0.into(), f64::from(u8::from(*silent))])
            }
            Event::Carry { connection, bytes, stride } => self.carry(*connection, bytes, *stride),
            Event::ConnectionUsed(connection) => self.row(&[CONNECTION_USED, (*connection).into()]),
            Event::ConnectionReadable(connection) => {
                self.row(&[CONNECTION_READABLE, (*connection).into()])
            }
            Event::Moved { session, token } => self.row(&[MOVED, session.0.into(), *token as f64]),
            Event::MoveFailed { session, token, fault } => {
                let row = [MOVE_FAILED, session.0.into(), *token as f64];
                self.fault_row(&row, fault)
            }
            Event::Rebound { token, address } => {
                let text = self.bytes(&[ip(address).as_bytes()])?;
                // No token is 0: the binding counts from 1.
                let token = token.unwrap_or(0) as f64;
                self.row(&[REBOUND, token, port(address), family(address), text.0, text.1])
            }
            Event::RebindFailed { token, errno } => {
                self.row(&[REBIND_FAILED, *token as f64, (*errno).into()])
            }
            // The time is the peer's; -1 says that it is this side that closes.
            Event::Draining(session) => self.row(&[DRAINING, session.0.into(), -1.0]),
            Event::PeerDraining(session, within) => {
                self.row(&[DRAINING, session.0.into(), within.as_millis() as f64])
            }
            Event::SessionClosed { session, reason, remote, fault, message, undelivered } => {
                let text = self.bytes(&[message.as_bytes()])?;
                let row = [
                    SESSION_CLOSED,
                    session.0.into(),
                    f64::from(*reason as u8),
                    f64::from(u8::from(*remote)),
                    *undelivered as f64,
                    text.0,
                    text.1,
                ];
                self.fault_row(&row, fault.as_ref())
            }
            Event::HandshakeError { remote, fault } => {
                let text = self.bytes(&[ip(remote).as_bytes()])?;
                let row = [HANDSHAKE_ERROR, port(remote), family(remote), text.0, text.1];
                self.fault_row(&row, fault)
            }
            Event::PathWarning { session, damaged, packets } => {
                let row =
                    [PATH_WARNING, session.0.into(), f64::from(*damaged), f64::from(*packets)];
                self.row(&row)
            }
            Event::SendError { session, remote, fault, count } => {
                let text = self.bytes(&[ip(remote).as_bytes()])?;
                let row = [
                    SEND_ERROR,
                    session.map_or(0, |session| session.0).into(),
                    port(remote),
                    family(remote),
                    text.0,
                    text.1,
                    *count as f64,
                ];
                self.fault_row(&row, fault)
            }
            Event::FrameError { session, code, count, frame_type } => {
                let session = session.map_or(0, |session| session.0);
                let frame_type = frame_type.map_or(-1.0, f64::from);
                self.row(&[FRAME_ERROR, session.into(), (*code).into(), *count as f64, frame_type])
            }
            Event::ResourceWarning { resource, wanted, granted } => {
                let name = match resource {
                    Resource::SendBuffer => "socketSendBuffer",
                    Resource::RecvBuffer => "socketRecvBuffer",
                    Resource::BusyPoll => "socketBusyPoll",
                    Resource::EngineLag => "engineLag",
                    Resource::Memory => "memory",
                    _ => "other",
                };
                let text = self.bytes(&[name.as_bytes()])?;
                let row = [RESOURCE_WARNING, *wanted as f64, *granted as f64, text.0, text.1];
                self.row(&row)
            }
            Event::Closed(end) => {
                let (how, errno, words) = match end {
                    EngineEnd::Closed => (0.0, 0, ""),
                    EngineEnd::Panicked(words) => (1.0, 0, words.as_str()),
                    EngineEnd::Poller(errno) => (2.0, *errno, ""),
                };
                let text = self.bytes(&[cut(words).as_bytes()])?;
                self.row(&[ENDPOINT_CLOSED, how, errno.into(), text.0, text.1])
            }
            // Whatever a later engine tells that this layer does not know is left out, not sent as
            // something else.
            _ => Some(()),
        }
    }

    /// A row that ends in the numbers of a fault, or in their zeros where there is none.
    fn fault_row<'f>(&mut self, head: &[f64], fault: impl Into<Option<&'f Fault>>) -> Option<()> {
        let fault = fault.into().map_or([0.0; 5], fault_numbers);
        self.row_of(&[head, &fault])
    }

    fn row(&mut self, values: &[f64]) -> Option<()> {
        self.row_of(&[values])
    }

    fn row_of(&mut self, parts: &[&[f64]]) -> Option<()> {
        let start = self.count * STRIDE;
        let mut room = self.rows.get_mut(start..start + STRIDE)?;
        for part in parts {
            let (here, rest) = room.split_at_mut(part.len());
            here.copy_from_slice(part);
            room = rest;
        }
        self.count += 1;
        Some(())
    }

    /// Puts parts into the slab, one behind the other: where, and how long.
    fn bytes(&mut self, parts: &[&[u8]]) -> Option<(f64, f64)> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut room = self.slab.get_mut(self.cursor..)?.get_mut(..len)?;
        for part in parts {
            let (here, rest) = room.split_at_mut(part.len());
            here.copy_from_slice(part);
            room = rest;
        }
        let start = self.cursor;
        self.cursor += len;
        Some((start as f64, len as f64))
    }
}

/// Words of a panic may be of any length; a slab is not.
fn cut(words: &str) -> &str {
    let end = (0..=words.len().min(1024)).rev().find(|end| words.is_char_boundary(*end));
    &words[..end.unwrap_or(0)]
}

fn ip(address: &SocketAddr) -> String {
    address.ip().to_string()
}

fn port(address: &SocketAddr) -> f64 {
    address.port().into()
}

fn family(address: &SocketAddr) -> f64 {
    match address.ip() {
        IpAddr::V4(_) => 4.0,
        IpAddr::V6(_) => 6.0,
    }
}

/// The connection that leads somewhere; none is 0, which no connection has.
fn by(connection: Option<u32>) -> f64 {
    connection.unwrap_or(0).into()
}

fn is_unidirectional(direction: Direction) -> f64 {
    f64::from(u8::from(direction == Direction::Unidirectional))
}
