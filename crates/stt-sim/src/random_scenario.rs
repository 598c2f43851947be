//! Scenarios that nobody thought of, and the smallest that still fails.

use toml::{Table, Value};

use crate::{
    random::Random,
    spec::{Action, Controller, EventSpec, FlowSpec, LinkSpec, Scenario, SessionSpec},
};

/// Runs that shrinking may take.
const SHRINK_RUNS: usize = 400;

/// The longest that a network is dark, or a connection stands still, in a drawn scenario.
const LONGEST_MS: u64 = 3000;

/// The shortest time from one rebind to the next. To prove an address takes a round trip: up to half a second on the
/// links that are drawn, and what waits in their queues.
const LEAST_REBIND_MS: u64 = 2000;

/// IP packets of so many bytes every link carries.
const LEAST_MTU: u64 = 1280;

/// The scenario that a seed draws: everything at once, within what a session can bear.
#[must_use]
pub fn draw(seed: u64) -> Scenario {
    let mut random = Random::new(seed, "random scenario");
    let random = &mut random;
    let link = link(random);
    let back = if random.chance(0.3) { self::link(random) } else { LinkSpec::default() };
    let window = 2048 << random.below(11);
    let session = SessionSpec {
        stream_recv_buffer: Some(window),
        recv_buffer: Some(window << random.below(3)),
        send_buffer: Some(4096 << random.below(9)),
        key_update_packets: random.chance(0.3).then(|| 8 + random.below(200)),
        max_concurrent_streams: random.chance(0.3).then(|| 1 + random.below(20) as u32),
        ..SessionSpec::default()
    };
    let flow = (0..=random.below(3)).map(|_| flow(random)).collect();
    let event = if random.chance(0.5) { events(random) } else { Vec::new() };
    let mut scenario = Scenario {
        name: "random".to_owned(),
        about: format!("drawn from seed {seed}"),
        own_links: true,
        limit_s: Some(3600),
        ipv6: random.chance(0.2),
        clients: Some(1 + random.below(3) as usize),
        shared: random.chance(0.5),
        link,
        back,
        session,
        flow,
        event,
        ..Scenario::default()
    };
    if random.chance(0.4) {
        carriers(random, &mut scenario);
    }
    // By draws of their own: what a seed drew before there were these it draws still.
    features(&mut Random::new(seed, "random features"), &mut scenario);
    scenario
}

/// What sessions do beside moving streams, and what happens to their paths.
fn features(random: &mut Random, scenario: &mut Scenario) {
    if random.chance(0.5) {
        let other = if random.chance(0.7) { Controller::Bbr } else { Controller::NewReno };
        scenario.session.congestion = Some(other);
    }
    scenario.listen.authorize = random.chance(0.2);
    scenario.listen.early_data = random.chance(0.5);
    scenario.listen.retry_threshold = random.chance(0.2).then_some(0);
    for flow in &mut scenario.flow {
        // A race ends the session under them.
        if random.chance(0.3) && !flow.race {
            flow.datagrams = 1 + random.below(60);
            flow.datagram_every_ms = 20 + random.below(100);
            flow.datagram_bytes = 8 + random.below(1000);
        }
        if random.chance(0.3) {
            flow.chat_every_ms = Some(20 + random.below(500));
            flow.chat_times = 1 + random.below(30);
            flow.chat_deadline_ms = random.chance(0.7).then(|| 50 + random.below(2000));
        }
        if random.chance(0.2) {
            flow.pause_after = Some(random.below(20_000));
            flow.pause_ms = random.below(20_000);
        }
        if random.chance(0.2) && !flow.race {
            flow.returns = 1 + random.below(3) as u32;
            flow.early_data = random.below(800);
        }
    }
    if random.chance(0.3) {
        let action = if random.chance(0.5) { Action::RebindPort } else { Action::RebindAddr };
        scenario.event.push(again(
            action,
            random.below(2000),
            LEAST_REBIND_MS + random.below(8000),
        ));
    }
    if random.chance(0.3) {
        let at_ms = random.below(3000);
        let value = LEAST_MTU + random.below(1500);
        scenario.event.push(EventSpec { value, every_ms: None, ..again(Action::Mtu, at_ms, 0) });
    }
}

