//! What a producer has been given and has not told of.

use std::sync::atomic::{AtomicUsize, Ordering};

use std::sync::Arc;

use lockstep_engine::publish::transaction_window::TransactionWindow;
use lockstep_engine::time::Timestamp;
use parking_lot::{Condvar, Mutex};

/// How many bytes may be under way.
pub(super) enum Window {
    Fixed(usize),
    /// As the brokers take them, and no more than so many.
    Following(Arc<Mutex<TransactionWindow>>, usize),
}

/// How many records are under way, and word when there are none.
pub(super) struct UnderWay {
    window: Window,
    pub(super) count: AtomicUsize,
    bytes: AtomicUsize,
    pub(super) none: Condvar,
    pub(super) lock: Mutex<()>,
}

impl UnderWay {
    pub(super) fn new(window: Window) -> Self {
        Self {
            window,
            count: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            none: Condvar::new(),
            lock: Mutex::new(()),
        }
    }

    /// Counts a record of so many bytes if the window has room for it: for one alone it always has. Only one thread at a time
    /// takes room.
    pub(super) fn takes_room(&self, bytes: usize) -> bool {
        let there = self.bytes.load(Ordering::Acquire);
        let has_room = |width| there == 0 || there.saturating_add(bytes) <= width;
        match &self.window {
            Window::Fixed(width) if has_room(*width) => {}
            Window::Following(window, most) => {
                let (mut window, now) = (window.lock(), Timestamp::now());
                if !has_room(window.width(now).min(*most)) {
                    return false;
                }
                window.sent(bytes, now);
            }
            Window::Fixed(_) => return false,
        }
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        self.count.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// A record was acknowledged, or was not taken.
    pub(super) fn makes_room(&self, bytes: usize, is_acknowledged: bool) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
        if let Window::Following(window, _) = &self.window {
            match is_acknowledged {
                true => window.lock().acknowledged(bytes, Timestamp::now()),
                false => window.lock().withdrawn(bytes),
            }
        }
    }

    /// A record was not sent.
    pub(super) fn withdraw(&self, bytes: usize) {
        self.makes_room(bytes, false);
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn ended(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            // Whoever has just seen one left waits by now.
            drop(self.lock.lock());
            self.none.notify_all();
        }
    }
}
