//! The one class of the addon.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{Either, Float64ArraySlice, Function, Uint8Array, Uint8ArraySlice};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi::{Env, Result};
use napi_derive::napi;
use stt_engine::{
    CloseOptions, ConnectTarget, Engine, MoveTarget, Sent, SessionNumber, StartError, StreamNumber,
    Written,
};
use stt_proto::{
    CloseReason, ConnectOptions, Direction, FrameType, ResumptionTicket, StreamOptions,
};

use crate::convert::{ip_address, misuse, node_id, socket_address, start_failure};
use crate::environment;
use crate::options::{ListenLimits, NativeOptions, StartFailure, millis};
use crate::records::Records;
use crate::stats::{NativeEndpointStats, NativeSessionStats};
use crate::watch::{Offered, Watch};

/// A bound endpoint and the thread behind it. Collecting it ends it.
#[napi]
pub struct NativeEndpoint {
    // Before the engine, so that the loop lets go of the socket before the engine does.
    watch: Watch,
    engine: Arc<Engine>,
    /// Connections that are the client's side of a WebSocket.
    masked: RefCell<BTreeSet<u32>>,
}

/// Where an endpoint is bound.
#[napi(object, object_from_js = false)]
pub struct BoundAddress {
    pub address: String,
    pub port: u32,
    /// 4 or 6.
    pub family: u32,
}

/// Binds and starts an endpoint. `doorbell` is called when there is something to poll; it must not
/// hold on to the endpoint, or it is never collected. A failure is a return value.
#[napi(catch_unwind)]
pub fn start_endpoint(
    env: Env,
    options: NativeOptions,
    doorbell: Function<'_, (), ()>,
) -> Result<Either<NativeEndpoint, StartFailure>> {
    let by_loop = options.watch_by_loop;
    let config = match options.into_config() {
        Ok(config) => config,
        Err(failure) => return Ok(Either::B(failure)),
    };
    let watch = Watch::new(env, doorbell, by_loop)?;
    // Weak: the process lives as long as JavaScript says, not as long as this function does.
    let doorbell = doorbell
        .build_threadsafe_function::<()>()
        .weak::<true>()
        .callee_handled::<false>()
        .build()?;
    let ring = move || {
        // Refused only when the environment is closing, and then nobody is left to listen.
        let _ = doorbell.call((), ThreadsafeFunctionCallMode::NonBlocking);
    };
    match Engine::start(config, Box::new(ring)) {
        Ok(engine) => {
            let engine = Arc::new(engine);
            environment::adopt(env, &engine)?;
            Ok(Either::A(NativeEndpoint { watch, engine, masked: RefCell::default() }))
        }
        Err(error) => Ok(Either::B(start_failure(&error))),
    }
}

#[napi]
impl NativeEndpoint {
    /// Where it is bound.
    #[napi(getter, catch_unwind)]
    pub fn address(&self) -> BoundAddress {
        let address = self.engine.address();
        BoundAddress {
            address: address.ip().to_string(),
            port: u32::from(address.port()),
            family: if matches!(address.ip(), IpAddr::V4(_)) { 4 } else { 6 },
        }
    }

    /// This node's id, 32 bytes.
    #[napi(getter, catch_unwind)]
    pub fn node_id(&self) -> Uint8Array {
        Uint8Array::from(&self.engine.node_id().0[..])
    }

    /// Accepts peers.
    #[napi(catch_unwind)]
    pub fn listen(&self, limits: ListenLimits) {
        self.engine.listen(Some(limits.into()));
    }

    /// Accepts no more peers.
    #[napi(catch_unwind)]
    pub fn stop_listening(&self) {
        self.engine.listen(None);
    }

    /// Connects to an address, or by a connection that is open, and returns the number of the session
    /// to be. Of connects with the same `race` one makes a session.
    #[allow(clippy::too_many_arguments, reason = "each is one option of the TypeScript API")]
    #[napi(catch_unwind)]
    pub fn connect(
        &self,
        address: String,
        port: u32,
        peer_node_id: Option<&[u8]>,
        timeout_ms: f64,
        early: bool,
        resume: Option<&[u8]>,
        early_data: Option<&[u8]>,
        connection: Option<u32>,
        race: Option<u32>,
    ) -> Result<u32> {
        let to = match connection {
            Some(connection) => ConnectTarget::Connection(connection),
            None => ConnectTarget::Udp(socket_address(&address, port)?),
        };
        let peer = peer_node_id.map(node_id).transpose()?;
        let resume = resume
            .map(|bytes| {
                ResumptionTicket::from_bytes(bytes).ok_or_else(|| misuse("no ticket".to_owned()))
            })
            .transpose()?;
        let options = ConnectOptions {
            peer,
            timeout: millis(timeout_ms),
            early,
            session: None,
            resume,
            early_data: early_data.unwrap_or_default().to_vec().into(),
            race: race.map(u64::from),
        };
        Ok(self.engine.connect(to, options).0)
    }

