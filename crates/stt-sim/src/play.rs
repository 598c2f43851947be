//! One run: a scenario on a profile from a seed.

mod expect;

use core::time::Duration;

use stt_proto::{Endpoint, EndpointConfig, Instant, ListenConfig, Rebind};

use crate::{
    app::App,
    link::{IPV4_OVERHEAD, Link},
    random::Random,
    recording::Recording,
    spec::{Action, EventSpec, Profile, Scenario},
    world::{Failure, NodeId, World},
};

/// What is left of a session after its end must be gone by then.
const FORGOTTEN_WITHIN: Duration = Duration::from_secs(300);
/// By then the last ticket has expired and its key is gone: the key lives for two lifetimes at most.
const SILENT_WITHIN: Duration = Duration::from_secs(3 * 3600);
/// A link's delay is longer by up to this part of it, drawn from the seed.
const DELAY_VARIATION: u32 = 100;
/// The slot of every interface that clients and server have first.
const FIRST: usize = 0;

/// What a good run was like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Virtual time until the last flow had all its bytes acknowledged and read.
    pub time: Duration,
    /// Bytes that were read.
    pub bytes: u64,
    /// Goodput as a share of the links' rate, in the direction where it is larger; `None` where
    /// nothing was moved or there is no rate.
    pub goodput: Option<f64>,
    /// What a perfect sender would reach, given headers and tags.
    pub ceiling: f64,
    /// Sessions that had to be replaced.
    pub reconnects: u32,
    /// Value over all datagrams: equal for equal runs.
    pub transcript: u64,
}

/// A run that is under way.
struct Play<'a> {
    scenario: &'a Scenario,
    world: World,
    app: App,
    clients: Vec<NodeId>,
    server: NodeId,
    config: EndpointConfig,
    shared: [u8; 32],
    server_seed: [u8; 32],
    timeline: Vec<Due>,
    /// How often each of the scenario's events has happened.
    happened: Vec<u64>,
    /// Draws how much later than said things happen.
    moments: Random,
    /// What waits for bytes to arrive, with its place among the scenario's events.
    waiting: Vec<(u64, usize, EventSpec)>,
    wake_up: Option<Instant>,
    cross: Vec<usize>,
    /// Interfaces of each client and of the server.
    interfaces: [usize; 2],
    /// Those that sessions were moved to last.
    current: [usize; 2],
    /// Bytes a second of the clients' first links, there and back.
    rates: [Option<u64>; 2],
}

/// What is to happen.
struct Due {
    at: Instant,
    /// The same before it was spread.
    base: Instant,
    event: EventSpec,
    /// Its place among the scenario's events.
    place: usize,
}

impl Due {
    fn new(base: Instant, event: EventSpec, place: usize, moments: &mut Random) -> Self {
        let mut due = Self { at: base, base, event, place };
        due.spread(moments);
        due
    }

    fn spread(&mut self, moments: &mut Random) {
        let spread = Duration::from_millis(self.event.spread_ms);
        self.at = self.base + moments.duration(spread);
    }
}

/// Runs a scenario once.
///
/// # Errors
/// What failed, and when.
pub fn play(scenario: &Scenario, profile: Profile, seed: u64) -> Result<Outcome, Failure> {
    Play::new(scenario, profile, seed).run()
}

/// Runs a scenario once and records it.
///
/// # Errors
/// What failed, and when.
pub(crate) fn play_recorded(
    scenario: &Scenario,
    profile: Profile,
    seed: u64,
    recording: &Recording,
) -> Result<Outcome, Failure> {
    let mut play = Play::new(scenario, profile, seed);
    play.world.record(recording);
    play.run()
}

