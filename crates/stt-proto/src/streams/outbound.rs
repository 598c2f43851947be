//! What streams put into packets, and what becomes of it.

use stt_wire::frame::{Data, MaxStreams, Reliability, StreamClose, StreamOpen};
use stt_wire::writer::NoRoom;
use stt_wire::{BundleWriter, FrameType, VarInt};

use super::Streams;
use super::event::StreamEvent;
use super::flow::SendCredit;
use super::id::Direction;
use super::scheduler::{Lane, Turn};
use super::stream::{Owed, Stream};
use crate::recovery::content::Content;

/// A stretch of a stream that was written into a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DataWritten {
    /// The stream.
    pub(crate) stream: u32,
    /// Offset of the first byte.
    pub(crate) start: u64,
    /// Bytes of the stream.
    pub(crate) len: u32,
    /// Bytes of the room that were used: those and the offset before them.
    pub(crate) used: usize,
    /// Whether the stream ends with them.
    pub(crate) fin: bool,
}

impl Streams {
    /// Whether control frames wait.
    pub(crate) fn wants_control(&self) -> bool {
        !self.control.is_empty() || self.owes_session_window || self.owes_max_streams != [false; 2]
    }

    /// Appends as many control frames as fit to a packet, and what they are to `contents`.
    pub(crate) fn write_control(
        &mut self,
        out: &mut BundleWriter<'_>,
        contents: &mut Vec<Content>,
    ) {
        // What does not fit waits for the next packet.
        let _ = self.write_session_control(out, contents);
        while let Some(raw) = self.control.front().copied() {
            if let Some(stream) = self.table.get_mut(&raw) {
                if write_stream_control(stream, &mut self.send_credit, out, contents).is_err() {
                    return;
                }
                stream.is_in_control = false;
                if stream.send.as_ref().is_some_and(|send| send.is_skip_blocked()) {
                    self.skips.blocked.insert(raw);
                }
            }
            self.control.pop_front();
            self.schedule(raw);
        }
    }

    fn write_session_control(
        &mut self,
        out: &mut BundleWriter<'_>,
        contents: &mut Vec<Content>,
    ) -> Result<(), NoRoom> {
        if self.owes_session_window {
            let limit = self.recv_credit.advertise(self.room.credit);
            out.part(FrameType::WINDOW, 0, |body| body.varint(limit))?;
            self.owes_session_window = false;
            contents.push(Content::SessionWindow);
        }
        for direction in Direction::BOTH {
            let owes = &mut self.owes_max_streams[direction as usize];
            if *owes {
                let limit = self.peers[direction as usize].advertise();
                let max = MaxStreams { kind: direction.into(), limit };
                out.part(FrameType::MAX_STREAMS, 0, |body| max.write(body))?;
                *owes = false;
                contents.push(Content::MaxStreams { uni: direction == Direction::Unidirectional });
            }
        }
        Ok(())
    }

    /// Whether stream bytes, or a FIN, may be sent now.
    pub(crate) fn wants_data(&self) -> bool {
        self.turn().is_some()
    }

    /// The stream that [`Streams::write_data`] takes from next.
    pub(crate) fn next_data(&self) -> Option<u32> {
        self.turn().map(|turn| turn.stream)
    }

    fn turn(&self) -> Option<Turn> {
        self.scheduler.turn(self.send_credit.available() > 0)
    }

