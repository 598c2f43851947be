//! Coming back by a ticket, and what is sent before the answer.

use bytes::Bytes;
use stt_proto::{ConnectOptions, EarlyData, ResumptionTicket};

use super::end::pattern;

/// What brings a client back, and what became of its early data.
#[derive(Debug, Default)]
pub(crate) struct Early {
    /// The newest.
    pub(super) ticket: Option<Box<ResumptionTicket>>,
    sent: Bytes,
    answer: EarlyData,
    received: Option<Bytes>,
    /// Sessions whose early data was taken.
    pub(crate) taken: u64,
}

impl Early {
    /// Lets a connect use the ticket, which is good for one, with `len` bytes of a pattern.
    pub(super) fn prepare(&mut self, options: &mut ConnectOptions, key: u64, len: usize) {
        let Some(ticket) = self.ticket.take() else { return };
        self.sent = pattern(key, 0, len);
        options.resume = Some(*ticket);
        options.early_data = self.sent.clone();
    }

    /// What the server's application was given.
    pub(super) fn on_received(&mut self, bytes: Option<Bytes>) {
        self.received = bytes;
    }

    /// What the client was told of it.
    pub(super) fn on_answer(&mut self, answer: &EarlyData) {
        self.answer = answer.clone();
    }

    /// Both ends must agree on what became of the early data of a session that worked.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let sent = core::mem::take(&mut self.sent);
        let received = self.received.take().unwrap_or_default();
        let answer = core::mem::take(&mut self.answer);
        if !received.is_empty() && received != sent {
            return Err(format!("early data is {} other bytes", received.len()));
        }
        let fits = match answer {
            EarlyData::Accepted => received == sent,
            EarlyData::Rejected | EarlyData::None => received.is_empty(),
            // Nobody had answered: this session carries none, but a lost one may have.
            EarlyData::Unknown => received.is_empty(),
            EarlyData::Received(_) => false,
        };
        if !fits {
            return Err(format!("early data: {answer:?}, and {} bytes came", received.len()));
        }
        self.taken += u64::from(answer == EarlyData::Accepted);
        Ok(())
    }
}
