//! Many runs on a few threads.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use stt_proto::trace::qlog::FILE_EXTENSION;

use crate::{
    play::{Outcome, play, play_recorded},
    random_scenario::{draw, shrink},
    recording::Recording,
    report::{Run, Summary},
    spec::{Profile, Scenario},
};

/// What a sweep runs.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
    /// Only on this profile, where a scenario has it.
    pub profile: Option<Profile>,
    /// The first seed.
    pub first_seed: u64,
    /// How many of them; heavy scenarios take a fortieth.
    pub seeds: u64,
    /// Threads.
    pub jobs: usize,
}

struct Job<'a> {
    scenario: &'a Scenario,
    profile: Profile,
    seed: u64,
}

impl Sweep {
    fn parts(&self) -> impl Iterator<Item = (&Scenario, Profile)> {
        let only = self.profile;
        self.scenarios.iter().flat_map(move |scenario| {
            let wanted = move |profile: &&Profile| {
                scenario.own_links || only.is_none_or(|only| only == **profile)
            };
            scenario.profiles().iter().filter(wanted).map(move |profile| (scenario, *profile))
        })
    }

    /// Runs everything. `tell` hears of each run as it ends, from any thread.
    pub fn run(&self, tell: impl Fn(&Scenario, Profile, &Run) + Sync) -> Vec<Summary> {
        let mut jobs: Vec<Job<'_>> = self
            .parts()
            .flat_map(|(scenario, profile)| {
                let seeds = self.first_seed..self.first_seed + scenario.seeds(self.seeds);
                seeds.map(move |seed| Job { scenario, profile, seed })
            })
            .collect();
        // The long ones first, so that no thread is left alone with one at the end.
        jobs.sort_by_key(|job| !job.scenario.heavy);
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                scope.spawn(|| {
                    while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcome = run_one(job.scenario, job.profile, job.seed);
                        let run = Run { seed: job.seed, outcome };
                        tell(job.scenario, job.profile, &run);
                        let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                        done.push((job.scenario.name.as_str(), job.profile, run));
                    }
                });
            }
        });
        let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.parts()
            .map(|(scenario, profile)| {
                let mut runs: Vec<Run> = done
                    .iter()
                    .filter(|(name, on, _)| *name == scenario.name && *on == profile)
                    .map(|(_, _, run)| run.clone())
                    .collect();
                runs.sort_by_key(|run| run.seed);
                Summary { scenario: scenario.name.clone(), profile, runs }
            })
            .collect()
    }
}

/// The scenario that a seed stands for: a random one is drawn, others are what they are.
#[must_use]
pub fn concrete(scenario: &Scenario, seed: u64) -> Scenario {
    if scenario.random { draw(seed) } else { scenario.clone() }
}

/// Runs a scenario once; a panic is a failure like any other.
///
/// # Errors
/// What failed.
pub fn run_one(scenario: &Scenario, profile: Profile, seed: u64) -> Result<Outcome, String> {
    let scenario = concrete(scenario, seed);
    caught(|| play(&scenario, profile, seed).map_err(|failure| failure.to_string()))
}

/// What kind of failure a message is of: a smaller scenario that fails in another way hides what failed. The
/// first words but for numbers and what stands in braces.
fn kind(what: &str) -> String {
    let mut depth = 0_usize;
    let outside: String = what
        .chars()
        .filter(|letter| {
            match letter {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect();
    let words = outside.split_whitespace().filter(|word| word.chars().all(char::is_alphabetic));
    words.take(6).collect::<Vec<_>>().join(" ")
}

fn caught<T>(run: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no words");
        Err(format!("panicked: {words}"))
    })
}

/// The command that repeats a run. `file` is where its scenario was read from, if not from the
/// catalog.
#[must_use]
pub fn command(scenario: &Scenario, file: Option<&Path>, profile: Profile, seed: u64) -> String {
    let which = match file {
        Some(file) => format!("--file {}", file.display()),
        None => format!("--scenario {}", scenario.name),
    };
    let only = match scenario.own_links {
        true => String::new(),
        false => format!(" --profile {}", profile.name()),
    };
    format!("npm run sim -- {which}{only} --seed {seed}")
}

/// Runs a failed run again and writes down what helps to understand it: its datagrams as a pcap,
/// what its sessions had to say as qlogs, and for a random scenario the smallest that still fails.
/// Returns what was written.
///
/// # Errors
/// The folder cannot be written to.
pub fn document(
    scenario: &Scenario,
    profile: Profile,
    seed: u64,
    folder: &Path,
) -> std::io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let name = format!("{}-{}-{seed}", scenario.name, profile.name());
    let mut written = Vec::new();
    let mut small = concrete(scenario, seed);
    if scenario.random {
        let wanted = run_one(&small, profile, seed).err().map(|what| kind(&what));
        small = shrink(&small, |smaller| {
            run_one(smaller, profile, seed).err().map(|what| kind(&what)) == wanted
        });
        let path = folder.join(format!("{name}.toml"));
        std::fs::write(&path, small.to_text())?;
        written.push(path);
    }
    // It fails again, perhaps by a panic: what is wanted is what it leaves.
    let recording = Recording::default();
    let _ = caught(|| Ok(play_recorded(&small, profile, seed, &recording).is_ok()));
    let recorded = recording.take();
    let mut write = |suffix: &str, bytes: &[u8]| {
        let path = folder.join(format!("{name}{suffix}"));
        std::fs::write(&path, bytes)?;
        written.push(path);
        Ok::<_, std::io::Error>(())
    };
    write(".pcap", &recorded.pcap)?;
    for (session, records) in &recorded.qlogs {
        write(&format!("-{session}.{FILE_EXTENSION}"), records.as_bytes())?;
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_a_kind_are_told_by_their_words() {
        let one = kind(
            "node 0 SessionHandle { index: 1, on: Path { a: 2 } }: an ACK is overdue by 2 s at 3.1 s",
        );
        let same = kind("node 2 SessionHandle { index: 6 }: an ACK is overdue by 1.5 s at 0.2 s");
        let other =
            kind("node 2 SessionHandle { index: 6 }: 110 bytes in flight and no loss timer");
        assert_eq!((one.as_str(), &one), ("node SessionHandle an ACK is overdue", &same));
        assert_ne!(one, other);
    }
}