    /// Fills `room` with the offset and bytes of the stream whose turn it is. `None` when nothing may
    /// be sent, or `room` has no place for the offset and one byte.
    pub(crate) fn write_data(&mut self, room: &mut [u8]) -> Option<DataWritten> {
        let turn = self.turn()?;
        let credit = self.send_credit.available();
        let stream = self.table.get_mut(&turn.stream)?;
        let send = stream.send.as_mut()?;
        let offset = send.next_offset();
        let prefix = Data::prefix_len(offset);
        let (head, body) = room.split_at_mut_checked(prefix)?;
        let stretch = send.fill(body, credit)?;
        VarInt::saturating(offset).write(head)?;
        let more = send.wants(turn.lane);
        let dry = send.is_dry() || credit == stretch.fresh;
        if !more {
            match turn.lane {
                Lane::Repeat => stream.is_in_repeat = false,
                Lane::Fresh => stream.is_in_fresh = false,
            }
        }
        self.send_credit.take(stretch.fresh);
        self.ran_dry |= dry;
        let len = (stretch.range.end - stretch.range.start) as usize;
        self.scheduler.sent(turn, len as u64, self.send_credit.available() > 0, more);
        // The other lane may have lost or won something.
        self.schedule(turn.stream);
        Some(DataWritten {
            stream: turn.stream,
            start: offset,
            len: len as u32,
            used: prefix + len,
            fin: stretch.fin,
        })
    }

    /// The peer has this.
    pub(crate) fn on_acked(&mut self, content: &Content) {
        match *content {
            Content::Data { stream, start, len, fin } => {
                self.on_data_acked(stream, start, len, fin);
            }
            Content::StreamSkip { stream: raw, offset } => {
                let send = self.table.get_mut(&raw).and_then(|stream| stream.send.as_mut());
                if let Some(send) = send {
                    send.on_skip_acked(offset);
                    self.settle_sending(raw, false);
                }
            }
            Content::StreamOpen { stream: raw } => {
                if let Some(stream) = self.table.get_mut(&raw) {
                    stream.opening = None;
                    stream.is_established = true;
                    stream.owed.remove(Owed::OPEN);
                    self.forget_if_over(raw);
                }
            }
            Content::StreamClose { stream: raw } => {
                if let Some(stream) = self.table.get_mut(&raw)
                    && let Some(send) = &mut stream.send
                {
                    send.on_close_acked();
                    stream.send = None;
                    stream.owed.remove(Owed::CLOSE);
                    self.forget_if_over(raw);
                }
            }
            _ => {}
        }
    }

    fn on_data_acked(&mut self, raw: u32, start: u64, len: u32, fin: bool) {
        let Some(stream) = self.table.get_mut(&raw) else { return };
        let Some(send) = &mut stream.send else { return };
        let released = send.on_acked(start..start + u64::from(len), fin);
        self.settle_sending(raw, released);
    }

    /// Something of a sending half was acknowledged; `released` tells whether its prefix grew.
    fn settle_sending(&mut self, raw: u32, released: bool) {
        let Some(stream) = self.table.get_mut(&raw) else { return };
        let Some(send) = &stream.send else { return };
        let is_finished = send.is_finished();
        let id = stream.id;
        // One that waits is brought up to date when it is polled. The last is never merged into it: the
        // half is gone by then, also where only its FIN was still missing.
        let waits = stream.is_release_queued;
        let due = if is_finished { released || waits } else { released && !waits };
        if due {
            stream.is_release_queued = true;
            self.events.push_back(StreamEvent::Released { stream: id, acked: send.released() });
        }
        if is_finished {
            stream.send = None;
            if !core::mem::replace(&mut stream.is_finish_told, true) {
                self.events.push_back(StreamEvent::Finished { stream: id });
            }
        }
        // What had been declared lost need not be sent again, and what has arrived grows no older.
        self.schedule(raw);
        self.arm_expiry(raw);
        self.forget_if_over(raw);
    }

