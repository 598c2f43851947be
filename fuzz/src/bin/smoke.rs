//! `smoke [--seconds N] [--seed N] [--runs N] [TARGET...]`: every target for its share of the time.
//!
//! Prints the seed first. A failing input is written to `fuzz/artifacts/TARGET/`, from where
//! `smoke --replay FILE TARGET` or `cargo fuzz run TARGET FILE` runs it again.

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use stt_fuzz::{
    driver::{Failure, Plan, drive},
    targets::{TARGETS, Target},
};

struct Options {
    seconds: u64,
    runs: u64,
    seed: u64,
    replay: Option<PathBuf>,
    targets: Vec<&'static Target>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = parse(std::env::args().skip(1))?;
    if let Some(file) = &options.replay {
        let input = fs::read(file)?;
        for target in &options.targets {
            println!("{}: {} bytes", target.name, input.len());
            (target.run)(&input);
        }
        return Ok(ExitCode::SUCCESS);
    }
    println!("seed {} (repeat with --seed {0})", options.seed);
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let share = Duration::from_secs(options.seconds) / options.targets.len() as u32;
    let plan = Plan { seed: options.seed, time: share, runs: options.runs };
    let mut failed = 0;
    for target in &options.targets {
        match drive(target, plan, &home.join("corpus").join(target.name)) {
            Ok(runs) => println!("{}: {runs} runs", target.name),
            Err(failure) => {
                failed += 1;
                report(target, &failure, options.seed, &home.join("artifacts"))?;
            }
        }
    }
    println!("fuzz: {} passed, {failed} failed", options.targets.len() - failed);
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(
    target: &Target,
    failure: &Failure,
    seed: u64,
    artifacts: &Path,
) -> Result<(), Box<dyn Error>> {
    let folder = artifacts.join(target.name);
    fs::create_dir_all(&folder)?;
    let file = folder.join(format!("seed-{seed}-run-{}", failure.run));
    fs::write(&file, &failure.input)?;
    println!("{}: FAILED in run {} of seed {seed}", target.name, failure.run);
    println!("  {}", failure.message);
    println!("  input ({} bytes): {}", failure.input.len(), file.display());
    Ok(())
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Options, Box<dyn Error>> {
    // A new seed each time: the same inputs again would find nothing new.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut options =
        Options { seconds: 20, runs: u64::MAX, seed: now, replay: None, targets: Vec::new() };
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seconds" => options.seconds = value()?.parse()?,
            "--runs" => options.runs = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--replay" => options.replay = Some(value()?.into()),
            name => {
                let target = TARGETS.iter().find(|target| target.name == name);
                options.targets.push(target.ok_or_else(|| format!("no target \"{name}\""))?);
            }
        }
    }
    if options.targets.is_empty() {
        options.targets = TARGETS.iter().collect();
    }
    Ok(options)
}
