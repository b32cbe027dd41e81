//! Two fields of `JSContext` that `QuickJS` has no call for, found anew in each context.
//!
//! The one is the pointer to what evaluates source text, direct `eval` and `Function` included: it is the one word that
//! `JS_AddIntrinsicEval` changes. Ours looks at the text first. The other is the number of loop turns and calls until
//! the interrupt handler is asked again, which stands a known way before it; the empty list of modules between them,
//! which points at itself, tells whether this is the layout we know. Otherwise the interrupt comes as seldom as it
//! would without us.

use crate::alloc::Control;
use crate::arena::usable;
use crate::code::has_big_integer;
use rquickjs_sys as q;
use std::ffi::{c_char, c_int};

/// Evaluates source text: context, `this`, text and its length, file name, line, flags, scope.
pub(crate) type Eval = unsafe extern "C" fn(
    *mut q::JSContext,
    q::JSValue,
    *const c_char,
    q::size_t,
    *const c_char,
    c_int,
    c_int,
    c_int,
) -> q::JSValue;

/// Octets that `QuickJS` puts before each block.
const HEADER: usize = 8;
/// The counter's word, the list's two and the regular expression compiler's stand before the evaluator's.
const WORDS_BEFORE: usize = 4;

/// Adds `eval` to a context and puts itself before it. True if `eval` is there and guarded.
///
/// The context must be alive and have been allocated from `control`'s arena.
pub(crate) fn add_eval(ctx: *mut q::JSContext, control: *mut Control) -> bool {
    let before = words(ctx);
    // SAFETY: a fresh context.
    if unsafe { q::JS_AddIntrinsicEval(ctx) } < 0 {
        return false;
    }
    let after = words(ctx);
    let changed: Vec<usize> = (0..after.len()).filter(|&i| before.get(i) != after.get(i)).collect();
    let [place] = changed[..] else { return false };
    let Ok(address) = usize::try_from(after[place]) else { return false };
    if address == 0 {
        return false;
    }
    // SAFETY: the word that `JS_AddIntrinsicEval` sets is a pointer to a function of this signature.
    let original = unsafe { std::mem::transmute::<usize, Eval>(address) };
    // SAFETY: `place` is within the context's block, see `words`.
    let field = unsafe { ctx.cast::<Eval>().add(place) };
    // SAFETY: the field holds such a pointer; no script runs now.
    unsafe { field.write(evaluate) };
    let counter = counter(ctx, &after, place);
    // SAFETY: the control is alive, and no other reference to it is while C does not run.
    unsafe {
        (*control).eval = Some(original);
        (*control).counter = counter;
    }
    true
}

/// Where the interrupt counter stands.
fn counter(ctx: *mut q::JSContext, words: &[u64], eval: usize) -> *mut c_int {
    let Some(first) = eval.checked_sub(WORDS_BEFORE) else { return std::ptr::null_mut() };
    // SAFETY: the place is within the context's block, before `eval`'s.
    let list = unsafe { ctx.cast::<u64>().add(first + 1) };
    let own = u64::try_from(list.addr()).unwrap_or_default();
    if words[first + 1] != own || words[first + 2] != own {
        return std::ptr::null_mut();
    }
    // SAFETY: the counter is the second half of its word.
    unsafe { ctx.cast::<c_int>().add(2 * first + 1) }
}

/// The context's memory. Empty if it is not a block that came from our arena whole.
fn words(ctx: *mut q::JSContext) -> Vec<u64> {
    // SAFETY: QuickJS puts a header before each of its blocks.
    let block = unsafe { ctx.cast::<u8>().sub(HEADER) };
    // SAFETY: as above; 0xffff says that the block is one of the arena's and not a part of one.
    if unsafe { block.cast::<u16>().read() } != 0xffff {
        return Vec::new();
    }
    let count = (usable(block) - HEADER) / 8;
    // SAFETY: the arena knows the block's size; it was zeroed when allocated.
    unsafe { std::slice::from_raw_parts(ctx.cast::<u64>(), count) }.to_vec()
}

/// Refuses big integers: turning a large one into decimal digits, or back, takes seconds that neither interrupt nor
/// allocator sees. VoiceXML 2.0 names ECMA-262's third edition, which has none.
unsafe extern "C" fn evaluate(
    ctx: *mut q::JSContext,
    this: q::JSValue,
    input: *const c_char,
    length: q::size_t,
    file: *const c_char,
    line: c_int,
    flags: c_int,
    scope: c_int,
) -> q::JSValue {
    // SAFETY: the caller's text, of that length.
    let text =
        unsafe { std::slice::from_raw_parts(input.cast::<u8>(), usize::try_from(length).unwrap_or(0)) };
    if has_big_integer(text) {
        // SAFETY: the format has no arguments.
        return unsafe { q::JS_ThrowSyntaxError(ctx, c"big integers are not supported".as_ptr()) };
    }
    // SAFETY: the runtime's opaque pointer is its Control, which is only read here.
    let original = unsafe { (*q::JS_GetRuntimeOpaque(q::JS_GetRuntime(ctx)).cast::<Control>()).eval };
    match original {
        // SAFETY: the arguments are those that QuickJS meant for it.
        Some(eval) => unsafe { eval(ctx, this, input, length, file, line, flags, scope) },
        None => q::JS_EXCEPTION,
    }
}
