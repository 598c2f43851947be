//! What streams put into packets, and what becomes of it.

use stt_wire::{
    BundleWriter, FrameType,
    frame::{Data, MaxStreams, Reliability, StreamClose, StreamKind, StreamOpen},
    writer::{NoRoom, Writer},
};

use super::event::StreamEvent;
use super::id::StreamId;
use super::send::SendHalf;
use super::{Stop, Streams};
use crate::recovery::Content;

/// A stretch of stream bytes that was written into a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DataWritten {
    /// The stream.
    pub(crate) stream: u32,
    /// Offset of the first byte.
    pub(crate) start: u64,
    /// Bytes of the stream.
    pub(crate) len: u32,
    /// Bytes used of the room: the offset before them included.
    pub(crate) used: usize,
    /// Whether the stream ends with them.
    pub(crate) fin: bool,
}

impl Streams {
    /// Whether a control frame waits.
    pub(crate) fn wants_control(&self) -> bool {
        !self.control.is_empty() || self.session_window_due || self.max_streams_due != [false; 2]
    }

    /// Appends as many control frames as fit, and says what they were.
    pub(crate) fn write_control(
        &mut self,
        out: &mut BundleWriter<'_>,
        contents: &mut Vec<Content>,
    ) {
        if self.session_window_due {
            let limit = self.consumed + self.limits.session_window;
            if out.part(FrameType::WINDOW, 0, |body| body.varint(limit)).is_err() {
                return;
            }
            self.recv_limit = self.recv_limit.max(limit);
            self.session_window_due = false;
            contents.push(Content::SessionWindow);
        }
        for (kind, uni) in [(StreamKind::Bidirectional, false), (StreamKind::Unidirectional, true)]
        {
            let index = usize::from(uni);
            if !self.max_streams_due[index] {
                continue;
            }
            let max = MaxStreams { kind, limit: self.remote[index].limit };
            if out.part(FrameType::MAX_STREAMS, 0, |body| max.write(body)).is_err() {
                return;
            }
            self.max_streams_due[index] = false;
            contents.push(Content::MaxStreams { uni });
        }
        while let Some(raw) = self.control.first().copied() {
            if self.write_stream_control(raw, out, contents).is_err() {
                return;
            }
            self.control.remove(&raw);
        }
    }

    /// Every control frame of one stream: OPEN first, so that nothing of a stream comes before it.
    fn write_stream_control(
        &mut self,
        raw: u32,
        out: &mut BundleWriter<'_>,
        contents: &mut Vec<Content>,
    ) -> Result<(), NoRoom> {
        let window = self.limits.stream_window;
        let Some(stream) = self.streams.get_mut(&raw) else { return Ok(()) };
        if let Some(opening) = stream.open.as_mut().filter(|opening| opening.pending) {
            let bidirectional = stream.recv.is_some();
            let open = StreamOpen {
                purpose: &opening.purpose,
                name: opening.name,
                priority: stream.priority,
                reliability: Reliability::Reliable,
                initial_credit: if bidirectional { window } else { 0 },
            };
            out.part(FrameType::STREAM_OPEN, raw, |body| open.write(body))?;
            opening.pending = false;
            contents.push(Content::StreamOpen { stream: raw });
        }
        if let Some((code, final_offset)) =
            stream.send.as_ref().and_then(|send| send.close_to_send())
        {
            let close = StreamClose { code, final_offset };
            out.part(FrameType::STREAM_CLOSE, raw, |body| close.write(body))?;
            if let Some(send) = &mut stream.send {
                send.on_close_sent();
            }
            contents.push(Content::StreamClose { stream: raw });
        }
        if let Stop::Pending(code) = stream.stop {
            out.part(FrameType::STREAM_STOP, raw, |body| body.varint(code))?;
            stream.stop = Stop::Sent(code);
            contents.push(Content::StreamStop { stream: raw });
        }
        if let Some(recv) = stream.recv.as_mut().filter(|_| stream.window_due) {
            let limit = recv.next_limit();
            out.part(FrameType::WINDOW, raw, |body| body.varint(limit))?;
            stream.window_due = false;
            contents.push(Content::StreamWindow { stream: raw });
        }
        Ok(())
    }

    /// Whether stream bytes, or a FIN, may be sent.
    pub(crate) fn wants_data(&self) -> bool {
        !self.repeats.is_empty() || (self.sent < self.send_limit && !self.scheduler.is_empty())
    }

    /// The stream that [`Streams::write_data`] takes from. Streams whose turn it is but that have
    /// nothing to send any more leave their queue here.
    pub(crate) fn next_data(&mut self) -> Option<u32> {
        while let Some(raw) = self.repeats.front().copied() {
            if self.send_half(raw).is_some_and(SendHalf::wants_repeat) {
                return Some(raw);
            }
            self.unschedule(raw, true);
        }
        while let Some(raw) = self.scheduler.peek() {
            if self.send_half(raw).is_some_and(SendHalf::wants_fresh) {
                return (self.sent < self.send_limit).then_some(raw);
            }
            self.unschedule(raw, false);
        }
        None
    }

