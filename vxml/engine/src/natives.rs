//! Functions of ours in place of `QuickJS`'s own: those whose loops no interrupt stops get bounded lengths, and
//! `Math.random` and `Date` get the host's chance, time and zone.
//!
//! They are defined by tables of C functions, which `QuickJS` makes into objects when a script first looks at one. So a
//! fresh engine pays for a row of the table, not for a closure.

mod guards;

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
