//! Functions of ours in place of `QuickJS`'s own: those whose loops no interrupt stops get bounded lengths, and
//! `Math.random` and `Date` get the host's chance, time and zone.
//!
//! They are defined by tables of C functions, which `QuickJS` makes into objects when a script first looks at one. So a
//! fresh engine pays for a row of the table, not for a closure.

use crate::alloc::Control;
use crate::raw::Raw;
use rquickjs_sys as q;
use std::ffi::{CStr, c_int};
use std::sync::OnceLock;
use units::Rng;

/// What guarded functions share; lives in [`Control`].
pub(crate) struct Natives {
    /// `QuickJS`'s own functions, by row of [`ROWS`].
    originals: Vec<q::JSValue>,
    /// `QuickJS`'s `Date` and `Date.prototype.getTimezoneOffset`.
    date: q::JSValue,
    offset: q::JSValue,
    /// What `late.js` defines, once something of it was needed.
    late: q::JSValue,
    /// Longest array or string that a native function may walk.
    length_max: i64,
    /// Minutes east of Greenwich.
    utc_offset_min: i32,
    chance: Rng,
}

impl Natives {
    pub(crate) fn new(length_max: u32, utc_offset_min: i32, chance: Rng) -> Self {
        Self {
            originals: Vec::new(),
            date: q::JS_UNDEFINED,
            offset: q::JS_UNDEFINED,
            late: q::JS_UNDEFINED,
            length_max: i64::from(length_max),
            utc_offset_min,
            chance,
        }
    }
}

/// An exception is pending in the context.
struct Pending;

type Answer = Result<q::JSValue, Pending>;

/// How a function's loops are bounded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// It walks `this` and arrays among its arguments.
    Reading,
    /// As `Reading`, and compares each element with its first argument.
    Finding,
    /// It makes one array of all.
    Joining,
    /// It changes `this`, which must be an array.
    Writing,
    /// As `Writing`, and compares: by a function that can be interrupted, if none was given.
    Sorting,
    /// As `Sorting`, on a copy.
    Sorted,
    /// It makes a string as long as its first argument says.
    Padding,
    /// As `Padding`, in copies of `this`.
    Repeating,
    /// It looks for one string in another, at worst at the cost of their product.
    Searching,
    /// `Array.from`.
    From,
    /// `Function.prototype.apply`.
    Apply,
    /// `JSON.stringify`.
    Stringify,
}

/// Where a function stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Home {
    ArrayPrototype,
    Array,
    StringPrototype,
    FunctionPrototype,
    Json,
}

