//! A peer that holds the shared seed, shakes hands as `docs/PROTOCOL.md` section 2 says, and then breaks one rule, over a real
//! UDP socket on 127.0.0.1. It is written from that document on top of `stt-wire` and `stt-crypto` alone: no part of the
//! implementation that it attacks is in it, and none was opened for it.
//!
//! What happens is told on standard output, a JSON object a line. It ends when the peer has closed the session, when its time is
//! up, or when standard input ends.

#![forbid(unsafe_code)]

mod attack;
mod initiator;
mod options;
mod peer;
mod responder;

use std::process::ExitCode;

use options::{Mode, Options};

/// What stops the program: a socket that fails, a peer that does not answer, arguments that cannot be.
pub(crate) type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match Options::from_arguments().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tell(&serde_json::json!({ "event": "failed", "message": failure.to_string() }));
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    end_with_stdin();
    match options.mode {
        Mode::RefuseProof => responder::refuse_proof(options),
        _ => attack::run(options),
    }
}

/// Tells one thing that happened.
pub(crate) fn tell(event: &serde_json::Value) {
    println!("{event}");
}

/// Whoever started this program and is gone must not leave it behind.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Milliseconds since 1970, as HELLO and CHALLENGE carry them.
pub(crate) fn unix_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
