//! Values across the border, both ways, bounded in depth and number.

use crate::raw::Raw;
use crate::{ScriptError, Thrown, Value};
use rquickjs_sys as q;

/// Deepest nesting that crosses.
const DEPTH_MAX: usize = 24;
/// Most values that cross at once.
const VALUES_MAX: u32 = 50_000;
/// Most octets of text that cross at once.
const OCTETS_MAX: usize = 1 << 20;

/// What may still cross, and the objects that are being copied: one within itself is a circle and is left out. The
/// scopes are such circles, each holds itself by its name.
struct Crossing {
    values: u32,
    octets: usize,
    inside: Vec<q::JSValue>,
}

impl Crossing {
    /// A text, if it may still cross.
    fn text(&mut self, text: Option<String>) -> Value {
        match text {
            Some(t) if t.len() <= self.octets => {
                self.octets -= t.len();
                Value::String(t)
            }
            _ => Value::Undefined,
        }
    }
}

impl Raw {
    /// A deep copy of a script's value; what is too deep or too much becomes `undefined`.
    pub(crate) fn export(&self, v: q::JSValue) -> Value {
        let mut crossing = Crossing { values: VALUES_MAX, octets: OCTETS_MAX, inside: Vec::new() };
        self.export_at(v, &mut crossing)
    }

    fn export_at(&self, v: q::JSValue, crossing: &mut Crossing) -> Value {
        if crossing.values == 0 || crossing.inside.len() > DEPTH_MAX {
            return Value::Undefined;
        }
        crossing.values -= 1;
        // SAFETY: these look at the tag of a value that the caller owns.
        let (null, boolean, number, string, object) = unsafe {
            (q::JS_IsNull(v), q::JS_IsBool(v), q::JS_IsNumber(v), q::JS_IsString(v), q::JS_IsObject(v))
        };
        if null {
            return Value::Null;
        }
        if boolean {
            return Value::Bool(self.truthy(v));
        }
        if number {
            return Value::Number(self.number(v));
        }
        if string {
            return crossing.text(self.text(v));
        }
        if !object || self.is_function(v) {
            return Value::Undefined;
        }
        // SAFETY: compares two live values; objects are equal if they are one, and no script runs.
        if crossing.inside.iter().any(|&o| unsafe { q::JS_IsStrictEqual(self.ctx, o, v) }) {
            return Value::Undefined;
        }
        // SAFETY: a tag and class test on a live value.
        if unsafe { q::JS_IsArray(v) } {
            crossing.inside.push(v);
            let out = self.export_array(v, crossing);
            crossing.inside.pop();
            return out;
        }
        // A date or a boxed primitive is data whose own properties are empty: its text is what an author means.
        // SAFETY: a class test on a live value.
        if unsafe { q::JS_IsDate(v) } {
            return crossing.text(self.text(v));
        }
        crossing.inside.push(v);
        let out = self.export_object(v, crossing);
        crossing.inside.pop();
        out
    }

    fn export_array(&self, v: q::JSValue, crossing: &mut Crossing) -> Value {
        let length = self.length(v).min(i64::from(crossing.values));
        let items = (0..u32::try_from(length).unwrap_or(0)).map(|i| {
            let item = self.element(v, i);
            let out = self.export_at(item, crossing);
            self.release(item);
            out
        });
        Value::Array(items.collect())
    }

    fn export_object(&self, v: q::JSValue, crossing: &mut Crossing) -> Value {
        let mut props = Vec::new();
        for name in self.own_names(v, true) {
            if crossing.values == 0 {
                break;
            }
            let item = self.get(v, &name);
            // SAFETY: a tag test.
            if unsafe { q::JS_IsException(item) } {
                self.swallow();
                continue;
            }
            if !self.is_function(item) {
                props.push((name, self.export_at(item, crossing)));
            }
            self.release(item);
        }
        Value::Object(props)
    }

    /// A fresh script value.
    pub(crate) fn import(&self, v: &Value) -> q::JSValue {
        match v {
            Value::Undefined => q::JS_UNDEFINED,
            Value::Null => q::JS_NULL,
            Value::Bool(b) => {
                if *b {
                    q::JS_TRUE
                } else {
                    q::JS_FALSE
                }
            }
            Value::Number(n) => q::JS_NewFloat64(*n),
            Value::String(s) => self.string(s),
            Value::Array(items) => {
                let array = self.array();
                for (i, item) in items.iter().enumerate() {
                    let Ok(i) = u32::try_from(i) else { break };
                    self.set_element(array, i, self.import(item));
                }
                array
            }
            Value::Object(props) => {
                let object = self.object();
                for (k, item) in props {
                    self.put(object, k, self.import(item));
                }
                object
            }
        }
    }

    /// The pending exception as an error of ours.
    pub(crate) fn caught(&self) -> ScriptError {
        // SAFETY: takes the pending exception, leaving none.
        let exception = unsafe { q::JS_GetException(self.ctx) };
        let mut text = self.text(exception).unwrap_or_default();
        // SAFETY: a class test on a value we own.
        let syntax = unsafe { q::JS_IsError(exception) } && text.starts_with("SyntaxError");
        self.release(exception);
        self.swallow();
        if text.len() > 500 {
            let cut = (0..=500).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
            text.truncate(cut);
        }
        if syntax {
            ScriptError::Syntax(Thrown(text.into()))
        } else {
            ScriptError::Thrown(Thrown(text.into()))
        }
    }
}
