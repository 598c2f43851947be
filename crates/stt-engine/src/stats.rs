//! Counters of a whole engine.

use stt_proto::EndpointStats;

/// An engine in numbers; see [`Engine::stats`](crate::Engine::stats). All only grow, but for the
/// gauges that say so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EngineStats {
    /// The core's own.
    pub endpoint: EndpointStats,
    /// Turns of the engine's loop.
    pub turns: u64,
    /// Turns for a little that was written, made by the thread that wrote it.
    pub short_turns: u64,
    /// Turns that the application's event loop took because the socket was readable.
    pub loop_turns: u64,
    /// Turns that the application's thread took with messages that a connection brought.
    pub connection_turns: u64,
    /// Times that the engine's thread left the socket to that loop.
    pub loop_alone: u64,
    /// Times that it took the socket back.
    pub loop_relieved: u64,
    /// Times that it went to sleep.
    pub sleeps: u64,
    /// Receive calls that brought something.
    pub receive_calls: u64,
    /// Send calls.
    pub send_calls: u64,
    /// Sends that the system refused, other than for want of room.
    pub send_errors: u64,
    /// Times that the send buffer was full.
    pub send_blocked: u64,
    /// Times that the socket's address went away and it was bound anew.
    pub rebinds: u64,
    /// ICMP reports read, by whichever socket.
    pub path_errors: u64,
    /// Times that the event ring was full and something was held back.
    pub ring_full: u64,
    /// Times that the doorbell rang.
    pub doorbells: u64,
    /// Calls of [`Engine::poll`](crate::Engine::poll).
    pub polls: u64,
    /// Gauge: datagrams that may go into one send call; 1 without segmentation offload.
    pub segments: u64,
}
