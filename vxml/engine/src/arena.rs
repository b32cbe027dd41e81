//! Memory of one engine: small blocks from chunks with a free list for each size, large ones from the system.
//!
//! Dropping the arena gives everything back, whatever the engine has lost. That matters: `QuickJS` loses objects when
//! an allocation fails at a bad moment, and a hostile script can make allocations fail.

use std::ptr;

const CHUNK: usize = 16 << 10;
/// Small blocks come in steps of so many octets, of which [`HEADER`] hold the block's size.
const STEP: usize = 16;
const HEADER: usize = 8;
const CLASSES: usize = 32;
const SMALL_MAX: usize = STEP * CLASSES - HEADER;
/// Large blocks carry their place in `Arena::large` and their size.
const LARGE_HEADER: usize = 16;

unsafe extern "C" {
    fn malloc(size: usize) -> *mut u8;
    fn free(ptr: *mut u8);
}

/// See the module.
pub(crate) struct Arena {
    chunks: Vec<*mut u8>,
    large: Vec<*mut u8>,
    bump: *mut u8,
    left: usize,
    lists: [*mut u8; CLASSES + 1],
    /// Octets taken from the system.
    pub(crate) held: usize,
}

impl Arena {
    pub(crate) fn new() -> Self {
        Self {
            chunks: Vec::new(),
            large: Vec::new(),
            bump: ptr::null_mut(),
            left: 0,
            lists: [ptr::null_mut(); CLASSES + 1],
            held: 0,
        }
    }

    /// A block of at least `size` octets; null if that would hold more than `limit`.
    pub(crate) fn take(&mut self, size: usize, limit: usize) -> *mut u8 {
        if size > SMALL_MAX {
            return self.take_large(size, limit);
        }
        let class = (size + HEADER).div_ceil(STEP);
        let head = self.lists[class];
        if !head.is_null() {
            // SAFETY: a free block of this class holds the next one's address in its first octets.
            self.lists[class] = unsafe { head.cast::<*mut u8>().read() };
            return head;
        }
        let stride = class * STEP;
        if self.left < stride && !self.grow(limit) {
            return ptr::null_mut();
        }
        let block = self.bump;
        self.left -= stride;
        // SAFETY: `left` octets of the chunk lie behind `bump`, and `stride` of them were just taken.
        self.bump = unsafe { block.add(stride) };
        // SAFETY: every block is preceded by HEADER octets of its own chunk, aligned for u64.
        unsafe { block.sub(HEADER).cast::<u64>().write((stride - HEADER) as u64) };
        block
    }

    fn grow(&mut self, limit: usize) -> bool {
        if self.held + CHUNK > limit {
            return false;
        }
        // SAFETY: plain C allocation; null is handled.
        let chunk = unsafe { malloc(CHUNK) };
        if chunk.is_null() {
            return false;
        }
        self.chunks.push(chunk);
        self.held += CHUNK;
        // SAFETY: STEP < CHUNK. Blocks begin at multiples of STEP, each with its header in front.
        self.bump = unsafe { chunk.add(STEP) };
        self.left = CHUNK - STEP;
        true
    }

    fn take_large(&mut self, size: usize, limit: usize) -> *mut u8 {
        let Some(total) = size.checked_add(LARGE_HEADER) else { return ptr::null_mut() };
        if self.held.saturating_add(total) > limit {
            return ptr::null_mut();
        }
        // SAFETY: plain C allocation; null is handled.
        let base = unsafe { malloc(total) };
        if base.is_null() {
            return base;
        }
        self.held += total;
        let index = self.large.len() as u64;
        self.large.push(base);
        // SAFETY: the first LARGE_HEADER octets of the block are ours; malloc aligns for u64.
        unsafe {
            base.cast::<u64>().write(index);
            base.add(HEADER).cast::<u64>().write(size as u64);
            base.add(LARGE_HEADER)
        }
    }

    /// Takes a block back.
    pub(crate) fn give(&mut self, block: *mut u8) {
        let size = usable(block);
        if size <= SMALL_MAX {
            let class = (size + HEADER) / STEP;
            // SAFETY: the block is free now and at least 8 octets long.
            unsafe { block.cast::<*mut u8>().write(self.lists[class]) };
            self.lists[class] = block;
            return;
        }
        // SAFETY: a large block begins LARGE_HEADER octets before what the engine was given.
        let base = unsafe { block.sub(LARGE_HEADER) };
        // SAFETY: its first word is its place in the list.
        let index = usize::try_from(unsafe { base.cast::<u64>().read() }).unwrap_or(usize::MAX);
        self.large.swap_remove(index);
        if let Some(&moved) = self.large.get(index) {
            // SAFETY: a live large block; its place has changed.
            unsafe { moved.cast::<u64>().write(index as u64) };
        }
        self.held -= size + LARGE_HEADER;
        // SAFETY: came from malloc, and nobody has it any more.
        unsafe { free(base) };
    }
}

/// Octets that may be used of a block.
pub(crate) fn usable(block: *const u8) -> usize {
    // SAFETY: every block, small or large, has its size in the word before it.
    let size = unsafe { block.sub(HEADER).cast::<u64>().read() };
    usize::try_from(size).unwrap_or(0)
}

impl Drop for Arena {
    fn drop(&mut self) {
        for &p in self.chunks.iter().chain(&self.large) {
            // SAFETY: each came from malloc and is freed once; the runtime is gone.
            unsafe { free(p) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_aligned_distinct_and_reused() {
        let mut a = Arena::new();
        let sizes: Vec<usize> = (0..2000).map(|i| (i * 37) % 900).collect();
        let blocks: Vec<*mut u8> = sizes.iter().map(|&s| a.take(s, usize::MAX)).collect();
        let mut sorted = blocks.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), blocks.len());
        for (&b, &s) in blocks.iter().zip(&sizes) {
            assert!(b.addr().is_multiple_of(16) && usable(b) >= s);
            // SAFETY: the block has at least `s` octets.
            unsafe { b.write_bytes(0xaa, s) };
        }
        let held = a.held;
        for &b in &blocks {
            a.give(b);
        }
        for &s in &sizes {
            assert!(!a.take(s, held).is_null(), "what was given back is enough");
        }
        assert!(a.take(1 << 20, held).is_null(), "the limit holds");
    }
}
