//! A small part of YAML 1.2, enough for an order: block mappings and sequences, plain and quoted scalars, `|` and `>`
//! texts, `[a, b]` and `{a: b}` on one line, comments. Anchors, aliases, tags, several documents and tabs for
//! indentation are refused: they are how YAML grows without bound or means what nobody sees.

use super::form::Fields;
use super::refusal::{Reason, Refusal};
use crate::limits::OrderLimits;
use serde_json::{Map, Value};

/// Reads a mapping.
///
/// # Errors
/// One [`Refusal`] of the body, with the line.
pub fn yaml(body: &[u8], limits: &OrderLimits) -> Result<Fields, Refusal> {
    if body.len() > limits.body_bytes_max {
        return Err(Refusal::new("body", Reason::TooLong { max: limits.body_bytes_max }));
    }
    let text = std::str::from_utf8(body).map_err(|_| at(0))?;
    let mut reader = Reader { lines: lines(text)?, next: 0, depth_max: limits.depth_max };
    let Some(first) = reader.lines.first() else {
        return Err(Refusal::new("body", Reason::NotA("a mapping")));
    };
    let indent = first.indent;
    let value = reader.block(indent, 1)?;
    match (value, reader.lines.get(reader.next)) {
        (_, Some(left)) => Err(at(left.number)),
        (Value::Object(map), None) => Ok(map),
        _ => Err(Refusal::new("body", Reason::NotA("a mapping"))),
    }
}

fn at(line: usize) -> Refusal {
    Refusal::new("body", Reason::Malformed { what: "YAML", line, column: 0 })
}

/// A line that is not empty and no comment.
struct Line<'a> {
    number: usize,
    indent: usize,
    text: &'a str,
    /// The line as it stands, for block texts.
    raw: &'a str,
}

fn lines(text: &str) -> Result<Vec<Line<'_>>, Refusal> {
    let mut out = Vec::new();
    for (i, raw) in text.lines().enumerate() {
        let number = i + 1;
        let trimmed = raw.trim_start_matches(' ');
        if trimmed.starts_with('\t') && !trimmed.trim().is_empty() {
            return Err(at(number));
        }
        let plain = trimmed.trim_end();
        // `---` may open the one document; a second one, `...` or a directive is refused.
        if plain == "---" && out.is_empty() {
            continue;
        }
        if plain == "---" || plain == "..." || (plain.starts_with('%') && out.is_empty()) {
            return Err(at(number));
        }
        out.push(Line { number, indent: raw.len() - trimmed.len(), text: plain, raw });
    }
    // Blank lines and comments matter inside block texts only; they are skipped by whoever reads.
    while out.last().is_some_and(|l: &Line<'_>| is_void(l.text)) {
        out.pop();
    }
    let first = out.iter().position(|l| !is_void(l.text)).unwrap_or(out.len());
    out.drain(..first);
    Ok(out)
}

fn is_void(text: &str) -> bool {
    text.is_empty() || text.starts_with('#')
}

struct Reader<'a> {
    lines: Vec<Line<'a>>,
    next: usize,
    depth_max: usize,
}

impl<'a> Reader<'a> {
    /// The next line that says something.
    fn peek(&mut self) -> Option<(usize, usize, &'a str)> {
        while self.lines.get(self.next).is_some_and(|l| is_void(l.text)) {
            self.next += 1;
        }
        self.lines.get(self.next).map(|l| (l.number, l.indent, l.text))
    }

    fn block(&mut self, indent: usize, depth: usize) -> Result<Value, Refusal> {
        let Some((number, _, text)) = self.peek() else { return Ok(Value::Null) };
        if depth > self.depth_max {
            return Err(Refusal::new("body", Reason::TooMany { max: self.depth_max }));
        }
        if text == "-" || text.starts_with("- ") {
            return self.sequence(indent, depth);
        }
        if split_key(text, number)?.is_some() {
            return self.mapping(indent, depth);
        }
        self.next += 1;
        scalar(text, number)
    }

