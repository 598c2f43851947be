//! The few functions of libuv that are needed, looked up in the running program.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;

use napi::sys::uv_loop_s;

/// `uv_handle_type` of a `uv_poll_t`; [`Uv::find`] asks libuv for its name.
const POLL: c_int = 8;

/// `UV_READABLE`.
pub(super) const READABLE: c_int = 1;

/// A `uv_poll_t`, whose size libuv knows.
pub(super) type Handle = c_void;

pub(super) type PollCallback = unsafe extern "C" fn(*mut Handle, c_int, c_int);
pub(super) type CloseCallback = unsafe extern "C" fn(*mut Handle);

/// libuv's functions of these names; all are for the loop's thread.
#[derive(Clone, Copy)]
pub(super) struct Uv {
    pub(super) poll_init: unsafe extern "C" fn(*mut uv_loop_s, *mut Handle, c_int) -> c_int,
    pub(super) poll_start: unsafe extern "C" fn(*mut Handle, c_int, PollCallback) -> c_int,
    pub(super) poll_stop: unsafe extern "C" fn(*mut Handle) -> c_int,
    pub(super) close: unsafe extern "C" fn(*mut Handle, CloseCallback),
    pub(super) unref: unsafe extern "C" fn(*mut Handle),
    pub(super) get_data: unsafe extern "C" fn(*const Handle) -> *mut c_void,
    pub(super) set_data: unsafe extern "C" fn(*mut Handle, *mut c_void),
    /// Bytes of a `uv_poll_t`.
    pub(super) size: usize,
}

impl Uv {
    /// libuv, if this program has one that is as expected.
    pub(super) fn find() -> Option<Self> {
        static FOUND: OnceLock<Option<Uv>> = OnceLock::new();
        *FOUND.get_or_init(Self::look)
    }

    #[expect(unsafe_code, reason = "functions that are known by name alone")]
    fn look() -> Option<Self> {
        let found = |name: &CStr| {
            // SAFETY: a name that ends with a zero, looked up among what is loaded already.
            let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
            (!address.is_null()).then_some(address)
        };
        /// The type of a pointer to a function is that of the field it is for.
        macro_rules! function {
            ($name:literal) => {{
                let address = found($name)?;
                // SAFETY: libuv's functions of these names have these signatures in every 1.x since
                // 1.19, which is asked for first; pointers to functions and data are of one size.
                unsafe { std::mem::transmute_copy(&address) }
            }};
        }
        let version: unsafe extern "C" fn() -> u32 = function!(c"uv_version");
        // SAFETY: takes nothing and reads a constant.
        let version = unsafe { version() };
        if version >> 16 != 1 || version < (1 << 16 | 19 << 8) {
            return None;
        }
        let type_name: unsafe extern "C" fn(c_int) -> *const c_char =
            function!(c"uv_handle_type_name");
        let size: unsafe extern "C" fn(c_int) -> usize = function!(c"uv_handle_size");
        // SAFETY: any number may be asked for; the answer is null or a constant text.
        let named = unsafe {
            let name = type_name(POLL);
            !name.is_null() && CStr::from_ptr(name) == c"poll"
        };
        if !named {
            return None;
        }
        Some(Self {
            poll_init: function!(c"uv_poll_init"),
            poll_start: function!(c"uv_poll_start"),
            poll_stop: function!(c"uv_poll_stop"),
            close: function!(c"uv_close"),
            unref: function!(c"uv_unref"),
            get_data: function!(c"uv_handle_get_data"),
            set_data: function!(c"uv_handle_set_data"),
            // SAFETY: a type of handle that was just seen to exist.
            size: unsafe { size(POLL) },
        })
    }
}
