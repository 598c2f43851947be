//! The application's event loop watches an engine's socket while traffic is thin.
//!
//! A datagram then costs one wake instead of two: libuv calls on JavaScript's thread, the engine
//! takes it in there, JavaScript acts on it, and what that brings about is sent, all in one turn of
//! the loop (`docs/adr/0121-the-loop-reads-thin-traffic.md`). It needs a libuv under the event loop, whose
//! functions are looked up at run time: JavaScript says whether there is one, as other
//! runtimes export some of its names. Elsewhere, and on other systems than Linux, an engine's thread
//! watches its socket always.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{Function, FunctionRef, Result};
use stt_engine::{Engine, Event};

#[cfg(target_os = "linux")]
mod uv;

#[cfg(target_os = "linux")]
mod handle;

#[cfg(not(target_os = "linux"))]
mod handle {
    //! Systems on which the loop does not watch.

    use super::*;

    /// Never made.
    pub(super) enum Handle {}

    impl Handle {
        pub(super) fn start(_: Env, _: &Arc<Engine>, _: &Rc<FunctionRef<(), ()>>) -> Option<Self> {
            None
        }

        pub(super) fn restart(&self) -> bool {
            match *self {}
        }
    }
}

use self::handle::Handle;

/// An engine and the loop that may watch its socket. It lives on the loop's thread.
pub(crate) struct Watch {
    env: Env,
    /// What drains the engine, called in a turn of the loop. `None`: the loop never watches.
    drain: Option<Rc<FunctionRef<(), ()>>>,
    /// Made when the loop is to watch for the first time. Dropped, it is closed.
    handle: RefCell<Option<Handle>>,
}

/// What one poll offered, as far as it matters here.
#[derive(Default)]
pub(crate) struct Offered {
    data: bool,
    /// The socket is another one, or none any more.
    ended: bool,
}

impl Offered {
    /// Call for each event that is offered.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Data { .. } | Event::Message { .. } => self.data = true,
            Event::Rebound { .. } | Event::Closed(_) => self.ended = true,
            _ => {}
        }
    }
}

impl Watch {
    /// `by_loop`: the event loop is libuv's.
    pub(crate) fn new(env: Env, drain: Function<'_, (), ()>, by_loop: bool) -> Result<Self> {
        let drain = if by_loop { Some(Rc::new(drain.create_ref()?)) } else { None };
        Ok(Self { env, drain, handle: RefCell::default() })
    }

    /// After a poll: the loop begins to watch when that is worth it, and lets go of a socket that is
    /// no more.
    pub(crate) fn after_poll(&self, engine: &Arc<Engine>, offered: &Offered) {
        let Some(drain) = &self.drain else { return };
        if offered.ended {
            self.end();
        } else if offered.data && engine.may_watch() {
            let mut handle = self.handle.borrow_mut();
            let goes_on = handle.as_ref().is_some_and(Handle::restart);
            if !goes_on {
                // The old one, if there was one, first: it holds its socket's port.
                drop(handle.take());
                *handle = Handle::start(self.env, engine, drain);
            }
        }
    }

    /// Closes the socket's other descriptor. The loop no longer watches, and the engine is not told:
    /// it is ending, or has another socket.
    pub(crate) fn end(&self) {
        drop(self.handle.borrow_mut().take());
    }
}
