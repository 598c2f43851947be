//! What only a session's beginning needs, kept apart so that a settled session does not carry it:
//! the ticket, early data, and the proof of the address that a resumed session still lacks
//! (PROTOCOL.md section 2.7).

use core::time::Duration;

use bytes::Bytes;
use stt_wire::HELLO_LEN;
use zeroize::Zeroizing;

use crate::event::{EarlyData, Event};
use crate::path::PathAddress;
use crate::ticket::ResumptionTicket;
use crate::time::Instant;

use super::{Context, Session};

/// Room below which an unproven address gets nothing more: what a FINAL alone takes.
const MIN_ROOM: usize = 256;
/// Time after FINAL for which copies of AUTH_PROOF draw no further one. Initiators leave a third of a
/// second between their copies, so that whoever sends more is no initiator.
const FINAL_PAUSE: Duration = Duration::from_millis(250);

/// See the module. Dropped once FINAL is through and the peer's address is proven.
pub(crate) struct Beginning {
    /// Whether a ticket made this session.
    pub(crate) resumed: bool,
    /// What became of early data, on either side; told with `Event::Connected`.
    pub(crate) early: EarlyData,
    pub(crate) role: Role,
}

/// What each side keeps.
pub(crate) enum Role {
    /// Initiator: a ticket but for what FINAL brings.
    Initiator { ticket: ResumptionTicket },
    /// Responder: the ticket that FINAL carries, when that went out last, and, until something of a
    /// resumed session's peer opens, what may be sent.
    Responder { ticket: Box<[u8]>, final_sent: Option<Instant>, unproven: Option<Unproven> },
}

/// A resumed session whose initiator has not been heard under its keys: its address may be forged.
pub(crate) struct Unproven {
    /// RESUME_REPLY, for copies of the RESUME that it answers.
    pub(crate) reply: Box<[u8]>,
    /// Stands for the whole RESUME but its cookie.
    pub(crate) mac1: [u8; 16],
    /// Bytes that came from the address and were not answered yet.
    pub(crate) credit: usize,
    /// The reply went to another address as well, so that who has it need not be at this one.
    pub(crate) replied_elsewhere: bool,
}

impl Beginning {
    /// What an initiator begins with.
    pub(crate) fn initiator(
        resumed: bool,
        early: EarlyData,
        ticket: ResumptionTicket,
    ) -> Box<Self> {
        Box::new(Self { resumed, early, role: Role::Initiator { ticket } })
    }

    /// What a responder begins with.
    pub(crate) fn responder(
        early: EarlyData,
        ticket: Option<Box<[u8]>>,
        unproven: Option<Unproven>,
    ) -> Box<Self> {
        let ticket = ticket.unwrap_or_default();
        Box::new(Self {
            resumed: unproven.is_some(),
            early,
            role: Role::Responder { ticket, final_sent: None, unproven },
        })
    }
}

impl Session {
    fn unproven(&self) -> Option<&Unproven> {
        match &self.beginning.as_ref()?.role {
            Role::Responder { unproven, .. } => unproven.as_ref(),
            Role::Initiator { .. } => None,
        }
    }

    fn unproven_mut(&mut self) -> Option<&mut Unproven> {
        match &mut self.beginning.as_mut()?.role {
            Role::Responder { unproven, .. } => unproven.as_mut(),
            Role::Initiator { .. } => None,
        }
    }

    /// Whether the peer's address is still to be proven.
    pub(crate) fn is_unproven(&self) -> bool {
        self.unproven().is_some()
    }

    /// Bytes that the largest datagram to this address may have: what an unproven one has not paid
    /// for waits.
    pub(super) fn address_room(&self) -> Option<usize> {
        match self.unproven().filter(|_| !self.path.address.is_reliable()) {
            None => Some(usize::MAX),
            Some(unproven) => Some(unproven.credit).filter(|credit| *credit >= MIN_ROOM),
        }
    }

    /// Takes what was sent from an unproven address' credit.
    pub(super) fn charge(&mut self, len: usize) {
        if let Some(unproven) = self.unproven_mut() {
            unproven.credit = unproven.credit.saturating_sub(len);
        }
    }

    /// A copy of the RESUME that made this session came: the answer to send again, if it is one. The
    /// session's own address has paid for more then.
    pub(crate) fn on_repeated_resume(
        &mut self,
        path: &PathAddress,
        mac1: &[u8; 16],
    ) -> Option<&[u8]> {
        let pays = self.path.address.same_remote(path);
        let unproven = self.unproven_mut()?;
        if !stt_crypto::ct_eq(&unproven.mac1, mac1) {
            return None;
        }
        if pays {
            unproven.credit += HELLO_LEN - unproven.reply.len();
        } else {
            unproven.replied_elsewhere = true;
        }
        Some(&unproven.reply)
    }

