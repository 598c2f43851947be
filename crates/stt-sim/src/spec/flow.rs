//! What a file says about sessions, about what happens, and about what must come of it.

use serde::{Deserialize, Serialize};

use super::is_default;

/// Sessions of one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FlowSpec {
    /// How many; 1 unless said. They take turns over the clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// When the first begins.
    #[serde(skip_serializing_if = "is_default")]
    pub start_ms: u64,
    /// Time between the starts of two.
    #[serde(skip_serializing_if = "is_default")]
    pub every_ms: u64,
    /// Bytes of each stream from client to server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<u64>,
    /// Bytes of each stream from server to client.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub back: Vec<u64>,
    /// Each of these lists so many times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeat: Option<usize>,
    /// The streams go one way.
    #[serde(skip_serializing_if = "is_default")]
    pub unidirectional: bool,
    /// One more stream to the server, written without end for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steady_ms: Option<u64>,
    /// One more stream to the server: 1000 bytes each time that so much time has passed ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_every_ms: Option<u64>,
    /// ... so many times.
    #[serde(skip_serializing_if = "is_default")]
    pub chat_times: u64,
    /// What that stream's bytes are good for; without end unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chat_deadline_ms: Option<u64>,
    /// Datagrams that each end sends ...
    #[serde(skip_serializing_if = "is_default")]
    pub datagrams: u64,
    /// ... with so much time between two ...
    #[serde(skip_serializing_if = "is_default")]
    pub datagram_every_ms: u64,
    /// ... of 8 to so many bytes.
    #[serde(skip_serializing_if = "is_default")]
    pub datagram_bytes: u64,
    /// When the session has ended well, the client comes back with its newest ticket, and all is done
    /// again, so many times.
    #[serde(skip_serializing_if = "is_default")]
    pub returns: u32,
    /// Bytes of early data whenever it comes back.
    #[serde(skip_serializing_if = "is_default")]
    pub early_data: u64,
    /// The server's reader stops when it has so many bytes ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_after: Option<u64>,
    /// ... for so long.
    #[serde(skip_serializing_if = "is_default")]
    pub pause_ms: u64,
    /// Time limit of the connect; the default unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout_ms: Option<u64>,
    /// Use the session before FINAL.
    #[serde(skip_serializing_if = "is_default")]
    pub early: bool,
    /// A session that fails is replaced by a new one that begins from the start, so often.
    #[serde(skip_serializing_if = "is_default")]
    pub reconnects: u32,
    /// The session begins by a connection, as TCP and a WebSocket make it of the scenario's `tcp` links.
    #[serde(skip_serializing_if = "is_default")]
    pub websocket: bool,
    /// The client keeps the session on a carrier that works: it opens a connection and moves there when
    /// UDP falls silent, or when the connection in use ends ...
    #[serde(skip_serializing_if = "is_default")]
    pub failover: bool,
    /// ... and from a connection it tries UDP with so much time between two attempts; never when 0.
    #[serde(skip_serializing_if = "is_default")]
    pub return_ms: u64,
    /// Both sides close, reset, stop and finish in an order and at times drawn from the seed.
    #[serde(skip_serializing_if = "is_default")]
    pub race: bool,
}

/// Something that happens at a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventSpec {
    /// What.
    #[serde(rename = "do")]
    pub action: Action,
    /// When; counted from the start of the run, or from when `at_bytes` had arrived.
    #[serde(default, skip_serializing_if = "is_default")]
    pub at_ms: u64,
    /// Not before so many bytes were read, over all sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_bytes: Option<u64>,
    /// Again after so long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_ms: Option<u64>,
    /// Later each time by up to so much, drawn from the seed.
    #[serde(default, skip_serializing_if = "is_default")]
    pub spread_ms: u64,
    /// So many times in all; without end unless said, where it is repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// How long, or how large, where the action wants to know.
    #[serde(default, skip_serializing_if = "is_default")]
    pub value: u64,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Nothing passes, either way.
    Dark,
    /// Nothing passes from client to server.
    DarkForth,
    /// Nothing passes from server to client.
    DarkBack,
    /// All passes again.
    Light,
    /// Links carry IP packets of `value` bytes.
    Mtu,
    /// Each client's NAT chooses another port.
    RebindPort,
    /// Each client's NAT chooses another address.
    RebindAddr,
    /// Clients send by the next of their interfaces.
    Switch,
    /// Sessions move to the next of their client's interfaces by themselves; all links pass again.
    Move,
    /// Sessions move to the next of the server's addresses by themselves; all links pass again.
    MoveRemote,
    /// Nothing passes on the paths that sessions have moved away from.
    Leave,
    /// Each client's endpoint is given a socket with another port, and told so.
    SocketPort,
    /// Each client's endpoint is given a socket with another address, and told so.
    SocketAddr,
    /// The server's process is replaced by a fresh one with the same identity.
    Restart,
    /// The first client is suspended for `value` seconds.
    Sleep,
    /// Connections stay open and pass nothing, and none is opened.
    TcpStall,
    /// Connections pass again what they were given.
    TcpGo,
    /// Every connection ends.
    TcpCut,
}

/// What has to hold at the end of a run besides completion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Expect {
    /// Goodput of all flows as a share of what overhead leaves of the link, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goodput: Option<f64>,
    /// Times that the flows took differ by this share of the longest at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fair_within: Option<f64>,
    /// The sessions and each model get this share of an equal share at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_starving: Option<f64>,
    /// The network has marked datagrams CE, and fewer than this share was dropped for it.
    #[serde(skip_serializing_if = "is_default")]
    pub marked: bool,
    /// At least one session had to be replaced.
    #[serde(skip_serializing_if = "is_default")]
    pub reconnected: bool,
    /// Each of the scenario's events has happened so many times before the sessions were done, at least.
    #[serde(skip_serializing_if = "is_default")]
    pub happened: u64,
    /// A RETRY was sent.
    #[serde(skip_serializing_if = "is_default")]
    pub retried: bool,
    /// So many sessions came back by a ticket, at least.
    #[serde(skip_serializing_if = "is_default")]
    pub resumed: u64,
    /// So many sessions had their early data taken, at least.
    #[serde(skip_serializing_if = "is_default")]
    pub early_data: u64,
    /// Each session is told of so many moves that it made, at least.
    #[serde(skip_serializing_if = "is_default")]
    pub moved: u64,
    /// The server is told of so many moves of each session, at least.
    #[serde(skip_serializing_if = "is_default")]
    pub followed: u64,
    /// Bytes that went by connections, at least; headers and tags included.
    #[serde(skip_serializing_if = "is_default")]
    pub by_connection: u64,
    /// No path id is seen on two paths: nobody who watches both can join them.
    #[serde(skip_serializing_if = "is_default")]
    pub unlinkable: bool,
    /// Share of the datagrams that arrived, at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<f64>,
    /// Share of the bytes with a deadline that the reader was told to skip, at least and at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<[f64; 2]>,
}
