//! What the peer and the path do, and what the side under test puts into packets for it.

use super::*;

/// A frame that no honest peer sends.
const INVALID: PeerFault = PeerFault::new(ErrorCode::InvalidFrame);

impl Run {
    pub(super) fn peer_open(&mut self, id: StreamId, timely: bool) -> bool {
        let milliseconds = AGE.as_millis() as u64;
        let reliability =
            if timely { Reliability::Deadline { milliseconds } } else { Reliability::Reliable };
        let (purpose, name, priority, initial_credit) = ("", None, 3, 1 << 20);
        let open = StreamOpen { purpose, name, priority, reliability, initial_credit };
        let found = self.streams.handle_open(id.as_u32(), &open);
        let model = match self.named(id, Half::Receive) {
            // Of a stream that is over nothing is known any more.
            Ok(model) if model.is_closed => return same(found, Ok(()), true),
            Ok(model) if !model.is_own => model,
            _ => return same(found, Err(INVALID), true),
        };
        if model.is_established {
            return same(found, Ok(()), true);
        }
        model.is_established = true;
        if model.is_skipped && !timely {
            return same(found, Err(INVALID), false);
        }
        (model.is_told, model.is_timely) = (true, timely);
        let (stop, reset) = (model.early_stop, model.recv.as_ref().and_then(|recv| recv.reset));
        let deadline = timely.then_some(AGE);
        let purpose = String::new();
        let opened = StreamEvent::Opened { stream: id, purpose, name, priority, deadline };
        self.expected.push(opened);
        self.expected.extend(stop.map(|code| StreamEvent::Stopped { stream: id, code }));
        self.expected.extend(reset.map(|code| StreamEvent::Reset { stream: id, code }));
        same(found, Ok(()), true)
    }

    pub(super) fn data(&mut self, id: StreamId, start: u64, end: u64, fin: bool) -> bool {
        let bytes: Vec<u8> = (start..end).map(|at| byte(id.as_u32(), at, true)).collect();
        let blocks = &mut Blocks::default();
        let found = self.streams.handle_data(blocks, id.as_u32(), start, &bytes, fin);
        let Ok(model) = self.named(id, Half::Receive) else {
            return same(found, Err(INVALID), true);
        };
        let recv = model.recv.as_mut().unwrap();
        if recv.state.is_over() {
            return same(found, Ok(()), true);
        }
        if recv.contradicts(end, fin) {
            return same(found, Err(INVALID), false);
        }
        recv.highest = recv.highest.max(end);
        recv.got.extend(start..end);
        if fin {
            recv.size = Some(end);
        }
        recv.settle();
        same(found, Ok(()), true)
    }

    pub(super) fn close(&mut self, id: StreamId, code: u64, size: u64) -> bool {
        let found = self.streams.handle_close(id.as_u32(), code, size);
        let Ok(model) = self.named(id, Half::Receive) else {
            return same(found, Err(INVALID), true);
        };
        let recv = model.recv.as_mut().unwrap();
        if recv.state.is_over() {
            return same(found, Ok(()), true);
        }
        if recv.contradicts(size, true) {
            return same(found, Err(INVALID), false);
        }
        if recv.state == Receiving::DataRecvd {
            // All of it is here: an ordinary end.
            return same(found, Ok(()), true);
        }
        recv.highest = recv.highest.max(size);
        recv.size = Some(size);
        recv.state.go(Receiving::ResetRecvd);
        if recv.stopped.is_none() {
            recv.reset = Some(code);
            if model.is_told {
                self.expected.push(StreamEvent::Reset { stream: id, code });
            }
        }
        same(found, Ok(()), true)
    }

    pub(super) fn peer_stop(&mut self, id: StreamId, code: u64) -> bool {
        let found = self.streams.handle_stop(id.as_u32(), code);
        let Ok(model) = self.named(id, Half::Send) else {
            return same(found, Err(INVALID), true);
        };
        let send = model.send.as_mut().unwrap();
        if send.state.is_over() || send.reset.is_some() {
            return same(found, Ok(()), true);
        }
        if send.is_finished && send.is_delivered() {
            // The peer has every byte, and this side waits for the word of it alone.
            if !core::mem::replace(&mut send.is_told, true) {
                self.expected.push(StreamEvent::Finished { stream: id });
            }
            return same(found, Ok(()), true);
        }
        send.reset(code);
        if model.is_told {
            self.expected.push(StreamEvent::Stopped { stream: id, code });
        } else {
            model.early_stop = Some(code);
        }
        same(found, Ok(()), true)
    }

