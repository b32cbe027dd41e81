//! The C interface of `QuickJS`, each call in a small function.

use crate::alloc::{Control, FUNCTIONS, interrupt};
use crate::hooks;
use rquickjs_sys as q;
use std::ffi::{c_char, c_int, c_void};

/// The C interface, each call in a function whose contract is: the context is alive, values are alive, and who
/// receives a `JSValue` releases it.
pub(crate) struct Raw {
    pub(crate) rt: *mut q::JSRuntime,
    pub(crate) ctx: *mut q::JSContext,
}

impl Raw {
    pub(crate) fn new(control: *mut Control, stack: usize) -> Option<Self> {
        let opaque: *mut c_void = control.cast();
        // SAFETY: the table is constant, the opaque pointer outlives the runtime (Engine::control is boxed).
        let rt = unsafe { q::JS_NewRuntime2(&FUNCTIONS, opaque) };
        if rt.is_null() {
            return None;
        }
        // SAFETY: `rt` is a fresh runtime; each of these only configures it.
        let ctx = unsafe {
            q::JS_SetMaxStackSize(rt, stack as q::size_t);
            q::JS_SetInterruptHandler(rt, Some(interrupt), opaque);
            q::JS_SetRuntimeOpaque(rt, opaque);
            q::JS_NewContextRaw(rt)
        };
        if ctx.is_null() {
            return None;
        }
        let raw = Self { rt, ctx };
        raw.enter();
        // SAFETY: a fresh context; negative answers mean want of memory.
        let failed = unsafe {
            let mut bad = q::JS_AddIntrinsicBaseObjects(ctx) < 0;
            bad |= q::JS_AddIntrinsicDate(ctx) < 0;
            q::JS_AddIntrinsicRegExpCompiler(ctx);
            bad |= q::JS_AddIntrinsicRegExp(ctx) < 0;
            bad | (q::JS_AddIntrinsicJSON(ctx) < 0)
        };
        (!failed && hooks::add_eval(ctx, control) && raw.replace_natives()).then_some(raw)
    }

    /// Tells the runtime where this thread's stack stands.
    pub(crate) fn enter(&self) {
        // SAFETY: only stores an address for the stack check.
        unsafe { q::JS_UpdateStackTop(self.rt) };
    }

    pub(crate) fn release(&self, v: q::JSValue) {
        // SAFETY: the caller owned `v` and gives it up.
        unsafe { q::JS_FreeValue(self.ctx, v) };
    }

    pub(crate) fn dup(&self, v: q::JSValue) -> q::JSValue {
        // SAFETY: `v` is alive; the count goes up by one.
        unsafe { q::JS_DupValue(self.ctx, v) }
    }

    /// Drops a pending exception.
    pub(crate) fn swallow(&self) {
        // SAFETY: gives null when nothing is pending.
        let e = unsafe { q::JS_GetException(self.ctx) };
        self.release(e);
    }

    pub(crate) fn atom(&self, name: &str) -> q::JSAtom {
        // SAFETY: pointer and length are of one live str.
        unsafe { q::JS_NewAtomLen(self.ctx, name.as_ptr().cast::<c_char>(), name.len() as q::size_t) }
    }

    pub(crate) fn drop_atom(&self, atom: q::JSAtom) {
        // SAFETY: the atom came from `atom` and is given up.
        unsafe { q::JS_FreeAtom(self.ctx, atom) };
    }

    pub(crate) fn get(&self, object: q::JSValue, name: &str) -> q::JSValue {
        let atom = self.atom(name);
        // SAFETY: object and atom are alive; non-objects give undefined or an exception.
        let v = unsafe { q::JS_GetProperty(self.ctx, object, atom) };
        self.drop_atom(atom);
        v
    }

    /// Defines or overwrites an ordinary property; takes `v`.
    pub(crate) fn put(&self, object: q::JSValue, name: &str, v: q::JSValue) {
        let atom = self.atom(name);
        // SAFETY: object and atom are alive; the call takes ownership of `v`.
        let r = unsafe { q::JS_SetProperty(self.ctx, object, atom, v) };
        self.drop_atom(atom);
        if r < 0 {
            self.swallow();
        }
    }

    pub(crate) fn has(&self, object: q::JSValue, name: &str) -> bool {
        let atom = self.atom(name);
        // SAFETY: object and atom are alive.
        let r = unsafe { q::JS_HasProperty(self.ctx, object, atom) };
        self.drop_atom(atom);
        if r < 0 {
            self.swallow();
        }
        r > 0
    }

