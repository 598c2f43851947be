//! One session's qlog, formatted where it happens and handed over in pieces.

use std::mem;
use std::time::Duration;

use stt_proto::trace::qlog::{FILE_EXTENSION, Formatter};
use stt_proto::trace::{SessionTrace, SessionTraceStart, TraceEvent};
use stt_proto::{Instant, Now};

use super::writer::{Job, Outbox};

/// Text that is handed over at once.
const CHUNK: usize = 32 * 1024;

/// Text is handed over with the first event so long after the last time.
const FLUSH_INTERVAL: Duration = Duration::from_millis(500);

/// The most that one session's file grows to, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// See the module.
pub(super) struct SessionLog {
    outbox: Outbox,
    file: u64,
    formatter: Formatter,
    text: String,
    /// Records in `text`, and those that it says are missing.
    records: u64,
    /// Records that were thrown away, and are not told yet.
    missing: u64,
    handed_over: u64,
    limit: u64,
    flushed: Instant,
}

impl SessionLog {
    pub(super) fn new(outbox: Outbox, file: u64, now: Now, start: &SessionTraceStart) -> Self {
        let mut text = String::with_capacity(CHUNK + CHUNK / 8);
        let formatter = Formatter::begin(now, start, &mut text);
        let id: String = start.session_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let side = if start.initiator { "client" } else { "server" };
        outbox.send(Job::Open { file, name: format!("{id}_{side}.{FILE_EXTENSION}") });
        Self {
            outbox,
            file,
            formatter,
            text,
            records: 2,
            missing: 0,
            handed_over: 0,
            limit: MAX_FILE,
            flushed: now.mono,
        }
    }

    #[cfg(test)]
    pub(super) fn with_limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    fn is_full(&self) -> bool {
        self.handed_over >= self.limit
    }

    fn flush(&mut self, at: Instant) {
        self.flushed = at;
        if self.text.is_empty() {
            return;
        }
        let full = self.handed_over + self.text.len() as u64 >= self.limit;
        if full {
            self.formatter.truncated(at, &mut self.text);
        }
        let text = mem::replace(&mut self.text, String::with_capacity(CHUNK + CHUNK / 8));
        let (len, records) = (text.len() as u64, mem::take(&mut self.records));
        if self.outbox.send(Job::Append { file: self.file, text }) {
            self.handed_over += len;
        } else {
            self.missing += records;
        }
    }
}

impl SessionTrace for SessionLog {
    fn event(&mut self, at: Instant, event: &TraceEvent<'_>) {
        if self.is_full() {
            return;
        }
        if self.missing > 0 && self.text.is_empty() {
            // Should this piece be lost as well, these are still missing.
            let missing = mem::take(&mut self.missing);
            self.formatter.missing(at, missing, &mut self.text);
            self.records += missing;
        }
        self.formatter.event(at, event, &mut self.text);
        self.records += 1;
        let late = at.saturating_duration_since(self.flushed) >= FLUSH_INTERVAL;
        if late || self.text.len() >= CHUNK || matches!(event, TraceEvent::SessionClosed { .. }) {
            self.flush(at);
        }
    }
}

impl Drop for SessionLog {
    fn drop(&mut self) {
        self.flush(self.flushed);
        self.outbox.send(Job::Close(self.file));
    }
}
