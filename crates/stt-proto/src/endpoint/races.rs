//! Connects that race (PROTOCOL.md section 2.3): of all that are to lead to one session, by several
//! carriers, one at a time may prove this side. The others wait behind it, so that the responder never
//! sees two sessions; they go on where it fails.

use rustc_hash::FxHashMap;
use stt_wire::ErrorCode;

use crate::event::Event;
use crate::time::Now;

use super::{Endpoint, Entry};

/// Every race that is on.
#[derive(Default)]
pub(super) struct Races {
    /// Which race a slot runs in.
    of: FxHashMap<u32, u64>,
    races: FxHashMap<u64, Race>,
}

#[derive(Default)]
struct Race {
    runners: Vec<u32>,
    /// Whose CHALLENGE verified first.
    leader: Option<u32>,
    /// The leader has won, or what ended it ends the race.
    over: bool,
    /// Whether one node alone will do.
    pinned: bool,
}

/// What became of a connect that leads.
enum Lead {
    /// It goes on.
    Goes,
    /// It is a session.
    Won,
    /// It failed, and others may do better.
    Lost,
    /// The node that was asked for has refused this one: no carrier changes that.
    Refused,
}

impl Races {
    /// A connect takes part.
    pub(super) fn enter(&mut self, race: u64, slot: u32, pinned: bool) {
        self.of.insert(slot, race);
        let race = self.races.entry(race).or_default();
        race.runners.push(slot);
        race.pinned = pinned;
    }

    /// A slot is forgotten. One that led was [judged](Endpoint::judge_race) before.
    pub(super) fn leave(&mut self, slot: u32) {
        let Some(number) = self.of.remove(&slot) else { return };
        let Some(race) = self.races.get_mut(&number) else { return };
        race.runners.retain(|runner| *runner != slot);
        if race.runners.is_empty() {
            self.races.remove(&number);
        }
    }

    /// Who leads a race.
    pub(super) fn leader_of(&self, race: u64) -> Option<u32> {
        self.races.get(&race)?.leader
    }

    fn race_mut(&mut self, slot: u32) -> Option<&mut Race> {
        self.races.get_mut(self.of.get(&slot)?)
    }

    /// Whether the race is for one node: where any will do, another address may have one that admits this node.
    fn is_pinned(&self, slot: u32) -> bool {
        let race = self.of.get(&slot).and_then(|race| self.races.get(race));
        race.is_some_and(|race| race.pinned)
    }

    /// Whether a connect has to wait for another one.
    fn is_behind(&self, slot: u32) -> bool {
        let race = self.of.get(&slot).and_then(|race| self.races.get(race));
        race.is_some_and(|race| race.over || race.leader.is_some_and(|leader| leader != slot))
    }

    /// Takes the lead, if nobody has it.
    fn lead(&mut self, slot: u32) {
        if let Some(race) = self.race_mut(slot) {
            race.leader.get_or_insert(slot);
        }
    }

    fn leads(&self, slot: u32) -> bool {
        let race = self.of.get(&slot).and_then(|race| self.races.get(race));
        race.is_some_and(|race| !race.over && race.leader == Some(slot))
    }
}

impl Endpoint {
    /// Whether a connect has to wait for another one, which proves this side already.
    pub(super) fn is_behind(&self, slot: u32) -> bool {
        self.races.is_behind(slot)
    }

    /// A connect is about to prove this side. True when others wait behind it from here on.
    pub(super) fn take_lead(&mut self, slot: u32) -> bool {
        self.races.lead(slot);
        let race = self.races.race_mut(slot).map(|race| race.runners.clone());
        let others = race.unwrap_or_default();
        for other in others.iter().filter(|other| **other != slot) {
            if let Some(Entry::Connecting(connecting)) = self.slots.get_mut(*other) {
                connecting.behind = true;
            }
        }
        others.len() > 1
    }

    /// Looks at what a session that led as a connect has come to.
    pub(super) fn judge_race(&mut self, now: Now, slot: u32) {
        if !self.races.leads(slot) {
            return;
        }
        let lead = match self.slots.get(slot) {
            Some(Entry::Session(session)) if !session.is_established() => Lead::Goes,
            Some(Entry::Session(session)) if session.is_live() => Lead::Won,
            Some(Entry::Session(_)) if self.was_turned_away(slot) && self.races.is_pinned(slot) => {
                Lead::Refused
            }
            _ => Lead::Lost,
        };
        match lead {
            Lead::Goes => {}
            Lead::Won | Lead::Refused => {
                if let Some(race) = self.races.race_mut(slot) {
                    race.over = true;
                }
            }
            Lead::Lost => self.give_up_lead(now, slot),
        }
    }

    /// Whether the event that ended a connect says that the peer refuses this node.
    fn was_turned_away(&self, slot: u32) -> bool {
        let handle = self.slots.handle(slot);
        self.events.iter().rev().any(|event| match event {
            Event::ConnectFailed { session, error } => {
                Some(*session) == handle && error.code == ErrorCode::AuthenticationFailed
            }
            _ => false,
        })
    }

    /// A connect that led has come to nothing, or begins anew: the others go on, and it with them.
    pub(super) fn give_up_lead(&mut self, now: Now, slot: u32) {
        let Some(race) = self.races.race_mut(slot) else { return };
        if race.over || race.leader != Some(slot) {
            return;
        }
        race.leader = None;
        for other in race.runners.clone() {
            if let Some(Entry::Connecting(connecting)) = self.slots.get_mut(other)
                && core::mem::take(&mut connecting.behind)
            {
                // The responder answers a copy by the CHALLENGE that was not looked at.
                for attempt in &mut connecting.attempts {
                    attempt.send_at = now.mono;
                }
                self.renew_attempts(now, other);
                self.settle_connecting(now, other);
            }
        }
    }
}