    /// Attaches a connection, a WebSocket, that takes `room` bytes for now. `id` is not 0 and was not
    /// used before; limits for each source count it to the address. `masked`: this is the client's side of it.
    #[napi(catch_unwind)]
    pub fn open_connection(
        &self,
        id: u32,
        address: String,
        port: u32,
        room: u32,
        masked: bool,
    ) -> Result<()> {
        let remote = socket_address(&address, port)?;
        if masked {
            self.masked.borrow_mut().insert(id);
        }
        self.engine.open_connection(id, remote, room as usize);
        Ok(())
    }

    /// Messages came by a connection; they may be overwritten. Two bits: 1 when the connection may be read on,
    /// else not until `connectionReadable`; 2 when there is something to poll for, and nobody rings.
    #[napi(catch_unwind)]
    pub fn receive(&self, connection: u32, mut messages: Vec<Uint8ArraySlice<'_>>) -> u32 {
        let received = self.engine.receive(connection, |take| {
            for message in &mut messages {
                // SAFETY: JavaScript waits for this call on this very thread, and gives each message away for good
                // (`ts/carriers/link.ts`, the only caller, has them from `ws`, which hands out a message once). One
                // is done with before the next, so that no two of these slices live at a time.
                #[expect(unsafe_code, reason = "JavaScript's memory is borrowed unchecked")]
                let message = unsafe { message.as_mut() };
                take(message);
            }
        });
        u32::from(received.goes_on) | u32::from(received.events) << 1
    }

    /// A connection has passed on so many bytes of what `carry` brought.
    #[napi(catch_unwind)]
    pub fn connection_writable(&self, connection: u32, bytes: u32) {
        self.engine.connection_writable(connection, bytes as usize);
    }

    /// Detaches a connection that is no more.
    #[napi(catch_unwind)]
    pub fn close_connection(&self, connection: u32) {
        self.masked.borrow_mut().remove(&connection);
        self.engine.close_connection(connection);
    }

    /// Lets a peer in.
    #[napi(catch_unwind)]
    pub fn accept(&self, session: u32) {
        self.engine.accept(SessionNumber(session));
    }

    /// Turns a peer away.
    #[napi(catch_unwind)]
    pub fn refuse(&self, session: u32, code: u16) {
        self.engine.refuse(SessionNumber(session), code);
    }

    /// Ends a session, or gives up a connect.
    #[napi(catch_unwind)]
    pub fn close_session(
        &self,
        session: u32,
        reason: u8,
        code: u16,
        message: String,
        drain_ms: f64,
    ) -> Result<()> {
        let reason = CloseReason::from_u8(reason)
            .ok_or_else(|| misuse(format!("{reason} is no close reason")))?;
        let options = CloseOptions { reason, code, message, drain: millis(drain_ms) };
        self.engine.close_session(SessionNumber(session), options);
        Ok(())
    }

    /// Opens a stream, and returns its number.
    #[napi(catch_unwind)]
    pub fn open_stream(
        &self,
        session: u32,
        unidirectional: bool,
        purpose: String,
        name: Option<u32>,
        priority: u8,
        deadline_ms: Option<f64>,
    ) -> u32 {
        let direction =
            if unidirectional { Direction::Unidirectional } else { Direction::Bidirectional };
        let deadline = deadline_ms.map(millis);
        let options = StreamOptions { direction, purpose, name, priority, deadline };
        self.engine.open_stream(SessionNumber(session), options).0
    }

    /// Copies `chunk[start..end]`, as much as the stream may have outstanding, and returns how much
    /// that was; -1 when the stream can take no more, for ever; -2 when memory is at its ceiling and
    /// nothing of the stream is under way.
    #[napi(catch_unwind)]
    pub fn write(&self, stream: u32, chunk: &[u8], start: u32, end: u32) -> Result<i64> {
        let bytes = part(chunk, start, end)?;
        Ok(taken(self.engine.write(StreamNumber(stream), bytes)))
    }

    /// The same, but what was taken may lie until `flush`, which is called before long.
    #[napi(catch_unwind)]
    pub fn write_held(&self, stream: u32, chunk: &[u8], start: u32, end: u32) -> Result<i64> {
        let bytes = part(chunk, start, end)?;
        Ok(taken(self.engine.write_held(StreamNumber(stream), bytes)))
    }

