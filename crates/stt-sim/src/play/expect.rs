//! What must have come of a run besides completion.

use super::{Outcome, Play};

fn add(a: [u64; 2], b: [u64; 2]) -> [u64; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

impl Play<'_> {
    pub(super) fn expect(&mut self, outcome: &Outcome) -> Result<(), String> {
        let expect = &self.scenario.expect;
        let reached = outcome.goodput.unwrap_or(0.0) / outcome.ceiling;
        if let Some(least) = expect.goodput.filter(|least| reached < *least) {
            return Err(format!(
                "goodput is {:.2} % of what overhead leaves, less than {:.2} %",
                reached * 100.0,
                least * 100.0
            ));
        }
        if let Some(share) = expect.fair_within {
            let times = self.app.flows.iter().filter_map(|flow| flow.took());
            let (least, most) = (times.clone().min(), times.max());
            let (least, most) = (least.unwrap_or_default(), most.unwrap_or_default());
            if least.as_secs_f64() < most.as_secs_f64() * (1.0 - share) {
                return Err(format!("unfair: the flows took {least:?} to {most:?}"));
            }
        }
        if let Some(least) = expect.no_starving {
            self.expect_no_starving(least)?;
        }
        if expect.reconnected && outcome.reconnects == 0 {
            return Err("no session was replaced: nothing was tried".to_owned());
        }
        for (event, times) in self.scenario.event.iter().zip(&self.happened) {
            if *times < expect.happened {
                return Err(format!(
                    "{:?} came {times} times before all was done, not {}: little was tried",
                    event.action, expect.happened
                ));
            }
        }
        if expect.retried && self.world.endpoint_mut(self.server).stats().retries_sent == 0 {
            return Err("no RETRY was sent: nothing was tried".to_owned());
        }
        if expect.marked && self.world.link_stats(self.clients[0], self.server).marked == 0 {
            return Err("no datagram was marked: nothing was tried".to_owned());
        }
        self.expect_features()
    }

    /// What resumption, moves, datagrams and deadlines must have come to.
    fn expect_features(&mut self) -> Result<(), String> {
        let expect = &self.scenario.expect;
        let least = |what: &str, found: u64, least: u64| {
            if found < least { Err(format!("{found} {what}, not {least}")) } else { Ok(()) }
        };
        let resumed = self.world.endpoint_mut(self.server).stats().sessions_resumed;
        least("sessions came back by a ticket", resumed, expect.resumed)?;
        let flows = &self.app.flows;
        let taken = flows.iter().map(|flow| flow.early.taken).sum();
        least("sessions had their early data taken", taken, expect.early_data)?;
        let moved = flows.iter().map(|flow| flow.moved).min().unwrap_or(0);
        least("moves of a session", moved, expect.moved)?;
        let followed = flows.iter().map(|flow| flow.followed).min().unwrap_or(0);
        least("moves of a session that the server saw", followed, expect.followed)?;
        least("bytes by connections", self.world.carried_by_connections(), expect.by_connection)?;
        if let Some(least) = expect.delivered {
            let [sent, came] = flows.iter().map(|flow| flow.datagrams.counts()).fold([0; 2], add);
            if (came as f64) < sent as f64 * least {
                return Err(format!("{came} of {sent} datagrams came"));
            }
        }
        if let Some([least, most]) = expect.skipped {
            let [all, skipped] = flows.iter().map(|flow| flow.skipped()).fold([0; 2], add);
            let share = skipped as f64 / (all as f64).max(1.0);
            if share < least || share > most {
                return Err(format!("{skipped} of {all} bytes with a deadline were skipped"));
            }
        }
        Ok(())
    }

    fn expect_no_starving(&self, least: f64) -> Result<(), String> {
        let span = self.world.elapsed();
        let Some(rate) = self.rates[0] else { return Err("no rate to share".to_owned()) };
        let parts = (self.app.flows.len() + self.cross.len()) as f64;
        let equal = rate as f64 / parts;
        for flow in &self.app.flows {
            let (bytes, span) = flow.steady().unwrap_or((flow.received(), span));
            let share = bytes as f64 / span.as_secs_f64() / equal;
            if share < least {
                return Err(format!("a session got {share:.3} of an equal share"));
            }
        }
        for flow in &self.cross {
            let stats = self.world.cross_stats(*flow);
            let share = stats.delivered as f64 / span.as_secs_f64() / equal;
            if share < least {
                return Err(format!("a model got {share:.3} of an equal share"));
            }
        }
        Ok(())
    }
}
