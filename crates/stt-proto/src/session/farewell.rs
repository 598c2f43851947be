//! DRAIN: one side tells that it is about to end the session (PROTOCOL.md section 6.6).

use core::time::Duration;

use stt_wire::FrameType;
use stt_wire::bundle::BundleWriter;

use crate::event::Event;
use crate::recovery::Content;

use super::{Context, Session};

/// What was said of the end before it comes, by either side. Both say it once.
#[derive(Debug, Default)]
pub(super) struct Farewell {
    /// Milliseconds that this side leaves, once it has said so.
    within: Option<u32>,
    pending: bool,
    /// The peer has said so.
    heard: bool,
}

impl Farewell {
    pub(super) fn wants_control(&self) -> bool {
        self.pending
    }

    /// The frame, when it is due.
    pub(super) fn write(&mut self, bundle: &mut BundleWriter<'_>, contents: &mut Vec<Content>) {
        if let Some(within) = self.within.filter(|_| self.pending)
            && bundle.part(FrameType::DRAIN, 0, |out| out.varint(u64::from(within))).is_ok()
        {
            self.pending = false;
            contents.push(Content::Drain);
        }
    }

    pub(super) fn on_lost(&mut self) {
        self.pending = true;
    }
}

impl Session {
    /// Tells the peer that this side ends the session before long, once. Nothing else changes: streams are
    /// opened, read and written as before.
    pub(crate) fn announce_end(&mut self, within: Duration) {
        if self.farewell.within.is_none() {
            let within = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
            (self.farewell.within, self.farewell.pending) = (Some(within), true);
        }
    }

    pub(super) fn on_drain(&mut self, cx: &mut Context<'_>, within: u64) {
        if !core::mem::replace(&mut self.farewell.heard, true) {
            let within = Duration::from_millis(within);
            cx.events.push_back(Event::PeerDraining { session: cx.handle, within });
        }
    }
}
