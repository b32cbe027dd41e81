//! The allocator of one runtime: counts what is used, refuses beyond the limit, and looks at the time.
//!
//! `QuickJS` polls its interrupt handler in loops and calls of scripts, not inside native functions. Nearly all of
//! those allocate, so an allocation after the deadline fails, which ends the native call too.

use crate::arena::{Arena, usable};
use crate::hooks::Eval;
use crate::natives::Natives;
use rquickjs_sys as q;
use std::ffi::{c_int, c_void};
use std::sync::Arc;
use units::Mono;

/// What the C side of one engine shares with the Rust side; lives in a `Box` whose address C keeps.
pub(crate) struct Control {
    /// Where blocks come from.
    pub(crate) arena: Arena,
    /// Most octets.
    pub(crate) limit: usize,
    /// An allocation was refused since the last arming.
    pub(crate) out_of_memory: bool,
    /// The budget ran out since the last arming.
    pub(crate) expired: bool,
    /// A script is running.
    pub(crate) armed: bool,
    /// Steps left: turns of loops, calls, and one for each allocation.
    pub(crate) steps_left: u64,
    /// When to stop by the host's clock.
    pub(crate) until: Mono,
    /// The host's clock.
    pub(crate) clock: Option<Arc<dyn Fn() -> Mono + Send + Sync>>,
    /// `Date.now()` for scripts.
    pub(crate) wall_ms: f64,
    /// What the functions that we put in place of `QuickJS`'s need.
    pub(crate) natives: Natives,
    /// `QuickJS`'s own evaluator of source text.
    pub(crate) eval: Option<Eval>,
    /// Turns until the interrupt handler is asked, in the context; null if it was not found.
    pub(crate) counter: *mut c_int,
    ticks: u32,
}

/// `QuickJS` asks the interrupt handler once every so many loop turns and calls (and as many steps of a regular
/// expression) ...
const TURNS: c_int = 10_000;
/// ... and with us as often as this: a turn that compares or hashes long strings takes a millisecond.
const TURNS_SHORT: c_int = 32;
/// The clock is read at every n-th allocation, and at each one that is large.
const CLOCK_EVERY: u32 = 2;
const LARGE: usize = 4096;

impl Control {
    pub(crate) fn new(
        limit: usize,
        clock: Option<Arc<dyn Fn() -> Mono + Send + Sync>>,
        natives: Natives,
    ) -> Self {
        Self {
            arena: Arena::new(),
            limit,
            out_of_memory: false,
            expired: false,
            armed: false,
            steps_left: 0,
            until: Mono(u64::MAX),
            clock,
            wall_ms: 0.0,
            natives,
            eval: None,
            counter: std::ptr::null_mut(),
            ticks: 0,
        }
    }

    /// Has the interrupt handler asked soon.
    pub(crate) fn poll_soon(&mut self) {
        if !self.counter.is_null() {
            // SAFETY: it points into the context, which lives as long as this.
            unsafe { self.counter.write(TURNS_SHORT) };
        }
    }

    /// The steps since the handler was last asked. The counter has just been set to [`TURNS`] if turns ran out, and is
    /// anything else if a regular expression asks.
    fn turns(&mut self) -> u64 {
        // SAFETY: as above.
        let ours = !self.counter.is_null() && unsafe { self.counter.read() } == TURNS;
        if ours {
            self.poll_soon();
        }
        u64::from((if ours { TURNS_SHORT } else { TURNS }).unsigned_abs())
    }

    /// Takes steps from the budget; true when it has run out.
    pub(crate) fn spend(&mut self, steps: u64, look: bool) -> bool {
        if !self.armed {
            return false;
        }
        self.steps_left = self.steps_left.saturating_sub(steps);
        if self.steps_left == 0 {
            self.expired = true;
        }
        if look && let Some(clock) = &self.clock {
            self.expired |= clock() >= self.until;
        }
        self.expired
    }

    /// A block, unless the time or the memory is spent.
    fn take(&mut self, size: usize) -> *mut u8 {
        self.ticks = self.ticks.wrapping_add(1);
        let look = size >= LARGE || self.ticks.is_multiple_of(CLOCK_EVERY);
        if self.spend(1, look) {
            return std::ptr::null_mut();
        }
        let block = self.arena.take(size, self.limit);
        self.out_of_memory |= block.is_null();
        block
    }
}

/// The table of functions for `JS_NewRuntime2`; its opaque pointer must be a [`Control`].
pub(crate) const FUNCTIONS: q::JSMallocFunctions = q::JSMallocFunctions {
    js_calloc: Some(js_calloc),
    js_malloc: Some(js_malloc),
    js_free: Some(js_free),
    js_realloc: Some(js_realloc),
    js_malloc_usable_size: Some(js_usable),
};

/// The control block behind an opaque pointer.
fn control<'a>(opaque: *mut c_void) -> &'a mut Control {
    // SAFETY: the pointer is the one given to JS_NewRuntime2: a Control that outlives its runtime, touched by one
    // thread at a time, and no other reference to it is alive while C runs.
    unsafe { &mut *opaque.cast::<Control>() }
}

unsafe extern "C" fn js_calloc(opaque: *mut c_void, count: q::size_t, size_: q::size_t) -> *mut c_void {
    let size = |n: q::size_t| usize::try_from(n).ok();
    let Some(total) = size(count).zip(size(size_)).and_then(|(n, s)| n.checked_mul(s)) else {
        return std::ptr::null_mut();
    };
    let p = control(opaque).take(total);
    if !p.is_null() {
        // SAFETY: the block has at least `total` octets.
        unsafe { p.write_bytes(0, total) };
    }
    p.cast()
}

unsafe extern "C" fn js_malloc(opaque: *mut c_void, size: q::size_t) -> *mut c_void {
    usize::try_from(size).map_or(std::ptr::null_mut(), |size| control(opaque).take(size).cast())
}

unsafe extern "C" fn js_free(opaque: *mut c_void, ptr: *mut c_void) {
    if !ptr.is_null() {
        control(opaque).arena.give(ptr.cast());
    }
}

unsafe extern "C" fn js_realloc(opaque: *mut c_void, ptr: *mut c_void, size: q::size_t) -> *mut c_void {
    let c = control(opaque);
    let Ok(size) = usize::try_from(size) else { return std::ptr::null_mut() };
    if ptr.is_null() {
        return c.take(size).cast();
    }
    if size == 0 {
        c.arena.give(ptr.cast());
        return std::ptr::null_mut();
    }
    let old = usable(ptr.cast());
    // Shrinking always succeeds: some callers cannot cope with its failure. A large block that shrinks much moves.
    if size <= old && (old <= 4 * LARGE || size > old / 2) {
        return ptr;
    }
    let p = c.take(size);
    if p.is_null() {
        return if size <= old { ptr } else { std::ptr::null_mut() };
    }
    // SAFETY: both blocks are at least as long as the shorter size, and are distinct.
    unsafe { std::ptr::copy_nonoverlapping(ptr.cast::<u8>(), p, old.min(size)) };
    c.arena.give(ptr.cast());
    p.cast()
}

unsafe extern "C" fn js_usable(ptr: *const c_void) -> q::size_t {
    if ptr.is_null() { 0 } else { usable(ptr.cast()) as q::size_t }
}

/// `JSInterruptHandler`: non-zero stops the script with an exception it cannot catch.
pub(crate) unsafe extern "C" fn interrupt(_rt: *mut q::JSRuntime, opaque: *mut c_void) -> std::ffi::c_int {
    let c = control(opaque);
    let turns = c.turns();
    i32::from(c.spend(turns, true))
}
