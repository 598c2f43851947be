//! Files for people who look for a fault: qlog of every session, and a key log.
//!
//! The engine's thread only formats; a thread of its own writes, so that no disk stops packets. What
//! it cannot keep up with is left out and counted in the file itself.

mod session;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::PathBuf;

use stt_proto::Now;
use stt_proto::trace::{SessionTrace, SessionTraceStart, TracedSecret, Tracer};

use self::session::SessionLog;
use self::writer::{Job, Outbox, Writer};

/// Which logs an engine writes. None by default, and then they cost nothing.
#[derive(Debug, Clone, Default)]
pub struct LogConfig {
    /// Folder for a qlog file of each session, made if it is not there.
    pub qlog_dir: Option<PathBuf>,
    /// File to append the sessions' secrets to. **Whoever reads it can read every session of this
    /// engine**, for as long as somebody has the datagrams.
    pub key_log: Option<PathBuf>,
}

/// The logs of one engine. Dropped after the core, it waits until everything is written.
pub(crate) struct Logs {
    writer: Writer,
    qlog: bool,
    keys: bool,
}

impl Logs {
    /// Opens what `config` asks for; `None` if that is nothing.
    ///
    /// # Errors
    /// When the folder or the file cannot be made, or the thread.
    pub(crate) fn open(config: &LogConfig) -> io::Result<Option<Self>> {
        if config.qlog_dir.is_none() && config.key_log.is_none() {
            return Ok(None);
        }
        let writer = Writer::start(config.qlog_dir.as_deref(), config.key_log.as_deref())?;
        let (qlog, keys) = (config.qlog_dir.is_some(), config.key_log.is_some());
        Ok(Some(Self { writer, qlog, keys }))
    }

    /// What the core tells its events to.
    pub(crate) fn tracer(&self) -> Box<dyn Tracer> {
        Box::new(EngineTracer {
            outbox: self.writer.outbox(),
            qlog: self.qlog,
            keys: self.keys,
            next_file: 0,
        })
    }
}

struct EngineTracer {
    outbox: Outbox,
    qlog: bool,
    keys: bool,
    next_file: u64,
}

impl Tracer for EngineTracer {
    fn session(&mut self, now: Now, start: &SessionTraceStart) -> Option<Box<dyn SessionTrace>> {
        if !self.qlog {
            return None;
        }
        let file = self.next_file;
        self.next_file += 1;
        Some(Box::new(SessionLog::new(self.outbox.clone(), file, now, start)))
    }

    fn wants_secrets(&self) -> bool {
        self.keys
    }

    fn secret(&mut self, secret: &TracedSecret<'_>) {
        self.outbox.send(Job::Key(format!("{secret}\n")));
    }
}