    /// Sees to it that what `writeHeld` took goes out.
    #[napi(catch_unwind)]
    pub fn flush(&self) {
        self.engine.flush();
    }

    /// The same for several chunks in a row.
    #[napi(catch_unwind)]
    pub fn writev(&self, stream: u32, chunks: Vec<&[u8]>) -> i64 {
        taken(self.engine.write_all(StreamNumber(stream), chunks.into_iter()))
    }

    /// Ends the sending side.
    #[napi(catch_unwind)]
    pub fn finish(&self, stream: u32) {
        self.engine.finish(StreamNumber(stream));
    }

    /// Aborts the sending side.
    #[napi(catch_unwind)]
    pub fn reset(&self, stream: u32, code: u16) {
        self.engine.reset(StreamNumber(stream), code);
    }

    /// Asks the peer to stop sending.
    #[napi(catch_unwind)]
    pub fn stop(&self, stream: u32, code: u16) {
        self.engine.stop(StreamNumber(stream), code);
    }

    /// Tells what was read: pairs of stream and bytes in the first `length` numbers of `consumed`.
    #[napi(catch_unwind)]
    pub fn consumed(&self, consumed: &[u32], length: u32) {
        self.tell_consumed(consumed, length);
    }

    /// Forgets a stream.
    #[napi(catch_unwind)]
    pub fn release(&self, stream: u32) {
        self.engine.release(StreamNumber(stream));
    }

    /// Sends a message: 1 when it was taken, 0 when there is no room now, -1 when the session takes
    /// nothing more, for ever, -2 when it is longer than `maxMessageSize` says.
    #[napi(catch_unwind)]
    pub fn send_message(&self, session: u32, frame_type: u8, bytes: &[u8]) -> i32 {
        match self.engine.send_message(SessionNumber(session), FrameType(frame_type), bytes) {
            Sent::Taken => 1,
            Sent::Full => 0,
            Sent::Dead => -1,
            Sent::TooLarge => -2,
        }
    }

    /// Bytes of a stream, from its first on, that the peer's transport has acknowledged without a gap; -1
    /// when nothing is known of it any more.
    #[napi(catch_unwind)]
    pub fn acknowledged(&self, stream: u32) -> f64 {
        self.engine.acknowledged(StreamNumber(stream)).map_or(-1.0, |bytes| bytes as f64)
    }

    /// The longest message that a session takes now; 0 where the peer takes none.
    #[napi(catch_unwind)]
    pub fn max_message_size(&self, session: u32) -> u32 {
        self.engine.max_message_size(SessionNumber(session)) as u32
    }

    /// Whether the application takes custom frames of this type on this session.
    #[napi(catch_unwind)]
    pub fn handle_frames(&self, session: u32, frame_type: u8, held: bool) {
        self.engine.handle_frames(SessionNumber(session), FrameType(frame_type), held);
    }

    /// Tells the peer that this side closes the session before long, and how many milliseconds it leaves.
    #[napi(catch_unwind)]
    pub fn announce_end(&self, session: u32, within_ms: u32) {
        let within = Duration::from_millis(within_ms.into());
        self.engine.announce_end(SessionNumber(session), within);
    }

    /// Asks the peer for a sign of life.
    #[napi(catch_unwind)]
    pub fn ping(&self, session: u32, token: u32) {
        self.engine.ping(SessionNumber(session), u64::from(token));
    }

    /// Gives a ping up.
    #[napi(catch_unwind)]
    pub fn cancel_ping(&self, session: u32, token: u32) {
        self.engine.cancel_ping(SessionNumber(session), u64::from(token));
    }

    /// Moves a session to another path: from another local address, to another address of the peer,
    /// both, or to a connection that is open. Answered by `moved` or `moveFailed` with the token, unless a later call replaces it.
    #[napi(catch_unwind)]
    pub fn move_session(
        &self,
        session: u32,
        token: u32,
        local: Option<String>,
        remote: Option<String>,
        remote_port: u32,
        connection: Option<u32>,
    ) -> Result<()> {
        if let Some(connection) = connection {
            let to = MoveTarget::Connection(connection);
            self.engine.move_session(SessionNumber(session), u64::from(token), to);
            return Ok(());
        }
        let local = local.as_deref().map(ip_address).transpose()?;
        let remote = remote.map(|address| socket_address(&address, remote_port)).transpose()?;
        let to = match (local, remote) {
            (Some(local), Some(remote)) => MoveTarget::Both { local, remote },
            (Some(local), None) => MoveTarget::Local(local),
            (None, Some(remote)) => MoveTarget::Remote(remote),
            (None, None) => return Err(misuse("a move without a target".to_owned())),
        };
        self.engine.move_session(SessionNumber(session), u64::from(token), to);
        Ok(())
    }

