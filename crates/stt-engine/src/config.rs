//! What an engine is started with, and why it may not start.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use stt_proto::{EndpointConfig, NetworkKeys, NodeIdentity};
use stt_udp::SocketOptions;

use crate::log::LogConfig;

/// What [`Engine::start`](crate::Engine::start) needs.
pub struct EngineConfig {
    /// Where to bind; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// What to ask the system for. What it does not grant is reported by
    /// [`Event::ResourceWarning`](crate::Event::ResourceWarning).
    pub socket: SocketOptions,
    /// Limits, intervals and sizes of the core.
    pub endpoint: EndpointConfig,
    /// Who this node is.
    pub identity: NodeIdentity,
    /// The keys of every shared seed, the one for new connects first.
    pub networks: Vec<NetworkKeys>,
    /// 32 bytes of the system's randomness, used for nothing else.
    pub rng_seed: [u8; 32],
    /// Which logs to write.
    pub logs: LogConfig,
}

/// Why an engine could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The socket could not be created or bound: a busy port, a foreign address, no right, no
    /// descriptors left.
    Bind(io::Error),
    /// The poller could not be created.
    Poller(io::Error),
    /// The thread could not be created.
    Thread(io::Error),
    /// The folder for qlog, or the key log, could not be made.
    Log(io::Error),
}

impl StartError {
    /// The system's error.
    pub fn io(&self) -> &io::Error {
        match self {
            Self::Bind(error) | Self::Poller(error) | Self::Thread(error) | Self::Log(error) => {
                error
            }
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => write!(f, "the socket could not be bound: {error}"),
            Self::Poller(error) => write!(f, "the poller could not be created: {error}"),
            Self::Log(error) => write!(f, "a log could not be opened: {error}"),
            Self::Thread(error) => write!(f, "the engine thread could not be created: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.io())
    }
}
