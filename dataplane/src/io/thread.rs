//! The thread of one worker: pinned, real-time where the host allows it, its tables locked in memory, one tick each
//! millisecond of the monotonic clock.

use super::clock;
use super::doorbell::Ringer;
use super::gauge::Gauges;
use crate::net::Net;
use crate::worker::Worker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use units::Mono;

/// How a thread came to stand; errors are errnos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The core it is pinned to.
    pub pinned: Result<usize, i32>,
    /// Its `SCHED_FIFO` priority; `Ok(0)`: not asked for.
    pub realtime: Result<i32, i32>,
    /// Octets of tables locked in memory.
    pub locked: Result<usize, i32>,
}

/// What a worker thread is given.
pub(crate) struct Shell {
    pub(crate) core: usize,
    pub(crate) priority: i32,
    pub(crate) ringers: Vec<Ringer>,
    pub(crate) gauges: Arc<Gauges>,
    pub(crate) stop: Arc<AtomicBool>,
}

const TICK_NS: u64 = 1_000_000;
/// Ticks between two publications of the counters.
const PUBLISH_EVERY: u64 = 64;

impl Shell {
    /// Pins, raises and locks; says what it got.
    pub(crate) fn settle<N: Net>(&self, worker: &Worker<N>) -> Standing {
        Standing {
            pinned: pin(self.core).map(|()| self.core),
            realtime: if self.priority == 0 { Ok(0) } else { raise(self.priority).map(|()| self.priority) },
            locked: lock(&worker.regions()),
        }
    }

    /// Ticks until told to stop.
    pub(crate) fn run<N: Net>(&self, worker: &mut Worker<N>) {
        let mut next = clock::mono().0 / TICK_NS * TICK_NS;
        let mut ticks = 0_u64;
        while !self.stop.load(Ordering::Relaxed) {
            next += TICK_NS;
            clock::sleep_until(Mono(next));
            let now = clock::now();
            let late = now.mono.0.saturating_sub(next);
            worker.tick(now);
            for (shard, ringer) in self.ringers.iter().enumerate() {
                if worker.take_pushed(shard) {
                    ringer.ring();
                }
            }
            let end = clock::mono().0;
            self.gauges.tick(late, end.saturating_sub(now.mono.0));
            // A late tick has served the milliseconds it missed: the next one is the next that is still to come.
            if end > next + TICK_NS {
                next = end / TICK_NS * TICK_NS;
            }
            ticks += 1;
            if ticks.is_multiple_of(PUBLISH_EVERY) {
                self.publish(worker);
            }
        }
        self.publish(worker);
    }

    fn publish<N: Net>(&self, worker: &mut Worker<N>) {
        let counts = worker.counts();
        self.gauges.publish(&counts, &worker.net_mut().counts());
    }
}

fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// Pins the calling thread to a core.
///
/// # Errors
/// The errno, as when the core is outside the process's set.
pub fn pin(core: usize) -> Result<(), i32> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    if core >= usize::try_from(libc::CPU_SETSIZE).unwrap_or(0) {
        return Err(libc::EINVAL);
    }
    // SAFETY: `core` is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: `set` is a valid set of the size told; 0 is the calling thread.
    let rc = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if rc == 0 { Ok(()) } else { Err(errno()) }
}

/// Cores that the process may run on.
#[must_use]
pub fn cores() -> Vec<usize> {
    // SAFETY: an all-zero cpu_set_t is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is writable and of the size told.
    let rc = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    let max = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: every index is below CPU_SETSIZE.
    let cores: Vec<_> = (0..max).filter(|&c| rc == 0 && unsafe { libc::CPU_ISSET(c, &set) }).collect();
    if cores.is_empty() { vec![0] } else { cores }
}

/// Puts the calling thread into `SCHED_FIFO`.
///
/// # Errors
/// The errno, as without `CAP_SYS_NICE`.
pub fn raise(priority: i32) -> Result<(), i32> {
    let param = libc::sched_param { sched_priority: priority };
    // SAFETY: `param` is valid; 0 is the calling thread.
    let rc = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) };
    if rc == 0 { Ok(()) } else { Err(errno()) }
}

/// Asks for huge pages: a tick walks the tables once in twenty milliseconds, far beyond what the TLB holds in small
/// ones. Only speed is lost where the kernel has none.
fn collapse(at: *const u8, len: usize) {
    const HUGE: usize = 2 << 20;
    const MADV_COLLAPSE: i32 = 25;
    let start = at.addr().next_multiple_of(HUGE);
    let octets = (at.addr() + len).saturating_sub(start) / HUGE * HUGE;
    if octets > 0 {
        let start = at.with_addr(start).cast_mut().cast();
        for advice in [libc::MADV_HUGEPAGE, MADV_COLLAPSE] {
            // SAFETY: the range lies within the table; the advice changes how it is mapped, not what it holds.
            unsafe { libc::madvise(start, octets, advice) };
        }
    }
}

fn lock(regions: &[(*const u8, usize)]) -> Result<usize, i32> {
    let mut octets = 0;
    for &(at, len) in regions {
        collapse(at, len);
        // SAFETY: mlock only faults pages in and pins them; the kernel checks the range.
        if len > 0 && unsafe { libc::mlock(at.cast(), len) } != 0 {
            return Err(errno());
        }
        octets += len;
    }
    Ok(octets)
}
