//! One engine: a runtime, a context, and a table of slots that hold scope objects.

use crate::alloc::{Control, FUNCTIONS, interrupt};
use crate::code::{has_big_integer, may_write, wrap_expression, wrap_program};
use crate::{Code, ScriptError, Thrown, Value};
use rquickjs_sys as q;
use std::ffi::{c_char, c_int, c_void};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use units::{Mono, Seed, Wall};

/// A place in an engine's table of scope objects. Of use only with the engine that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(u32);

/// Limits and injected inputs of one engine.
#[derive(Clone)]
pub struct Config {
    /// Most octets of heap.
    pub memory_octets_max: usize,
    /// Most octets of C stack.
    pub stack_octets_max: usize,
    /// Steps of one evaluation: loop turns, calls and allocations, in round numbers.
    pub steps_max: u64,
    /// Longest evaluation by `clock`.
    pub time_max: Duration,
    /// Longest array or string that a native function may walk.
    pub length_max: u32,
    /// A monotonic clock, if the host has one to lend; without it only steps count.
    pub clock: Option<Arc<dyn Fn() -> Mono + Send + Sync>>,
    /// Where `Math.random` begins.
    pub seed: Seed,
    /// Minutes east of Greenwich for local time in scripts.
    pub utc_offset_min: i32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            memory_octets_max: 4 << 20,
            stack_octets_max: 192 << 10,
            steps_max: 5_000_000,
            time_max: Duration::from_millis(100),
            length_max: 50_000,
            clock: None,
            seed: Seed(0),
            utc_offset_min: 0,
        }
    }
}

/// One session's engine. `Send`, not `Sync`: it may move between threads, one uses it at a time.
pub struct Engine {
    raw: Raw,
    slots: Vec<q::JSValue>,
    free: Vec<u32>,
    freezer: q::JSValue,
    globals: usize,
    steps_max: u64,
    time_max: Duration,
    // Last: C keeps its address until the runtime is gone.
    control: Box<Control>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("used_octets", &self.control.arena.held).finish_non_exhaustive()
    }
}

// SAFETY: a QuickJS runtime is bound to no thread; its only such state is the stack limit, which every entry sets
// anew (JS_UpdateStackTop). All pointers are owned by this value alone.
unsafe impl Send for Engine {}

impl Engine {
    /// A fresh engine with nothing in its scopes.
    ///
    /// # Errors
    /// `Memory` when the limit does not even hold the built-in objects.
    pub fn new(config: &Config) -> Result<Self, ScriptError> {
        let mut control = Box::new(Control::new(config.memory_octets_max, config.clock.clone()));
        let raw = Raw::new(&mut control, config.stack_octets_max).ok_or(ScriptError::Memory)?;
        let mut engine = Self {
            raw,
            slots: Vec::new(),
            free: Vec::new(),
            freezer: q::JS_UNDEFINED,
            globals: 0,
            steps_max: config.steps_max,
            time_max: config.time_max,
            control,
        };
        engine.run_prelude(config)?;
        let global = engine.raw.global();
        engine.globals = engine.raw.own_names(global, false).len();
        engine.raw.release(global);
        Ok(engine)
    }