    fn mapping(&mut self, indent: usize, depth: usize) -> Result<Value, Refusal> {
        let mut map = Map::new();
        while let Some((number, at_indent, text)) = self.peek() {
            if at_indent < indent {
                break;
            }
            let entry = split_key(text, number)?.filter(|_| at_indent == indent);
            let Some((key, rest)) = entry else { return Err(at(number)) };
            self.next += 1;
            let value = self.value(rest, indent, depth, number)?;
            let shown = key.clone();
            if map.insert(key, value).is_some() {
                return Err(Refusal::new(shown, Reason::Twice));
            }
        }
        Ok(Value::Object(map))
    }

    fn sequence(&mut self, indent: usize, depth: usize) -> Result<Value, Refusal> {
        let mut items = Vec::new();
        while let Some((number, at_indent, text)) = self.peek() {
            let is_item = text == "-" || text.starts_with("- ");
            if at_indent < indent || (at_indent == indent && !is_item) {
                break;
            }
            if at_indent != indent {
                return Err(at(number));
            }
            let rest = text[1..].trim_start();
            let inner = indent + (text.len() - rest.len());
            if split_key(rest, number)?.is_some() {
                // `- key: value`: a mapping that begins on the item's line.
                let line = &mut self.lines[self.next];
                line.indent = inner;
                line.text = rest;
                items.push(self.block(inner, depth + 1)?);
            } else {
                self.next += 1;
                items.push(self.value(rest, indent, depth, number)?);
            }
        }
        Ok(Value::Array(items))
    }

    /// What stands after `key:` or `-`: on the line, or indented below it.
    fn value(&mut self, rest: &str, indent: usize, depth: usize, number: usize) -> Result<Value, Refusal> {
        match rest {
            "|" | "|-" | "|+" => Ok(self.text(indent, "\n")),
            ">" | ">-" | ">+" => Ok(self.text(indent, " ")),
            "" => match self.peek() {
                Some((_, below, _)) if below > indent => self.block(below, depth + 1),
                // YAML lets a sequence stand at the indentation of its key.
                Some((_, below, text)) if below == indent && (text == "-" || text.starts_with("- ")) => {
                    let is_item_itself = self.lines[self.next].number == number;
                    if is_item_itself { Ok(Value::Null) } else { self.sequence(indent, depth + 1) }
                }
                _ => Ok(Value::Null),
            },
            _ => scalar(rest, number),
        }
    }

    /// A block text: the lines that are indented more than its key.
    fn text(&mut self, indent: usize, joint: &str) -> Value {
        let mut parts: Vec<String> = Vec::new();
        let mut own = None;
        while let Some(line) = self.lines.get(self.next) {
            let blank = line.raw.trim().is_empty();
            if !blank && line.indent <= indent {
                break;
            }
            let cut = *own.get_or_insert(line.indent);
            parts.push(line.raw.get(cut.min(line.raw.len())..).unwrap_or("").trim_end().to_owned());
            self.next += 1;
        }
        Value::from(parts.join(joint).trim_end().to_owned())
    }
}

/// Splits `key: value`; `None` if the text is no entry of a mapping.
fn split_key(text: &str, number: usize) -> Result<Option<(String, &str)>, Refusal> {
    if text.starts_with(['"', '\'']) {
        let (key, rest) = quoted(text).ok_or_else(|| at(number))?;
        return Ok(rest.trim_start().strip_prefix(':').map(|r| (key, r.trim_start())));
    }
    if text.starts_with(['{', '[']) {
        return Ok(None);
    }
    let colon = text.find(": ").or_else(|| text.ends_with(':').then(|| text.len() - 1));
    let Some(colon) = colon else { return Ok(None) };
    let key = text[..colon].trim_end();
    let plain = !key.is_empty() && key.chars().all(|c| c.is_alphanumeric() || "_-.".contains(c));
    if plain { Ok(Some((key.to_owned(), text[colon + 1..].trim_start()))) } else { Err(at(number)) }
}