impl<'a> Play<'a> {
    fn new(scenario: &'a Scenario, profile: Profile, seed: u64) -> Self {
        let links = scenario.links(profile);
        let rates = links.each_ref().map(|link| link.rate);
        // No two seeds have quite the same clockwork.
        let mut variation = Random::new(seed, "variation");
        let [forth, back] = links.map(|link| {
            let extra = variation.duration(link.delay / DELAY_VARIATION);
            Link { delay: link.delay + extra, ..link }
        });
        let mut world = World::new(seed, Link::default());
        if scenario.ipv6 {
            world.use_ipv6();
        }
        let shared = Random::new(seed, "shared seed").bytes();
        let server_seed = Random::new(seed, "server seed").bytes();
        let sessions = scenario.flow.iter().map(|flow| flow.count.unwrap_or(1)).sum::<usize>();
        let config = EndpointConfig {
            session: scenario.session.config(),
            max_sessions: (2 * sessions).max(1024),
            ..EndpointConfig::default()
        };
        let clients: Vec<NodeId> = (0..scenario.clients.unwrap_or(1))
            .map(|_| world.add_node(config.clone(), shared))
            .collect();
        let server = world.add_node_with(config.clone(), &[shared], server_seed);
        world.watch_responder(server);
        let server_end = (server, FIRST);
        let ends: Vec<_> = clients.iter().map(|client| (*client, FIRST)).collect();
        if scenario.shared {
            let ways = |back: bool| {
                let way = |end: &(NodeId, usize)| {
                    if back { [server_end, *end] } else { [*end, server_end] }
                };
                ends.iter().map(way).collect::<Vec<_>>()
            };
            world.share_link(&ways(false), forth.clone());
            world.share_link(&ways(true), back);
        } else {
            for end in &ends {
                *world.link_mut(*end, server_end) = forth.clone();
                *world.link_mut(server_end, *end) = back.clone();
            }
        }
        let mut interfaces = [1; 2];
        if let Some(second) = &scenario.second {
            interfaces[0] = 2;
            for client in &clients {
                let end = (*client, world.add_interface(*client));
                *world.link_mut(end, server_end) = second.over(profile.link());
                *world.link_mut(server_end, end) = second.over(profile.link());
            }
        }
        if let Some(second) = &scenario.server_second {
            let far = (server, world.add_interface(server));
            for (client, near) in clients.iter().flat_map(|id| (0..interfaces[0]).map(|i| (*id, i)))
            {
                *world.link_mut((client, near), far) = second.over(profile.link());
                *world.link_mut(far, (client, near)) = second.over(profile.link());
            }
            interfaces[1] = 2;
        }
        if scenario.expect.unlinkable {
            world.watch_path_ids();
        }
        if let Some(timeout) = scenario.nat_timeout_ms {
            for client in &clients {
                world.set_nat(*client, Duration::from_millis(timeout));
            }
        }
        let mut app =
            App::new(&scenario.flow, &clients, server, &scenario.tcp_links(profile), seed);
        if let Some(bytes) = scenario.session.send_buffer {
            app.flows.iter_mut().for_each(|flow| flow.set_send_buffer(bytes));
        }
        let cross = scenario
            .cross
            .iter()
            .map(|kind| world.add_cross_flow((clients[0], FIRST), server_end, *kind))
            .collect();
        let waiting = scenario
            .event
            .iter()
            .enumerate()
            .filter_map(|(place, event)| Some((event.at_bytes?, place, event.clone())))
            .collect();
        let mut moments = Random::new(seed, "moments");
        let timeline = scenario
            .event
            .iter()
            .enumerate()
            .filter(|(_, event)| event.at_bytes.is_none())
            .map(|(place, event)| {
                let base = Instant::from_nanos(event.at_ms * 1_000_000);
                Due::new(base, event.clone(), place, &mut moments)
            })
            .collect();
        let mut play = Self {
            scenario,
            world,
            app,
            clients,
            server,
            config,
            shared,
            server_seed,
            timeline,
            happened: vec![0; scenario.event.len()],
            moments,
            waiting,
            wake_up: None,
            cross,
            interfaces,
            current: [FIRST; 2],
            rates,
        };
        play.listen();
        play
    }

    fn listen(&mut self) {
        let default = ListenConfig::default();
        let spec = &self.scenario.listen;
        let listen = ListenConfig {
            max_sessions: self.config.max_sessions,
            authorize: spec.authorize,
            early_data: spec.early_data,
            max_half_open: spec.max_half_open.unwrap_or(default.max_half_open),
            retry_threshold: spec.retry_threshold.unwrap_or(default.retry_threshold),
            ..default
        };
        self.world.endpoint_mut(self.server).set_listening(Some(listen));
    }

