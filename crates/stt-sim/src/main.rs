//! `stt-sim`: sweeps scenarios over seeds, or runs one again.

use std::process::ExitCode;

use stt_sim::{
    report::{self, Run, Summary},
    scenario::{self, SCENARIOS, Scenario},
};

const USAGE: &str = "stt-sim [--scenarios all|NAME,NAME] [--seeds N] [--first-seed N] [--json]
stt-sim --scenario NAME --seed N        runs one again
stt-sim --list                          names the scenarios";

struct Options {
    scenarios: Vec<&'static Scenario>,
    first_seed: u64,
    seeds: u64,
    json: bool,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for scenario in SCENARIOS {
            println!("{:20} {}", scenario.name, scenario.about);
        }
        return ExitCode::SUCCESS;
    }
    match parse(&arguments) {
        Ok(options) => sweep(&options),
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options =
        Options { scenarios: SCENARIOS.iter().collect(), first_seed: 1, seeds: 20, json: false };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--json" => options.json = true,
            "--seeds" => options.seeds = number(value()?)?,
            "--first-seed" => options.first_seed = number(value()?)?,
            "--seed" => (options.first_seed, options.seeds) = (number(value()?)?, 1),
            "--scenario" | "--scenarios" => options.scenarios = named(value()?)?,
            _ => return Err(format!("{argument} is not an option")),
        }
    }
    Ok(options)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn named(list: &str) -> Result<Vec<&'static Scenario>, String> {
    if list == "all" {
        return Ok(SCENARIOS.iter().collect());
    }
    list.split(',')
        .map(|name| scenario::find(name).ok_or_else(|| format!("there is no scenario {name}")))
        .collect()
}

fn sweep(options: &Options) -> ExitCode {
    let summaries: Vec<Summary> =
        options.scenarios.iter().map(|scenario| run_all(scenario, options)).collect();
    let failed = summaries.iter().map(|summary| summary.failures().count()).sum::<usize>();
    if options.json {
        println!("{}", report::json(&summaries));
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_all(scenario: &Scenario, options: &Options) -> Summary {
    let seeds = options.first_seed..options.first_seed.saturating_add(options.seeds);
    let runs: Vec<Run> = seeds
        .map(|seed| {
            let outcome = scenario.run(seed).map_err(|failure| failure.to_string());
            if let Err(what) = &outcome {
                eprintln!("FAILED {} seed {seed}: {what}", scenario.name);
                eprintln!("  again: npm run sim -- --scenario {} --seed {seed}", scenario.name);
            }
            Run { seed, outcome }
        })
        .collect();
    let summary = Summary { scenario: scenario.name, runs, bytes: scenario.bytes };
    let time = |share| summary.percentile(share).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
    eprintln!(
        "{:20} {} runs, {} failed, p50 {:.1} ms, p99 {:.1} ms",
        scenario.name,
        summary.runs.len(),
        summary.failures().count(),
        time(0.5),
        time(0.99),
    );
    summary
}