/// A quoted scalar at the start of a text, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next()?;
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((i, c)) = chars.next() {
        match c {
            '\'' if quote == '\'' && chars.peek().is_some_and(|(_, n)| *n == '\'') => {
                chars.next();
                out.push('\'');
            }
            c if c == quote => return Some((out, &text[i + c.len_utf8()..])),
            '\\' if quote == '"' => out.push(match chars.next()?.1 {
                'n' => '\n',
                't' => '\t',
                '"' => '"',
                '\\' => '\\',
                '/' => '/',
                'u' => {
                    let hex: String = (0..4).map_while(|_| chars.next().map(|(_, c)| c)).collect();
                    char::from_u32(u32::from_str_radix(&hex, 16).ok()?)?
                }
                _ => return None,
            }),
            c => out.push(c),
        }
    }
    None
}

/// A scalar or a flow collection that takes the whole rest of a line.
fn scalar(text: &str, number: usize) -> Result<Value, Refusal> {
    let (value, rest) = flow(text, number, 0)?;
    let rest = rest.trim_start();
    if rest.is_empty() || rest.starts_with('#') { Ok(value) } else { Err(at(number)) }
}

fn flow(text: &str, number: usize, depth: usize) -> Result<(Value, &str), Refusal> {
    if depth > 8 {
        return Err(at(number));
    }
    match text.chars().next() {
        Some('"' | '\'') => {
            let (s, rest) = quoted(text).ok_or_else(|| at(number))?;
            Ok((Value::from(s), rest))
        }
        Some('[') => flow_items(&text[1..], number, depth),
        Some('{') => flow_entries(&text[1..], number, depth),
        // Anchors, aliases, tags, and what YAML keeps for itself.
        Some('&' | '*' | '!' | '@' | '`' | '%' | '|' | '>') => Err(at(number)),
        _ => {
            let end = if depth == 0 { text.find(" #") } else { text.find([',', ']', '}']) };
            let (plain, rest) = text.split_at(end.unwrap_or(text.len()));
            Ok((plain_scalar(plain.trim()), rest))
        }
    }
}

fn flow_items(mut rest: &str, number: usize, depth: usize) -> Result<(Value, &str), Refusal> {
    let mut items = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(']') {
            return Ok((Value::Array(items), after));
        }
        let (item, after) = flow(rest, number, depth + 1)?;
        items.push(item);
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after,
            None if rest.starts_with(']') => rest,
            None => return Err(at(number)),
        };
    }
}

fn flow_entries(mut rest: &str, number: usize, depth: usize) -> Result<(Value, &str), Refusal> {
    let mut map = Map::new();
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((Value::Object(map), after));
        }
        let colon = rest.find(':').ok_or_else(|| at(number))?;
        let key = rest[..colon].trim().trim_matches(['"', '\'']).to_owned();
        let (value, after) = flow(rest[colon + 1..].trim_start(), number, depth + 1)?;
        if map.insert(key.clone(), value).is_some() {
            return Err(Refusal::new(key, Reason::Twice));
        }
        rest = after.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(after) => after,
            None if rest.starts_with('}') => rest,
            None => return Err(at(number)),
        };
    }
}

