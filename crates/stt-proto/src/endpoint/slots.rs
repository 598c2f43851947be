//! A slab whose indices carry a generation, so that a handle of something gone never names what
//! took its place.

use crate::event::SessionHandle;

struct Slot<T> {
    generation: u32,
    queued: bool,
    changed: bool,
    value: Option<T>,
}

/// Values by small, reusable indices.
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    len: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), len: 0 }
    }
}

impl<T> Slots<T> {
    /// Stores `value` and names it.
    pub(crate) fn insert(&mut self, value: T) -> SessionHandle {
        self.len += 1;
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.value = Some(value);
            return SessionHandle { index, generation: slot.generation };
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot { generation: 1, queued: false, changed: false, value: Some(value) });
        SessionHandle { index, generation: 1 }
    }

    /// Takes a value out; its handle is dead from now on.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = self.slots.get_mut(index as usize)?;
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        self.len -= 1;
        Some(value)
    }

    /// Puts another value in a slot that is taken; its handle stays good.
    pub(crate) fn replace(&mut self, index: u32, value: T) {
        if let Some(current) = self.get_mut(index) {
            *current = value;
        }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        self.slots.get(index as usize)?.value.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value.as_mut()
    }

    /// The handle of what lives at `index`.
    pub(crate) fn handle(&self, index: u32) -> Option<SessionHandle> {
        let slot = self.slots.get(index as usize)?;
        slot.value.is_some().then_some(SessionHandle { index, generation: slot.generation })
    }

    /// Whether it stands in the queue of those that may send.
    #[cfg(feature = "inspect")]
    pub(crate) fn is_queued(&self, index: u32) -> bool {
        self.slots.get(index as usize).is_some_and(|slot| slot.queued)
    }

    /// Notes whether the slot stands in the send queue; says whether that is new.
    pub(crate) fn set_queued(&mut self, index: u32, queued: bool) -> bool {
        match self.slots.get_mut(index as usize) {
            Some(slot) => core::mem::replace(&mut slot.queued, queued) != queued,
            None => false,
        }
    }

    /// Notes whether the slot stands in the list of changed ones; says whether that is new.
    pub(crate) fn set_changed(&mut self, index: u32, changed: bool) -> bool {
        match self.slots.get_mut(index as usize) {
            Some(slot) => core::mem::replace(&mut slot.changed, changed) != changed,
            None => false,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The same from an index on.
    #[cfg(feature = "inspect")]
    pub(crate) fn indices_from(&self, index: u32) -> impl Iterator<Item = u32> + '_ {
        (index..self.slots.len() as u32).filter(|index| self.get(*index).is_some())
    }

    /// Indices of everything stored.
    pub(crate) fn indices(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.slots.len() as u32).filter(|index| self.get(*index).is_some())
    }
}