    /// Sets what `Date.now()` says from now on.
    pub fn set_wall(&mut self, wall: Wall) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 stay below 2^53 for 285,000 years"
        )]
        let ms = wall.0 as f64;
        self.control.wall_ms = ms;
    }

    /// Octets of heap in use.
    #[must_use]
    pub fn used_octets(&self) -> usize {
        self.control.arena.held
    }

    /// A new, empty scope object without prototype.
    pub fn scope(&mut self) -> Slot {
        // SAFETY: allocates an object; an exception value in a slot is harmless.
        let object = unsafe { q::JS_NewObjectProto(self.raw.ctx, q::JS_NULL) };
        self.keep(object)
    }

    /// Lets go of a slot.
    pub fn drop_scope(&mut self, slot: Slot) {
        let i = slot.0 as usize;
        self.raw.release(self.slots[i]);
        self.slots[i] = q::JS_UNDEFINED;
        self.free.push(slot.0);
    }

    /// Makes `scope.name` the object of another slot (`document.document = document`).
    pub fn link(&mut self, scope: Slot, name: &str, target: Slot) {
        let object = self.raw.dup(self.at(target));
        self.raw.put(self.at(scope), name, object);
    }

    /// Removes a property of a scope object.
    pub fn unlink(&mut self, scope: Slot, name: &str) {
        self.raw.delete(self.at(scope), name);
    }

    /// Sets a property of a scope object, defining it if need be.
    pub fn set(&mut self, scope: Slot, name: &str, value: &Value) {
        let v = self.raw.import(value);
        self.raw.put(self.at(scope), name, v);
    }

    /// Whether the scope has this variable.
    pub fn has(&mut self, scope: Slot, name: &str) -> bool {
        self.raw.has(self.at(scope), name)
    }

    /// A variable's value, if it is declared.
    pub fn get(&mut self, scope: Slot, name: &str) -> Option<Value> {
        if !self.has(scope, name) {
            return None;
        }
        self.guarded(|e| {
            let v = e.raw.get(e.at(scope), name);
            let out = e.raw.export(v);
            e.raw.release(v);
            Ok(out)
        })
        .ok()
    }

    /// Freezes what a scope holds, deeply (`session` is read-only, VoiceXML 2.0 §5.1.2).
    pub fn freeze(&mut self, scope: Slot) {
        let mut args = [self.at(scope), q::JS_NewFloat64(0.0)];
        let r = self.raw.call(self.freezer, &mut args);
        self.raw.release(r);
        self.raw.swallow();
    }

    /// Compiles an expression.
    ///
    /// # Errors
    /// `Syntax` when it is none.
    pub fn compile(&mut self, source: &str) -> Result<Code, ScriptError> {
        // In other brackets first: text that closes the wrapper's and opens others must not pass.
        self.check(&format!("[\n{source}\n]"))?;
        if source.trim().is_empty() {
            return Err(ScriptError::Syntax(Thrown("an expression is wanted".into())));
        }
        self.bytecode(&wrap_expression(source), source)
    }

    /// Compiles a program that declares `functions` and, by `let`, `const` or `class`, `lexical` at its top.
    ///
    /// # Errors
    /// `Syntax` when it is none.
    pub fn compile_program(
        &mut self,
        source: &str,
        functions: &[&str],
        lexical: &[&str],
    ) -> Result<Code, ScriptError> {
        self.check(source)?;
        self.bytecode(&wrap_program(source, functions, lexical), source)
    }

    /// Evaluates to a deep copy of the result. The chain is outermost scope first.
    ///
    /// # Errors
    /// What the script threw, or a limit.
    pub fn eval(&mut self, code: &Code, chain: &[Slot; 5]) -> Result<Value, ScriptError> {
        self.with_result(code, chain, |raw, v| Ok(raw.export(v)))
    }

    /// Evaluates and converts by `ToString`.
    ///
    /// # Errors
    /// What the script threw, or a limit.
    pub fn eval_text(&mut self, code: &Code, chain: &[Slot; 5]) -> Result<String, ScriptError> {
        self.with_result(code, chain, |raw, v| raw.text(v).ok_or_else(|| raw.caught()))
    }

    /// Evaluates and converts by `ToBoolean`.
    ///
    /// # Errors
    /// What the script threw, or a limit.
    pub fn eval_bool(&mut self, code: &Code, chain: &[Slot; 5]) -> Result<bool, ScriptError> {
        self.with_result(code, chain, |raw, v| Ok(raw.truthy(v)))
    }

    /// Evaluates and makes the result, by reference, a property of a scope object.
    ///
    /// # Errors
    /// What the script threw, or a limit.
    pub fn eval_into(
        &mut self,
        code: &Code,
        chain: &[Slot; 5],
        scope: Slot,
        path: &[&str],
    ) -> Result<(), ScriptError> {
        let target = self.at(scope);
        self.with_result(code, chain, |raw, v| {
            let (last, heads) = path.split_last().expect("a path has a name");
            let mut object = raw.dup(target);
            for head in heads {
                let next = raw.get(object, head);
                raw.release(object);
                object = next;
            }
            // SAFETY: a tag test.
            let holds = unsafe { q::JS_IsObject(object) };
            if !holds || raw.is_frozen(object) {
                raw.release(object);
                raw.swallow();
                return Err(ScriptError::Thrown(Thrown(format!("{} cannot be set", path.join(".")).into())));
            }
            raw.put(object, last, raw.dup(v));
            raw.release(object);
            Ok(())
        })
    }

    /// Runs a program. Variables it creates without declaration are reported, or put into the last scope if
    /// `lenient`.
    ///
    /// # Errors
    /// What the script threw, or a limit.
    pub fn run(
        &mut self,
        code: &Code,
        chain: &[Slot; 5],
        current: Slot,
        lenient: bool,
    ) -> Result<(), ScriptError> {
        let current = self.at(current);
        let result = self.guarded(|e| {
            let v = e.invoke(code, chain, Some(current))?;
            e.raw.release(v);
            Ok(())
        });
        if let Some(name) = self.strays(current, lenient)
            && !lenient
        {
            return result.and(Err(ScriptError::Undeclared(Thrown(name.into()))));
        }
        result
    }

    fn with_result<T>(
        &mut self,
        code: &Code,
        chain: &[Slot; 5],
        f: impl FnOnce(&Raw, q::JSValue) -> Result<T, ScriptError>,
    ) -> Result<T, ScriptError> {
        let result = self.guarded(|e| {
            let v = e.invoke(code, chain, None)?;
            let out = f(&e.raw, v);
            e.raw.release(v);
            out
        });
        if code.writes {
            let current = self.at(chain[4]);
            if let Some(name) = self.strays(current, false) {
                return result.and(Err(ScriptError::Undeclared(Thrown(name.into()))));
            }
        }
        result
    }

    /// Runs `f` with the budget armed and turns a spent budget into its error.
    fn guarded<T>(&mut self, f: impl FnOnce(&mut Self) -> Result<T, ScriptError>) -> Result<T, ScriptError> {
        let c = &mut *self.control;
        c.steps_left = self.steps_max;
        c.expired = false;
        c.out_of_memory = false;
        c.until = c.clock.as_ref().map_or(Mono(u64::MAX), |clock| clock() + self.time_max);
        c.armed = true;
        self.raw.enter();
        let result = f(self);
        let c = &mut *self.control;
        c.armed = false;
        if c.expired {
            self.raw.swallow();
            return Err(ScriptError::Deadline);
        }
        if c.out_of_memory && result.is_err() {
            self.raw.swallow();
            return Err(ScriptError::Memory);
        }
        result
    }

    fn invoke(
        &mut self,
        code: &Code,
        chain: &[Slot; 5],
        current: Option<q::JSValue>,
    ) -> Result<q::JSValue, ScriptError> {
        let function = self.raw.load(&code.bytes).ok_or_else(|| self.raw.caught())?;
        let mut args = [q::JS_UNDEFINED; 6];
        for (arg, slot) in args.iter_mut().zip(chain) {
            *arg = self.at(*slot);
        }
        args[5] = current.unwrap_or(q::JS_UNDEFINED);
        let v = self.raw.call(function, &mut args);
        self.raw.release(function);
        // SAFETY: a tag test.
        if unsafe { q::JS_IsException(v) } { Err(self.raw.caught()) } else { Ok(v) }
    }

    /// The name of a global that a script made by assigning to an undeclared name; such are removed, or moved.
    fn strays(&mut self, current: q::JSValue, keep: bool) -> Option<String> {
        let global = self.raw.global();
        let names = self.raw.own_names(global, false);
        let fresh = names.get(self.globals..).unwrap_or_default();
        for name in fresh {
            if keep {
                let v = self.raw.get(global, name);
                self.raw.put(current, name, v);
            }
            self.raw.delete(global, name);
        }
        let first = fresh.first().cloned();
        self.raw.release(global);
        first
    }

    fn check(&mut self, source: &str) -> Result<(), ScriptError> {
        self.guarded(|e| {
            let v = e.raw.parse(source);
            // SAFETY: a tag test.
            if unsafe { q::JS_IsException(v) } {
                return Err(e.raw.caught());
            }
            e.raw.release(v);
            Ok(())
        })
    }

    fn bytecode(&mut self, wrapped: &str, source: &str) -> Result<Code, ScriptError> {
        if has_big_integer(source) {
            return Err(ScriptError::Syntax(Thrown("big integers are not supported".into())));
        }
        let writes = may_write(source);
        let bytes = self.guarded(|e| e.raw.write(wrapped).ok_or_else(|| e.raw.caught()))?;
        Ok(Code { bytes: bytes.into(), writes })
    }

    fn run_prelude(&mut self, config: &Config) -> Result<(), ScriptError> {
        static PRELUDE: OnceLock<Box<[u8]>> = OnceLock::new();
        let bytes = match PRELUDE.get() {
            Some(b) => b,
            None => {
                let b = self.raw.write(include_str!("prelude.js")).ok_or_else(|| self.raw.caught())?;
                PRELUDE.get_or_init(|| b.into())
            }
        };
        let function = self.raw.load(bytes).ok_or_else(|| self.raw.caught())?;
        let seed = config.seed.0;
        let word = |w: u64| q::JS_NewFloat64(f64::from(u32::try_from(w & 0xffff_ffff).expect("masked")));
        let now = self.raw.native_now();
        let mut args = [
            now,
            word(seed),
            word(seed >> 32),
            q::JS_NewFloat64(f64::from(config.utc_offset_min)),
            q::JS_NewFloat64(f64::from(config.length_max)),
        ];
        self.freezer = self.raw.call(function, &mut args);
        self.raw.release(function);
        self.raw.release(now);
        // SAFETY: a tag test.
        if unsafe { q::JS_IsException(self.freezer) } {
            self.freezer = q::JS_UNDEFINED;
            return Err(self.raw.caught());
        }
        Ok(())
    }

    fn keep(&mut self, object: q::JSValue) -> Slot {
        if let Some(i) = self.free.pop() {
            self.slots[i as usize] = object;
            return Slot(i);
        }
        self.slots.push(object);
        Slot(u32::try_from(self.slots.len() - 1).expect("scopes are few"))
    }

    fn at(&self, slot: Slot) -> q::JSValue {
        self.slots[slot.0 as usize]
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for &v in &self.slots {
            self.raw.release(v);
        }
        self.raw.release(self.freezer);
        self.raw.destroy();
    }
}

