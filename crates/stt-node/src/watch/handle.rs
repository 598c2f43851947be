//! One `uv_poll_t` for one socket.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::os::fd::AsRawFd;
use std::ptr;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use napi::bindgen_prelude::FunctionRef;
use napi::{Env, JsValue, sys};
use stt_engine::{Engine, WatchedSocket};

use super::uv::{self, Uv};

/// Watches a socket until it is dropped.
pub(super) struct Handle(Rc<Inner>);

/// What the loop's callbacks see. libuv holds one reference from the start to the end of the handle.
struct Inner {
    uv: Uv,
    env: Env,
    engine: Weak<Engine>,
    drain: Rc<FunctionRef<(), ()>>,
    /// The socket's number.
    number: u32,
    /// `None` once it is closed.
    socket: RefCell<Option<WatchedSocket>>,
    /// The memory of the `uv_poll_t`, of the strictest alignment that it may need.
    memory: RefCell<Box<[u128]>>,
    watching: Cell<bool>,
    /// Keeps the end of the environment waiting for that of the handle.
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
}

impl Handle {
    /// Begins to watch the engine's socket; `None` when that cannot be, and then nothing has changed.
    #[expect(unsafe_code, reason = "libuv and Node-API are called")]
    pub(super) fn start(
        env: Env,
        engine: &Arc<Engine>,
        drain: &Rc<FunctionRef<(), ()>>,
    ) -> Option<Self> {
        let uv = Uv::find()?;
        let event_loop = env.get_uv_event_loop().ok().filter(|event_loop| !event_loop.is_null())?;
        let socket = engine.watched_socket()?;
        let descriptor = socket.descriptor.as_raw_fd();
        let inner = Rc::new(Inner {
            uv,
            env,
            engine: Arc::downgrade(engine),
            drain: Rc::clone(drain),
            number: socket.number,
            socket: RefCell::new(Some(socket)),
            memory: RefCell::new(vec![0; uv.size.div_ceil(size_of::<u128>())].into_boxed_slice()),
            watching: Cell::new(false),
            hook: Cell::new(ptr::null_mut()),
        });
        let raw = inner.raw();
        // SAFETY: the memory has the size that libuv asks for and stays where it is until the handle is
        // closed; the loop is that of this thread; the descriptor is open, and no other handle has it.
        if unsafe { (uv.poll_init)(event_loop, raw, descriptor) } != 0 {
            return None;
        }
        // SAFETY: the handle was initialised. The reference that is given away here is taken back when
        // libuv has closed it.
        unsafe {
            (uv.set_data)(raw, Rc::into_raw(Rc::clone(&inner)).cast_mut().cast());
            // The process lives as long as JavaScript says.
            (uv.unref)(raw);
        }
        let handle = Self(inner);
        let mut hook = ptr::null_mut();
        // SAFETY: the pointer is to what libuv's reference keeps alive until the hook is removed.
        let status = unsafe {
            let inner = Rc::as_ptr(&handle.0).cast_mut().cast::<c_void>();
            sys::napi_add_async_cleanup_hook(env.raw(), Some(on_end), inner, &mut hook)
        };
        if status != sys::Status::napi_ok {
            return None;
        }
        handle.0.hook.set(hook);
        handle.restart().then_some(handle)
    }

