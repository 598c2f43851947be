//! What the application of a flow does by the clock: it ends its endless stream, says something in its
//! chat, and reads on after a pause.

use core::time::Duration;

use stt_proto::Instant;

use super::{
    end::End,
    plan::{CHAT, STEADY},
};
use crate::spec::FlowSpec;

/// Bytes of one message of a chat.
const CHAT_BYTES: u64 = 1000;
/// See the module.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    connected_at: Option<Instant>,
    /// Bytes that had arrived when the endless stream was ended, and the time that it took.
    pub(super) steady: Option<(u64, Duration)>,
    chats: u64,
    resume_at: Option<Instant>,
    has_paused: bool,
}

impl Schedule {
    pub(super) fn on_connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
    }

    /// Another session begins with all of it again; a pause is made once only.
    pub(super) fn start_over(&mut self) {
        self.steady = None;
        self.chats = 0;
        self.connected_at = None;
    }

    /// Acts on the time; `key` gives the key of a stream of the client by its index.
    pub(super) fn advance(
        &mut self,
        spec: &FlowSpec,
        now: Instant,
        [client, server]: &mut [End; 2],
        key: impl Fn(u64) -> u64,
    ) {
        if self.steady_ends(spec).is_some_and(|at| at <= now) {
            let took = Duration::from_millis(spec.steady_ms.unwrap_or(0));
            self.steady = Some((server.received, took));
            client.grow(key(STEADY), 0, true);
        }
        while self.next_chat(spec).is_some_and(|at| at <= now) {
            self.chats += 1;
            let last = self.chats == spec.chat_times;
            client.grow(key(CHAT), CHAT_BYTES, false);
            if last {
                client.grow(key(CHAT), self.chats * CHAT_BYTES, true);
            }
        }
        if self.resume_at.is_some_and(|at| at <= now) {
            self.resume_at = None;
            server.paused = false;
        }
    }

    /// Lets the server pause once it has read as much as it was told to.
    pub(super) fn pause(&mut self, spec: &FlowSpec, now: Instant, server: &mut End) {
        let due = spec.pause_after.is_some_and(|bytes| server.received >= bytes);
        if !self.has_paused && due {
            self.has_paused = true;
            server.paused = true;
            self.resume_at = Some(now + Duration::from_millis(spec.pause_ms));
        }
    }

    /// When it wants to act.
    pub(super) fn next_wakes(&self, spec: &FlowSpec) -> [Option<Instant>; 3] {
        [self.steady_ends(spec), self.next_chat(spec), self.resume_at]
    }

    fn steady_ends(&self, spec: &FlowSpec) -> Option<Instant> {
        let span = spec.steady_ms.filter(|_| self.steady.is_none())?;
        Some(self.connected_at? + Duration::from_millis(span))
    }

    fn next_chat(&self, spec: &FlowSpec) -> Option<Instant> {
        let pause = spec.chat_every_ms.filter(|_| self.chats < spec.chat_times)?;
        Some(self.connected_at? + Duration::from_millis(pause * self.chats))
    }
}
