//! The two clocks, and sleeping until an instant of the monotonic one.

use std::time::{SystemTime, UNIX_EPOCH};
use units::{Mono, Now, Wall};

/// Reads both clocks.
#[must_use]
pub fn now() -> Now {
    let wall =
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(0));
    Now { mono: mono(), wall: Wall(wall) }
}

/// Reads `CLOCK_MONOTONIC`, in nanoseconds.
#[must_use]
pub fn mono() -> Mono {
    let mut ts = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `ts` is a valid, writable timespec for the length of the call.
    let rc = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut ts) };
    assert_eq!(rc, 0, "the monotonic clock exists on every Linux");
    let (s, ns) = (u64::try_from(ts.tv_sec).unwrap_or(0), u64::try_from(ts.tv_nsec).unwrap_or(0));
    Mono(s * 1_000_000_000 + ns)
}

/// Sleeps until `until`; returns at once if it has passed.
pub fn sleep_until(until: Mono) {
    let ts = libc::timespec {
        tv_sec: i64::try_from(until.0 / 1_000_000_000).unwrap_or(i64::MAX),
        tv_nsec: i64::try_from(until.0 % 1_000_000_000).unwrap_or(0),
    };
    loop {
        // SAFETY: `ts` is a valid timespec; no remainder is asked for with an absolute time.
        let rc = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &raw const ts,
                std::ptr::null_mut(),
            )
        };
        if rc != libc::EINTR {
            return;
        }
    }
}
