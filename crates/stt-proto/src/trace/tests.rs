//! A session that is watched from both ends: what the events say, and that they change nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use core::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use stt_crypto::{NetworkKeys, NodeIdentity, NodeSeed, SharedSeed};
use stt_wire::CloseReason;

use super::qlog::Formatter;
use super::{SessionTrace, SessionTraceStart, TraceEvent, TracedSecret, Tracer};
use crate::config::{ConnectOptions, EndpointConfig, ListenConfig, SessionConfig};
use crate::endpoint::{Close, Endpoint};
use crate::event::{Event, SessionHandle};
use crate::path::PathAddress;
use crate::streams::{ReadOutcome, StreamOptions};
use crate::time::{Instant, Now};

const SHARED: [u8; 32] = *b"\x8e\x11\x02\xc7\x5a\x93\xf4\x60\xb7\x2d\xe9\x14\x4f\xa8\x33\xdc\x01\x6b\x95\x7e\xf0\xc2\x48\x1a\xd6\x39\x87\xb4\x22\x5f\xeb\x70";
const BYTES: usize = 600_000;

#[derive(Clone, Default)]
struct Watcher {
    text: Arc<Mutex<String>>,
    secrets: Arc<Mutex<Vec<String>>>,
}

struct SessionWatcher(Arc<Mutex<String>>, Formatter);

impl Tracer for Watcher {
    fn session(&mut self, now: Now, start: &SessionTraceStart) -> Option<Box<dyn SessionTrace>> {
        let formatter = Formatter::begin(now, start, &mut self.text.lock().unwrap());
        Some(Box::new(SessionWatcher(Arc::clone(&self.text), formatter)))
    }

    fn wants_secrets(&self) -> bool {
        true
    }

    fn secret(&mut self, secret: &TracedSecret<'_>) {
        self.secrets.lock().unwrap().push(secret.to_string());
    }
}

impl SessionTrace for SessionWatcher {
    fn event(&mut self, at: Instant, event: &TraceEvent<'_>) {
        self.1.event(at, event, &mut self.0.lock().unwrap());
    }
}

struct Outcome {
    datagrams: Vec<Vec<u8>>,
    /// Each side's records, the file's head first.
    records: [Vec<Value>; 2],
    secrets: [Vec<String>; 2],
}

/// 600 kB one way, of which every fortieth datagram is lost, over keys that serve for 64 packets.
fn transfer(watch: bool) -> Outcome {
    let watchers = [Watcher::default(), Watcher::default()];
    let mut ends = [3u8, 5].map(|number| {
        let keys = NetworkKeys::new(&SharedSeed::new(&SHARED).unwrap());
        let seed = SHARED.map(|byte| byte.wrapping_mul(number).wrapping_add(number));
        let identity = NodeIdentity::from_seed(&NodeSeed::new(&seed).unwrap());
        let session =
            SessionConfig { key_update_packets: 64, mtu: 1452, ..SessionConfig::default() };
        let config = EndpointConfig { session, ..EndpointConfig::default() };
        Endpoint::new(config, identity, vec![keys], [number; 32])
    });
    if watch {
        for (end, watcher) in ends.iter_mut().zip(&watchers) {
            end.set_tracer(Some(Box::new(watcher.clone())));
        }
    }
    let address = |end: usize| PathAddress::udp(([10, 0, 0, end as u8 + 1], 7788).into());
    ends[1].set_listening(Some(ListenConfig::default()));
    let mut nanos = 1;
    let now = |nanos| Now { mono: Instant::from_nanos(nanos), unix_ms: 1_800_000_000_000 };
    ends[0].connect(now(nanos), address(1), ConnectOptions::default()).unwrap();
    let mut datagrams = Vec::new();
    let mut buffer = vec![0; 65_536];
    let mut sessions: [Option<SessionHandle>; 2] = [None; 2];
    let (mut read, mut closing, mut closed) = (0, false, 0);
    let mut stream = None;
    for _ in 0..4000 {
        for from in [0, 1] {
            // One a millisecond: the keys' minimum age is in probe timeouts.
            if let Some(sent) = ends[from].poll_transmit(now(nanos), 1, &mut buffer) {
                let datagram = &mut buffer[..sent.len];
                datagrams.push(datagram.to_vec());
                if datagrams.len() % 40 != 39 {
                    ends[1 - from].handle_datagram(now(nanos), address(from), None, datagram);
                }
            }
            while let Some(event) = ends[from].poll_event() {
                match event {
                    Event::Connected { session, .. } => sessions[from] = Some(session),
                    Event::StreamOpened { stream: opened, .. } => stream = Some(opened),
                    Event::SessionClosed { session, reason, .. } => {
                        assert_eq!(reason, CloseReason::Graceful);
                        ends[from].release(session);
                        closed += 1;
                    }
                    _ => {}
                }
            }
        }
        if let (Some(session), None, true) = (sessions[0], stream, read == 0) {
            let id = ends[0].open_stream(now(nanos), session, StreamOptions::default()).unwrap();
            ends[0].write(now(nanos), session, id, Bytes::from(vec![7; BYTES])).unwrap();
            ends[0].finish(now(nanos), session, id).unwrap();
            stream = Some(id);
        }
        if let (Some(session), Some(id)) = (sessions[1], stream) {
            while let Ok(ReadOutcome::Chunk(bytes)) = ends[1].read(session, id, 65_536) {
                read += bytes.len();
                ends[1].consumed(now(nanos), session, id, bytes.len() as u64);
            }
        }
        if read == BYTES && !closing {
            closing = true;
            let close = Close::graceful(Duration::from_secs(1));
            ends[0].close(now(nanos), sessions[0].unwrap(), close);
        }
        nanos += 1_000_000;
        for end in &mut ends {
            if end.poll_timeout().is_some_and(|at| at <= now(nanos).mono) {
                end.handle_timeout(now(nanos));
            }
        }
    }
    assert_eq!((read, closed), (BYTES, 2));
    let records = watchers.each_ref().map(|w| parse(&w.text.lock().unwrap()));
    let secrets = watchers.each_ref().map(|w| w.secrets.lock().unwrap().clone());
    Outcome { datagrams, records, secrets }
}

