//! The protocol of `dataplane::io::doorbell`, modelled with loom: `RUSTFLAGS="--cfg loom" cargo test --release` in this
//! folder. The sleeper arms, looks once more, then sleeps; the ringer pushes, then rings if armed. It is checked that no
//! push is slept through, whatever the interleaving, and that the bell is rung no oftener than it was armed.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use loom::thread;

/// The ring (a count of pushes is all that matters) and the bell.
struct Shared {
    pushed: AtomicUsize,
    armed: AtomicBool,
    /// The eventfd: how often it was written since it was read.
    rung: AtomicUsize,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self { pushed: AtomicUsize::new(0), armed: AtomicBool::new(false), rung: AtomicUsize::new(0) })
    }

    fn push_and_ring(&self) {
        // As the ring publishes: release.
        self.pushed.store(self.pushed.load(Ordering::Relaxed) + 1, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.armed.load(Ordering::Relaxed) && self.armed.swap(false, Ordering::AcqRel) {
            self.rung.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn arm(&self) {
        self.rung.swap(0, Ordering::AcqRel);
        self.armed.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }
}

#[test]
fn no_push_is_slept_through() {
    loom::model(|| {
        let shared = Shared::new();
        let theirs = Arc::clone(&shared);
        let ringer = thread::spawn(move || {
            theirs.push_and_ring();
            theirs.push_and_ring();
        });
        shared.arm();
        let seen = shared.pushed.load(Ordering::Acquire);
        // The sleeper goes to sleep now. When the ringer is done, either all was seen or the bell is ringing.
        ringer.join().expect("the ringer ends");
        let missed = shared.pushed.load(Ordering::Acquire) - seen;
        let rung = shared.rung.load(Ordering::Acquire);
        assert!(missed == 0 || rung == 1, "{missed} missed, rung {rung} times");
        assert!(rung <= 1, "armed once, rung {rung} times");
    });
}

#[test]
fn armed_again_after_waking_nothing_is_lost() {
    loom::model(|| {
        let shared = Shared::new();
        let theirs = Arc::clone(&shared);
        let ringer = thread::spawn(move || {
            theirs.push_and_ring();
            theirs.push_and_ring();
        });
        let mut seen = 0;
        for _ in 0..2 {
            shared.arm();
            seen = seen.max(shared.pushed.load(Ordering::Acquire));
        }
        ringer.join().expect("the ringer ends");
        let missed = shared.pushed.load(Ordering::Acquire) - seen;
        // A ring that `arm` swallowed is harmless: it stood for pushes that the look after it has seen.
        assert!(missed == 0 || shared.rung.load(Ordering::Acquire) >= 1, "{missed} slept through");
    });
}
