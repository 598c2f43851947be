//! What an endpoint is started with, as JavaScript gives it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use stt_crypto::{NetworkKeys, NodeIdentity, NodeSeed, SharedSeed};
use stt_engine::{EngineConfig, LogConfig, SocketOptions};
use stt_proto::{Cap, CongestionControl, EndpointConfig, ListenConfig, MessageDrop, SessionConfig};

/// Options of `startEndpoint`; names, units and ranges are those of the TypeScript API, which has
/// checked them.
#[napi(object, object_to_js = false)]
pub struct NativeOptions {
    pub node_seed: Option<Uint8Array>,
    pub shared_seeds: Vec<Uint8Array>,
    pub host: String,
    pub port: u32,
    pub keep_alive_interval_ms: f64,
    pub keep_alive_timeout_ms: f64,
    pub handshake_timeout_ms: f64,
    pub max_concurrent_streams: u32,
    pub max_concurrent_sessions: u32,
    /// None: no ceiling.
    pub max_memory: Option<f64>,
    pub recv_buffer_size: f64,
    pub send_buffer_size: f64,
    pub stream_recv_buffer: f64,
    pub max_datagram_size: u32,
    pub datagram_send_buffer: f64,
    pub datagram_recv_buffer: f64,
    /// 'newest' or 'oldest'.
    pub datagram_send_drop: String,
    pub datagram_recv_drop: String,
    pub timestamp_window_ms: f64,
    pub mtu: Option<u32>,
    pub congestion: String,
    pub socket_send_buffer: f64,
    pub socket_recv_buffer: f64,
    /// Microseconds.
    pub socket_busy_poll: u32,
    pub stealth: bool,
    pub key_update_packets: Option<f64>,
    pub integrity_limit: Option<f64>,
    pub qlog_dir: Option<String>,
    pub key_log: Option<String>,
    /// The event loop is libuv's, and may watch the socket.
    pub watch_by_loop: bool,
}

/// How an endpoint accepts peers; what is left out has no cap of its own.
#[napi(object, object_to_js = false)]
pub struct ListenLimits {
    pub max_sessions: u32,
    pub authorize: bool,
    pub max_sessions_per_source: Option<u32>,
    pub max_rate_per_source: Option<u32>,
    pub max_sessions_per_peer: Option<u32>,
    pub max_rate_per_peer: Option<u32>,
    pub ticket_lifetime_ms: Option<f64>,
    pub early_data: Option<bool>,
}

impl From<ListenLimits> for ListenConfig {
    fn from(limits: ListenLimits) -> Self {
        let cap = |sessions: Option<u32>, per_second: Option<u32>| Cap {
            sessions: sessions.unwrap_or(Cap::NONE.sessions),
            per_second: per_second.unwrap_or(Cap::NONE.per_second),
        };
        Self {
            max_sessions: limits.max_sessions as usize,
            per_source: cap(limits.max_sessions_per_source, limits.max_rate_per_source),
            per_peer: cap(limits.max_sessions_per_peer, limits.max_rate_per_peer),
            authorize: limits.authorize,
            ticket_lifetime: limits
                .ticket_lifetime_ms
                .map_or(Self::default().ticket_lifetime, millis),
            early_data: limits.early_data.unwrap_or_default(),
            ..Self::default()
        }
    }
}

/// Why an endpoint did not start.
#[napi(object, object_from_js = false)]
pub struct StartFailure {
    /// 'option', 'seed', 'bind', 'poller', 'thread' or 'log'.
    pub stage: String,
    /// The system's name for it, such as EADDRINUSE; empty when only the number is known.
    pub code: String,
    /// The system's number, 0 when it is no system error.
    pub errno: i32,
    /// What happened, in words.
    pub message: String,
}

impl StartFailure {
    fn plain(stage: &str, message: impl ToString) -> Self {
        Self {
            stage: stage.to_owned(),
            code: String::new(),
            errno: 0,
            message: message.to_string(),
        }
    }
}

/// A span in milliseconds; what is no sensible number counts as zero.
pub(crate) fn millis(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1000.0).unwrap_or(Duration::ZERO)
}