/// YAML 1.2 core schema, without its octal, hexadecimal and floating forms: a telephone number stays a text, and so
/// does `no`.
fn plain_scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let number =
                !digits.is_empty() && digits.len() <= 15 && digits.bytes().all(|b| b.is_ascii_digit());
            let number = number && (digits == "0" || !digits.starts_with('0'));
            text.parse::<i64>().ok().filter(|_| number).map_or_else(|| Value::from(text), Value::from)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use units::Seed;

    fn check(text: &str, expected: Value) {
        let read = yaml(text.as_bytes(), &OrderLimits::default()).map(Value::Object);
        assert_eq!(read, Ok(expected), "{text}");
    }

    fn refused(text: &str) -> Refusal {
        yaml(text.as_bytes(), &OrderLimits::default()).unwrap_err()
    }

    #[test]
    fn an_order_in_yaml() {
        check(
            "---\n# an order\nto:\n  - +15551234567\n  - to: sip:b@h   # home\n    zone: Europe/Berlin\n    params: {a: 1, b: \"x, y\"}\n\
             application: https://a.example/x.vxml\npurpose: survey\npriority: 3\nlenient: true\npolicy: ~\n\
             message: |\n  Hello.\n    Indented.\n\n  Bye.\nsubject: >\n  one\n  two\nparams:\n  'it''s': \"a\\nb\\u00e9\"\n  n: -5\nresult_to: [mailto:a@b, https://h/]\n",
            json!({
                "to": ["+15551234567", {"to": "sip:b@h", "zone": "Europe/Berlin", "params": {"a": 1, "b": "x, y"}}],
                "application": "https://a.example/x.vxml", "purpose": "survey", "priority": 3, "lenient": true,
                "policy": null, "message": "Hello.\n  Indented.\n\nBye.", "subject": "one two",
                "params": {"it's": "a\nb\u{e9}", "n": -5}, "result_to": ["mailto:a@b", "https://h/"]
            }),
        );
        check("to:\n- a\n- b\nx: 1", json!({"to": ["a", "b"], "x": 1}));
        check(
            "a: 0123\nb: no\nc: 12:30\nd: 99999999999999999999",
            json!({"a": "0123", "b": "no", "c": "12:30", "d": "99999999999999999999"}),
        );
    }

    #[test]
    fn what_grows_or_hides_is_refused() {
        for bad in [
            "a: &x 1\nb: *x",
            "a: !!python/object x",
            "<<: {}",
            "a: 1\n---\nb: 2",
            "\ta: 1",
            "a: 1\n\tb: 2",
            "a: [1, 2",
            "a: {b 1}",
            "a: \"x",
            "just text",
            "- 1\n- 2",
            "%YAML 1.1\na: 1",
            "a: 1\n   b: 2\n  c: 3",
            "",
            "a: b: c: d\n  e",
            "a: \"x\" y",
        ] {
            assert!(yaml(bad.as_bytes(), &OrderLimits::default()).is_err(), "{bad}");
        }
        assert_eq!(refused("a: 1\na: 2"), Refusal::new("a", Reason::Twice));
        assert_eq!(refused("ok: 1\nbad: [").reason, Reason::Malformed { what: "YAML", line: 2, column: 0 });
        let deep: String = (0..40).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
        assert_eq!(refused(&format!("{deep}{}b: 1", " ".repeat(41))).reason, Reason::TooMany { max: 16 });
    }

    #[test]
    fn mutated_yaml_never_panics() {
        let good = "to:\n  - \"+1555\"\n  - {a: [1, 'x']}\nmessage: |\n  é\n b: >-\n";
        let mut rng = Seed(3).rng();
        let mut read = 0;
        for _ in 0..5_000 {
            let mut text: Vec<char> = good.chars().collect();
            for _ in 0..rng.below(6) {
                let at = usize::try_from(rng.below(text.len() as u64)).unwrap();
                match rng.below(3) {
                    0 => drop(text.remove(at)),
                    1 => text.insert(
                        at,
                        "\n -:[]{}'\"\\#é|>&*"[..]
                            .chars()
                            .nth(usize::try_from(rng.below(17)).unwrap())
                            .unwrap(),
                    ),
                    _ => text[at] = char::from_u32(u32::try_from(rng.below(0x500)).unwrap()).unwrap(),
                }
            }
            let text: String = text.into_iter().collect();
            read += usize::from(yaml(text.as_bytes(), &OrderLimits::default()).is_ok());
        }
        assert!(read > 0);
    }
}
