//! `stt-sim`: sweeps scenarios over seeds, or runs one again.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
};

use lexopt::{
    Arg::{Long, Short},
    ValueExt,
};
use stt_sim::{
    catalog,
    report::{self, Run, Summary},
    spec::{Profile, Scenario},
    sweep::{Sweep, command, document},
};

const USAGE: &str = "\
stt-sim [OPTIONS]                     sweeps scenarios over seeds
stt-sim --scenario NAME --seed N      runs one again
stt-sim --file FILE --seed N          runs a file, as shrinking writes one
stt-sim --list                        names the scenarios

  --scenarios all|NAME,NAME,...   which; a name ending in * stands for all that begin so
  --profile slow|fast             only on these links
  --seeds N                       seeds for each, 20 unless said; heavy scenarios take a fortieth
  --first-seed N                  the first of them, 1 unless said
  --jobs N                        threads; as many as there are processors unless said
  --json                          the last line is one JSON object
  --out FOLDER                    where failures are written down; target/sim unless said
";
/// Failed runs that are written down.
const DOCUMENTED: usize = 5;

struct Options {
    sweep: Sweep,
    /// Where the one scenario was read from, if not from the catalog.
    file: Option<PathBuf>,
    json: bool,
    out: PathBuf,
}

fn main() -> ExitCode {
    match parse() {
        Ok(Some(options)) => run(&options),
        Ok(None) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// `None` where all was said already.
fn parse() -> Result<Option<Options>, lexopt::Error> {
    let jobs = std::thread::available_parallelism().map_or(2, usize::from);
    let mut sweep =
        Sweep { scenarios: catalog::all(), profile: None, first_seed: 1, seeds: 20, jobs };
    let (mut json, mut out) = (false, PathBuf::from("target/sim"));
    let mut parser = lexopt::Parser::from_env();
    let (mut one, mut file) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("json") => json = true,
            Long("seeds") => sweep.seeds = parser.value()?.parse()?,
            Long("first-seed") => sweep.first_seed = parser.value()?.parse()?,
            Long("seed") => one = Some(parser.value()?.parse()?),
            Long("jobs") => sweep.jobs = parser.value()?.parse()?,
            Long("out") => out = parser.value()?.into(),
            Long("scenario" | "scenarios") => {
                sweep.scenarios = parser.value()?.parse_with(named)?;
            }
            Long("profile") => sweep.profile = Some(parser.value()?.parse_with(profile)?),
            Long("file") => {
                let path = PathBuf::from(parser.value()?);
                sweep.scenarios = vec![read(&path)?];
                file = Some(path);
            }
            Long("list") => {
                for scenario in &sweep.scenarios {
                    println!("{:24} {}", scenario.name, scenario.about);
                }
                return Ok(None);
            }
            Long("help") | Short('h') => {
                print!("{USAGE}");
                return Ok(None);
            }
            other => return Err(other.unexpected()),
        }
    }
    if let Some(seed) = one {
        (sweep.first_seed, sweep.seeds) = (seed, 1);
    }
    Ok(Some(Options { sweep, file, json, out }))
}

fn named(list: &str) -> Result<Vec<Scenario>, String> {
    let mut chosen = Vec::new();
    for name in list.split(',') {
        let fits = |scenario: &Scenario| match name.strip_suffix('*') {
            Some(start) => scenario.name.starts_with(start),
            None => name == "all" || scenario.name == name,
        };
        let before = chosen.len();
        chosen.extend(catalog::all().into_iter().filter(fits));
        if chosen.len() == before {
            return Err(format!("there is no scenario {name}; --list names them"));
        }
    }
    Ok(chosen)
}

fn profile(name: &str) -> Result<Profile, String> {
    [Profile::Slow, Profile::Fast, Profile::Own]
        .into_iter()
        .find(|profile| profile.name() == name)
        .ok_or_else(|| format!("there is no profile {name}"))
}

fn read(path: &Path) -> Result<Scenario, lexopt::Error> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let name = path.file_stem().map_or_else(Default::default, |name| name.to_string_lossy());
    Ok(Scenario::parse(&name, &text)?)
}

fn run(options: &Options) -> ExitCode {
    let documented = AtomicUsize::new(0);
    let tell = |scenario: &Scenario, profile: Profile, run: &Run| {
        let Err(what) = &run.outcome else { return };
        let (name, seed, on) = (&scenario.name, run.seed, profile.name());
        let mut text = format!("FAILED {name} on {on}, seed {seed}: {what}");
        let again = command(scenario, options.file.as_deref(), profile, seed);
        text += &format!("\n  again: {again}");
        if documented.fetch_add(1, Ordering::Relaxed) < DOCUMENTED {
            match document(scenario, profile, seed, &options.out) {
                Ok(files) => {
                    files.iter().for_each(|file| text += &format!("\n  see: {}", file.display()));
                }
                Err(error) => text += &format!("\n  {}: {error}", options.out.display()),
            }
        }
        eprintln!("{text}");
    };
    let summaries = options.sweep.run(tell);
    summaries.iter().for_each(print);
    let failed: usize = summaries.iter().map(|summary| summary.failures().count()).sum();
    if options.json {
        println!("{}", report::json(&summaries));
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print(summary: &Summary) {
    let mut line = format!(
        "{:24} {:4} {:4} runs {:4} failed",
        summary.scenario,
        summary.profile.name(),
        summary.runs.len(),
        summary.failures().count()
    );
    if let Some(times) = summary.times() {
        line += &format!("  p50 {:10.1} ms  p99 {:10.1} ms", times.p50, times.p99);
    }
    if let Some(goodput) = summary.goodput() {
        line += &format!("  goodput p50 {:5.1} %", goodput.p50 * 100.0);
    }
    eprintln!("{line}");
}