    pub(super) fn skip(&mut self, id: StreamId, offset: u64) -> bool {
        let found = self.streams.handle_skip(&mut Blocks::default(), id.as_u32(), offset);
        let Ok(model) = self.named(id, Half::Receive) else {
            return same(found, Err(INVALID), true);
        };
        if model.is_closed {
            return same(found, Ok(()), true);
        }
        if (model.is_own || model.is_established) && !model.is_timely {
            return same(found, Err(INVALID), false);
        }
        let recv = model.recv.as_mut().unwrap();
        if recv.state.is_over() {
            return same(found, Ok(()), true);
        }
        model.is_skipped = true;
        if recv.contradicts(offset, false) {
            return same(found, Err(INVALID), false);
        }
        recv.highest = recv.highest.max(offset);
        if recv.stopped.is_none() && offset > recv.read {
            recv.gap = Some((recv.gap.map_or(recv.read, |(start, _)| start), offset));
            recv.read = offset;
        }
        recv.settle();
        same(found, Ok(()), true)
    }

    /// Takes out a packet and holds each frame against the model. `false` when there is none.
    pub(super) fn transmit(&mut self, size: usize) -> bool {
        let Some(packet) = transmit(&mut self.streams, size) else { return false };
        for part in Bundle::parse(&packet.bytes).unwrap().parts() {
            let Some(id) = StreamId::from_u32(part.stream_id) else { continue };
            let model = self.models.get_mut(&id).unwrap();
            assert!(!model.is_closed, "{:?} of {id:?}, which is over", part.frame);
            match part.frame {
                Frame::StreamOpen(open) => {
                    assert!(model.is_own && !model.is_established);
                    assert_eq!(open.reliability != Reliability::Reliable, model.is_timely);
                    model.is_open_sent = true;
                    continue;
                }
                Frame::Data(data) => {
                    let send = model.send.as_mut().unwrap();
                    let end = data.offset + data.bytes.len() as u64;
                    assert!(send.reset.is_none() && end <= send.written);
                    assert!(data.bytes.is_empty() || data.offset >= send.floor, "it was given up");
                    assert!(end <= send.sent || send.floor <= send.sent, "before its STREAM_SKIP");
                    let bytes = (data.offset..end).map(|at| byte(id.as_u32(), at, false));
                    assert!(bytes.eq(data.bytes.iter().copied()), "{id:?}: other bytes");
                    // A FIN that is acknowledged is not said again.
                    let ends = send.is_finished && end == send.written;
                    assert_eq!(data.fin, ends && !send.is_fin_acked);
                    send.on_sent(end, data.fin);
                }
                Frame::StreamSkip { offset } => {
                    let send = model.send.as_mut().unwrap();
                    assert!(model.is_timely && send.reset.is_none());
                    assert!(offset > 0 && offset == send.floor);
                    send.on_sent(offset, false);
                }
                Frame::StreamClose(close) => {
                    let send = model.send.as_ref().unwrap();
                    assert_eq!(send.state, Sending::ResetSent);
                    assert_eq!((Some(close.code), close.final_offset), (send.reset, send.sent));
                }
                Frame::StreamStop { code } => {
                    let recv = model.recv.as_ref().unwrap();
                    assert!(recv.stopped == Some(code) && !recv.state.is_over());
                }
                Frame::Window { .. } => {}
                other => panic!("{other:?}"),
            }
            assert!(!model.is_own || model.is_open_sent, "{id:?}: STREAM_OPEN comes first");
        }
        self.sent.push(Sent { packet, is_acked: false, is_lost: false });
        true
    }

    /// One packet, perhaps one that was declared lost, turns out to have arrived.
    pub(super) fn acked(&mut self, pick: usize) {
        let open: Vec<usize> =
            (0..self.sent.len()).filter(|index| !self.sent[*index].is_acked).collect();
        let Some(index) = open.get(pick % open.len().max(1)).copied() else { return };
        self.sent[index].is_acked = true;
        let packet = self.sent[index].packet.clone();
        acked(&mut self.streams, &packet);
        for content in &packet.contents {
            self.on_content_acked(content);
        }
    }

    fn on_content_acked(&mut self, content: &Content) {
        let raw = match *content {
            Content::Data { stream, .. }
            | Content::StreamOpen { stream }
            | Content::StreamClose { stream }
            | Content::StreamStop { stream }
            | Content::StreamSkip { stream, .. } => stream,
            _ => return,
        };
        let id = StreamId::from_u32(raw).unwrap();
        let model = self.models.get_mut(&id).unwrap();
        match *content {
            Content::StreamOpen { .. } => model.is_established = true,
            Content::StreamStop { .. } => model.is_stop_acked = true,
            _ => {}
        }
        let Some(send) = model.send.as_mut().filter(|send| !send.state.is_over()) else { return };
        if send.reset.is_some() {
            if matches!(content, Content::StreamClose { .. }) {
                send.state.go(Sending::ResetRecvd);
            }
            return;
        }
        let before = send.prefix();
        match *content {
            Content::Data { start, len, fin, .. } => {
                send.acked.extend(start..start + u64::from(len));
                send.is_fin_acked |= fin;
            }
            Content::StreamSkip { offset, .. } => send.is_floor_acked |= offset == send.floor,
            _ => {}
        }
        if send.prefix() > before {
            self.expected.push(StreamEvent::Released { stream: id, acked: send.prefix() });
        }
        if send.is_fin_acked && send.is_delivered() {
            send.state.go(Sending::DataRecvd);
            if !core::mem::replace(&mut send.is_told, true) {
                self.expected.push(StreamEvent::Finished { stream: id });
            }
        }
    }

