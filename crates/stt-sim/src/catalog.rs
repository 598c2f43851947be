//! The committed scenario files, in the binary.

use crate::spec::Scenario;

/// Name and text of every file of `scenarios/`.
const FILES: &[(&str, &str)] = &[
    ("amplificationlimit", include_str!("../scenarios/amplificationlimit.toml")),
    ("asymmetric", include_str!("../scenarios/asymmetric.toml")),
    ("blackhole", include_str!("../scenarios/blackhole.toml")),
    ("blackhole-back", include_str!("../scenarios/blackhole-back.toml")),
    ("blackhole-forth", include_str!("../scenarios/blackhole-forth.toml")),
    ("close-races", include_str!("../scenarios/close-races.toml")),
    ("crosstraffic-cubic", include_str!("../scenarios/crosstraffic-cubic.toml")),
    ("crosstraffic-reno", include_str!("../scenarios/crosstraffic-reno.toml")),
    ("datagrams", include_str!("../scenarios/datagrams.toml")),
    ("deadline", include_str!("../scenarios/deadline.toml")),
    ("duplicate", include_str!("../scenarios/duplicate.toml")),
    ("earlydata", include_str!("../scenarios/earlydata.toml")),
    ("earlydataloss", include_str!("../scenarios/earlydataloss.toml")),
    ("ecn", include_str!("../scenarios/ecn.toml")),
    ("ecn-bleached", include_str!("../scenarios/ecn-bleached.toml")),
    ("handshake", include_str!("../scenarios/handshake.toml")),
    ("handshakecorruption", include_str!("../scenarios/handshakecorruption.toml")),
    ("handshakeloss", include_str!("../scenarios/handshakeloss.toml")),
    ("ipv6", include_str!("../scenarios/ipv6.toml")),
    ("keyupdate", include_str!("../scenarios/keyupdate.toml")),
    ("keyupdate-blackhole", include_str!("../scenarios/keyupdate-blackhole.toml")),
    ("keyupdate-reorder", include_str!("../scenarios/keyupdate-reorder.toml")),
    ("ladder-1-good-wifi", include_str!("../scenarios/ladder-1-good-wifi.toml")),
    ("ladder-10-handover", include_str!("../scenarios/ladder-10-handover.toml")),
    ("ladder-2-congested-wifi", include_str!("../scenarios/ladder-2-congested-wifi.toml")),
    ("ladder-3-weak-4g", include_str!("../scenarios/ladder-3-weak-4g.toml")),
    ("ladder-4-slow-3g", include_str!("../scenarios/ladder-4-slow-3g.toml")),
    ("ladder-5-congested-cellular", include_str!("../scenarios/ladder-5-congested-cellular.toml")),
    ("ladder-6-very-bad-cellular", include_str!("../scenarios/ladder-6-very-bad-cellular.toml")),
    ("ladder-7-satellite", include_str!("../scenarios/ladder-7-satellite.toml")),
    ("ladder-8-barely-usable", include_str!("../scenarios/ladder-8-barely-usable.toml")),
    ("ladder-9-absurd", include_str!("../scenarios/ladder-9-absurd.toml")),
    ("longrtt", include_str!("../scenarios/longrtt.toml")),
    ("many-sessions", include_str!("../scenarios/many-sessions.toml")),
    ("migrate-remote", include_str!("../scenarios/migrate-remote.toml")),
    ("migration", include_str!("../scenarios/migration.toml")),
    ("mtu-drop", include_str!("../scenarios/mtu-drop.toml")),
    ("multiplexing", include_str!("../scenarios/multiplexing.toml")),
    ("nat-timeout", include_str!("../scenarios/nat-timeout.toml")),
    ("random", include_str!("../scenarios/random.toml")),
    ("rebind-addr", include_str!("../scenarios/rebind-addr.toml")),
    ("rebind-port", include_str!("../scenarios/rebind-port.toml")),
    ("rebind-socket", include_str!("../scenarios/rebind-socket.toml")),
    ("reorder", include_str!("../scenarios/reorder.toml")),
    ("restart", include_str!("../scenarios/restart.toml")),
    ("resumption", include_str!("../scenarios/resumption.toml")),
    ("retry", include_str!("../scenarios/retry.toml")),
    ("sharing", include_str!("../scenarios/sharing.toml")),
    ("sleep", include_str!("../scenarios/sleep.toml")),
    ("slow-reader", include_str!("../scenarios/slow-reader.toml")),
    ("steady-bbr", include_str!("../scenarios/steady-bbr.toml")),
    ("steady-fast", include_str!("../scenarios/steady-fast.toml")),
    ("steady-fast-bbr", include_str!("../scenarios/steady-fast-bbr.toml")),
    ("steady-fast-reorder", include_str!("../scenarios/steady-fast-reorder.toml")),
    ("steady-slow", include_str!("../scenarios/steady-slow.toml")),
    ("steady-slow-reorder", include_str!("../scenarios/steady-slow-reorder.toml")),
    ("transfer", include_str!("../scenarios/transfer.toml")),
    ("transfercorruption", include_str!("../scenarios/transfercorruption.toml")),
    ("transferloss10", include_str!("../scenarios/transferloss10.toml")),
    ("transferloss2", include_str!("../scenarios/transferloss2.toml")),
    ("websocket", include_str!("../scenarios/websocket.toml")),
    ("websocket-cut", include_str!("../scenarios/websocket-cut.toml")),
    ("websocket-dark", include_str!("../scenarios/websocket-dark.toml")),
    ("websocket-drops", include_str!("../scenarios/websocket-drops.toml")),
    ("websocket-moves", include_str!("../scenarios/websocket-moves.toml")),
];

/// All committed scenarios, by name.
///
/// # Panics
/// When a committed file is wrong; a test reads them all.
#[must_use]
pub fn all() -> Vec<Scenario> {
    FILES
        .iter()
        .map(|(name, text)| match Scenario::parse(name, text) {
            Ok(scenario) => scenario,
            Err(error) => panic!("{error}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed_and_survives_being_written() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let mut found: Vec<String> = std::fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("{folder}: {error}"))
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
            .collect();
        found.sort();
        let listed: Vec<String> = all().into_iter().map(|scenario| scenario.name).collect();
        assert_eq!(found, listed);
        for scenario in all() {
            let again = Scenario::parse(&scenario.name, &scenario.to_text());
            assert_eq!(again, Ok(scenario));
        }
    }

    #[test]
    fn what_a_file_lets_happen_has_to_happen() {
        for scenario in all() {
            let expects = scenario.expect.happened > 0;
            assert_eq!(expects, !scenario.event.is_empty(), "{}", scenario.name);
        }
    }
}
