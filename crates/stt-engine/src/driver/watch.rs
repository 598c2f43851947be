//! Turns of the application's event loop, and what the engine's thread does meanwhile.

use stt_proto::Now;

use super::Driver;
use crate::shared::LoopTurn;
use crate::watch::{Check, Next};

impl Driver {
    /// The socket by another descriptor, and its number.
    #[cfg(unix)]
    pub(crate) fn watched_socket(&self) -> (std::io::Result<std::os::fd::OwnedFd>, u32) {
        (self.io.socket().duplicate(), self.io.number())
    }

    /// A turn on the application's thread: what has arrived goes in, and what it brings to the ring.
    pub(super) fn turn_of_loop(&mut self, socket: u32) -> LoopTurn {
        self.stats.loop_turns += 1;
        let now = self.clock.now();
        if socket != self.io.number() {
            // It watches one that is no more; the engine's thread saw to the new one.
            return LoopTurn { stay: false, events: false, call: false };
        }
        if self.watch.is_dense(now.mono) {
            self.look_again();
            return LoopTurn { stay: false, events: false, call: false };
        }
        self.run_commands(now);
        self.io.look_for_datagrams();
        let more = self.receive_some(now, 1);
        self.collect(now);
        self.publish_stats();
        let events = self.shared.ring.publish_here(&mut self.out);
        self.out_bytes = 0;
        self.watch.moved(now.mono, self.io.take_moved());
        let next = match self.watch.on_loop_turn(now.mono, events) {
            // More than one call took: not thin.
            Next::Stay | Next::Alone if more => Next::Leave,
            next => next,
        };
        let mut call = false;
        match next {
            Next::Stay => {}
            Next::Alone => {
                if !self.io.is_blocked() && self.io.look_away().is_ok() {
                    self.watch.look_away(now.mono);
                    self.shared.commands.set_checking(true);
                    self.stats.loop_alone += 1;
                    // It sleeps until something else, and has to check from now on.
                    call = self.wakes.is_none_or(|wakes| self.watch.next_check() < Some(wakes));
                }
            }
            Next::Leave => {
                self.look_again();
                // What was left unread is found by the poller; should it fail, at the next check.
                call = more;
            }
        }
        LoopTurn { stay: next != Next::Leave, events, call }
    }

    /// Turns of the engine's thread: takes the socket back from a loop that left it, or that does
    /// not come while something lies there.
    pub(super) fn check_loop(&mut self, now: Now) {
        if self.shared.is_unwatched() {
            self.io.look();
            self.look_again();
        }
        if self.watch.check(now.mono) == Check::Fine {
            return;
        }
        let before = self.stats.receive_calls;
        self.io.look();
        self.receive(now);
        if self.watch.probed(self.stats.receive_calls != before) {
            self.look_again();
        }
    }

    /// Counts what was sent and received, and takes the socket back when that is much.
    pub(super) fn judge_traffic(&mut self, now: Now) {
        self.watch.moved(now.mono, self.io.take_moved());
        let dense = self.watch.is_dense(now.mono);
        self.shared.set_thin(!dense);
        if dense {
            self.look_again();
        }
    }

    /// The engine's thread watches the socket from now on, if it did not. Should the poller refuse, it goes
    /// on checking, and tries again.
    pub(super) fn look_again(&mut self) {
        if self.watch.is_alone() && self.io.look_again().is_ok() {
            self.stop_checking();
            self.stats.loop_relieved += 1;
        }
    }

    /// The poller has the socket.
    pub(super) fn stop_checking(&mut self) {
        self.watch.take_back();
        self.shared.commands.set_checking(false);
    }
}