    pub(crate) fn delete(&self, object: q::JSValue, name: &str) {
        let atom = self.atom(name);
        // SAFETY: object and atom are alive.
        let r = unsafe { q::JS_DeleteProperty(self.ctx, object, atom, 0) };
        self.drop_atom(atom);
        if r < 0 {
            self.swallow();
        }
    }

    pub(crate) fn is_frozen(&self, object: q::JSValue) -> bool {
        // SAFETY: the object is alive.
        unsafe { q::JS_IsExtensible(self.ctx, object) == 0 }
    }

    /// Freezes what a plain object holds, deeply.
    pub(crate) fn freeze(&self, object: q::JSValue, depth: u32) {
        // SAFETY: a tag test.
        let holds = unsafe { q::JS_IsObject(object) } && !self.is_function(object);
        if depth == 0 || !holds || self.is_frozen(object) {
            return;
        }
        // SAFETY: the object is alive.
        if unsafe { q::JS_FreezeObject(self.ctx, object) } < 0 {
            self.swallow();
        }
        for name in self.own_names(object, true) {
            let inner = self.get(object, &name);
            self.freeze(inner, depth - 1);
            self.release(inner);
        }
        self.swallow();
    }

    /// How many own properties named by strings an object has.
    pub(crate) fn own_count(&self, object: q::JSValue) -> usize {
        let mut table: *mut q::JSPropertyEnum = std::ptr::null_mut();
        let mut n = 0_u32;
        let flags = c_int::try_from(q::JS_GPN_STRING_MASK).expect("a small constant");
        // SAFETY: out-pointers are valid for the call.
        if unsafe { q::JS_GetOwnPropertyNames(self.ctx, &raw mut table, &raw mut n, object, flags) } < 0 {
            self.swallow();
            return 0;
        }
        // SAFETY: the table came from JS_GetOwnPropertyNames and is given back whole.
        unsafe { q::JS_FreePropertyEnum(self.ctx, table, n) };
        n as usize
    }

    pub(crate) fn own_names(&self, object: q::JSValue, enumerable: bool) -> Vec<String> {
        let mut table: *mut q::JSPropertyEnum = std::ptr::null_mut();
        let mut n = 0_u32;
        let flags = q::JS_GPN_STRING_MASK | if enumerable { q::JS_GPN_ENUM_ONLY } else { 0 };
        let flags = c_int::try_from(flags).expect("a small constant");
        // SAFETY: out-pointers are valid for the call.
        let r = unsafe { q::JS_GetOwnPropertyNames(self.ctx, &raw mut table, &raw mut n, object, flags) };
        if r < 0 {
            self.swallow();
            return Vec::new();
        }
        let names = (0..n as usize)
            .filter_map(|i| {
                // SAFETY: the table has `n` entries.
                let atom = unsafe { (*table.add(i)).atom };
                // SAFETY: the atom is alive until the table is freed.
                let v = unsafe { q::JS_AtomToString(self.ctx, atom) };
                let s = self.text(v);
                self.release(v);
                s
            })
            .collect();
        // SAFETY: the table came from JS_GetOwnPropertyNames and is given back whole.
        unsafe { q::JS_FreePropertyEnum(self.ctx, table, n) };
        names
    }

    pub(crate) fn text(&self, v: q::JSValue) -> Option<String> {
        let mut n: q::size_t = 0;
        // SAFETY: `v` is alive; the answer is null on exception, else `n` octets of UTF-8 (or WTF-8).
        let p = unsafe { q::JS_ToCStringLen2(self.ctx, &raw mut n, v, false) };
        if p.is_null() {
            return None;
        }
        // SAFETY: `p` points at `n` octets until freed below.
        let bytes = unsafe { std::slice::from_raw_parts(p.cast::<u8>(), usize::try_from(n).unwrap_or(0)) };
        let s = String::from_utf8_lossy(bytes).into_owned();
        // SAFETY: `p` came from JS_ToCStringLen2.
        unsafe { q::JS_FreeCString(self.ctx, p) };
        Some(s)
    }

    pub(crate) fn truthy(&self, v: q::JSValue) -> bool {
        // SAFETY: `v` is alive; ToBoolean runs no script.
        unsafe { q::JS_ToBool(self.ctx, v) > 0 }
    }

    pub(crate) fn number(&self, v: q::JSValue) -> f64 {
        let mut n = f64::NAN;
        // SAFETY: `v` is a number, so no script runs; the out-pointer is valid.
        let _ = unsafe { q::JS_ToFloat64(self.ctx, &raw mut n, v) };
        n
    }

    pub(crate) fn is_function(&self, v: q::JSValue) -> bool {
        // SAFETY: a class test on a live value.
        unsafe { q::JS_IsFunction(self.ctx, v) }
    }

