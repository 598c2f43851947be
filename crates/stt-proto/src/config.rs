//! What an endpoint may be told: limits, intervals, sizes.

use core::time::Duration;

use bytes::Bytes;
use stt_crypto::NodeId;

use crate::messages::MessageDrop;
use crate::ticket::ResumptionTicket;

/// Which congestion controller a session's paths use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum CongestionControl {
    /// CUBIC (RFC 9438) with HyStart++ (RFC 9406).
    #[default]
    Cubic,
    /// BBR, after its version 3 (draft-ietf-ccwg-bbr): for paths that lose packets at random.
    Bbr,
    /// NewReno (RFC 9002 section 7).
    NewReno,
}

/// What holds for one session; an endpoint's default can be overridden for each connect.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Silence after which a KEEP_ALIVE goes out. Default 10 s.
    pub keep_alive_interval: Duration,
    /// Silence of the peer after which the session is dead. Default 30 s.
    pub keep_alive_timeout: Duration,
    /// Time the responder gives `authorize`, and a half-open handshake. Default 10 s.
    pub handshake_timeout: Duration,
    /// Streams of each kind that the peer may have open at once. Default 256.
    pub max_concurrent_streams: u32,
    /// Bytes that the peer may send before this side's application has read them, over all
    /// streams. Default 2 MiB.
    pub recv_buffer: u64,
    /// The same for one stream. Default 1 MiB.
    pub stream_recv_buffer: u64,
    /// Bytes that the application may have written and the peer not yet acknowledged. The driver
    /// keeps this bound; the core only carries it. Default 2 MiB.
    pub send_buffer: u64,
    /// Longest DATAGRAM or custom frame that this side takes, in bytes; 0 takes none. Default
    /// 65 463, what the largest UDP payload has room for.
    pub max_datagram_size: u16,
    /// Bytes of messages that may wait to be sent, 64 more counted for each. Default 256 KiB.
    pub datagram_send_buffer: u64,
    /// Bytes of messages that came and that the application has not taken, counted likewise. Default
    /// 256 KiB.
    pub datagram_recv_buffer: u64,
    /// Which messages go when those that wait to be sent have no room. Default the newest.
    pub datagram_send_drop: MessageDrop,
    /// Which messages go when those that came have no room. Default the oldest.
    pub datagram_recv_drop: MessageDrop,
    /// Largest UDP payload to try on the path, from 1200 to 65 507 bytes. Packets begin at 1200 and
    /// grow to what a search finds the path to carry (PROTOCOL.md section 5.3). Default 65 507.
    pub mtu: usize,
    /// The congestion controller.
    pub congestion: CongestionControl,
    /// Packets sealed under one key before it is rotated, at most 2^23. Default 2^23.
    pub key_update_packets: u64,
    /// Sealed packets that may fail to open before the session ends (PROTOCOL.md section 3):
    /// from 2^20 up to the AEAD's own limit, which holds in any case.
    pub integrity_limit: u64,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            keep_alive_interval: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            max_concurrent_streams: 256,
            recv_buffer: 2 << 20,
            stream_recv_buffer: 1 << 20,
            send_buffer: 2 << 20,
            max_datagram_size: 65_463,
            datagram_send_buffer: 256 << 10,
            datagram_recv_buffer: 256 << 10,
            datagram_send_drop: MessageDrop::Newest,
            datagram_recv_drop: MessageDrop::Oldest,
            mtu: stt_wire::MAX_UDP_PAYLOAD,
            congestion: CongestionControl::Cubic,
            key_update_packets: 1 << 23,
            integrity_limit: 1 << 36,
        }
    }
}