/// A JSON text sequence (RFC 7464).
fn parse(text: &str) -> Vec<Value> {
    let records = text.split('\u{1e}').skip(1);
    records
        .map(|record| {
            assert!(record.ends_with('\n'), "{record}");
            serde_json::from_str(record).unwrap_or_else(|error| panic!("{error}: {record}"))
        })
        .collect()
}

/// The data of every record of this name.
fn named<'a>(records: &'a [Value], name: &str) -> Vec<&'a Value> {
    let name = format!("stt:{name}");
    records.iter().filter(|r| r["name"] == name.as_str()).map(|r| &r["data"]).collect()
}

fn by_number<'a>(packets: &[&'a Value]) -> BTreeMap<u64, &'a Value> {
    let number = |packet: &Value| packet["header"]["packet_number"].as_u64().unwrap();
    packets.iter().map(|packet| (number(packet), *packet)).collect()
}

#[test]
fn watching_changes_nothing() {
    assert!(transfer(true).datagrams == transfer(false).datagrams);
}

#[test]
fn both_ends_tell_the_same_story() {
    let Outcome { records, .. } = transfer(true);
    for (from, to) in [(0, 1), (1, 0)] {
        let all_sent = named(&records[from], "packet_sent");
        let (sent, received) =
            (by_number(&all_sent), by_number(&named(&records[to], "packet_received")));
        assert_eq!(all_sent.len(), sent.len(), "no packet number twice");
        for (number, packet) in &received {
            for field in ["frames", "raw", "header"] {
                assert_eq!(packet[field], sent[number][field], "packet {number}");
            }
        }
        let lost: BTreeSet<u64> =
            by_number(&named(&records[from], "packet_lost")).into_keys().collect();
        assert!(lost.iter().all(|number| !received.contains_key(number)), "only what was dropped");
        if from == 0 {
            assert!(lost.len() >= 3, "{lost:?}");
            let data: u64 = sent
                .values()
                .flat_map(|p| p["frames"].as_array().unwrap())
                .filter(|frame| frame["frame_type"] == "data")
                .map(|frame| frame["length"].as_u64().unwrap())
                .sum();
            assert!(data > BYTES as u64, "what was lost was sent again");
        }
    }
}

#[test]
fn a_file_has_a_head_a_start_and_an_end() {
    let Outcome { records, .. } = transfer(true);
    for (side, records) in ["client", "server"].into_iter().zip(&records) {
        let head = &records[0];
        assert_eq!(head["file_schema"], "urn:ietf:params:qlog:file:sequential");
        assert_eq!(head["serialization_format"], "application/qlog+json-seq");
        let trace = &head["trace"];
        assert_eq!(trace["vantage_point"]["type"], side);
        let clock = &trace["common_fields"]["reference_time"];
        assert_eq!(clock["wall_clock_time"], "2027-01-15T08:00:00.000Z");
        assert_eq!(records[1]["name"], "stt:session_started");
        assert_eq!(named(records, "session_closed").len(), 1);
        let times: Vec<f64> = records[1..].iter().map(|r| r["time"].as_f64().unwrap()).collect();
        assert!(times.is_sorted());
        let metrics = named(records, "recovery_metrics_updated");
        assert!(metrics.iter().any(|m| m["min_rtt"].as_f64().is_some_and(|rtt| rtt < 50.0)));
    }
    let mtu = records.each_ref().map(|records| named(records, "mtu_updated"));
    assert_eq!((&mtu[0][0]["old"], &mtu[0][0]["new"]), (&Value::from(1200), &Value::from(1452)));
    assert!(mtu[1].is_empty(), "it only receives: {:?}", mtu[1]);
    let updates = |records, owner: &str| {
        named(records, "key_updated").into_iter().filter(|d| d["owner"] == owner).count()
    };
    let made = updates(&records[0], "local");
    assert!(made >= 2, "{made} updates");
    assert_eq!(updates(&records[1], "remote"), made);
}

#[test]
fn both_ends_log_the_same_secrets() {
    let Outcome { secrets: [mut client, server], .. } = transfer(true);
    let ephemeral = client.remove(0);
    assert!(ephemeral.starts_with("STT_EPHEMERAL "), "of the initiator alone");
    assert_eq!(ephemeral.len(), "STT_EPHEMERAL ".len() + 64 + 1 + 64);
    assert_eq!(client, server);
    assert_eq!(client.len(), 2);
    assert!(client.iter().all(|line| line.starts_with("STT_TRAFFIC_SECRET_0 ")));
    assert!(transfer(false).secrets.iter().all(Vec::is_empty));
}