/// Sessions that begin by connections, or go there when UDP is silent, and back.
fn carriers(random: &mut Random, scenario: &mut Scenario) {
    scenario.tcp = LinkSpec {
        delay_ms: Some(random.below(2000) as f64 / 10.0),
        rate_mbit: Some((500 + random.below(80_000)) as f64 / 1000.0),
        // Not AUTH_PROOF, which TCP brings and nobody repeats.
        drop: (0..random.below(4)).map(|_| 3 + random.below(60)).collect(),
        ..LinkSpec::default()
    };
    for flow in &mut scenario.flow {
        flow.websocket = random.chance(0.4);
        flow.failover = true;
        flow.return_ms = 100 + random.below(3000);
    }
    if random.chance(0.3) {
        let (start, span) = (random.below(2000), 1 + random.below(LONGEST_MS));
        let every = span + 3000 + random.below(5000);
        scenario.event.push(again(Action::TcpStall, start, every));
        scenario.event.push(again(Action::TcpGo, start + span, every));
    }
}

fn again(action: Action, at_ms: u64, every_ms: u64) -> EventSpec {
    EventSpec {
        action,
        at_ms,
        at_bytes: None,
        every_ms: Some(every_ms),
        spread_ms: 0,
        times: Some(20),
        value: 0,
    }
}

/// A share with up to `most` percent.
fn share(random: &mut Random, most: u64) -> Option<f64> {
    random.chance(0.6).then(|| random.below(most * 10 + 1) as f64 / 1000.0)
}

fn link(random: &mut Random) -> LinkSpec {
    let bursts = random.chance(0.3);
    LinkSpec {
        delay_ms: Some(random.below(2000) as f64 / 10.0),
        jitter_ms: random.chance(0.5).then(|| random.below(300) as f64 / 10.0),
        ordered: Some(random.chance(0.5)),
        rate_mbit: Some((200 + random.below(80_000)) as f64 / 1000.0),
        queue: Some(random.below(200) as usize + 10),
        loss: share(random, 8),
        burst_loss: bursts.then(|| random.below(80) as f64 / 1000.0),
        burst_length: bursts.then(|| 1.0 + random.below(20) as f64),
        duplicate: share(random, 20),
        reorder: share(random, 20),
        reorder_depth: Some(random.below(65)),
        corrupt: share(random, 3),
        mtu: Some((LEAST_MTU + random.below(3000)) as usize),
        bleach: Some(random.chance(0.2)),
        mark_above: random.chance(0.2).then(|| 5 + random.below(20) as usize),
        ..LinkSpec::default()
    }
}

fn flow(random: &mut Random) -> FlowSpec {
    let mut sizes = |most: u64| {
        let count = random.below(most);
        (0..count).map(|_| random.below(60_000)).collect::<Vec<u64>>()
    };
    let (streams, back) = (sizes(8), sizes(4));
    FlowSpec {
        count: Some(1 + random.below(3) as usize),
        start_ms: random.below(1000),
        every_ms: random.below(200),
        streams,
        back,
        unidirectional: random.chance(0.3),
        early: random.chance(0.2),
        race: random.chance(0.15),
        connect_timeout_ms: Some(60_000),
        ..FlowSpec::default()
    }
}

/// The network goes dark now and then, for less than a session bears.
fn events(random: &mut Random) -> Vec<EventSpec> {
    let dark = [Action::Dark, Action::DarkForth, Action::DarkBack][random.below(3) as usize];
    let (start, span) = (random.below(2000), 1 + random.below(LONGEST_MS));
    let every = span + 3000 + random.below(5000);
    vec![again(dark, start, every), again(Action::Light, start + span, every)]
}

/// Whether whatever is switched off is on again before a session must end, links stay fit for one, and addresses last
/// long enough to be proven: a darkness without its end, or a NAT that never rests, fails by itself, and hides what
/// failed.
fn bearable(events: &[EventSpec]) -> bool {
    events.iter().all(|off| {
        let back = match off.action {
            Action::Dark | Action::DarkForth | Action::DarkBack => Action::Light,
            Action::TcpStall => Action::TcpGo,
            Action::Mtu => return off.value >= LEAST_MTU,
            Action::RebindPort | Action::RebindAddr => {
                return off.every_ms.is_none_or(|every| every >= LEAST_REBIND_MS);
            }
            _ => return true,
        };
        events.iter().any(|on| {
            on.action == back
                && (on.every_ms, on.times) == (off.every_ms, off.times)
                && (off.at_ms..=off.at_ms + LONGEST_MS).contains(&on.at_ms)
        })
    })
}

