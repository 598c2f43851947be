//! What a run leaves behind for people: its datagrams, and what its sessions had to say.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stt_proto::{
    Instant, Now,
    trace::{SessionTrace, SessionTraceStart, TraceEvent, Tracer, qlog},
};

use crate::pcap::Pcap;

/// Sessions that are written down: each side of those in which something happened last.
const MAX_QLOGS: usize = 8;
/// Bytes of one session's records.
const MAX_QLOG_BYTES: usize = 64 << 20;
/// Bytes of all of them.
const MAX_BYTES: usize = 512 << 20;

/// A recording that is under way. Clones are the same one: it outlives a run that panics.
#[derive(Clone, Default)]
pub(crate) struct Recording(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    pcap: Pcap,
    /// In the order in which they began.
    sessions: Vec<Session>,
    bytes: usize,
}

struct Session {
    /// `NODE-SESSION_client` or `NODE-SESSION_server`.
    name: String,
    records: String,
    last: Instant,
}

/// What was recorded.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    /// A file of libpcap's format with every datagram as it left its sender.
    pub(crate) pcap: Vec<u8>,
    /// Names and texts of qlog files, one for each side of a session; those come first in which
    /// something happened last.
    pub(crate) qlogs: Vec<(String, String)>,
}

impl Recording {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // What was written before a panic is what is wanted.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn pcap(&self, record: impl FnOnce(&mut Pcap)) {
        record(&mut self.inner().pcap);
    }

    /// The tracer of a node.
    pub(crate) fn tracer(&self, node: usize) -> Box<dyn Tracer> {
        Box::new(NodeTracer { node, recording: self.clone() })
    }

    /// What there is.
    pub(crate) fn take(&self) -> Recorded {
        let Inner { pcap, mut sessions, .. } = core::mem::take(&mut *self.inner());
        sessions.sort_by_key(|session| core::cmp::Reverse(session.last));
        sessions.truncate(MAX_QLOGS);
        let qlogs = sessions.into_iter().map(|session| (session.name, session.records)).collect();
        Recorded { pcap: pcap.into_bytes(), qlogs }
    }
}

struct NodeTracer {
    node: usize,
    recording: Recording,
}

impl Tracer for NodeTracer {
    fn session(&mut self, now: Now, start: &SessionTraceStart) -> Option<Box<dyn SessionTrace>> {
        let id = start.session_id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let side = if start.initiator { "client" } else { "server" };
        let mut records = String::new();
        let formatter = qlog::Formatter::begin(now, start, &mut records);
        let mut inner = self.recording.inner();
        inner.bytes += records.len();
        let index = inner.sessions.len();
        let name = format!("{}-{id}_{side}", self.node);
        inner.sessions.push(Session { name, records, last: now.mono });
        Some(Box::new(Records { index, formatter, recording: self.recording.clone(), full: false }))
    }
}

/// Writes the records of one side of a session.
struct Records {
    index: usize,
    formatter: qlog::Formatter,
    recording: Recording,
    full: bool,
}

impl SessionTrace for Records {
    fn event(&mut self, at: Instant, event: &TraceEvent<'_>) {
        if self.full {
            return;
        }
        let mut inner = self.recording.inner();
        let all = inner.bytes;
        let Some(session) = inner.sessions.get_mut(self.index) else { return };
        session.last = at;
        let before = session.records.len();
        self.full = before > MAX_QLOG_BYTES || all > MAX_BYTES;
        if self.full {
            self.formatter.truncated(at, &mut session.records);
        } else {
            self.formatter.event(at, event, &mut session.records);
        }
        let added = session.records.len() - before;
        inner.bytes += added;
    }
}
