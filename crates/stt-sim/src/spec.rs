//! Scenarios as data: what a file of `scenarios/` may say. `scenarios/README.md` explains it to
//! people.

mod flow;

use core::time::Duration;

use serde::{Deserialize, Serialize};
use stt_proto::{CongestionControl, SessionConfig};

use crate::{
    cross::CrossKind,
    link::{Burst, EcnPolicy, FULL_PACKET, IPV4_OVERHEAD, Link},
};

pub use self::flow::{Action, EventSpec, Expect, FlowSpec};

/// One scenario.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Its name on the command line: that of its file.
    #[serde(skip)]
    pub name: String,
    /// What it is about, in a line.
    pub about: String,
    /// Drawn anew from each seed; the rest of the file is then ignored.
    #[serde(skip_serializing_if = "is_default")]
    pub random: bool,
    /// Run over a fortieth of the seeds.
    #[serde(skip_serializing_if = "is_default")]
    pub heavy: bool,
    /// Runs on its own links alone, not on those of the profiles.
    #[serde(skip_serializing_if = "is_default")]
    pub own_links: bool,
    /// Virtual time after which a run has failed; 600 s unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_s: Option<u64>,
    /// IPv6 instead of IPv4.
    #[serde(skip_serializing_if = "is_default")]
    pub ipv6: bool,
    /// Nodes that connect to the one server; 1 unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clients: Option<usize>,
    /// All of them share one link each way.
    #[serde(skip_serializing_if = "is_default")]
    pub shared: bool,
    /// The clients' NAT forgets after so much silence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_timeout_ms: Option<u64>,
    /// Both directions, over what the profile says.
    #[serde(skip_serializing_if = "is_default")]
    pub link: LinkSpec,
    /// Server to client, over `link`.
    #[serde(skip_serializing_if = "is_default")]
    pub back: LinkSpec,
    /// A second interface of each client, both ways; makes every client multi-homed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second: Option<LinkSpec>,
    /// A second address of the server, both ways from each of the clients' interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_second: Option<LinkSpec>,
    /// Connections, both ways, over what the profile says. Of it delay, rate and `drop` count: messages that
    /// the receiver drops.
    #[serde(skip_serializing_if = "is_default")]
    pub tcp: LinkSpec,
    /// Sessions' settings at both ends.
    #[serde(skip_serializing_if = "is_default")]
    pub session: SessionSpec,
    /// How the server listens.
    #[serde(skip_serializing_if = "is_default")]
    pub listen: ListenSpec,
    /// The sessions.
    pub flow: Vec<FlowSpec>,
    /// What happens meanwhile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub event: Vec<EventSpec>,
    /// Other people's flows from the first client to the server.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cross: Vec<CrossKind>,
    /// What has to hold at the end besides completion.
    #[serde(skip_serializing_if = "is_default")]
    pub expect: Expect,
}

/// What a link's file says differs from the link below it. See [`Link`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinkSpec {
    /// One way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<f64>,
    /// Half the width of the jitter: delays go from `delay - jitter` to `delay + jitter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// Datagrams keep their order in spite of jitter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ordered: Option<bool>,
    /// Megabits a second, headers included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_mbit: Option<f64>,
    /// Datagrams; 0 is what fills the link for one round trip, and at least 10.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<usize>,
    /// Share of the datagrams that is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// Losses in a row at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_run: Option<u32>,
    /// Share of the time in which all is lost, in bursts ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_loss: Option<f64>,
    /// ... whose mean length is what so many full packets take at the link's rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst_length: Option<f64>,
    /// Share that is delivered twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate: Option<f64>,
    /// Share that is held back ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder: Option<f64>,
    /// ... for the time of 1 to so many full packets ...
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder_depth: Option<u64>,
    /// ... and for this long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reorder_ms: Option<f64>,
    /// Share in which one bit is flipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corrupt: Option<f64>,
    /// Bytes of an IP packet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<usize>,
    /// Nothing passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dark: Option<bool>,
    /// ECN codepoints are erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bleach: Option<bool>,
    /// Share of the ECN-capable datagrams that is marked CE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<f64>,
    /// Marked CE where so many datagrams wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark_above: Option<usize>,
    /// Exactly these are dropped, counted from 1.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub drop: Vec<u64>,
}

impl LinkSpec {
    /// `link` with what the file says instead.
    #[must_use]
    pub fn over(&self, mut link: Link) -> Link {
        let ms = |ms: f64| Duration::from_secs_f64(ms.max(0.0) / 1e3);
        let mut middle = self.delay_ms.map_or(link.delay + link.jitter / 2, ms);
        if let Some(half) = self.jitter_ms.map(ms) {
            link.jitter = 2 * half.min(middle);
        }
        middle = middle.max(link.jitter / 2);
        link.delay = middle - link.jitter / 2;
        if let Some(rate) = self.rate_mbit {
            link.rate = Some((rate * 125_000.0) as u64);
        }
        match (self.queue, link.rate) {
            (Some(0), Some(rate)) => {
                let round_trip = (2 * middle).as_secs_f64();
                link.queue = ((rate as f64 * round_trip) as u64 / FULL_PACKET).max(10) as usize;
            }
            (Some(queue), _) => link.queue = queue,
            (None, _) => {}
        }
        set(&mut link.ordered, self.ordered);
        set(&mut link.loss, self.loss);
        set(&mut link.max_run, self.max_run);
        set(&mut link.duplicate, self.duplicate);
        set(&mut link.reorder, self.reorder);
        set(&mut link.reorder_depth, self.reorder_depth);
        set(&mut link.reorder_by, self.reorder_ms.map(ms));
        set(&mut link.corrupt, self.corrupt);
        set(&mut link.mtu, self.mtu.map(|bytes| bytes.saturating_sub(IPV4_OVERHEAD)));
        set(&mut link.dark, self.dark);
        let EcnPolicy { bleach, mark, mark_above } = &mut link.ecn;
        set(bleach, self.bleach);
        set(mark, self.mark);
        set(mark_above, self.mark_above.map(Some));
        if let Some(share) = self.burst_loss {
            let packet = link.transmission(FULL_PACKET).max(Duration::from_micros(1));
            let mean = packet.mul_f64(self.burst_length.unwrap_or(1.0));
            link.burst = Some(Burst { share, mean });
        }
        link.drop.extend(self.drop.iter().map(|number| number.saturating_sub(1)));
        link
    }
}

fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// Settings of the sessions at both ends that differ from the defaults. See [`SessionConfig`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SessionSpec {
    /// Bytes of credit of one stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_recv_buffer: Option<u64>,
    /// Bytes of credit of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recv_buffer: Option<u64>,
    /// Bytes that a writer keeps unacknowledged on one stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_buffer: Option<u64>,
    /// Streams of each kind that may be open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrent_streams: Option<u32>,
    /// Largest UDP payload to try.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<usize>,
    /// Packets under one key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_update_packets: Option<u64>,
    /// Which controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub congestion: Option<Controller>,
}

/// A congestion controller by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Controller {
    /// CUBIC with HyStart++.
    Cubic,
    /// NewReno.
    NewReno,
    /// BBR.
    Bbr,
}

impl From<Controller> for CongestionControl {
    fn from(controller: Controller) -> Self {
        match controller {
            Controller::Cubic => Self::Cubic,
            Controller::NewReno => Self::NewReno,
            Controller::Bbr => Self::Bbr,
        }
    }
}

impl SessionSpec {
    /// The default configuration with what the file says instead.
    #[must_use]
    pub fn config(&self) -> SessionConfig {
        let mut config = SessionConfig::default();
        set(&mut config.stream_recv_buffer, self.stream_recv_buffer);
        set(&mut config.recv_buffer, self.recv_buffer);
        set(&mut config.send_buffer, self.send_buffer);
        set(&mut config.max_concurrent_streams, self.max_concurrent_streams);
        set(&mut config.mtu, self.mtu);
        set(&mut config.key_update_packets, self.key_update_packets);
        set(&mut config.congestion, self.congestion.map(Into::into));
        config
    }
}

/// How the server listens, where it differs from the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ListenSpec {
    /// Half-open handshakes from which on there is RETRY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_threshold: Option<usize>,
    /// Half-open handshakes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_half_open: Option<usize>,
    /// The application is asked about each peer.
    #[serde(skip_serializing_if = "is_default")]
    pub authorize: bool,
    /// Early data is taken.
    #[serde(skip_serializing_if = "is_default")]
    pub early_data: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A link profile that scenarios run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// 10 Mbit/s, 15 ms one way, a queue of 25.
    Slow,
    /// 1 Gbit/s, 5 ms one way, a queue that holds what the link holds in a round trip.
    Fast,
    /// The scenario's own links.
    Own,
}

impl Profile {
    /// Its name in reports and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Fast => "fast",
            Self::Own => "own",
        }
    }

    /// The link that a scenario's own settings come on top of.
    #[must_use]
    pub fn link(self) -> Link {
        let (delay_ms, rate_mbit, queue) = match self {
            Self::Slow => (15.0, Some(10.0), Some(25)),
            Self::Fast => (5.0, Some(1000.0), Some(0)),
            Self::Own => (10.0, None, None),
        };
        let delay_ms = Some(delay_ms);
        let spec = LinkSpec { delay_ms, rate_mbit, queue, mtu: Some(1500), ..LinkSpec::default() };
        spec.over(Link::default())
    }
}

impl Scenario {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| format!("scenario {name}: {error}"))?;
        Ok(Self { name: name.to_owned(), ..scenario })
    }

    /// The file's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        toml::to_string(self).unwrap_or_else(|error| format!("# cannot be written: {error}\n"))
    }

    /// What it runs on.
    #[must_use]
    pub const fn profiles(&self) -> &'static [Profile] {
        if self.own_links { &[Profile::Own] } else { &[Profile::Slow, Profile::Fast] }
    }

    /// Over how many seeds it runs when `seeds` are asked for.
    #[must_use]
    pub const fn seeds(&self, seeds: u64) -> u64 {
        if self.heavy { seeds.div_ceil(40) } else { seeds }
    }

    /// Links from client to server and back on a profile.
    #[must_use]
    pub fn links(&self, profile: Profile) -> [Link; 2] {
        let forth = self.link.over(profile.link());
        let back = self.back.over(Link { drop: Vec::new(), ..forth.clone() });
        [forth, back]
    }

    /// Both directions of connections on a profile.
    #[must_use]
    pub fn tcp_links(&self, profile: Profile) -> [Link; 2] {
        [self.tcp.over(profile.link()), self.tcp.over(profile.link())]
    }

    /// Virtual time that a run may take.
    #[must_use]
    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.limit_s.unwrap_or(600))
    }
}