    fn send_half(&self, raw: u32) -> Option<&SendHalf> {
        self.streams.get(&raw)?.send.as_ref()
    }

    /// Fills `room` with the offset and the bytes of the stream whose turn it is.
    pub(crate) fn write_data(&mut self, room: &mut [u8]) -> Option<DataWritten> {
        let raw = self.next_data()?;
        let repeating = self.repeats.front() == Some(&raw);
        let credit = self.send_limit - self.sent;
        let send = self.streams.get_mut(&raw)?.send.as_mut()?;
        let prefix = Data::prefix_len(send.choose(u64::MAX, credit)?.range.start);
        let space = room.len().checked_sub(prefix).filter(|space| *space > 0)?;
        let stretch = send.choose(space as u64, credit)?;
        let len = (stretch.range.end - stretch.range.start) as usize;
        let mut head = Writer::new(room);
        head.varint(stretch.range.start).ok()?;
        let body = head.reserve(len).ok()?;
        send.copy(stretch.range.start, body);
        send.on_sent(&stretch);
        self.sent += stretch.fresh;
        let (more_repeats, more_fresh) = (send.wants_repeat(), send.wants_fresh());
        if repeating {
            if !more_repeats {
                self.unschedule(raw, true);
            }
        } else {
            self.scheduler.on_sent(len as u64);
        }
        if !more_fresh {
            self.drop_from_scheduler(raw);
        }
        if more_repeats || more_fresh {
            self.schedule(raw);
        }
        Some(DataWritten {
            stream: raw,
            start: stretch.range.start,
            len: len as u32,
            used: prefix + len,
            fin: stretch.fin,
        })
    }

    fn unschedule(&mut self, raw: u32, repeating: bool) {
        if repeating {
            self.repeats.pop_front();
            if let Some(stream) = self.streams.get_mut(&raw) {
                stream.repeating = false;
            }
        } else {
            self.drop_from_scheduler(raw);
        }
    }

    /// Takes a stream without fresh bytes out of the scheduler, once its turn shows it.
    fn drop_from_scheduler(&mut self, raw: u32) {
        if self.scheduler.peek() != Some(raw) {
            return;
        }
        self.scheduler.pop();
        if let Some(stream) = self.streams.get_mut(&raw) {
            stream.scheduled = false;
        }
    }

    /// The peer has this.
    pub(crate) fn on_acked(&mut self, content: &Content) {
        let (Content::Data { stream: raw, .. }
        | Content::StreamOpen { stream: raw }
        | Content::StreamClose { stream: raw }) = *content
        else {
            return;
        };
        let Some(stream) = self.streams.get_mut(&raw) else { return };
        let id = StreamId(raw);
        match (*content, stream.send.as_mut()) {
            (Content::Data { start, len, fin, .. }, Some(send)) => {
                let released = send.on_acked(start..start + u64::from(len), fin);
                if released && !stream.release_queued {
                    stream.release_queued = true;
                    self.events.push_back(StreamEvent::Released {
                        stream: id,
                        acked: send.acked_prefix(),
                    });
                }
                if send.is_finished() && !stream.finish_told {
                    stream.finish_told = true;
                    self.events.push_back(StreamEvent::Finished { stream: id });
                }
            }
            (Content::StreamClose { .. }, Some(send)) => send.on_close_acked(),
            (Content::StreamOpen { .. }, _) => stream.open = None,
            _ => {}
        }
        self.forget_if_done(id);
    }

    /// A packet with this was lost: it is sent again, in the form that holds then.
    pub(crate) fn on_lost(&mut self, content: &Content) {
        match *content {
            Content::SessionWindow => self.session_window_due = true,
            Content::MaxStreams { uni } => self.max_streams_due[usize::from(uni)] = true,
            Content::Data { stream: raw, start, len, fin } => {
                if let Some(send) =
                    self.streams.get_mut(&raw).and_then(|stream| stream.send.as_mut())
                {
                    send.on_lost(start..start + u64::from(len), fin);
                    self.schedule(raw);
                }
            }
            Content::StreamOpen { stream }
            | Content::StreamClose { stream }
            | Content::StreamStop { stream }
            | Content::StreamWindow { stream } => self.repeat_control(stream, content),
            _ => {}
        }
    }

    fn repeat_control(&mut self, raw: u32, content: &Content) {
        let Some(stream) = self.streams.get_mut(&raw) else { return };
        match content {
            Content::StreamOpen { .. } => {
                if let Some(opening) = &mut stream.open {
                    opening.pending = true;
                }
            }
            Content::StreamClose { .. } => {
                if let Some(send) = &mut stream.send {
                    send.on_close_lost();
                }
            }
            Content::StreamStop { .. } => {
                if let Stop::Sent(code) = stream.stop {
                    stream.stop = Stop::Pending(code);
                }
            }
            _ => stream.window_due = stream.recv.as_ref().is_some_and(|recv| recv.is_size_open()),
        }
        self.control.insert(raw);
    }
}
