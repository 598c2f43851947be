//! Which engines belong to which JavaScript environment, so that none outlives it.
//!
//! Every worker thread is an environment of its own over the one loaded addon. When one is torn
//! down, its engines are destroyed before Node takes the thread-safe functions away that their
//! doorbells call: clean-up hooks run newest first, and the hook is added after them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use napi::{Env, Result};
use stt_engine::Engine;

/// Engines that were alive when last looked at. An engine that was closed or collected before
/// leaves an empty reference, swept out when the list grows.
#[derive(Default)]
struct Engines {
    list: Vec<Weak<Engine>>,
    sweep_at: usize,
}

thread_local! {
    /// An environment never leaves its thread, but a thread may have several.
    static ENVIRONMENTS: RefCell<HashMap<usize, Rc<RefCell<Engines>>>> = RefCell::default();
}

/// Ties `engine` to the life of `env`.
pub(crate) fn adopt(env: Env, engine: &Arc<Engine>) -> Result<()> {
    let key = env.raw() as usize;
    let known = ENVIRONMENTS.with_borrow(|all| all.get(&key).cloned());
    let engines = match known {
        Some(engines) => engines,
        None => {
            let engines = Rc::new(RefCell::new(Engines::default()));
            ENVIRONMENTS.with_borrow_mut(|all| all.insert(key, Rc::clone(&engines)));
            engines
        }
    };
    let mut guard = engines.borrow_mut();
    if guard.list.len() >= guard.sweep_at {
        guard.list.retain(|engine| engine.strong_count() > 0);
        guard.sweep_at = 2 * guard.list.len() + 8;
    }
    guard.list.push(Arc::downgrade(engine));
    drop(guard);
    // One for each engine, because the first one's would run after the thread-safe functions of
    // those that came later are gone. Whichever runs first destroys all.
    env.add_env_cleanup_hook((), move |()| destroy_all(key))?;
    Ok(())
}

fn destroy_all(key: usize) {
    // During the exit of a thread its locals may be gone already; then so is this list.
    let engines = ENVIRONMENTS.try_with(|all| all.borrow_mut().remove(&key)).ok().flatten();
    let Some(engines) = engines else { return };
    let list = std::mem::take(&mut engines.borrow_mut().list);
    for engine in list.iter().filter_map(Weak::upgrade) {
        engine.destroy();
    }
}
