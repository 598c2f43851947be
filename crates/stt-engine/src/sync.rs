//! The locks and atomics of what both threads use.
//!
//! They come from here and not from the standard library so that the tests of the hand-over between
//! the threads (`model`) can put those of a model checker in their place and run the very code that
//! ships under every order of events that it finds. Outside of those tests they are the standard
//! library's.

#[cfg(not(all(test, feature = "shuttle")))]
pub(crate) use std::{
    hint,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
};

#[cfg(all(test, feature = "shuttle"))]
pub(crate) use shuttle::{
    hint,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
};