    /// Nothing waits to be sent: whatever the peer must hear of is on its way.
    pub(super) fn nothing_is_left_behind(&self) {
        let flying = self.sent.iter().filter(|sent| !sent.is_acked && !sent.is_lost);
        let flying: Vec<Content> =
            flying.flat_map(|sent| sent.packet.contents.iter().copied()).collect();
        for (id, model) in self.models.iter().filter(|(_, model)| !model.is_closed) {
            let stream = id.as_u32();
            let flies = |content| assert!(flying.contains(&content), "{content:?} is not sent");
            if model.is_own && !model.is_established {
                flies(Content::StreamOpen { stream });
            }
            let recv = model.recv.as_ref().filter(|recv| !recv.state.is_over());
            if recv.is_some_and(|recv| recv.stopped.is_some()) && !model.is_stop_acked {
                flies(Content::StreamStop { stream });
            }
            let Some(send) = model.send.as_ref().filter(|send| !send.state.is_over()) else {
                continue;
            };
            if send.reset.is_some() {
                flies(Content::StreamClose { stream });
                continue;
            }
            if send.floor > 0 && !send.is_floor_acked {
                flies(Content::StreamSkip { stream, offset: send.floor });
            }
            let mut bytes = BTreeSet::new();
            let mut has_fin = send.is_fin_acked;
            for content in &flying {
                if let Content::Data { stream: of, start, len, fin } = *content
                    && of == stream
                {
                    bytes.extend(start..start + u64::from(len));
                    has_fin |= fin;
                }
            }
            assert!(has_fin || !send.is_finished, "{id:?}: FIN is not sent");
            let missing = (send.floor..send.written)
                .find(|at| !send.acked.contains(at) && !bytes.contains(at));
            assert_eq!(missing, None, "{id:?}: a byte is neither there nor on its way");
        }
    }

    /// A stream of which both halves are over, and both sides know, is forgotten at once.
    pub(super) fn close_what_is_over(&mut self) {
        for (id, model) in &mut self.models {
            if !model.is_closed && model.is_over() {
                model.is_closed = true;
                self.expected.push(StreamEvent::Closed { stream: *id });
            }
        }
    }

    /// Every event is told that must be, and no other.
    pub(super) fn compare_events(&mut self) {
        for (id, model) in &mut self.models {
            let told = model.is_told && !model.is_closed;
            let recv = model.recv.as_mut().filter(|recv| told && recv.is_readable());
            if let Some(recv) = recv.filter(|recv| recv.is_awaited) {
                recv.is_awaited = false;
                self.expected.push(StreamEvent::Readable { stream: *id });
            }
        }
        let found = ordered(events(&mut self.streams));
        assert_eq!(found, ordered(core::mem::take(&mut self.expected)));
    }

    /// What is said of all streams at once.
    pub(super) fn compare_sums(&self) {
        let open = || self.models.values().filter(|model| !model.is_closed);
        let sends = || open().filter_map(|model| model.send.as_ref());
        let undelivered: u64 = sends().map(SendModel::undelivered).sum();
        assert_eq!(self.streams.undelivered(), undelivered);
        assert_eq!(self.streams.is_drained(), sends().all(SendModel::is_drained));
        let is_readable = |model: &Model| {
            model.is_told && model.recv.as_ref().is_some_and(RecvModel::is_readable)
        };
        assert_eq!(self.streams.has_unread(), open().any(is_readable));
    }
}

/// Compares the answer to a frame, and passes on whether the session goes on.
fn same(found: Result<(), PeerFault>, expected: Result<(), PeerFault>, goes_on: bool) -> bool {
    assert_eq!(found, expected);
    goes_on
}

/// The events of one step, those that tell of room for more streams left out, and of several that tell
/// how far acknowledgement has come the last.
fn ordered(events: Vec<StreamEvent>) -> Vec<String> {
    let mut last = BTreeMap::new();
    let mut texts = Vec::new();
    for event in &events {
        match event {
            StreamEvent::Available { .. } => {}
            StreamEvent::Released { stream, .. } => drop(last.insert(*stream, event)),
            other => texts.push(format!("{other:?}")),
        }
    }
    texts.extend(last.values().map(|event| format!("{event:?}")));
    texts.sort();
    texts
}