#[derive(Clone, Copy)]
struct Row(Home, &'static CStr, u8, Guard);

const ROWS: [Row; 50] = {
    use Guard::{
        Apply, Finding, From, Joining, Padding, Reading, Repeating, Searching, Sorted, Sorting, Stringify,
        Writing,
    };
    use Home::{Array, ArrayPrototype as A, FunctionPrototype, Json, StringPrototype as S};
    [
        Row(A, c"join", 1, Reading),
        Row(A, c"slice", 2, Reading),
        Row(A, c"indexOf", 1, Finding),
        Row(A, c"lastIndexOf", 1, Finding),
        Row(A, c"includes", 1, Finding),
        Row(A, c"at", 1, Reading),
        Row(A, c"every", 1, Reading),
        Row(A, c"some", 1, Reading),
        Row(A, c"forEach", 1, Reading),
        Row(A, c"map", 1, Reading),
        Row(A, c"filter", 1, Reading),
        Row(A, c"reduce", 1, Reading),
        Row(A, c"reduceRight", 1, Reading),
        Row(A, c"find", 1, Reading),
        Row(A, c"findIndex", 1, Reading),
        Row(A, c"findLast", 1, Reading),
        Row(A, c"findLastIndex", 1, Reading),
        Row(A, c"flat", 0, Reading),
        Row(A, c"flatMap", 1, Reading),
        Row(A, c"toReversed", 0, Reading),
        Row(A, c"toSorted", 1, Sorted),
        Row(A, c"toSpliced", 2, Reading),
        Row(A, c"with", 2, Reading),
        Row(A, c"toString", 0, Reading),
        Row(A, c"toLocaleString", 0, Reading),
        Row(A, c"keys", 0, Reading),
        Row(A, c"values", 0, Reading),
        Row(A, c"entries", 0, Reading),
        Row(A, c"concat", 1, Joining),
        Row(A, c"sort", 1, Sorting),
        Row(A, c"reverse", 0, Writing),
        Row(A, c"shift", 0, Writing),
        Row(A, c"unshift", 1, Writing),
        Row(A, c"splice", 2, Writing),
        Row(A, c"fill", 1, Writing),
        Row(A, c"copyWithin", 2, Writing),
        Row(A, c"push", 1, Writing),
        Row(A, c"pop", 0, Writing),
        Row(Array, c"from", 1, From),
        Row(S, c"repeat", 1, Repeating),
        Row(S, c"padStart", 2, Padding),
        Row(S, c"padEnd", 2, Padding),
        Row(S, c"indexOf", 1, Searching),
        Row(S, c"lastIndexOf", 1, Searching),
        Row(S, c"includes", 1, Searching),
        Row(S, c"split", 2, Searching),
        Row(S, c"replace", 2, Searching),
        Row(S, c"replaceAll", 2, Searching),
        Row(FunctionPrototype, c"apply", 2, Apply),
        Row(Json, c"stringify", 3, Stringify),
    ]
};

/// Methods of `Date.prototype` that `late.js` defines, and how many arguments they say they take.
const DATE: [(&CStr, u8); 27] = [
    (c"getFullYear", 0),
    (c"getMonth", 0),
    (c"getDate", 0),
    (c"getDay", 0),
    (c"getHours", 0),
    (c"getMinutes", 0),
    (c"getSeconds", 0),
    (c"getMilliseconds", 0),
    (c"getYear", 0),
    (c"getTimezoneOffset", 0),
    (c"setFullYear", 3),
    (c"setMonth", 2),
    (c"setDate", 1),
    (c"setHours", 4),
    (c"setMinutes", 3),
    (c"setSeconds", 2),
    (c"setMilliseconds", 1),
    (c"setYear", 1),
    (c"toString", 0),
    (c"toDateString", 0),
    (c"toTimeString", 0),
    (c"toLocaleString", 0),
    (c"toLocaleDateString", 0),
    (c"toLocaleTimeString", 0),
    // What follows stands in `Date` itself.
    (c"parse", 1),
    (c"UTC", 7),
    (c"now", 0),
];
const DATE_PROTOTYPE: usize = 24;

/// Rows as `QuickJS` reads them.
struct Table<const N: usize>([q::JSCFunctionListEntry; N]);

// SAFETY: the entries point at constants and functions alone, and nobody changes them.
unsafe impl<const N: usize> Sync for Table<N> {}

type Magic = unsafe extern "C" fn(*mut q::JSContext, q::JSValue, c_int, *mut q::JSValue, c_int) -> q::JSValue;

#[expect(clippy::cast_possible_truncation, reason = "small constants, and `try_from` is not const")]
const fn entry(name: &'static CStr, length: u8, f: Magic, magic: usize) -> q::JSCFunctionListEntry {
    let func = q::JSCFunctionListEntry__bindgen_ty_1__bindgen_ty_1 {
        length,
        cproto: q::JSCFunctionEnum_JS_CFUNC_generic_magic as u8,
        cfunc: q::JSCFunctionType { generic_magic: Some(f) },
    };
    q::JSCFunctionListEntry {
        name: name.as_ptr(),
        prop_flags: (q::JS_PROP_WRITABLE | q::JS_PROP_CONFIGURABLE) as u8,
        def_type: q::JS_DEF_CFUNC as u8,
        #[expect(clippy::cast_possible_wrap, reason = "a small constant")]
        magic: magic as i16,
        u: q::JSCFunctionListEntry__bindgen_ty_1 { func },
    }
}

static GUARDED: Table<{ ROWS.len() }> = {
    let mut table = [entry(c"", 0, guarded, 0); ROWS.len()];
    let mut i = 0;
    while i < table.len() {
        table[i] = entry(ROWS[i].1, ROWS[i].2, guarded, i);
        i += 1;
    }
    Table(table)
};

static DATES: Table<{ DATE.len() }> = {
    let mut table = [entry(c"", 0, dated, 0); DATE.len()];
    let mut i = 0;
    while i < table.len() {
        table[i] = entry(DATE[i].0, DATE[i].1, dated, i);
        i += 1;
    }
    Table(table)
};

static RANDOM: Table<1> = Table([entry(c"random", 0, random, 0)]);

impl Raw {
    /// Puts our functions in place of the context's own. False for want of memory.
    pub(crate) fn replace_natives(&self) -> bool {
        let global = self.global();
        let homes =
            [Home::ArrayPrototype, Home::Array, Home::StringPrototype, Home::FunctionPrototype, Home::Json];
        let mut ok = true;
        for home in homes {
            let object = self.home(global, home);
            for (i, row) in ROWS.iter().enumerate().filter(|(_, row)| row.0 == home) {
                let original = self.get(object, row.1.to_str().unwrap_or_default());
                let natives = self.natives();
                natives.originals.resize(natives.originals.len().max(i + 1), q::JS_UNDEFINED);
                let there = self.is_function(original);
                self.natives().originals[i] = original;
                ok &= !there || self.define(object, &GUARDED.0[i..=i]);
            }
            self.release(object);
        }
        let math = self.get(global, "Math");
        ok &= self.define(math, &RANDOM.0);
        self.release(math);
        ok &= self.replace_date(global);
        // ECMA-262's third edition has neither.
        self.delete(global, "BigInt");
        self.delete(global, "Reflect");
        self.release(global);
        ok
    }

    fn home(&self, global: q::JSValue, home: Home) -> q::JSValue {
        let (name, prototype) = match home {
            Home::ArrayPrototype => ("Array", true),
            Home::Array => ("Array", false),
            Home::StringPrototype => ("String", true),
            Home::FunctionPrototype => ("Function", true),
            Home::Json => ("JSON", false),
        };
        let object = self.get(global, name);
        if !prototype {
            return object;
        }
        let inner = self.get(object, "prototype");
        self.release(object);
        inner
    }

    fn replace_date(&self, global: q::JSValue) -> bool {
        let original = self.get(global, "Date");
        let prototype = self.get(original, "prototype");
        let offset = self.get(prototype, "getTimezoneOffset");
        let cproto = q::JSCFunctionEnum_JS_CFUNC_constructor_or_func;
        // SAFETY: a plain C function without data.
        let date = unsafe { q::JS_NewCFunction2(self.ctx, Some(new_date), c"Date".as_ptr(), 7, cproto, 0) };
        // SAFETY: both are alive; sets `Date.prototype` and its `constructor`.
        let mut ok = unsafe { q::JS_SetConstructor(self.ctx, date, prototype) } >= 0;
        ok &= self.define(prototype, &DATES.0[..DATE_PROTOTYPE]);
        ok &= self.define(date, &DATES.0[DATE_PROTOTYPE..]);
        self.put(global, "Date", date);
        self.release(prototype);
        let natives = self.natives();
        (natives.date, natives.offset) = (original, offset);
        ok
    }

    fn define(&self, object: q::JSValue, rows: &'static [q::JSCFunctionListEntry]) -> bool {
        for row in rows {
            // SAFETY: a row's name is a constant, ended by zero.
            let name = unsafe { CStr::from_ptr(row.name) };
            // What is defined like this must not be there before: QuickJS aborts.
            self.delete(object, name.to_str().unwrap_or_default());
        }
        let n = c_int::try_from(rows.len()).expect("few rows");
        // SAFETY: the object is alive and the rows are static, as they must be: QuickJS keeps their addresses.
        unsafe { q::JS_SetPropertyFunctionList(self.ctx, object, rows.as_ptr(), n) >= 0 }
    }

    /// The one set of natives of this runtime. No script or allocation may run while the reference lives.
    #[expect(
        clippy::mut_from_ref,
        reason = "the runtime has one Control, and the borrow ends before C runs again"
    )]
    fn natives(&self) -> &mut Natives {
        // SAFETY: the runtime's opaque pointer is its Control, alive as long as the runtime, used by one thread.
        unsafe { &mut (*q::JS_GetRuntimeOpaque(self.rt).cast::<Control>()).natives }
    }

    fn wall_ms(&self) -> f64 {
        // SAFETY: as above; only read.
        unsafe { (*q::JS_GetRuntimeOpaque(self.rt).cast::<Control>()).wall_ms }
    }

    fn of(ctx: *mut q::JSContext) -> Self {
        // SAFETY: the context that calls us is alive.
        Self { rt: unsafe { q::JS_GetRuntime(ctx) }, ctx }
    }

    fn too_long(&self) -> Pending {
        // SAFETY: the format has no arguments.
        let _ = unsafe { q::JS_ThrowRangeError(self.ctx, c"longer than the limit of the engine".as_ptr()) };
        Pending
    }

    fn wrong_type(&self, what: &'static CStr) -> Pending {
        // SAFETY: the format has no arguments.
        let _ = unsafe { q::JS_ThrowTypeError(self.ctx, what.as_ptr()) };
        Pending
    }

    fn checked(v: q::JSValue) -> Answer {
        // SAFETY: a tag test.
        if unsafe { q::JS_IsException(v) } { Err(Pending) } else { Ok(v) }
    }

    fn is_array(v: q::JSValue) -> bool {
        // SAFETY: a class test on a live value.
        unsafe { q::JS_IsArray(v) }
    }

    fn is_string(v: q::JSValue) -> bool {
        // SAFETY: a tag test.
        unsafe { q::JS_IsString(v) }
    }

    fn is_object(v: q::JSValue) -> bool {
        // SAFETY: a tag test.
        unsafe { q::JS_IsObject(v) }
    }

    /// `length` by `ToLength`.
    fn length_of(&self, v: q::JSValue) -> Result<i64, Pending> {
        let mut n = 0_i64;
        // SAFETY: `v` is alive, the out-pointer valid.
        if unsafe { q::JS_GetLength(self.ctx, v, &raw mut n) } < 0 { Err(Pending) } else { Ok(n) }
    }

    fn bounded(&self, v: q::JSValue) -> Result<i64, Pending> {
        let n = self.length_of(v)?;
        if n > self.natives().length_max { Err(self.too_long()) } else { Ok(n) }
    }

    fn is_iterable(&self, v: q::JSValue) -> Result<bool, Pending> {
        // SAFETY: the object is alive, the atom one of those that every runtime has.
        let has = unsafe { q::JS_HasProperty(self.ctx, v, q::JS_ATOM_Symbol_iterator) };
        if has < 0 { Err(Pending) } else { Ok(has > 0) }
    }

    fn to_string(&self, v: q::JSValue) -> Answer {
        // SAFETY: `v` is alive.
        Self::checked(unsafe { q::JS_ToString(self.ctx, v) })
    }

    fn to_number(&self, v: q::JSValue) -> Result<f64, Pending> {
        let mut n = f64::NAN;
        // SAFETY: `v` is alive, the out-pointer valid.
        if unsafe { q::JS_ToFloat64(self.ctx, &raw mut n, v) } < 0 { Err(Pending) } else { Ok(n) }
    }

    /// What a native function may walk: an array or string of bounded length as it is, anything else as a copy, since
    /// its `length` might say something else the next time.
    fn walkable(&self, v: q::JSValue) -> Answer {
        if Self::is_array(v) || Self::is_string(v) {
            self.bounded(v)?;
            return Ok(self.dup(v));
        }
        // SAFETY: tag tests.
        if unsafe { q::JS_IsNull(v) || q::JS_IsUndefined(v) } {
            return Err(self.wrong_type(c"not an object"));
        }
        let n = u32::try_from(self.bounded(v)?).unwrap_or(0);
        let copy = Self::checked(self.array())?;
        for i in 0..n {
            // SAFETY: makes an index's atom, which needs no memory.
            let atom = unsafe { q::JS_NewAtomUInt32(self.ctx, i) };
            // SAFETY: both are alive.
            let has = unsafe { q::JS_HasProperty(self.ctx, v, atom) };
            self.drop_atom(atom);
            if has > 0 {
                let item = self.element(v, i);
                self.set_element(copy, i, item);
            }
            // SAFETY: asks only.
            if has < 0 || unsafe { q::JS_HasException(self.ctx) } {
                self.release(copy);
                return Err(Pending);
            }
        }
        // SAFETY: the array is alive.
        if unsafe { q::JS_SetLength(self.ctx, copy, i64::from(n)) } < 0 {
            self.release(copy);
            return Err(Pending);
        }
        Ok(copy)
    }

    fn original(&self, row: usize, this: q::JSValue, args: &[q::JSValue]) -> q::JSValue {
        let f = self.natives().originals.get(row).copied().unwrap_or(q::JS_UNDEFINED);
        self.call_on(f, this, args)
    }

    fn call_on(&self, f: q::JSValue, this: q::JSValue, args: &[q::JSValue]) -> q::JSValue {
        let mut args = args.to_vec();
        let n = c_int::try_from(args.len()).unwrap_or(0);
        // SAFETY: all values are alive and stay the caller's.
        unsafe { q::JS_Call(self.ctx, f, this, n, args.as_mut_ptr()) }
    }

    /// Calls the original on `this`, which it gives up.
    fn original_on(&self, row: usize, this: q::JSValue, args: &[q::JSValue]) -> Answer {
        let v = self.original(row, this, args);
        self.release(this);
        Self::checked(v)
    }

    fn guard(&self, row: usize, this: q::JSValue, args: &[q::JSValue]) -> Answer {
        let first = args.first().copied().unwrap_or(q::JS_UNDEFINED);
        match ROWS[row].3 {
            Guard::Reading | Guard::Finding | Guard::Joining => {
                let o = self.walkable(this)?;
                match self.lengths(row, o, args, first) {
                    Ok(()) => self.original_on(row, o, args),
                    Err(e) => {
                        self.release(o);
                        Err(e)
                    }
                }
            }
            Guard::Writing => {
                self.writable(this)?;
                Self::checked(self.original(row, this, args))
            }
            Guard::Sorting => {
                self.writable(this)?;
                let f = self.comparison(first)?;
                let v = self.original(row, this, &[f]);
                self.release(f);
                Self::checked(v)
            }
            Guard::Sorted => {
                let o = self.walkable(this)?;
                let f = self.comparison(first)?;
                let v = self.original_on(row, o, &[f]);
                self.release(f);
                v
            }
            Guard::Padding | Guard::Repeating => self.pad(row, this, args, first),
            Guard::Searching => self.search(row, this, args, first),
            Guard::From => {
                if Self::is_array(first) {
                    self.bounded(first)?;
                }
                if !Self::is_object(first) || self.is_iterable(first)? {
                    return Self::checked(self.original(row, this, args));
                }
                let copy = self.walkable(first)?;
                let mut all = args.to_vec();
                all[0] = copy;
                let v = self.original(row, this, &all);
                self.release(copy);
                Self::checked(v)
            }
            Guard::Apply => {
                let [target, list, ..] = args else { return Self::checked(self.original(row, this, args)) };
                // SAFETY: tag tests.
                if unsafe { q::JS_IsNull(*list) || q::JS_IsUndefined(*list) } {
                    return Self::checked(self.original(row, this, &[*target]));
                }
                let list = self.walkable(*list)?;
                let v = self.original(row, this, &[*target, list]);
                self.release(list);
                Self::checked(v)
            }
            Guard::Stringify => self.stringify(row, this, args, first),
        }
    }

    /// `this` must be an array of bounded length.
    fn writable(&self, this: q::JSValue) -> Result<(), Pending> {
        if !Self::is_array(this) {
            return Err(self.wrong_type(c"not an array"));
        }
        self.bounded(this).map(drop)
    }

    /// Bounds what is walked besides `this`.
    fn lengths(
        &self,
        row: usize,
        o: q::JSValue,
        args: &[q::JSValue],
        first: q::JSValue,
    ) -> Result<(), Pending> {
        let own = self.length_of(o)?;
        let mut all = own;
        for &arg in args.iter().filter(|a| Self::is_array(**a)) {
            let n = self.bounded(arg)?;
            all = all.saturating_add(n);
        }
        let guard = ROWS[row].3;
        let compared =
            if guard == Guard::Finding && Self::is_string(first) { self.length_of(first)? } else { 0 };
        let much = guard == Guard::Joining && all > self.natives().length_max;
        if much || own.saturating_mul(compared) > COMPARED_MAX { Err(self.too_long()) } else { Ok(()) }
    }

    /// The function that a sort compares by.
    fn comparison(&self, given: q::JSValue) -> Answer {
        // SAFETY: a tag test.
        if unsafe { q::JS_IsUndefined(given) } { self.late("compare") } else { Ok(self.dup(given)) }
    }

    fn pad(&self, row: usize, this: q::JSValue, args: &[q::JSValue], first: q::JSValue) -> Answer {
        let count = self.to_number(first)?;
        let s = self.to_string(this)?;
        let own = self.length_of(s).unwrap_or(0);
        let own = u32::try_from(own).map_or(f64::INFINITY, f64::from);
        let wanted = if ROWS[row].3 == Guard::Repeating { count * own } else { count };
        let max = u32::try_from(self.natives().length_max).map_or(f64::INFINITY, f64::from) * PADDING;
        if wanted > max {
            self.release(s);
            return Err(self.too_long());
        }
        // SAFETY: a tag test.
        let given = args.get(1).filter(|v| !unsafe { q::JS_IsUndefined(**v) });
        let with = match given.map(|v| self.to_string(*v)).transpose() {
            Ok(with) => with,
            Err(e) => {
                self.release(s);
                return Err(e);
            }
        };
        let count = q::JS_NewFloat64(if count.is_nan() { 0.0 } else { count });
        let v = match with {
            Some(with) => self.original(row, s, &[count, with]),
            None => self.original(row, s, &[count]),
        };
        self.release(with.unwrap_or(q::JS_UNDEFINED));
        self.release(s);
        Self::checked(v)
    }

    fn search(&self, row: usize, this: q::JSValue, args: &[q::JSValue], first: q::JSValue) -> Answer {
        let s = self.to_string(this)?;
        let mut all = args.to_vec();
        // SAFETY: a class test on a live value.
        let text = !all.is_empty() && !unsafe { q::JS_IsRegExp(first) };
        if text {
            // ECMA-262 3rd ed. §15.5.4: what is no regular expression is a string.
            match self.pattern(s, first) {
                Ok(pattern) => all[0] = pattern,
                Err(e) => {
                    self.release(s);
                    return Err(e);
                }
            }
        }
        let v = self.original_on(row, s, &all);
        if text {
            self.release(all[0]);
        }
        v
    }

    fn pattern(&self, s: q::JSValue, first: q::JSValue) -> Answer {
        // SAFETY: a tag test.
        if unsafe { q::JS_IsUndefined(first) } {
            return Ok(first);
        }
        let pattern = self.to_string(first)?;
        let (text, long) = (self.length_of(s).unwrap_or(0), self.length_of(pattern).unwrap_or(0));
        if long > SHORT && (text - long + 1).saturating_mul(long) > SEARCHED_MAX {
            self.release(pattern);
            return Err(self.too_long());
        }
        Ok(pattern)
    }

    fn stringify(&self, row: usize, this: q::JSValue, args: &[q::JSValue], first: q::JSValue) -> Answer {
        let replacer = args.get(1).copied().unwrap_or(q::JS_UNDEFINED);
        if Self::is_array(replacer) {
            self.bounded(replacer)?;
        }
        let space = args.get(2).copied().unwrap_or(q::JS_UNDEFINED);
        // SAFETY: a tag test.
        let number = unsafe { q::JS_IsNumber(space) };
        let usual = number || Self::is_string(space);
        Self::checked(self.original(
            row,
            this,
            &[first, replacer, if usual { space } else { q::JS_UNDEFINED }],
        ))
    }

    /// A function of `late.js`, which is loaded at the first time.
    fn late(&self, name: &str) -> Answer {
        // SAFETY: a tag test.
        if unsafe { q::JS_IsUndefined(self.natives().late) } {
            let loaded = self.load_late()?;
            self.natives().late = loaded;
        }
        let late = self.natives().late;
        Self::checked(self.get(late, name))
    }

    fn load_late(&self) -> Answer {
        static LATE: OnceLock<Box<[u8]>> = OnceLock::new();
        let bytes = match LATE.get() {
            Some(b) => b,
            None => {
                let b = self.write(include_str!("late.js")).ok_or(Pending)?;
                LATE.get_or_init(|| b.into())
            }
        };
        let make = self.load(bytes).ok_or(Pending)?;
        let natives = self.natives();
        let args = [natives.date, natives.offset, q::JS_NewFloat64(f64::from(natives.utc_offset_min))];
        let v = self.call_on(make, q::JS_UNDEFINED, &args);
        self.release(make);
        Self::checked(v)
    }

    fn call_late(&self, name: &str, this: q::JSValue, args: &[q::JSValue]) -> Answer {
        let f = self.late(name)?;
        let v = self.call_on(f, this, args);
        self.release(f);
        Self::checked(v)
    }

    /// `new Date(...)` and `Date()`.
    fn date(&self, target: q::JSValue, args: &[q::JSValue]) -> Answer {
        let now = q::JS_NewFloat64(self.wall_ms());
        let original = self.natives().date;
        // SAFETY: a tag test.
        if unsafe { q::JS_IsUndefined(target) } {
            return self.call_late("text", q::JS_UNDEFINED, &[now]);
        }
        let mut value = if args.is_empty() { now } else { self.call_late("value", q::JS_UNDEFINED, args)? };
        // SAFETY: constructor and target are alive; the value is a number.
        Self::checked(unsafe { q::JS_CallConstructor2(self.ctx, original, target, 1, &raw mut value) })
    }
}

