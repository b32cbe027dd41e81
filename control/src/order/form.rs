//! The forms a request may take, each turned into the same named fields: JSON, and a block of `Key: value` lines (as
//! mail header fields `Call-*`, or at the start of a text).

use super::refusal::{Reason, Refusal};
use crate::limits::OrderLimits;
use serde_json::{Map, Value};

/// Fields of a request before they are checked.
pub type Fields = Map<String, Value>;

/// Reads a JSON object; RFC 8259 with names unique (RFC 7493 §2.3: a second member of the same name is refused).
///
/// # Errors
/// One [`Refusal`] of the body with line and column, or of the member that stands twice.
pub fn json(body: &[u8], limits: &OrderLimits) -> Result<Fields, Refusal> {
    if body.len() > limits.body_bytes_max {
        return Err(Refusal::new("body", Reason::TooLong { max: limits.body_bytes_max }));
    }
    // serde_json stops at 128 levels by itself; an order needs few.
    let unique: unique::Value = serde_json::from_slice(body).map_err(|e| json_refusal(&e))?;
    let value = unique.0;
    if depth(&value) > limits.depth_max {
        return Err(Refusal::new("body", Reason::TooMany { max: limits.depth_max }));
    }
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(Refusal::new("body", Reason::NotA("a JSON object"))),
    }
}

fn json_refusal(e: &serde_json::Error) -> Refusal {
    let said = e.to_string();
    if let Some(name) = said.strip_prefix(unique::TWICE).and_then(|r| r.split_once('`')).map(|(n, _)| n) {
        return Refusal::new(name, Reason::Twice);
    }
    Refusal::new("body", Reason::Malformed { what: "JSON", line: e.line(), column: e.column() })
}

/// Reads a body by its media type (without parameters, lower case); `None`: no form has this type.
///
/// # Errors
/// As the form's reader.
#[must_use]
pub fn by_type(media_type: &str, body: &[u8], limits: &OrderLimits) -> Option<Result<Fields, Refusal>> {
    match media_type {
        "application/json" => Some(json(body, limits)),
        // RFC 9512; the older names are what people still send.
        "application/yaml" | "application/x-yaml" | "text/yaml" => Some(super::yaml::yaml(body, limits)),
        "application/xml" | "text/xml" => Some(super::xml::xml(body, limits)),
        _ => None,
    }
}

/// Nesting of a value; a scalar is 1 deep.
#[must_use]
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}

/// Reads header fields: `(name, value)` pairs, of which those named `Call-*` (or, with `bare`, every one) are taken.
/// `Call-To`, `Call-Resource` and `Call-Result-To` may be repeated; `Call-Param-x` sets a session variable.
///
/// # Errors
/// A [`Refusal`] for a field that stands twice and must not.
pub fn header<'a>(
    lines: impl Iterator<Item = (&'a str, &'a str)>,
    bare: bool,
    limits: &OrderLimits,
) -> Result<Fields, Refusal> {
    let mut fields = Fields::new();
    let mut params = Map::new();
    for (name, value) in lines {
        let lower = name.trim().to_ascii_lowercase();
        let Some(key) = lower.strip_prefix("call-").or_else(|| bare.then_some(lower.as_str())) else {
            continue;
        };
        let value = value.trim();
        if value.len() > limits.body_bytes_max {
            return Err(Refusal::new(name, Reason::TooLong { max: limits.body_bytes_max }));
        }
        if let Some(param) = key.strip_prefix("param-") {
            if params.insert(param.replace('-', "_"), Value::from(value)).is_some() {
                return Err(Refusal::new(name, Reason::Twice));
            }
            continue;
        }
        let key = match key {
            "resource" => "resources".to_owned(),
            other => other.replace('-', "_"),
        };
        // Signed separately, and read before the fields are.
        if matches!(key.as_str(), "manifest" | "signature" | "token") {
            continue;
        }
        if matches!(key.as_str(), "to" | "resources" | "result_to") {
            append(&mut fields, &key, value);
        } else if fields.insert(key, Value::from(value)).is_some() {
            return Err(Refusal::new(name, Reason::Twice));
        }
    }
    if !params.is_empty() {
        fields.insert("params".into(), Value::Object(params));
    }
    Ok(fields)
}

/// Several values in one field are separated by commas; a list of one is written as one.
fn append(fields: &mut Fields, key: &str, value: &str) {
    let items = value.split(',').map(str::trim).filter(|v| !v.is_empty()).map(Value::from);
    match fields.entry(key).or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(list) => list.extend(items),
        _ => unreachable!("made as an array above"),
    }
}

