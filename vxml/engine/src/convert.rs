//! Values across the border, both ways, bounded in depth and number.

use crate::machine::Raw;
use crate::{ScriptError, Thrown, Value};
use rquickjs_sys as q;

/// Deepest nesting that crosses.
const DEPTH_MAX: u32 = 24;
/// Most values that cross at once.
const VALUES_MAX: u32 = 50_000;

impl Raw {
    /// A deep copy of a script's value; what is too deep or too much becomes `undefined`.
    pub(crate) fn export(&self, v: q::JSValue) -> Value {
        let mut left = VALUES_MAX;
        self.export_at(v, 0, &mut left)
    }

    fn export_at(&self, v: q::JSValue, depth: u32, left: &mut u32) -> Value {
        if *left == 0 || depth > DEPTH_MAX {
            return Value::Undefined;
        }
        *left -= 1;
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
            return self.text(v).map_or(Value::Undefined, Value::String);
        }
        if !object || self.is_function(v) {
            return Value::Undefined;
        }
        // SAFETY: a tag and class test on a live value.
        if unsafe { q::JS_IsArray(v) } {
            return self.export_array(v, depth, left);
        }
        // A date or a boxed primitive is data whose own properties are empty: its text is what an author means.
        // SAFETY: a class test on a live value.
        if unsafe { q::JS_IsDate(v) } {
            return self.text(v).map_or(Value::Undefined, Value::String);
        }
        self.export_object(v, depth, left)
    }

    fn export_array(&self, v: q::JSValue, depth: u32, left: &mut u32) -> Value {
        let length = self.length(v).min(i64::from(*left));
        let items = (0..u32::try_from(length).unwrap_or(0)).map(|i| {
            let item = self.element(v, i);
            let out = self.export_at(item, depth + 1, left);
            self.release(item);
            out
        });
        Value::Array(items.collect())
    }

    fn export_object(&self, v: q::JSValue, depth: u32, left: &mut u32) -> Value {
        let mut props = Vec::new();
        for name in self.own_names(v, true) {
            let item = self.get(v, &name);
            // SAFETY: a tag test.
            if unsafe { q::JS_IsException(item) } {
                self.swallow();
                continue;
            }
            if !self.is_function(item) {
                props.push((name, self.export_at(item, depth + 1, left)));
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
