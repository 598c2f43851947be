//! What a process says of itself, and how long it took.

use std::io::Write;
use std::time::Instant;

use serde_json::{Value, json};

/// CPU time and wall time since it was made.
pub(crate) struct Meter {
    started: Instant,
    cpu: f64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now(), cpu: usage().0 }
    }

    /// Says what `bytes` took since then.
    pub(crate) fn report(&self, bytes: u64) {
        let (cpu, rss) = usage();
        say(&json!({
            "bytes": bytes,
            "seconds": self.started.elapsed().as_secs_f64(),
            "cpu": cpu - self.cpu,
            "maxRss": rss,
        }));
    }

    /// Says what `count` of something took since then.
    pub(crate) fn report_count(&self, count: usize) {
        say(&json!({
            "count": count,
            "seconds": self.started.elapsed().as_secs_f64(),
            "cpu": usage().0 - self.cpu,
        }));
    }
}

/// One line of JSON, at once: whoever waits for it reads a pipe.
pub(crate) fn say(line: &Value) {
    let mut out = std::io::stdout().lock();
    // A reader that has gone away ends this process by a signal, in its own time.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// CPU seconds of all threads of this process so far, and its largest resident set in bytes.
fn usage() -> (f64, u64) {
    // SAFETY: rusage is plain data, for which zeros are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a rusage that lives until the call returns.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (seconds(usage.ru_utime) + seconds(usage.ru_stime), usage.ru_maxrss as u64 * 1024)
}
