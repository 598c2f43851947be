//! What a sweep of many seeds found.

use core::time::Duration;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::{play::Outcome, spec::Profile};

/// One run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// What came of it, or what failed.
    pub outcome: Result<Outcome, String>,
}

/// All runs of one scenario on one profile.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The scenario.
    pub scenario: String,
    /// The links.
    pub profile: Profile,
    /// Its runs, in the order of their seeds.
    pub runs: Vec<Run>,
}

/// The value that a share of the runs does not exceed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// The least.
    pub min: f64,
    /// Of 5 %.
    pub p5: f64,
    /// Of half.
    pub p50: f64,
    /// Of 95 %.
    pub p95: f64,
    /// Of 99 %.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Percentiles {
    /// Of these values; `None` where there are none.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| values[(last as f64 * share).round() as usize];
        Some(Self {
            min: at(0.0),
            p5: at(0.05),
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            max: at(1.0),
        })
    }

    fn rounded(self, digits: i32) -> Self {
        let round = |value: f64| (value * 10_f64.powi(digits)).round() / 10_f64.powi(digits);
        let Self { min, p5, p50, p95, p99, max } = self;
        let [min, p5, p50, p95, p99, max] = [min, p5, p50, p95, p99, max].map(round);
        Self { min, p5, p50, p95, p99, max }
    }
}

impl Summary {
    /// Runs that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.outcome.is_err())
    }

    fn outcomes(&self) -> impl Iterator<Item = &Outcome> {
        self.runs.iter().filter_map(|run| run.outcome.as_ref().ok())
    }

    /// Milliseconds to completion.
    #[must_use]
    pub fn times(&self) -> Option<Percentiles> {
        let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
        Percentiles::of(self.outcomes().map(|outcome| milliseconds(outcome.time)).collect())
    }

    /// Goodput as a share of the link's rate.
    #[must_use]
    pub fn goodput(&self) -> Option<Percentiles> {
        Percentiles::of(self.outcomes().filter_map(|outcome| outcome.goodput).collect())
    }
}

#[derive(Serialize)]
struct Line {
    scenarios: usize,
    runs: usize,
    failed: usize,
    results: BTreeMap<String, BTreeMap<&'static str, Part>>,
}

#[derive(Serialize)]
struct Part {
    runs: usize,
    failed: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed_seeds: Vec<u64>,
    time_ms: Option<Percentiles>,
    goodput: Option<Percentiles>,
    /// What headers and tags leave of the link.
    ceiling: Option<f64>,
}

/// The closing line of a sweep, as one JSON object.
#[must_use]
pub fn json(summaries: &[Summary]) -> String {
    let mut results: BTreeMap<String, BTreeMap<&'static str, Part>> = BTreeMap::new();
    for summary in summaries {
        let failed_seeds: Vec<u64> = summary.failures().map(|run| run.seed).collect();
        let part = Part {
            runs: summary.runs.len(),
            failed: failed_seeds.len(),
            failed_seeds,
            time_ms: summary.times().map(|times| times.rounded(3)),
            goodput: summary.goodput().map(|goodput| goodput.rounded(4)),
            ceiling: summary.outcomes().next().map(|o| (o.ceiling * 1e4).round() / 1e4),
        };
        let parts = results.entry(summary.scenario.clone()).or_default();
        parts.insert(summary.profile.name(), part);
    }
    let line = Line {
        scenarios: results.len(),
        runs: summaries.iter().map(|summary| summary.runs.len()).sum(),
        failed: summaries.iter().map(|summary| summary.failures().count()).sum(),
        results,
    };
    serde_json::to_string(&line).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = (1..=101).rev().map(f64::from).collect();
        let expected =
            Percentiles { min: 1.0, p5: 6.0, p50: 51.0, p95: 96.0, p99: 100.0, max: 101.0 };
        assert_eq!(Percentiles::of(values), Some(expected));
        assert_eq!(Percentiles::of(Vec::new()), None);
    }

    #[test]
    fn the_line_counts_and_names_what_failed() {
        let outcome = Outcome {
            time: Duration::from_millis(1500),
            bytes: 10,
            goodput: Some(0.5),
            ceiling: 0.94,
            reconnects: 0,
            transcript: 0,
        };
        let runs = vec![
            Run { seed: 4, outcome: Ok(outcome) },
            Run { seed: 5, outcome: Err("no".to_owned()) },
        ];
        let summary = Summary { scenario: "a".to_owned(), profile: Profile::Slow, runs };
        let line = json(&[summary]);
        assert!(line.starts_with(r#"{"scenarios":1,"runs":2,"failed":1,"#), "{line}");
        assert!(line.contains(r#""failed_seeds":[5]"#) && line.contains(r#""p50":1500.0"#));
    }
}
