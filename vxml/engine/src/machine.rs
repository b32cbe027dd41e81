//! One engine: a runtime, a context, and a table of slots that hold scope objects.

use crate::alloc::Control;
use crate::code::{may_write, wrap_expression, wrap_program};
use crate::natives::Natives;
use crate::raw::Raw;
use crate::{Code, ScriptError, Thrown, Value};
use rquickjs_sys as q;
use std::sync::Arc;
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

/// One session's engine: dropping it drops its memory as a whole, which is all that it has. `Send`, not `Sync`: it may move between threads, one uses it at a time.
pub struct Engine {
    raw: Raw,
    slots: Vec<q::JSValue>,
    free: Vec<u32>,
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
        let natives = Natives::new(config.length_max, config.utc_offset_min, config.seed.rng());
        let control = Control::new(config.memory_octets_max, config.clock.clone(), natives);
        let mut control = Box::new(control);
        let raw = Raw::new(&raw mut *control, config.stack_octets_max).ok_or(ScriptError::Memory)?;
        let mut engine = Self {
            raw,
            slots: Vec::new(),
            free: Vec::new(),
            globals: 0,
            steps_max: config.steps_max,
            time_max: config.time_max,
            control,
        };
        let global = engine.raw.global();
        engine.globals = engine.raw.own_count(global);
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
        self.raw.freeze(self.at(scope), FREEZE_DEPTH);
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
        c.poll_soon();
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
        if self.raw.own_count(global) <= self.globals {
            self.raw.release(global);
            return None;
        }
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
        let writes = may_write(source);
        let bytes = self.guarded(|e| e.raw.write(wrapped).ok_or_else(|| e.raw.caught()))?;
        Ok(Code { bytes: bytes.into(), writes })
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

/// Deepest nesting that [`Engine::freeze`] reaches.
const FREEZE_DEPTH: u32 = 32;
