//! Lines on standard output that may lose their reader: `carillon-bench call | head` must end its calls, not panic.

use std::fmt::Arguments;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

static BROKEN: AtomicBool = AtomicBool::new(false);

/// Writes a line; if nobody reads any more, that is remembered and nothing is written again.
pub fn line(text: Arguments<'_>) {
    if broken() {
        return;
    }
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        BROKEN.store(true, Ordering::Relaxed);
    }
}

/// Whether the reader has gone.
#[must_use]
pub fn broken() -> bool {
    BROKEN.load(Ordering::Relaxed)
}

/// A line on standard output, as `println!` but without its panic.
#[macro_export]
macro_rules! say {
    ($($word:tt)*) => { $crate::out::line(format_args!($($word)*)) };
}