    /// A packet has opened: whoever sent it has RESUME_REPLY, and so is where that went. Where the packet
    /// itself came from proves nothing, as anybody with the keys may write another's address into it.
    pub(super) fn on_reply_received(&mut self, now: Instant) {
        let Some(Role::Responder { unproven, .. }) =
            self.beginning.as_mut().map(|beginning| &mut beginning.role)
        else {
            return;
        };
        let Some(Unproven { credit, replied_elsewhere, .. }) = unproven.take() else { return };
        if replied_elsewhere {
            self.challenge_here(now, credit);
        }
        self.drop_beginning();
    }

    /// The ticket for FINAL; none once it is acknowledged.
    pub(super) fn ticket(&self) -> &[u8] {
        match self.beginning.as_ref().map(|beginning| &beginning.role) {
            Some(Role::Responder { ticket, .. }) => ticket,
            _ => &[],
        }
    }

    /// FINAL goes out.
    pub(super) fn on_final_sent(&mut self, now: Instant) {
        if let Some(Role::Responder { final_sent, .. }) =
            self.beginning.as_mut().map(|beginning| &mut beginning.role)
        {
            *final_sent = Some(now);
        }
    }

    /// Whether a copy of AUTH_PROOF draws FINAL again: while it is not acknowledged, and not sooner
    /// than an initiator asks.
    pub(super) fn repeats_final(&mut self, now: Instant) -> bool {
        let unanswered = self.verdict.is_some() && !self.verdict_acked;
        let due = match self.beginning.as_ref().map(|beginning| &beginning.role) {
            Some(Role::Responder { final_sent, .. }) if unanswered => {
                final_sent.is_none_or(|sent| now.saturating_duration_since(sent) >= FINAL_PAUSE)
            }
            _ => false,
        };
        if due {
            self.on_final_sent(now);
        }
        due
    }

    /// Initiator: whether FINAL has yet to come.
    pub(super) fn awaits_final(&self) -> bool {
        self.beginning
            .as_ref()
            .is_some_and(|beginning| matches!(beginning.role, Role::Initiator { .. }))
    }

    /// FINAL is acknowledged, or the verdict needs no ticket.
    pub(super) fn forget_ticket(&mut self) {
        if let Some(Role::Responder { ticket, .. }) =
            self.beginning.as_mut().map(|beginning| &mut beginning.role)
        {
            *ticket = Box::default();
        }
        self.drop_beginning();
    }

    /// Responder: lets go of what is of no more use.
    fn drop_beginning(&mut self) {
        let done = match &self.beginning {
            Some(beginning) => match &beginning.role {
                Role::Responder { unproven, .. } => {
                    unproven.is_none() && !self.verdict_pending && self.verdict_acked
                }
                Role::Initiator { .. } => false,
            },
            None => false,
        };
        if done {
            self.beginning = None;
        }
    }

    /// Initiator: FINAL said yes, perhaps with a ticket.
    pub(super) fn take_ticket(&mut self, cx: &mut Context<'_>, sealed: &[u8]) {
        let Some(beginning) = self.beginning.take() else { return };
        if let Role::Initiator { mut ticket } = beginning.role
            && !sealed.is_empty()
        {
            ticket.ticket = sealed.into();
            cx.events.push_back(Event::Ticket { session: cx.handle, ticket: Box::new(ticket) });
        }
    }

    /// How this session began, for `Event::Connected`. Early data is handed over once.
    pub(super) fn origin(&mut self) -> (bool, EarlyData) {
        match &mut self.beginning {
            Some(beginning) => {
                let early = match &mut beginning.early {
                    EarlyData::Received(bytes) => EarlyData::Received(core::mem::take(bytes)),
                    fate => fate.clone(),
                };
                (beginning.resumed, early)
            }
            None => (false, EarlyData::None),
        }
    }

    /// What a connect that starts anew must still tell of its early data.
    pub(crate) fn early_fate(&self) -> EarlyData {
        self.beginning.as_ref().map_or(EarlyData::None, |beginning| beginning.early.clone())
    }

    /// Responder: early data of a peer that is refused is never shown.
    pub(super) fn drop_early(&mut self) {
        if let Some(beginning) = &mut self.beginning {
            beginning.early = EarlyData::None;
        }
    }
}

/// Early data as the responder received it.
pub(crate) fn received(bytes: &[u8]) -> EarlyData {
    EarlyData::Received(Bytes::copy_from_slice(bytes))
}

/// A ticket without what FINAL will bring.
pub(crate) fn unfinished(
    network: [u8; 8],
    own: stt_crypto::NodeId,
    peer: stt_crypto::NodeId,
    secret: &[u8; 32],
) -> ResumptionTicket {
    ResumptionTicket { network, own, peer, secret: Zeroizing::new(*secret), ticket: Box::default() }
}