/// The smallest scenario found for which `fails` still holds. Whole parts of the file are left out
/// first, then numbers are halved, as long as anything helps.
pub fn shrink(scenario: &Scenario, mut fails: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut best = scenario.clone();
    let mut runs = 0;
    'again: loop {
        let Ok(table) = Table::try_from(&best) else { return best };
        let table = Value::Table(table);
        for candidate in candidates(&table) {
            let Ok(text) = toml::to_string(&candidate) else { continue };
            let Ok(smaller) = Scenario::parse(&best.name, &text) else { continue };
            if smaller == best || smaller.flow.is_empty() || !bearable(&smaller.event) {
                continue;
            }
            runs += 1;
            if runs > SHRINK_RUNS {
                return best;
            }
            if fails(&smaller) {
                best = smaller;
                continue 'again;
            }
        }
        return best;
    }
}

/// Everything one step smaller than `value`, the largest steps first.
fn candidates(value: &Value) -> Vec<Value> {
    let mut out = Vec::new();
    match value {
        Value::Table(table) => {
            for key in table.keys().filter(|key| *key != "about") {
                let mut without = table.clone();
                without.remove(key);
                out.push(Value::Table(without));
            }
            for (key, inner) in table {
                for smaller in candidates(inner) {
                    let mut with = table.clone();
                    with.insert(key.clone(), smaller);
                    out.push(Value::Table(with));
                }
            }
        }
        Value::Array(items) => {
            for index in 0..items.len() {
                let mut without = items.clone();
                without.remove(index);
                out.push(Value::Array(without));
            }
            for (index, inner) in items.iter().enumerate() {
                for smaller in candidates(inner) {
                    let mut with = items.clone();
                    with[index] = smaller;
                    out.push(Value::Array(with));
                }
            }
        }
        Value::Integer(number) if *number > 1 => out.push(Value::Integer(number / 2)),
        Value::Float(number) if *number > 0.01 => out.push(Value::Float(number / 2.0)),
        _ => {}
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_draws_the_same() {
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        for seed in 0..100 {
            let scenario = draw(seed);
            let again = Scenario::parse("random", &scenario.to_text());
            assert_eq!(again.as_ref(), Ok(&scenario));
        }
    }

    #[test]
    fn a_darkness_without_its_end_is_no_smaller_scenario() {
        let dark = |seed: &u64| draw(*seed).event.iter().any(|event| event.action == Action::Dark);
        let scenario = draw((0..).find(dark).unwrap_or_default());
        let fails =
            |scenario: &Scenario| scenario.event.iter().any(|event| event.action == Action::Dark);
        let small = shrink(&scenario, fails);
        assert_eq!(small.event.len(), 2, "{}", small.to_text());
        assert!(bearable(&small.event) && !bearable(&small.event[..1]));
    }

    #[test]
    fn rebinds_without_a_rest_are_no_smaller_scenario() {
        let repeated = |event: &EventSpec| {
            matches!(event.action, Action::RebindPort | Action::RebindAddr)
                && event.every_ms.is_some()
        };
        // One that a halving would take below the floor, and one that it would not.
        for range in [LEAST_REBIND_MS..2 * LEAST_REBIND_MS, 2 * LEAST_REBIND_MS..10_000] {
            let fails = |scenario: &Scenario| scenario.event.iter().any(repeated);
            let fits = |seed: &u64| {
                let every =
                    |event: &EventSpec| event.every_ms.is_some_and(|ms| range.contains(&ms));
                draw(*seed).event.iter().any(|event| repeated(event) && every(event))
            };
            let seed = (0..).find(fits).unwrap_or_default();
            let small = shrink(&draw(seed), fails);
            assert_eq!(small.event.len(), 1, "seed {seed}: {}", small.to_text());
            let every = small.event[0].every_ms.unwrap_or_default();
            let least = LEAST_REBIND_MS..2 * LEAST_REBIND_MS;
            assert!(least.contains(&every), "seed {seed}: {every} ms");
        }
        let once = EventSpec { every_ms: None, ..again(Action::RebindPort, 0, 0) };
        assert!(bearable(&[once]));
    }

    #[test]
    fn shrinking_leaves_what_the_failure_needs() {
        let fails = |scenario: &Scenario| {
            scenario.link.loss.is_some_and(|loss| loss > 0.01)
                && scenario.flow.iter().any(|flow| flow.streams.iter().any(|len| *len > 1000))
        };
        let seed = (0..).find(|seed| fails(&draw(*seed))).unwrap_or_default();
        let small = shrink(&draw(seed), fails);
        assert!(fails(&small));
        assert_eq!((small.flow.len(), small.flow[0].streams.len()), (1, 1));
        assert!(small.event.is_empty() && small.link.delay_ms.is_none(), "{}", small.to_text());
        assert!(small.flow[0].streams[0] <= 2001);
    }
}
