//! Values that cross between scripts and Rust: a deep copy of plain data, with the conversions ECMA-262 prescribes.
//!
//! Functions, symbols and host objects do not cross: they become [`Value::Undefined`].

use std::fmt::Write as _;

/// Plain data as a script sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// `undefined`.
    #[default]
    Undefined,
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number, possibly NaN or infinite.
    Number(f64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Value>),
    /// An object's own enumerable string-keyed properties, in order.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// A string value.
    pub fn text(s: impl Into<String>) -> Self {
        Value::String(s.into())
    }

    /// ECMA-262 `ToBoolean`.
    #[must_use]
    pub fn truthy(&self) -> bool {
        match self {
            Value::Undefined | Value::Null => false,
            Value::Bool(b) => *b,
            Value::Number(n) => *n != 0.0 && !n.is_nan(),
            Value::String(s) => !s.is_empty(),
            Value::Array(_) | Value::Object(_) => true,
        }
    }

    /// ECMA-262 `ToString`, for data without user-defined conversions.
    #[must_use]
    pub fn to_text(&self) -> String {
        match self {
            Value::Undefined => "undefined".into(),
            Value::Null => "null".into(),
            Value::Bool(b) => b.to_string(),
            Value::Number(n) => number_text(*n),
            Value::String(s) => s.clone(),
            Value::Array(items) => {
                let part = |v: &Value| match v {
                    Value::Undefined | Value::Null => String::new(),
                    v => v.to_text(),
                };
                items.iter().map(part).collect::<Vec<_>>().join(",")
            }
            Value::Object(_) => "[object Object]".into(),
        }
    }

    /// A property of an object, an element or the length of an array or string.
    #[must_use]
    pub fn member(&self, name: &str) -> Value {
        match self {
            Value::Object(props) => {
                props.iter().find(|(k, _)| k == name).map_or(Value::Undefined, |(_, v)| v.clone())
            }
            Value::Array(items) if name == "length" => Value::Number(count(items.len())),
            Value::Array(items) => {
                name.parse::<usize>().ok().and_then(|i| items.get(i)).cloned().unwrap_or_default()
            }
            Value::String(s) if name == "length" => Value::Number(count(s.encode_utf16().count())),
            _ => Value::Undefined,
        }
    }

    /// Whether it is neither object nor array.
    #[must_use]
    pub fn is_primitive(&self) -> bool {
        !matches!(self, Value::Array(_) | Value::Object(_))
    }

    /// What `JSON.stringify` would write; `undefined` alone becomes JSON null, as do NaN and infinities.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Value::Undefined | Value::Null => out.push_str("null"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Number(n) if n.is_finite() => out.push_str(&number_text(*n)),
            Value::Number(_) => out.push_str("null"),
            Value::String(s) => quote(s, out),
            Value::Array(items) => {
                out.push('[');
                for (i, v) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    v.write_json(out);
                }
                out.push(']');
            }
            Value::Object(props) => {
                out.push('{');
                for (i, (k, v)) in props.iter().filter(|(_, v)| *v != Value::Undefined).enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    quote(k, out);
                    out.push(':');
                    v.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

/// Lengths of containers are far below 2^53.
fn count(n: usize) -> f64 {
    u32::try_from(n).map_or(f64::from(u32::MAX), f64::from)
}

fn quote(s: &str, out: &mut String) {
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// ECMA-262 `Number::toString` for radix 10: shortest digits that read back, exponent form outside 1e-7 .. 1e21.
#[must_use]
pub fn number_text(n: f64) -> String {
    if n.is_nan() {
        return "NaN".into();
    }
    if n.is_infinite() {
        return if n > 0.0 { "Infinity".into() } else { "-Infinity".into() };
    }
    if n == 0.0 {
        return "0".into();
    }
    let magnitude = n.abs();
    if (1e-6..1e21).contains(&magnitude) {
        return format!("{n}");
    }
    // Rust writes `1e21`, ECMA-262 wants the sign of the exponent always.
    let text = format!("{n:e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) if !exponent.starts_with('-') => format!("{mantissa}e+{exponent}"),
        _ => text,
    }
}

/// ECMA-262 `StringToNumber` for decimal and hexadecimal literals.
#[must_use]
pub fn text_number(s: &str) -> f64 {
    let t = s.trim();
    if t.is_empty() {
        return 0.0;
    }
    if let Some(hex) = t.strip_prefix("0x").or_else(|| t.strip_prefix("0X")) {
        return u32::from_str_radix(hex, 16).map_or(f64::NAN, f64::from);
    }
    let unsigned = t.strip_prefix(['+', '-']).unwrap_or(t);
    if unsigned == "Infinity" {
        return if t.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY };
    }
    let plain = unsigned.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if plain { t.parse().unwrap_or(f64::NAN) } else { f64::NAN }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ecma262_6_1_6_1_20_number_to_string() {
        for (n, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e-7, "1e-7"),
            (0.1, "0.1"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number_text(n), text);
        }
    }

    #[test]
    fn ecma262_7_1_4_1_string_to_number() {
        assert!(text_number("x").is_nan());
        assert!(text_number("inf").is_nan());
        assert!((text_number(" 12 ") - 12.0).abs() < f64::EPSILON);
        assert!((text_number("") - 0.0).abs() < f64::EPSILON);
    }

    #[test]
    fn json_is_quoted() {
        let v = Value::Object(vec![
            ("a".into(), Value::text("x\"\n")),
            ("u".into(), Value::Undefined),
            ("b".into(), Value::Array(vec![Value::Number(1.0), Value::Undefined])),
        ]);
        assert_eq!(v.to_json(), r#"{"a":"x\"\n","b":[1,null]}"#);
    }
}