    /// A packet with this was lost. What still matters is sent again, in the form that holds then.
    pub(crate) fn on_lost(&mut self, content: &Content) {
        if self.has_ended {
            return;
        }
        match *content {
            Content::SessionWindow => self.owes_session_window = true,
            Content::MaxStreams { uni } => self.owes_max_streams[usize::from(uni)] = true,
            Content::Data { stream: raw, start, len, fin } => {
                let send = self.table.get_mut(&raw).and_then(|stream| stream.send.as_mut());
                if let Some(send) = send {
                    send.on_lost(start..start + u64::from(len), fin);
                    self.schedule(raw);
                }
            }
            Content::StreamSkip { stream: raw, offset } => {
                let send = self.table.get_mut(&raw).and_then(|stream| stream.send.as_mut());
                if send.is_some_and(|send| send.on_skip_lost(offset)) {
                    self.owe(raw, Owed::SKIP);
                }
            }
            Content::StreamOpen { stream } => {
                self.owe_again(stream, Owed::OPEN, |stream| stream.opening.is_some());
            }
            Content::StreamClose { stream } => {
                self.owe_again(stream, Owed::CLOSE, |stream| {
                    stream.send.as_ref().is_some_and(|send| send.close().is_some())
                });
            }
            Content::StreamStop { stream } => {
                self.owe_again(stream, Owed::STOP, |stream| {
                    stream.recv.as_ref().is_some_and(|recv| recv.stop_code().is_some())
                });
            }
            Content::StreamWindow { stream } => {
                self.owe_again(stream, Owed::WINDOW, |stream| {
                    stream.recv.as_ref().is_some_and(|recv| recv.wants_more())
                });
            }
            _ => {}
        }
    }

    fn owe_again(&mut self, raw: u32, what: Owed, matters: impl FnOnce(&Stream) -> bool) {
        if self.table.get(&raw).is_some_and(|stream| matters(stream)) {
            self.owe(raw, what);
        }
    }
}

/// Writes what a stream owes: STREAM_OPEN first, so that nothing of the stream comes before it.
fn write_stream_control(
    stream: &mut Stream,
    session_credit: &mut SendCredit,
    out: &mut BundleWriter<'_>,
    contents: &mut Vec<Content>,
) -> Result<(), NoRoom> {
    let raw = stream.id.as_u32();
    if stream.owed.contains(Owed::OPEN)
        && let Some(opening) = &stream.opening
    {
        let open = StreamOpen {
            purpose: &opening.purpose,
            name: opening.name,
            priority: stream.priority,
            reliability: stream.deadline.map_or(Reliability::Reliable, |age| {
                Reliability::Deadline {
                    milliseconds: u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
                }
            }),
            initial_credit: stream.recv.as_ref().map_or(0, |recv| recv.credit.limit()),
        };
        out.part(FrameType::STREAM_OPEN, raw, |body| open.write(body))?;
        stream.owed.remove(Owed::OPEN);
        stream.is_open_sent = true;
        contents.push(Content::StreamOpen { stream: raw });
    }
    if stream.owed.contains(Owed::CLOSE)
        && let Some((code, final_offset)) = stream.send.as_ref().and_then(|send| send.close())
    {
        let close = StreamClose { code, final_offset };
        out.part(FrameType::STREAM_CLOSE, raw, |body| close.write(body))?;
        stream.owed.remove(Owed::CLOSE);
        contents.push(Content::StreamClose { stream: raw });
    }
    if stream.owed.contains(Owed::SKIP)
        && let Some(send) = &mut stream.send
        && let Some((offset, fresh)) = send.next_skip(session_credit.available())
    {
        out.part(FrameType::STREAM_SKIP, raw, |body| body.varint(offset))?;
        send.on_skip_sent(offset, fresh);
        session_credit.take(fresh);
        stream.owed.remove(Owed::SKIP);
        contents.push(Content::StreamSkip { stream: raw, offset });
    }
    if stream.owed.contains(Owed::STOP)
        && let Some(code) = stream.recv.as_ref().and_then(|recv| recv.stop_code())
    {
        out.part(FrameType::STREAM_STOP, raw, |body| body.varint(code))?;
        stream.owed.remove(Owed::STOP);
        contents.push(Content::StreamStop { stream: raw });
    }
    if stream.owed.contains(Owed::WINDOW)
        && let Some(recv) = stream.recv.as_mut().filter(|recv| recv.wants_more())
    {
        let limit = recv.credit.advertise(u64::MAX);
        out.part(FrameType::WINDOW, raw, |body| body.varint(limit))?;
        stream.owed.remove(Owed::WINDOW);
        contents.push(Content::StreamWindow { stream: raw });
    }
    // Whatever is left lost its reason.
    stream.owed = Owed::NOTHING;
    Ok(())
}