    fn run(&mut self) -> Result<Outcome, Failure> {
        let limit = self.scenario.limit();
        let end = self.world.now() + limit;
        let mut world = core::mem::replace(&mut self.world, World::new(0, Link::default()));
        let ran = world.run_until_with(Duration::MAX, |world| {
            self.act(world)?;
            self.app.advance(world)?;
            if self.app.is_done() {
                return Ok((Some(()), None));
            }
            if world.now() > end {
                let standing = self.app.flows.iter().filter(|flow| flow.took().is_none());
                let standing: Vec<String> = standing.take(3).map(|flow| flow.standing()).collect();
                return Err(format!("not done within {limit:?}: {}", standing.join("; ")));
            }
            Ok((None, [self.app.next_wake(), self.next_action()].into_iter().flatten().min()))
        });
        self.world = world;
        ran?;
        let outcome = self.outcome();
        self.expect(&outcome).map_err(|what| self.world.failure(what))?;
        self.forget()?;
        Ok(outcome)
    }

    /// Everything of every session must be gone some time after its end: memory, timers, datagrams.
    /// The keys of tickets live longer, but no longer than the last ticket.
    fn forget(&mut self) -> Result<(), Failure> {
        self.world.end_cross_flows();
        self.until_all(FORGOTTEN_WITHIN, |endpoint| {
            let stats = endpoint.stats();
            stats.sessions == 0 && stats.half_open == 0
        })?;
        self.until_all(SILENT_WITHIN, |endpoint| endpoint.poll_timeout().is_none())
    }

    /// Runs on until `gone` says of every endpoint that nothing is left.
    fn until_all(
        &mut self,
        within: Duration,
        gone: impl Fn(&mut Endpoint) -> bool,
    ) -> Result<(), Failure> {
        let all: Vec<NodeId> = (0..self.world.node_count()).collect();
        let limit = Instant::from_nanos(self.world.now().as_nanos()) + within;
        let mut world = core::mem::replace(&mut self.world, World::new(0, Link::default()));
        let result = world.run_until_with(within, |world| {
            self.app.advance(world)?;
            let gone = all.iter().all(|node| gone(world.endpoint_mut(*node)));
            Ok((gone.then_some(()), Some(limit)))
        });
        self.world = world;
        result.map_err(|failure| Failure {
            what: format!("after the end something is left: {}", failure.what),
            ..failure
        })
    }

    fn outcome(&self) -> Outcome {
        let flows = &self.app.flows;
        let time = flows.iter().filter_map(|flow| flow.took()).max().unwrap_or_default();
        let bytes: u64 = flows.iter().map(|flow| flow.received()).sum();
        let steady: Vec<(u64, Duration)> = flows.iter().filter_map(|flow| flow.steady()).collect();
        let mut moved = [0, 1].map(|end| flows.iter().map(|flow| flow.received_at(end)).sum());
        let mut span = time;
        if let Some(longest) = steady.iter().map(|(_, span)| *span).max() {
            moved = [0, steady.iter().map(|(bytes, _)| bytes).sum()];
            span = longest;
        }
        // The direction that carried more of what it can.
        let links = if self.scenario.shared { 1 } else { self.clients.len() };
        let [back, forth] = [(moved[0], self.rates[1]), (moved[1], self.rates[0])].map(|(m, r)| {
            let rate = r.filter(|_| m > 0 && !span.is_zero())?;
            Some(m as f64 / span.as_secs_f64() / (rate * links as u64) as f64)
        });
        let goodput = [back, forth].into_iter().flatten().reduce(f64::max);
        let udp = self.scenario.session.mtu.unwrap_or(1452);
        let headers = if self.scenario.ipv6 { 48 } else { 28 };
        // Header, tag, checksum (PROTOCOL.md section 1.1), and a DATA frame's offset of 4 bytes.
        let payload = udp - 24 - 16 - 4 - 4;
        Outcome {
            time,
            bytes,
            goodput,
            ceiling: payload as f64 / (udp + headers) as f64,
            reconnects: flows.iter().map(|flow| flow.attempts).sum(),
            transcript: self.world.transcript(),
        }
    }

    fn next_action(&self) -> Option<Instant> {
        let next = self.timeline.iter().map(|due| due.at);
        next.chain(self.wake_up).min()
    }