    pub(crate) fn length(&self, v: q::JSValue) -> i64 {
        let mut n = 0_i64;
        // SAFETY: `v` is alive, the out-pointer valid.
        if unsafe { q::JS_GetLength(self.ctx, v, &raw mut n) } < 0 {
            self.swallow();
        }
        n
    }

    pub(crate) fn element(&self, v: q::JSValue, i: u32) -> q::JSValue {
        // SAFETY: `v` is alive.
        unsafe { q::JS_GetPropertyUint32(self.ctx, v, i) }
    }

    pub(crate) fn set_element(&self, array: q::JSValue, i: u32, v: q::JSValue) {
        // SAFETY: `array` is alive; the call takes `v`.
        if unsafe { q::JS_SetPropertyUint32(self.ctx, array, i, v) } < 0 {
            self.swallow();
        }
    }

    pub(crate) fn string(&self, s: &str) -> q::JSValue {
        // SAFETY: pointer and length are of one live str.
        unsafe { q::JS_NewStringLen(self.ctx, s.as_ptr().cast::<c_char>(), s.len() as q::size_t) }
    }

    pub(crate) fn array(&self) -> q::JSValue {
        // SAFETY: allocates.
        unsafe { q::JS_NewArray(self.ctx) }
    }

    pub(crate) fn object(&self) -> q::JSValue {
        // SAFETY: allocates.
        unsafe { q::JS_NewObject(self.ctx) }
    }

    pub(crate) fn global(&self) -> q::JSValue {
        // SAFETY: the context is alive.
        unsafe { q::JS_GetGlobalObject(self.ctx) }
    }

    pub(crate) fn call(&self, function: q::JSValue, args: &mut [q::JSValue]) -> q::JSValue {
        let n = c_int::try_from(args.len()).expect("six at most");
        // SAFETY: function and arguments are alive and stay the caller's.
        unsafe { q::JS_Call(self.ctx, function, q::JS_UNDEFINED, n, args.as_mut_ptr()) }
    }

    /// Compiles without running.
    pub(crate) fn parse(&self, source: &str) -> q::JSValue {
        let mut text = source.as_bytes().to_vec();
        text.push(0);
        let flags = c_int::try_from(q::JS_EVAL_FLAG_COMPILE_ONLY | q::JS_EVAL_TYPE_GLOBAL).expect("small");
        // SAFETY: the text is zero-terminated as the lexer demands, and its length is told without the zero.
        unsafe {
            q::JS_Eval(
                self.ctx,
                text.as_ptr().cast::<c_char>(),
                source.len() as q::size_t,
                c"vxml".as_ptr(),
                flags,
            )
        }
    }

    pub(crate) fn write(&self, source: &str) -> Option<Vec<u8>> {
        let object = self.parse(source);
        // SAFETY: a tag test.
        if unsafe { q::JS_IsException(object) } {
            return None;
        }
        let flags = q::JS_WRITE_OBJ_BYTECODE | q::JS_WRITE_OBJ_STRIP_SOURCE | q::JS_WRITE_OBJ_STRIP_DEBUG;
        let mut n: q::size_t = 0;
        // SAFETY: `object` is the function just compiled; the out-pointer is valid.
        let p = unsafe {
            q::JS_WriteObject(self.ctx, &raw mut n, object, c_int::try_from(flags).expect("small"))
        };
        self.release(object);
        if p.is_null() {
            return None;
        }
        // SAFETY: the answer is `n` octets until freed below.
        let bytes = unsafe { std::slice::from_raw_parts(p, usize::try_from(n).unwrap_or(0)) }.to_vec();
        // SAFETY: allocated by JS_WriteObject with the context's allocator.
        unsafe { q::js_free(self.ctx, p.cast::<c_void>()) };
        Some(bytes)
    }

    /// Runs bytecode whose completion value is a function, and gives that function.
    pub(crate) fn load(&self, bytes: &[u8]) -> Option<q::JSValue> {
        let flags = c_int::try_from(q::JS_READ_OBJ_BYTECODE).expect("small");
        // SAFETY: only bytes that `write` of this very build produced get here (Code has no other maker), so the
        // loader's trust in its input is justified.
        let object = unsafe { q::JS_ReadObject(self.ctx, bytes.as_ptr(), bytes.len() as q::size_t, flags) };
        // SAFETY: a tag test.
        if unsafe { q::JS_IsException(object) } {
            return None;
        }
        // SAFETY: takes the object; it is a function of bytecode.
        let v = unsafe { q::JS_EvalFunction(self.ctx, object) };
        // SAFETY: a tag test.
        if unsafe { q::JS_IsException(v) } { None } else { Some(v) }
    }
}
