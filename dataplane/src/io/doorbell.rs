//! The doorbell: an eventfd that wakes a shard when reports have come, rung at most once a tick and only if the shard
//! had found its rings empty and said so.
//!
//! The sleeper arms, looks once more, then sleeps; the ringer pushes, then rings if armed. Either the sleeper sees the
//! push or the ringer sees the arming (both fences are sequentially consistent): `tests/loom` checks it.

use crossbeam::utils::CachePadded;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

#[derive(Debug)]
struct Shared {
    fd: OwnedFd,
    /// Written by both halves; apart from the counter, so that counting never takes the flag's line away.
    armed: CachePadded<AtomicBool>,
    rung: CachePadded<AtomicU64>,
}

/// The shard's half; clone it to wait elsewhere.
#[derive(Clone, Debug)]
pub struct Doorbell(Arc<Shared>);

/// The worker's half.
#[derive(Clone, Debug)]
pub struct Ringer(Arc<Shared>);

/// A doorbell.
///
/// # Errors
/// What the kernel says to `eventfd`, as when descriptors have run out.
pub fn doorbell() -> std::io::Result<Doorbell> {
    // SAFETY: no pointers; the result is checked.
    let fd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: `fd` was just made, is valid, and belongs to nobody else.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok(Doorbell(Arc::new(Shared {
        fd,
        armed: CachePadded::new(AtomicBool::new(false)),
        rung: CachePadded::default(),
    })))
}

impl Doorbell {
    /// The other half.
    #[must_use]
    pub fn ringer(&self) -> Ringer {
        Ringer(Arc::clone(&self.0))
    }

    /// Asks to be woken by the next push. Look into the rings once more before sleeping.
    pub fn arm(&self) {
        // A read-modify-write: with a plain store an arming could slip past a ring that is under way, and the model
        // slept through a push.
        self.0.armed.swap(true, Ordering::AcqRel);
        fence(Ordering::SeqCst);
    }

    /// Takes the ring out of the descriptor, so that it is not readable any more.
    pub fn clear(&self) {
        let mut count = 0_u64;
        // SAFETY: eight octets of `count` are writable; an eventfd reads exactly eight or fails with EAGAIN.
        let _ = unsafe { libc::read(self.0.fd.as_raw_fd(), (&raw mut count).cast(), 8) };
    }

    /// Blocks until rung or `timeout_ms` passed, then clears. For shells without an event loop, and tests.
    pub fn wait(&self, timeout_ms: i32) {
        let mut poll = libc::pollfd { fd: self.0.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        let _ = unsafe { libc::poll(&raw mut poll, 1, timeout_ms) };
        self.clear();
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.fd.as_fd()
    }
}

impl AsRawFd for Doorbell {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        self.0.fd.as_raw_fd()
    }
}

impl Ringer {
    /// Call after pushing: wakes the sleeper if it asked for it. True if a system call was made.
    #[expect(
        clippy::must_use_candidate,
        reason = "ringing is the point, whether it was needed is for counters"
    )]
    pub fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        if !self.0.armed.load(Ordering::Relaxed) || !self.0.armed.swap(false, Ordering::AcqRel) {
            return false;
        }
        let one = 1_u64;
        // SAFETY: eight readable octets; an eventfd takes exactly eight.
        let _ = unsafe { libc::write(self.0.fd.as_raw_fd(), (&raw const one).cast(), 8) };
        self.0.rung.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// How often it was rung.
    #[must_use]
    pub fn rung(&self) -> u64 {
        self.0.rung.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rung_once_and_only_when_armed() {
        let bell = doorbell().expect("a descriptor");
        let ringer = bell.ringer();
        assert!(!ringer.ring());
        bell.arm();
        assert!(ringer.ring());
        assert!(!ringer.ring());
        bell.wait(0);
        assert_eq!(ringer.rung(), 1);
    }
}