    /// Watches, again if need be; false when that cannot be.
    pub(super) fn restart(&self) -> bool {
        let inner = &self.0;
        if inner.watching.get() {
            return true;
        }
        if inner.socket.borrow().is_none() {
            return false;
        }
        // SAFETY: the handle is open, and this is the loop's thread.
        #[expect(unsafe_code, reason = "libuv is called")]
        let started = unsafe { (inner.uv.poll_start)(inner.raw(), uv::READABLE, on_event) };
        inner.watching.set(started == 0);
        started == 0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Inner {
    fn raw(&self) -> *mut uv::Handle {
        self.memory.borrow_mut().as_mut_ptr().cast()
    }

    /// Stops watching and closes the descriptor; libuv's reference goes in a later turn of the loop.
    #[expect(unsafe_code, reason = "libuv is called")]
    fn close(&self) {
        self.watching.set(false);
        let Some(socket) = self.socket.borrow_mut().take() else { return };
        // SAFETY: the handle is open, as its socket was until now, and this is the loop's thread.
        unsafe { (self.uv.close)(self.raw(), on_close) };
        // libuv allows it from here on.
        drop(socket);
    }

    fn stop(&self) {
        if self.watching.replace(false) {
            // SAFETY: the handle is open while it watches, and this is the loop's thread.
            #[expect(unsafe_code, reason = "libuv is called")]
            let _ = unsafe { (self.uv.poll_stop)(self.raw()) };
        }
    }

    /// A turn of the loop: the socket is readable, or has failed, and then the engine is to look.
    fn on_event(&self, status: c_int) {
        let Some(engine) = self.engine.upgrade() else {
            return self.close();
        };
        if status < 0 {
            // libuv has stopped by itself.
            self.stop();
            return engine.stop_watching();
        }
        let turn = engine.turn_of_loop(self.number);
        if !turn.stay {
            self.stop();
        }
        if turn.events && !self.call_drain() {
            engine.ring();
        }
        engine.end_turn_of_loop();
    }

    /// Has JavaScript poll, with all that it does upon it; false when it could not be called.
    #[expect(unsafe_code, reason = "Node-API is called outside of a call from JavaScript")]
    fn call_drain(&self) -> bool {
        let env = self.env.raw();
        let mut scope = ptr::null_mut();
        // SAFETY: the environment lives, as its end closes this handle first, and this is its thread,
        // in a callback of its loop. What is opened is closed, and what is asked for lives in between.
        unsafe {
            if sys::napi_open_handle_scope(env, &mut scope) != sys::Status::napi_ok {
                return false;
            }
            let called = self.make_callback();
            sys::napi_close_handle_scope(env, scope);
            called
        }
    }

    #[expect(unsafe_code, reason = "Node-API is called outside of a call from JavaScript")]
    fn make_callback(&self) -> bool {
        let env = self.env.raw();
        let Ok(drain) = self.drain.borrow_back(&self.env) else { return false };
        let (mut global, mut result) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: the caller has opened a scope for the handles; the environment is as there.
        unsafe {
            if sys::napi_get_global(env, &mut global) != sys::Status::napi_ok {
                return false;
            }
            let status = sys::napi_make_callback(
                env,
                ptr::null_mut(),
                global,
                drain.raw(),
                0,
                ptr::null(),
                &mut result,
            );
            if status == sys::Status::napi_pending_exception {
                let mut error = ptr::null_mut();
                if sys::napi_get_and_clear_last_exception(env, &mut error) == sys::Status::napi_ok {
                    // As an exception in any other callback of the loop.
                    sys::napi_fatal_exception(env, error);
                }
            }
            status == sys::Status::napi_ok
        }
    }
}

/// libuv's callback.
#[expect(unsafe_code, reason = "libuv calls")]
unsafe extern "C" fn on_event(raw: *mut uv::Handle, status: c_int, _: c_int) {
    let Some(uv) = Uv::find() else { return };
    // SAFETY: the handle's data is the reference that libuv holds until it is closed; a second one is
    // made of it, so that it stays while JavaScript closes the handle.
    let inner = unsafe {
        let inner: *const Inner = (uv.get_data)(raw).cast_const().cast();
        Rc::increment_strong_count(inner);
        Rc::from_raw(inner)
    };
    inner.on_event(status);
}

/// libuv's callback: the handle is closed.
#[expect(unsafe_code, reason = "libuv calls")]
unsafe extern "C" fn on_close(raw: *mut uv::Handle) {
    let Some(uv) = Uv::find() else { return };
    // SAFETY: the reference that libuv held, which it never uses again.
    let inner = unsafe { Rc::from_raw((uv.get_data)(raw).cast_const().cast::<Inner>()) };
    let hook = inner.hook.replace(ptr::null_mut());
    if !hook.is_null() {
        // SAFETY: the hook was added and has not been removed; this is its environment's thread.
        unsafe { sys::napi_remove_async_cleanup_hook(hook) };
    }
}

/// The end of the environment: it waits until the hook is removed.
#[expect(unsafe_code, reason = "Node-API calls")]
unsafe extern "C" fn on_end(_: sys::napi_async_cleanup_hook_handle, inner: *mut c_void) {
    let inner: *const Inner = inner.cast_const().cast();
    // SAFETY: the reference that libuv holds keeps it until the hook is removed, which has not been.
    let inner = unsafe {
        Rc::increment_strong_count(inner);
        Rc::from_raw(inner)
    };
    inner.close();
}