fn message_drop(which: &str) -> MessageDrop {
    if which == "oldest" { MessageDrop::Oldest } else { MessageDrop::Newest }
}

impl NativeOptions {
    /// What the engine needs; seeds are checked here once more, because a bad one is a hole.
    pub(crate) fn into_config(self) -> Result<EngineConfig, StartFailure> {
        let seed_failure = |error| StartFailure::plain("seed", error);
        let mut rng_seed = [0; 32];
        getrandom::fill(&mut rng_seed).map_err(|error| StartFailure::plain("seed", error))?;
        let node_seed = match &self.node_seed {
            Some(seed) => NodeSeed::new(seed).map_err(seed_failure)?,
            None => {
                let mut fresh = [0; 32];
                getrandom::fill(&mut fresh).map_err(|error| StartFailure::plain("seed", error))?;
                NodeSeed::new(&fresh).map_err(seed_failure)?
            }
        };
        let mut networks = Vec::with_capacity(self.shared_seeds.len());
        for seed in &self.shared_seeds {
            networks.push(NetworkKeys::new(&SharedSeed::new(seed).map_err(seed_failure)?));
        }
        if networks.is_empty() {
            return Err(StartFailure::plain("seed", "at least one shared seed is needed"));
        }
        let host: IpAddr = self.host.parse().map_err(|error| {
            StartFailure::plain("option", format!("{:?} is no IP address: {error}", self.host))
        })?;
        let port = u16::try_from(self.port)
            .map_err(|_| StartFailure::plain("option", format!("{} is no port", self.port)))?;
        let defaults = SessionConfig::default();
        let session = SessionConfig {
            keep_alive_interval: millis(self.keep_alive_interval_ms),
            keep_alive_timeout: millis(self.keep_alive_timeout_ms),
            handshake_timeout: millis(self.handshake_timeout_ms),
            max_concurrent_streams: self.max_concurrent_streams,
            recv_buffer: self.recv_buffer_size as u64,
            stream_recv_buffer: self.stream_recv_buffer as u64,
            send_buffer: self.send_buffer_size as u64,
            max_datagram_size: u16::try_from(self.max_datagram_size).unwrap_or(u16::MAX),
            datagram_send_buffer: self.datagram_send_buffer as u64,
            datagram_recv_buffer: self.datagram_recv_buffer as u64,
            datagram_send_drop: message_drop(&self.datagram_send_drop),
            datagram_recv_drop: message_drop(&self.datagram_recv_drop),
            mtu: self.mtu.map_or(defaults.mtu, |mtu| mtu as usize),
            congestion: match self.congestion.as_str() {
                "bbr" => CongestionControl::Bbr,
                "newreno" => CongestionControl::NewReno,
                _ => CongestionControl::Cubic,
            },
            key_update_packets: self
                .key_update_packets
                .map_or(defaults.key_update_packets, |n| (n as u64).clamp(1, 1 << 23)),
            // Lower, and a stranger could end sessions by sending noise.
            integrity_limit: self
                .integrity_limit
                .map_or(defaults.integrity_limit, |n| (n as u64).max(1 << 20)),
        };
        Ok(EngineConfig {
            bind: SocketAddr::new(host, port),
            socket: SocketOptions {
                send_buffer: self.socket_send_buffer as usize,
                recv_buffer: self.socket_recv_buffer as usize,
                busy_poll: self.socket_busy_poll,
            },
            endpoint: EndpointConfig {
                max_sessions: self.max_concurrent_sessions as usize,
                timestamp_window: millis(self.timestamp_window_ms),
                stealth: self.stealth,
                max_memory: self.max_memory.map_or(u64::MAX, |bytes| bytes as u64),
                session,
                ..EndpointConfig::default()
            },
            identity: NodeIdentity::from_seed(&node_seed),
            networks,
            rng_seed,
            logs: LogConfig {
                qlog_dir: self.qlog_dir.map(Into::into),
                key_log: self.key_log.map(Into::into),
            },
        })
    }
}