    /// Lets happen what the timeline says for this time.
    fn act(&mut self, world: &mut World) -> Result<(), String> {
        let now = world.now();
        if self.wake_up.is_some_and(|at| at <= now) {
            self.wake_up = None;
            world.set_asleep(self.clients[0], false);
        }
        if !self.waiting.is_empty() {
            let bytes: u64 = self.app.flows.iter().map(|flow| flow.received()).sum();
            let (timeline, moments) = (&mut self.timeline, &mut self.moments);
            self.waiting.retain(|(least, place, event)| {
                let due = bytes >= *least;
                if due {
                    let base = now + Duration::from_millis(event.at_ms);
                    timeline.push(Due::new(base, event.clone(), *place, moments));
                }
                !due
            });
        }
        let mut index = 0;
        while let Some(due) = self.timeline.get_mut(index) {
            if due.at > now {
                index += 1;
                continue;
            }
            let (action, value) = (due.event.action, due.event.value);
            let times = &mut self.happened[due.place];
            *times += 1;
            let over = due.event.times.is_some_and(|most| *times >= most);
            match due.event.every_ms.filter(|_| !over) {
                Some(pause) => {
                    due.base += Duration::from_millis(pause.max(1));
                    due.spread(&mut self.moments);
                }
                None => {
                    self.timeline.remove(index);
                }
            }
            self.perform(world, action, value)?;
        }
        Ok(())
    }

    /// Every way from a client's interface to one of the server's, with both interfaces.
    fn paths(&self) -> impl Iterator<Item = ([(NodeId, usize); 2], [usize; 2])> {
        let (server, [near, far]) = (self.server, self.interfaces);
        self.clients.iter().flat_map(move |client| {
            (0..near).flat_map(move |near| {
                (0..far).map(move |far| ([(*client, near), (server, far)], [near, far]))
            })
        })
    }

    fn perform(&mut self, world: &mut World, action: Action, value: u64) -> Result<(), String> {
        let links = |world: &mut World, which: [bool; 2], change: &dyn Fn(&mut Link)| {
            for ends in self.paths().map(|(ends, _)| ends) {
                if which[0] {
                    change(world.link_mut(ends[0], ends[1]));
                }
                if which[1] {
                    change(world.link_mut(ends[1], ends[0]));
                }
            }
        };
        match action {
            Action::Dark => links(world, [true, true], &|link| link.dark = true),
            Action::DarkForth => links(world, [true, false], &|link| link.dark = true),
            Action::DarkBack => links(world, [false, true], &|link| link.dark = true),
            Action::Light => links(world, [true, true], &|link| link.dark = false),
            Action::Mtu => {
                links(world, [true, true], &|link| link.mtu = value as usize - IPV4_OVERHEAD)
            }
            Action::RebindPort | Action::RebindAddr => {
                for client in &self.clients {
                    world.rebind_next(*client, action == Action::RebindAddr);
                }
            }
            Action::Switch => {
                for client in &self.clients {
                    let next = (world.active_interface(*client) + 1) % self.interfaces[0];
                    world.switch_interface(*client, next);
                }
            }
            Action::Move | Action::MoveRemote => {
                links(world, [true, true], &|link| link.dark = false);
                let end = usize::from(action == Action::MoveRemote);
                self.current[end] = (self.current[end] + 1) % self.interfaces[end];
                for flow in &mut self.app.flows {
                    flow.move_to(world, self.current)?;
                }
            }
            Action::Leave => {
                for (ends, _) in self.paths().filter(|(_, at)| *at != self.current) {
                    world.link_mut(ends[0], ends[1]).dark = true;
                    world.link_mut(ends[1], ends[0]).dark = true;
                }
            }
            Action::SocketPort | Action::SocketAddr => {
                let is_address = action == Action::SocketAddr;
                let rebind = if is_address { Rebind::Address } else { Rebind::Port };
                for client in &self.clients {
                    world.rebind_next(*client, is_address);
                    let now = world.now_at(*client);
                    world.endpoint_mut(*client).handle_rebind(now, rebind);
                }
            }
            Action::Restart => {
                world.restart(self.server, self.config.clone(), &[self.shared], self.server_seed);
                core::mem::swap(&mut self.world, world);
                self.listen();
                core::mem::swap(&mut self.world, world);
                self.app.on_restart();
            }
            Action::TcpStall => world.stall_connections(true),
            Action::TcpGo => world.stall_connections(false),
            Action::TcpCut => world.cut_connections(),
            Action::Sleep => {
                world.set_asleep(self.clients[0], true);
                self.wake_up = Some(world.now() + Duration::from_secs(value));
            }
        }
        Ok(())
    }
}
