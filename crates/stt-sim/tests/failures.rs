//! A run that fails says how to repeat it and leaves what happened on disk, also when it panics.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// Two sessions that cannot be done in time: the network goes dark for good.
const DOOMED: &str = r#"
about = "fails on purpose"
limit_s = 20
[[flow]]
count = 2
streams = [200_000]
[[event]]
do = "dark"
at_ms = 40
"#;

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Runs the simulator; what it says on stderr, and how it ended.
fn sim(arguments: &[&str]) -> (String, Option<i32>) {
    let run = Command::new(env!("CARGO_BIN_EXE_stt-sim")).args(arguments).output().unwrap();
    (String::from_utf8(run.stderr).unwrap(), run.status.code())
}

/// The files that a failure names, and the command that repeats it.
fn named(said: &str) -> (Vec<PathBuf>, String) {
    let after = |line: &str, word: &str| line.trim().strip_prefix(word).map(str::to_owned);
    let files = said.lines().filter_map(|line| after(line, "see: ")).map(PathBuf::from).collect();
    let again: Vec<String> = said.lines().filter_map(|line| after(line, "again: ")).collect();
    assert_eq!(again.len(), 1, "{said}");
    (files, again[0].clone())
}

/// Records of a JSON text sequence (RFC 7464).
fn records(text: &str) -> Vec<serde_json::Value> {
    let parts = text.split('\u{1e}').skip(1);
    parts.map(|part| serde_json::from_str(part).unwrap()).collect()
}

#[test]
fn a_failed_run_leaves_a_capture_and_qlogs_and_says_how_to_repeat_it() {
    let folder = folder("doomed");
    let file = folder.join("doomed.toml");
    std::fs::write(&file, DOOMED).unwrap();
    let (file, out) = (file.to_str().unwrap(), folder.join("out"));
    let arguments =
        ["--file", file, "--profile", "fast", "--seed", "7", "--out", out.to_str().unwrap()];
    let (said, code) = sim(&arguments);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAILED doomed on fast, seed 7: not done within 20s"), "{said}");

    let (files, again) = named(&said);
    assert_eq!(again, format!("npm run sim -- --file {file} --profile fast --seed 7"));
    let of = |ending: &str| -> Vec<&PathBuf> {
        files.iter().filter(|file| file.to_str().unwrap().ends_with(ending)).collect()
    };
    let (pcaps, qlogs) = (of(".pcap"), of(".sqlog"));
    assert_eq!((pcaps.len(), qlogs.len()), (1, 4), "two sessions, each with two sides: {said}");

    // libpcap's magic for nanoseconds, then packets after 24 bytes of header.
    let capture = std::fs::read(pcaps[0]).unwrap();
    assert_eq!(capture[..4], 0xA1B2_3C4D_u32.to_le_bytes());
    assert!(capture.len() > 24 + 4 * (16 + 28 + 1200), "{} bytes", capture.len());

    let mut sides = Vec::new();
    for qlog in qlogs {
        let records = records(&std::fs::read_to_string(qlog).unwrap());
        assert_eq!(records[0]["serialization_format"], "application/qlog+json-seq");
        sides.push(records[0]["trace"]["vantage_point"]["type"].as_str().unwrap().to_owned());
        let names: Vec<&str> = records[1..].iter().map(|r| r["name"].as_str().unwrap()).collect();
        assert_eq!(names[0], "stt:session_started");
        assert!(names.contains(&"stt:packet_sent") && names.contains(&"stt:packet_received"));
        // The network is dark: what was sent last is never heard, and timeouts say so.
        let timeouts = records.iter().filter_map(|r| r["data"]["pto_count"].as_u64()).max();
        assert!(timeouts > Some(0), "{qlog:?}");
    }
    sides.sort();
    assert_eq!(sides, ["client", "client", "server", "server"]);

    // The command fails in the same way, at the same time.
    let (repeated, code) = sim(&arguments);
    assert_eq!((repeated, code), (said, Some(1)));
}

#[test]
fn a_scenario_of_the_catalog_is_repeated_by_its_name() {
    let scenario = stt_sim::catalog::all().into_iter().find(|s| s.name == "transfer").unwrap();
    let profile = stt_sim::spec::Profile::Slow;
    assert_eq!(
        stt_sim::sweep::command(&scenario, None, profile, 3),
        "npm run sim -- --scenario transfer --profile slow --seed 3"
    );
}