/// The C interface, each call in a function whose contract is: the context is alive, values are alive, and who
/// receives a `JSValue` releases it.
pub(crate) struct Raw {
    rt: *mut q::JSRuntime,
    pub(crate) ctx: *mut q::JSContext,
}

impl Raw {
    fn new(control: &mut Control, stack: usize) -> Option<Self> {
        let opaque: *mut c_void = std::ptr::from_mut(control).cast();
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
            // SAFETY: nothing else refers to the runtime.
            unsafe { q::JS_FreeRuntime(rt) };
            return None;
        }
        let raw = Self { rt, ctx };
        raw.enter();
        // SAFETY: a fresh context; negative answers mean want of memory.
        let failed = unsafe {
            let mut bad = q::JS_AddIntrinsicBaseObjects(ctx) < 0;
            bad |= q::JS_AddIntrinsicDate(ctx) < 0;
            bad |= q::JS_AddIntrinsicEval(ctx) < 0;
            q::JS_AddIntrinsicRegExpCompiler(ctx);
            bad |= q::JS_AddIntrinsicRegExp(ctx) < 0;
            bad | (q::JS_AddIntrinsicJSON(ctx) < 0)
        };
        if failed {
            raw.destroy();
            return None;
        }
        Some(raw)
    }

    fn destroy(&self) {
        // SAFETY: called once, from Drop or a failed construction, when no value is held any more.
        unsafe {
            q::JS_FreeContext(self.ctx);
            q::JS_FreeRuntime(self.rt);
        }
    }

    /// Tells the runtime where this thread's stack stands.
    fn enter(&self) {
        // SAFETY: only stores an address for the stack check.
        unsafe { q::JS_UpdateStackTop(self.rt) };
    }

    pub(crate) fn release(&self, v: q::JSValue) {
        // SAFETY: the caller owned `v` and gives it up.
        unsafe { q::JS_FreeValue(self.ctx, v) };
    }

    fn dup(&self, v: q::JSValue) -> q::JSValue {
        // SAFETY: `v` is alive; the count goes up by one.
        unsafe { q::JS_DupValue(self.ctx, v) }
    }

    /// Drops a pending exception.
    pub(crate) fn swallow(&self) {
        // SAFETY: gives null when nothing is pending.
        let e = unsafe { q::JS_GetException(self.ctx) };
        self.release(e);
    }

    fn atom(&self, name: &str) -> q::JSAtom {
        // SAFETY: pointer and length are of one live str.
        unsafe { q::JS_NewAtomLen(self.ctx, name.as_ptr().cast::<c_char>(), name.len() as q::size_t) }
    }

    fn drop_atom(&self, atom: q::JSAtom) {
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

    fn has(&self, object: q::JSValue, name: &str) -> bool {
        let atom = self.atom(name);
        // SAFETY: object and atom are alive.
        let r = unsafe { q::JS_HasProperty(self.ctx, object, atom) };
        self.drop_atom(atom);
        if r < 0 {
            self.swallow();
        }
        r > 0
    }

    fn delete(&self, object: q::JSValue, name: &str) {
        let atom = self.atom(name);
        // SAFETY: object and atom are alive.
        let r = unsafe { q::JS_DeleteProperty(self.ctx, object, atom, 0) };
        self.drop_atom(atom);
        if r < 0 {
            self.swallow();
        }
    }

    fn is_frozen(&self, object: q::JSValue) -> bool {
        // SAFETY: the object is alive.
        unsafe { q::JS_IsExtensible(self.ctx, object) == 0 }
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

    fn global(&self) -> q::JSValue {
        // SAFETY: the context is alive.
        unsafe { q::JS_GetGlobalObject(self.ctx) }
    }

    fn call(&self, function: q::JSValue, args: &mut [q::JSValue]) -> q::JSValue {
        let n = c_int::try_from(args.len()).expect("six at most");
        // SAFETY: function and arguments are alive and stay the caller's.
        unsafe { q::JS_Call(self.ctx, function, q::JS_UNDEFINED, n, args.as_mut_ptr()) }
    }

    /// Compiles without running.
    fn parse(&self, source: &str) -> q::JSValue {
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

    fn write(&self, source: &str) -> Option<Vec<u8>> {
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
    fn load(&self, bytes: &[u8]) -> Option<q::JSValue> {
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

    /// A function that reads [`Control::wall_ms`].
    fn native_now(&self) -> q::JSValue {
        unsafe extern "C" fn now(
            ctx: *mut q::JSContext,
            _this: q::JSValue,
            _argc: c_int,
            _argv: *mut q::JSValue,
        ) -> q::JSValue {
            // SAFETY: the runtime's allocator state is a Control; it is only read here.
            let wall = unsafe {
                let opaque = q::JS_GetRuntimeOpaque(q::JS_GetRuntime(ctx));
                (*opaque.cast::<Control>()).wall_ms
            };
            q::JS_NewFloat64(wall)
        }
        // SAFETY: a plain C function without data.
        unsafe {
            q::JS_NewCFunction2(
                self.ctx,
                Some(now),
                c"now".as_ptr(),
                0,
                q::JSCFunctionEnum_JS_CFUNC_generic,
                0,
            )
        }
    }
}
