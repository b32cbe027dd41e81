//! The allocator of one runtime: counts what is used, refuses beyond the limit, and looks at the time.
//!
//! `QuickJS` polls its interrupt handler in loops and calls of scripts, not inside native functions. Nearly all of
//! those allocate, so an allocation after the deadline fails, which ends the native call too.

use rquickjs_sys as q;
use std::ffi::c_void;
use std::sync::Arc;
use units::Mono;

/// What the C side of one engine shares with the Rust side; lives in a `Box` whose address C keeps.
pub(crate) struct Control {
    /// Octets in use, as the allocator counts them.
    pub(crate) used: usize,
    /// Most octets.
    pub(crate) limit: usize,
    /// An allocation was refused since the last arming.
    pub(crate) out_of_memory: bool,
    /// The budget ran out since the last arming.
    pub(crate) expired: bool,
    /// A script is running.
    pub(crate) armed: bool,
    /// Steps left: each interrupt poll costs [`POLL_STEPS`], each allocation one.
    pub(crate) steps_left: u64,
    /// When to stop by the host's clock.
    pub(crate) until: Mono,
    /// The host's clock.
    pub(crate) clock: Option<Arc<dyn Fn() -> Mono + Send + Sync>>,
    /// `Date.now()` for scripts.
    pub(crate) wall_ms: f64,
    ticks: u32,
}

/// `QuickJS` calls the handler once every 10,000 loop turns or calls; they count as that many steps.
pub(crate) const POLL_STEPS: u64 = 10_000;
/// The clock is read at every n-th allocation, and at each one that is large.
const CLOCK_EVERY: u32 = 2;
const LARGE: usize = 4096;

impl Control {
    pub(crate) fn new(limit: usize, clock: Option<Arc<dyn Fn() -> Mono + Send + Sync>>) -> Self {
        Self {
            used: 0,
            limit,
            out_of_memory: false,
            expired: false,
            armed: false,
            steps_left: 0,
            until: Mono(u64::MAX),
            clock,
            wall_ms: 0.0,
            ticks: 0,
        }
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

    fn admit(&mut self, size: usize) -> bool {
        self.ticks = self.ticks.wrapping_add(1);
        let look = size >= LARGE || self.ticks.is_multiple_of(CLOCK_EVERY);
        if self.spend(1, look) {
            return false;
        }
        if self.used.saturating_add(size) > self.limit {
            self.out_of_memory = true;
            return false;
        }
        true
    }
}

unsafe extern "C" {
    fn malloc(size: usize) -> *mut c_void;
    fn calloc(count: usize, size: usize) -> *mut c_void;
    fn realloc(ptr: *mut c_void, size: usize) -> *mut c_void;
    fn free(ptr: *mut c_void);
    fn malloc_usable_size(ptr: *mut c_void) -> usize;
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

fn size_of_block(ptr: *mut c_void) -> usize {
    // SAFETY: `ptr` came from malloc, calloc or realloc below, or is null, for which the answer is 0.
    unsafe { malloc_usable_size(ptr) }
}

unsafe extern "C" fn js_calloc(opaque: *mut c_void, count: q::size_t, size: q::size_t) -> *mut c_void {
    let c = control(opaque);
    let Some(total) =
        usize::try_from(count).ok().and_then(|n| usize::try_from(size).ok().and_then(|s| n.checked_mul(s)))
    else {
        return std::ptr::null_mut();
    };
    if !c.admit(total) {
        return std::ptr::null_mut();
    }
    // SAFETY: plain C allocation; null is an allowed answer.
    let p = unsafe { calloc(1, total) };
    c.used += size_of_block(p);
    p
}

unsafe extern "C" fn js_malloc(opaque: *mut c_void, size: q::size_t) -> *mut c_void {
    let c = control(opaque);
    let Ok(size) = usize::try_from(size) else { return std::ptr::null_mut() };
    if !c.admit(size) {
        return std::ptr::null_mut();
    }
    // SAFETY: plain C allocation; null is an allowed answer.
    let p = unsafe { malloc(size) };
    c.used += size_of_block(p);
    p
}

unsafe extern "C" fn js_free(opaque: *mut c_void, ptr: *mut c_void) {
    if ptr.is_null() {
        return;
    }
    let c = control(opaque);
    c.used = c.used.saturating_sub(size_of_block(ptr));
    // SAFETY: the engine frees each block it was given exactly once.
    unsafe { free(ptr) };
}

unsafe extern "C" fn js_realloc(opaque: *mut c_void, ptr: *mut c_void, size: q::size_t) -> *mut c_void {
    let c = control(opaque);
    let Ok(size) = usize::try_from(size) else { return std::ptr::null_mut() };
    let old = size_of_block(ptr);
    // Shrinking always succeeds: some callers cannot cope with its failure.
    if size > old && !c.admit(size - old) {
        return std::ptr::null_mut();
    }
    // SAFETY: `ptr` is null or a block of ours; on null answer the old block stays valid.
    let p = unsafe { realloc(ptr, size) };
    if !p.is_null() {
        c.used = c.used.saturating_sub(old) + size_of_block(p);
    }
    p
}

unsafe extern "C" fn js_usable(ptr: *const c_void) -> q::size_t {
    size_of_block(ptr.cast_mut()) as q::size_t
}

/// `JSInterruptHandler`: non-zero stops the script with an exception it cannot catch.
pub(crate) unsafe extern "C" fn interrupt(_rt: *mut q::JSRuntime, opaque: *mut c_void) -> std::ffi::c_int {
    i32::from(control(opaque).spend(POLL_STEPS, true))
}
