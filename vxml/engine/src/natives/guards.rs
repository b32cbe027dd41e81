//! The guards: what is looked at before one of `QuickJS`'s own functions is called.

use super::{Answer, Guard, Pending, ROWS};
use crate::raw::Raw;
use rquickjs_sys as q;
use std::ffi::{CStr, c_int};

impl Raw {
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

    pub(super) fn checked(v: q::JSValue) -> Answer {
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

    pub(super) fn call_on(&self, f: q::JSValue, this: q::JSValue, args: &[q::JSValue]) -> q::JSValue {
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

    pub(super) fn guard(&self, row: usize, this: q::JSValue, args: &[q::JSValue]) -> Answer {
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
}

/// Longest string that is looked for without a look at the cost.
const SHORT: i64 = 64;
/// Most comparisons of characters in a search.
const SEARCHED_MAX: i64 = 4_000_000;
/// Most characters compared in a search of an array for a string.
const COMPARED_MAX: i64 = 50_000_000;
/// A string may be padded to so many times the length that may be walked.
const PADDING: f64 = 16.0;
