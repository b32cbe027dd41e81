//! Ports for the servers and peers that a run or a test starts: reserved among all processes of this machine that
//! ask here, and below the ones that the kernel hands out by itself.
//!
//! Asking the kernel for a free port, closing it and telling a child its number leaves a gap in which another
//! process may be given the same one. A reservation is a lock on a file, held to the end of the process.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// First port that is reserved here.
const FIRST: u16 = 10_000;
/// Ports that one lock stands for.
const SLOT: u16 = 100;
/// Slots: 10,000 to 32,699; Linux hands out ports from 32,768.
const SLOTS: u16 = 227;

struct Held {
    /// Kept open, so that the locks last.
    locks: Vec<File>,
    /// The slot that single ports are taken from: the next port, and the first behind it.
    singles: (u16, u16),
}

static HELD: Mutex<Held> = Mutex::new(Held { locks: Vec::new(), singles: (0, 0) });

/// Reserves `n` ports in a row (at most 22,700) for media; returns the first, a multiple of 100. UDP sockets can be
/// bound to all of them at this moment.
///
/// # Errors
/// What the system says of the lock files in the temporary folder; `AddrInUse` if no such range is left.
pub fn range(n: u16) -> io::Result<u16> {
    let wanted = n.div_ceil(SLOT).max(1);
    // Each process begins elsewhere, so that what a peer of an earlier run still holds is seldom in the way.
    let last = SLOTS.checked_sub(wanted).ok_or(io::ErrorKind::AddrInUse)?;
    let turn = u16::try_from(std::process::id() % (u32::from(last) + 1)).unwrap_or(0);
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    for step in 0..=last {
        let slot = (turn + step) % (last + 1);
        let Some(locks) = lock(slot, wanted)? else { continue };
        let first = FIRST + slot * SLOT;
        if (first..first + n.max(1)).all(|port| UdpSocket::bind(("127.0.0.1", port)).is_ok()) {
            held.locks.extend(locks);
            return Ok(first);
        }
    }
    Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no {n} ports in a row are free below 32,700")))
}

/// An even port on loopback that is free for UDP and TCP, and so is the one above it (RTCP, TLS). The eight above
/// these are nobody's, either: sipp takes some for video without being told to.
///
/// # Errors
/// As [`range`].
pub fn pair() -> io::Result<u16> {
    loop {
        let (next, end) = HELD.lock().unwrap_or_else(PoisonError::into_inner).singles;
        if next >= end {
            let first = range(SLOT)?;
            HELD.lock().unwrap_or_else(PoisonError::into_inner).singles = (first, first + SLOT);
            continue;
        }
        HELD.lock().unwrap_or_else(PoisonError::into_inner).singles.0 = next + 10;
        let free = |port| {
            UdpSocket::bind(("127.0.0.1", port)).is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok()
        };
        if free(next) && free(next + 1) {
            return Ok(next);
        }
    }
}

/// The locks of these slots, unless another process (or an earlier call) holds one of them.
fn lock(slot: u16, n: u16) -> io::Result<Option<Vec<File>>> {
    let mut locks = Vec::with_capacity(usize::from(n));
    for slot in slot..slot + n {
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path(slot)?)?;
        match file.try_lock() {
            Ok(()) => locks.push(file),
            Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
            Err(std::fs::TryLockError::Error(e)) => return Err(e),
        }
    }
    Ok(Some(locks))
}

fn path(slot: u16) -> io::Result<PathBuf> {
    // SAFETY: no arguments, cannot fail.
    #[allow(unsafe_code, reason = "the user's number, for a folder of their own")]
    let user = unsafe { libc::getuid() };
    let dir = std::env::temp_dir().join(format!("carillon-ports-{user}"));
    std::fs::create_dir_all(&dir)?;
    Ok(dir.join(format!("{}", FIRST + slot * SLOT)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_given_what_another_holds() {
        let a = range(1_000).expect("ports");
        let b = range(250).expect("ports");
        let (c, d) = (pair().expect("ports"), pair().expect("ports"));
        assert!(a.is_multiple_of(100) && a >= FIRST && a + 1_000 <= 32_700, "{a}");
        assert!(b >= a + 1_000 || b + 300 <= a, "{a} {b}");
        assert!(c.is_multiple_of(2) && d > c, "{c} {d}");
        for port in [c, d] {
            assert!(!(a..a + 1_000).contains(&port) && !(b..b + 300).contains(&port), "{a} {b} {port}");
        }
        // Another process would find the lock taken.
        let again =
            File::options().write(true).open(path((a - FIRST) / SLOT).expect("a path")).expect("a file");
        assert!(matches!(again.try_lock(), Err(std::fs::TryLockError::WouldBlock)));
    }

    #[test]
    fn more_than_there_are_is_refused() {
        assert_eq!(range(30_000).map_err(|e| e.kind()), Err(io::ErrorKind::AddrInUse));
    }
}