/// Longest string that is looked for without a look at the cost.
const SHORT: i64 = 64;
/// Most comparisons of characters in a search.
const SEARCHED_MAX: i64 = 4_000_000;
/// Most characters compared in a search of an array for a string.
const COMPARED_MAX: i64 = 50_000_000;
/// A string may be padded to so many times the length that may be walked.
const PADDING: f64 = 16.0;

/// The arguments of a call.
fn arguments<'a>(argc: c_int, argv: *mut q::JSValue) -> &'a [q::JSValue] {
    match usize::try_from(argc) {
        Ok(n) if n > 0 && !argv.is_null() => {
            // SAFETY: QuickJS calls with `argc` values, alive until the call returns.
            unsafe { std::slice::from_raw_parts(argv, n) }
        }
        _ => &[],
    }
}

unsafe extern "C" fn guarded(
    ctx: *mut q::JSContext,
    this: q::JSValue,
    argc: c_int,
    argv: *mut q::JSValue,
    magic: c_int,
) -> q::JSValue {
    let row = usize::try_from(magic).unwrap_or(0);
    Raw::of(ctx).guard(row, this, arguments(argc, argv)).unwrap_or(q::JS_EXCEPTION)
}

unsafe extern "C" fn dated(
    ctx: *mut q::JSContext,
    this: q::JSValue,
    argc: c_int,
    argv: *mut q::JSValue,
    magic: c_int,
) -> q::JSValue {
    let raw = Raw::of(ctx);
    match usize::try_from(magic).ok().and_then(|i| DATE.get(i)).and_then(|(name, _)| name.to_str().ok()) {
        Some("now") => q::JS_NewFloat64(raw.wall_ms()),
        Some(name) => raw.call_late(name, this, arguments(argc, argv)).unwrap_or(q::JS_EXCEPTION),
        None => q::JS_UNDEFINED,
    }
}

unsafe extern "C" fn new_date(
    ctx: *mut q::JSContext,
    target: q::JSValue,
    argc: c_int,
    argv: *mut q::JSValue,
) -> q::JSValue {
    Raw::of(ctx).date(target, arguments(argc, argv)).unwrap_or(q::JS_EXCEPTION)
}

unsafe extern "C" fn random(
    ctx: *mut q::JSContext,
    _this: q::JSValue,
    _argc: c_int,
    _argv: *mut q::JSValue,
    _magic: c_int,
) -> q::JSValue {
    let bits = Raw::of(ctx).natives().chance.next_u64() >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
    let n = bits as f64 / 9_007_199_254_740_992.0;
    q::JS_NewFloat64(n)
}