/// What holds for a whole endpoint.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// Sessions that may live at once, connects in progress included. Default 1024.
    pub max_sessions: usize,
    /// How far a HELLO's timestamp may be from this side's clock; zero switches the check off.
    /// Default 120 s.
    pub timestamp_window: Duration,
    /// Answer nothing that does not prove knowledge of a shared seed. Default off.
    pub stealth: bool,
    /// First byte of every path id this endpoint issues: the shard that owns it. Default 0.
    pub shard: u8,
    /// Largest UDP payload that this side's socket takes. Default 65 507.
    pub max_udp_payload: usize,
    /// Bytes of memory that received streams filled which are kept for what comes next, by all sessions
    /// together; what a second does not need is given back. Default 8 MiB.
    pub receive_blocks: usize,
    /// Most bytes that are held for all sessions together, and that peers may still send; `u64::MAX` for
    /// no ceiling, the default. See [`crate::Memory`].
    pub max_memory: u64,
    /// What holds for each session unless its connect says otherwise.
    pub session: SessionConfig,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            max_sessions: 1024,
            timestamp_window: Duration::from_secs(120),
            stealth: false,
            shard: 0,
            max_udp_payload: stt_wire::MAX_UDP_PAYLOAD,
            receive_blocks: 8 << 20,
            max_memory: u64::MAX,
            session: SessionConfig::default(),
        }
    }
}

/// Most of something that one source, or one peer, may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cap {
    /// Sessions at a time; `u32::MAX` for no cap.
    pub sessions: u32,
    /// New sessions a second, as many at once; `u32::MAX` for no cap.
    pub per_second: u32,
}

impl Cap {
    /// No cap.
    pub const NONE: Self = Self { sessions: u32::MAX, per_second: u32::MAX };
}

/// How a listening endpoint admits peers.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// Sessions that peers may have opened at once; the next is told 0x0203.
    pub max_sessions: usize,
    /// What one source (an IPv4 address, an IPv6 /64) may have of them; more is told 0x0203.
    /// Default: no cap.
    pub per_source: Cap,
    /// What one node id may have of them; more is told 0x0203. Default: no cap.
    pub per_peer: Cap,
    /// Ask the driver (`Event::Incoming`) before a session becomes usable.
    pub authorize: bool,
    /// Handshakes that may be half open at once. Default 1024.
    pub max_half_open: usize,
    /// Half-open handshakes from which on HELLO is answered by RETRY. Default 256.
    pub retry_threshold: usize,
    /// Half-open handshakes that one source may have: an IPv4 address, or an IPv6 /64. Default 512.
    pub max_half_open_per_source: usize,
    /// Half-open handshakes of one source from which on its HELLOs are answered by RETRY. Default 64.
    pub retry_threshold_per_source: usize,
    /// How long a ticket may be used to return; zero gives none out. Default one hour.
    pub ticket_lifetime: Duration,
    /// Take the early data of peers that return. Default off.
    pub early_data: bool,
}

impl Default for ListenConfig {
    fn default() -> Self {
        Self {
            max_sessions: 1024,
            per_source: Cap::NONE,
            per_peer: Cap::NONE,
            authorize: false,
            max_half_open: 1024,
            retry_threshold: 256,
            max_half_open_per_source: 512,
            retry_threshold_per_source: 64,
            ticket_lifetime: Duration::from_secs(3600),
            early_data: false,
        }
    }
}

/// What a connect asks for.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The only node id to accept; `None` accepts any holder of the shared seed.
    pub peer: Option<NodeId>,
    /// Time from now to FINAL.
    pub timeout: Duration,
    /// Report the session as connected at a verified CHALLENGE, one round trip earlier; it may then
    /// still end with 0x0203 or 0x0103.
    pub early: bool,
    /// Overrides the endpoint's session configuration.
    pub session: Option<SessionConfig>,
    /// Return by this ticket, in one round trip. One that is of no use here (of another node or
    /// seed than this endpoint's, or of another peer than the pinned one), or that the peer no longer
    /// knows, leads to an ordinary handshake within the same connect.
    pub resume: Option<ResumptionTicket>,
    /// Bytes to travel with the RESUME, at most [`ResumptionTicket::early_capacity`].
    pub early_data: Bytes,
    /// Connects of the same number, by different carriers, are to lead to one session: only the first whose
    /// peer has proved itself proves this side, and the others wait, for as long as it may still fail
    /// (PROTOCOL.md section 2.3). `None` races nobody.
    pub race: Option<u64>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            peer: None,
            timeout: Duration::from_secs(10),
            early: false,
            session: None,
            resume: None,
            early_data: Bytes::new(),
            race: None,
        }
    }
}