    /// Gives up a move.
    #[napi(catch_unwind)]
    pub fn cancel_move(&self, session: u32, token: u32) {
        self.engine.cancel_move(SessionNumber(session), u64::from(token));
    }

    /// Says whether another carrier of a session is being looked for: refusals do not end it meanwhile.
    #[napi(catch_unwind)]
    pub fn seek_path(&self, session: u32, seeking: bool) {
        self.engine.seek_path(SessionNumber(session), seeking);
    }

    /// Binds another socket and goes on with it: answered by `rebound` or `rebindFailed` with the token,
    /// which is not 0. A failure to bind is a return value.
    #[napi(catch_unwind)]
    pub fn rebind(&self, address: String, port: u32, token: u32) -> Result<Option<StartFailure>> {
        let address = socket_address(&address, port)?;
        let bound = self.engine.rebind(address, u64::from(token));
        Ok(bound.err().map(|error| start_failure(&StartError::Bind(error))))
    }

    /// Ends a peer's sessions and refuses it from now on.
    #[napi(catch_unwind)]
    pub fn revoke(&self, peer: &[u8]) -> Result<()> {
        self.engine.revoke(node_id(peer)?);
        Ok(())
    }

    /// Tells what was read, then takes what has happened: bytes into `slab` from `offset` on, rows
    /// into `records` (see `records.ts`). Returns the number of rows behind the header.
    #[napi(catch_unwind)]
    pub fn poll(
        &self,
        mut slab: Uint8ArraySlice<'_>,
        offset: u32,
        mut records: Float64ArraySlice<'_>,
        consumed: &[u32],
        consumed_length: u32,
    ) -> Result<u32> {
        self.tell_consumed(consumed, consumed_length);
        // SAFETY: JavaScript owns both, waits for this call on this very thread, and passes two
        // different buffers (`ts/native/engine.ts`, the only caller, makes them itself), so nobody
        // else reads or writes them and they do not overlap.
        #[expect(unsafe_code, reason = "memory of JavaScript can only be borrowed unchecked")]
        let (slab, rows) = unsafe { (slab.as_mut(), records.as_mut()) };
        let masked = self.masked.borrow();
        let mut records = Records::new(slab, offset as usize, rows, &masked)
            .ok_or_else(|| misuse("the table has no room for a row".to_owned()))?;
        let mut offered = Offered::default();
        self.engine.poll(|event| {
            offered.note(event);
            records.take(event)
        });
        self.watch.after_poll(&self.engine, &offered);
        Ok(records.finish())
    }

    /// Counters of a session, `null` when it is gone.
    #[napi(catch_unwind)]
    pub fn session_stats(&self, session: u32) -> Option<NativeSessionStats> {
        self.engine.session_stats(SessionNumber(session)).map(Into::into)
    }

    /// Counters of the endpoint, `null` when it has ended.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> Option<NativeEndpointStats> {
        self.engine.stats().map(Into::into)
    }

    /// The ceiling on memory and the bytes in use now.
    #[napi(catch_unwind)]
    pub fn memory(&self) -> Vec<f64> {
        let memory = self.engine.memory();
        vec![memory.limit() as f64, memory.used() as f64]
    }

    /// Closes every session, gives written data up to `drain_ms`, then ends.
    #[napi(catch_unwind)]
    pub fn close(&self, drain_ms: f64) {
        self.engine.close(millis(drain_ms));
    }

    /// Ends at once, the thread included.
    #[napi(catch_unwind)]
    pub fn destroy(&self) {
        self.watch.end();
        self.engine.destroy();
    }

    fn tell_consumed(&self, consumed: &[u32], length: u32) {
        let pairs = consumed.get(..length as usize).unwrap_or_default().chunks_exact(2);
        if pairs.len() > 0 {
            let pairs = pairs.map(|pair| (StreamNumber(pair[0]), u64::from(pair[1])));
            self.engine.consumed(pairs);
        }
    }
}

fn part(chunk: &[u8], start: u32, end: u32) -> Result<&[u8]> {
    chunk
        .get(start as usize..end as usize)
        .ok_or_else(|| misuse(format!("{start}..{end} lies outside the chunk")))
}

fn taken(written: Written) -> i64 {
    match written {
        Written::Taken(bytes) => bytes as i64,
        Written::Dead => -1,
        Written::Exhausted(_) => -2,
    }
}
