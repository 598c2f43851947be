//! What a sweep of many seeds found.

use core::{fmt::Write, time::Duration};

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Virtual time to completion, or what failed.
    pub outcome: Result<Duration, String>,
}

/// All runs of one scenario.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The scenario.
    pub scenario: &'static str,
    /// Its runs, in the order of their seeds.
    pub runs: Vec<Run>,
    /// Bytes that a run moves; 0 where it moves none.
    pub bytes: u64,
}

impl Summary {
    /// Runs that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.outcome.is_err())
    }

    /// Completion time that this share of the good runs did not exceed.
    #[must_use]
    pub fn percentile(&self, share: f64) -> Option<Duration> {
        let mut times: Vec<Duration> =
            self.runs.iter().filter_map(|run| run.outcome.clone().ok()).collect();
        times.sort_unstable();
        let last = times.len().checked_sub(1)?;
        times.get(((last as f64) * share).round() as usize).copied()
    }
}

/// The closing line of a sweep, as one JSON object.
#[must_use]
pub fn json(summaries: &[Summary]) -> String {
    let runs: usize = summaries.iter().map(|summary| summary.runs.len()).sum();
    let failed: usize = summaries.iter().map(|summary| summary.failures().count()).sum();
    let mut out = format!(
        r#"{{"scenarios":{},"runs":{runs},"failed":{failed},"results":{{"#,
        summaries.len()
    );
    for (index, summary) in summaries.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            r#"{comma}"{}":{{"runs":{},"failed":{},"p50_ms":{},"p99_ms":{},"p50_goodput":{}}}"#,
            summary.scenario,
            summary.runs.len(),
            summary.failures().count(),
            milliseconds(summary.percentile(0.5)),
            milliseconds(summary.percentile(0.99)),
            goodput(summary.bytes, summary.percentile(0.5)),
        );
    }
    out.push_str("}}");
    out
}

fn milliseconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "null".to_owned(), |time| format!("{:.3}", time.as_secs_f64() * 1e3))
}

/// Bytes a second.
fn goodput(bytes: u64, time: Option<Duration>) -> String {
    match time {
        Some(time) if bytes > 0 && !time.is_zero() => {
            format!("{:.0}", bytes as f64 / time.as_secs_f64())
        }
        _ => "null".to_owned(),
    }
}
