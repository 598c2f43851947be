//! Streams and their credit, counted anew.

use super::id::Direction;
use super::{Streams, stream::Stream};
use crate::inspect::{RecvCount, StreamCount, StreamsCount};

impl Streams {
    /// Events that nobody has polled.
    pub(crate) fn queued_events(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn recount(&self) -> StreamsCount {
        let streams: Vec<StreamCount> = self.table.values().map(|stream| count(stream)).collect();
        let of = |own: bool, direction: Direction| {
            let fits =
                |id: &super::StreamId| id.direction() == direction && self.is_own(*id) == own;
            streams.iter().filter(|stream| fits(&stream.id)).count()
        };
        let live = [true, false].map(|own| {
            let most = [self.limits.max_bidi, self.limits.max_uni];
            Direction::BOTH.map(|d| (most[d as usize] as usize, of(own, d)))
        });
        let halves = || streams.iter().filter_map(|stream| stream.recv);
        let mut send = self.send_credit.counted();
        send.counted = streams.iter().filter_map(|s| s.send).map(|send| send.counted).sum();
        let receiving = self.table.values().filter_map(|stream| stream.recv.as_ref());
        let counted_large = receiving.filter(|recv| recv.has_large_tail()).count() as u64;
        StreamsCount {
            has_ended: self.has_ended,
            send,
            recv: RecvCount {
                held: halves().map(|half| half.held).sum(),
                runs: halves().map(|half| half.runs).sum(),
                max_window: self.limits.max_session_window.max(self.limits.session_window),
                ..self.recv_credit.counted()
            },
            orphaned: self.orphaned,
            runs: self.runs,
            large_tails: [self.large_tails, counted_large, self.most_large_tails()],
            live,
            closed_ranges: self.peers.iter().map(|peers| peers.remembered()).max().unwrap_or(0),
            streams,
        }
    }
}

fn count(stream: &Stream) -> StreamCount {
    StreamCount {
        id: stream.id,
        send: stream.send.as_ref().map(|send| send.counted()),
        recv: stream.recv.as_ref().filter(|r| r.stop_code().is_none()).map(|r| r.counted()),
    }
}
