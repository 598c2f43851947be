//! Runs a target with mutated inputs on a stable compiler, without coverage feedback.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{
    mutate::{Random, mutate},
    targets::Target,
};

/// Longest input: a datagram of the largest UDP payload is never longer, and most are far shorter.
const LONGEST: usize = 4096;
/// Chains of mutations start anew from a seed input after this many steps.
const CHAIN: usize = 16;
/// Runs between two looks at the clock.
const STRIDE: u64 = 256;

/// How long to run, and from which seed.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Fixes every input; the same seed and number of runs repeat a failure.
    pub seed: u64,
    /// Stop after this time.
    pub time: Duration,
    /// Stop after this many runs, if sooner.
    pub runs: u64,
}

/// The input that broke a target, and when.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Number of the run, from 0.
    pub run: u64,
    /// What the target was given.
    pub input: Vec<u8>,
    /// The panic's message.
    pub message: String,
}

/// Runs `target` by `plan`; first over its seeds and the files of `corpus`, then over mutations.
/// Returns the number of runs.
///
/// # Errors
/// The first [`Failure`].
pub fn drive(target: &Target, plan: Plan, corpus: &Path) -> Result<u64, Failure> {
    let mut inputs = (target.seeds)();
    inputs.push(Vec::new());
    inputs.extend(read_corpus(corpus));

    let mut runs = 0;
    let mut run = |input: &[u8]| {
        let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
        if let Err(panic) = outcome {
            let message = message_of(&*panic);
            return Err(Failure { run: runs, input: input.to_vec(), message });
        }
        runs += 1;
        Ok(runs)
    };
    for input in &inputs {
        run(input)?;
    }
    let mut random = Random::new(plan.seed);
    let deadline = Instant::now() + plan.time;
    loop {
        let mut bytes = inputs[random.below(inputs.len())].clone();
        for _ in 0..CHAIN {
            let other = random.below(inputs.len());
            mutate(&mut random, &mut bytes, &inputs[other], LONGEST);
            let count = run(&bytes)?;
            if count >= plan.runs || count % STRIDE == 0 && Instant::now() >= deadline {
                return Ok(count);
            }
        }
    }
}

/// The files of a folder in the order of their names; a folder that does not exist has none.
fn read_corpus(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

fn message_of(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::TARGETS;

    const PLAN: Plan = Plan { seed: 7, time: Duration::from_secs(60), runs: 2_000 };

    #[test]
    fn every_target_holds_over_a_short_run() {
        for target in TARGETS {
            let outcome = drive(target, PLAN, Path::new("no such folder"));
            assert!(outcome.is_ok(), "{}: {outcome:?}", target.name);
        }
    }

    #[test]
    fn a_broken_target_is_found_again_by_its_seed() {
        fn run(data: &[u8]) {
            assert!(data.len() < 10 || data[9] != 0x40, "the fault");
        }
        let target = Target { name: "broken", run, seeds: || vec![vec![0; 12]] };
        let find = || drive(&target, Plan { runs: u64::MAX, ..PLAN }, Path::new("none"));
        let (first, second) = (find().expect_err("found"), find().expect_err("found again"));
        assert_eq!(first.message, "the fault");
        assert_eq!((first.run, first.input), (second.run, second.input));
    }
}