/// Reads a text that starts with a block of `Key: value` lines, ended by an empty line; what comes after becomes the
/// message to be spoken. `None` if the first line is no such line: prose is never guessed at.
///
/// # Errors
/// As [`header`].
pub fn block(text: &str, limits: &OrderLimits) -> Option<Result<Fields, Refusal>> {
    let mut lines: Vec<(&str, &str)> = Vec::new();
    let mut rest = text;
    loop {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() {
            rest = after;
            break;
        }
        let (name, value) = line.split_once(':')?;
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !is_name || lines.len() >= 200 {
            return None;
        }
        lines.push((name, value));
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    if lines.is_empty() {
        return None;
    }
    Some(header(lines.into_iter(), true, limits).map(|mut fields| {
        if !rest.trim().is_empty() {
            fields.entry("message").or_insert_with(|| Value::from(rest.trim()));
        }
        fields
    }))
}

/// A JSON value that refuses a second member of the same name, where serde_json would silently keep the last: a filter
/// in front of us might have looked at the first.
mod unique {
    use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
    use serde_json::{Map, Value as Json};
    use std::fmt;

    pub(super) const TWICE: &str = "member stands twice: `";

    pub(super) struct Value(pub(super) Json);

    struct V;

    impl<'de> Deserialize<'de> for Value {
        fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
            d.deserialize_any(V).map(Value)
        }
    }

    impl<'de> Visitor<'de> for V {
        type Value = Json;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON value")
        }
        fn visit_bool<E: Error>(self, v: bool) -> Result<Json, E> {
            Ok(Json::Bool(v))
        }
        fn visit_i64<E: Error>(self, v: i64) -> Result<Json, E> {
            Ok(Json::from(v))
        }
        fn visit_u64<E: Error>(self, v: u64) -> Result<Json, E> {
            Ok(Json::from(v))
        }
        fn visit_f64<E: Error>(self, v: f64) -> Result<Json, E> {
            Ok(serde_json::Number::from_f64(v).map_or(Json::Null, Json::Number))
        }
        fn visit_str<E: Error>(self, v: &str) -> Result<Json, E> {
            Ok(Json::from(v))
        }
        fn visit_unit<E: Error>(self) -> Result<Json, E> {
            Ok(Json::Null)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut a: A) -> Result<Json, A::Error> {
            let mut items = Vec::new();
            while let Some(Value(v)) = a.next_element()? {
                items.push(v);
            }
            Ok(Json::Array(items))
        }
        fn visit_map<A: MapAccess<'de>>(self, mut a: A) -> Result<Json, A::Error> {
            let mut map = Map::new();
            while let Some(name) = a.next_key::<String>()? {
                let Value(v) = a.next_value()?;
                if map.contains_key(&name) {
                    let shown: String =
                        name.chars().filter(|c| !c.is_control() && *c != '`').take(64).collect();
                    return Err(A::Error::custom(format!("{TWICE}{shown}`")));
                }
                map.insert(name, v);
            }
            Ok(Json::Object(map))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn limits() -> OrderLimits {
        OrderLimits::default()
    }

    #[test]
    fn json_is_strict() {
        let check = |body: &str, field: &str, reason: Reason| {
            assert_eq!(json(body.as_bytes(), &limits()), Err(Refusal::new(field, reason)), "{body}");
        };
        check(r#"{"to":"a","to":"b"}"#, "to", Reason::Twice);
        check(r#"{"p":{"x":1,"x":2}}"#, "x", Reason::Twice);
        check("[1]", "body", Reason::NotA("a JSON object"));
        check("{\n  oops", "body", Reason::Malformed { what: "JSON", line: 2, column: 3 });
        check(&format!("{}1{}", "[".repeat(40), "]".repeat(40)), "body", Reason::TooMany { max: 16 });
        assert!(json("[".repeat(100_000).as_bytes(), &limits()).is_err());
        assert!(json(b"\xff{}", &limits()).is_err());
    }

    #[test]
    fn header_fields_become_the_same_names() {
        let lines = [
            ("From", "x@y"),
            ("Call-To", "+15551234567, sip:b@h"),
            ("call-to", "+4930901820"),
            ("Call-Caller-Id", "+1555"),
            ("Call-Result-To", "mailto:a@b"),
            ("Call-Param-first-name", "Ann"),
            ("Call-Resource", "cid:x; required"),
            ("Call-Signature", "zzz"),
        ];
        let f = header(lines.into_iter(), false, &limits()).unwrap();
        assert_eq!(
            Value::Object(f),
            json!({
                "to": ["+15551234567", "sip:b@h", "+4930901820"], "caller_id": "+1555", "result_to": ["mailto:a@b"],
                "resources": ["cid:x; required"], "params": {"first_name": "Ann"}
            })
        );
        let twice = [("Call-At", "now"), ("CALL-AT", "+1h")];
        assert_eq!(header(twice.into_iter(), false, &limits()), Err(Refusal::new("CALL-AT", Reason::Twice)));
    }

    #[test]
    fn a_block_ends_at_the_empty_line_and_the_rest_is_spoken() {
        let f = block("To: +15551234567\r\nPurpose: survey\r\n\r\nHello.\r\nBye.\r\n", &limits())
            .unwrap()
            .unwrap();
        assert_eq!(f["message"], json!("Hello.\r\nBye."));
        assert_eq!(f["purpose"], json!("survey"));
        assert!(block("Dear all,\nplease call: Ann\n", &limits()).is_none());
        assert!(block("\n\n", &limits()).is_none());
    }
}
