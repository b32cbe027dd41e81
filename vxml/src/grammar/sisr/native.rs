//! The plain assignments of which most semantic tags consist, computed without an engine. Anything else: `None`.

use super::{Act, Computed};
use serde_json::{Map, Value};
use std::cell::Cell;

/// Runs the tags of a rule. `loose`: names that are not declared become properties of the result, and so do `var`s.
pub(super) fn run(acts: &[Act], vars: Map<String, Value>, loose: bool) -> Option<Value> {
    let mut scope = Scope {
        out: Value::Object(Map::new()),
        vars,
        rules: Vec::new(),
        latest: None,
        current: String::new(),
        loose,
        shared: Cell::new(0),
        changed: false,
    };
    for act in acts {
        match act {
            Act::Child { rule, value, text } => {
                let Computed::Value(value) = value else { return None };
                let entry = (&**rule, value, text.as_str());
                scope.rules.retain(|(name, ..)| *name != entry.0);
                scope.rules.push(entry);
                scope.latest = Some((value, text));
            }
            Act::Tag { code, text } => {
                scope.current.clone_from(text);
                Cursor { rest: code }.program(&mut scope)?;
            }
        }
    }
    if loose {
        return Some(Value::Object(scope.vars));
    }
    Some(scope.out)
}

/// Tags of a grammar that does not say how they are to be read.
pub(super) fn forgiving(acts: &[Act]) -> Option<Value> {
    let codes: Vec<&str> = acts
        .iter()
        .filter_map(|a| if let Act::Tag { code, .. } = a { Some(code.trim()) } else { None })
        .collect();
    let last = codes.last()?;
    let mut cursor = Cursor { rest: last };
    if let Some(text) =
        cursor.string().filter(|_| cursor.rest.trim_matches([' ', ';', '\n', '\r', '\t']).is_empty())
    {
        return Some(Value::String(text));
    }
    let mentions = |name: &str| codes.iter().any(|code| words(code).any(|w| w == name));
    if mentions("out") || mentions("rules") || mentions("meta") {
        return run(acts, Map::new(), false);
    }
    if codes.iter().any(|code| code.contains('=')) {
        return run(acts, Map::new(), true);
    }
    Some(Value::String((*last).to_owned()))
}

/// For forgiving tags that are scripts but do not set `out`: one tag that declares the names they assign, and one
/// that makes an object of them.
pub(super) fn collect(acts: &[Act]) -> Option<(String, String)> {
    let codes =
        || acts.iter().filter_map(|a| if let Act::Tag { code, .. } = a { Some(&**code) } else { None });
    if codes().any(|code| words(code).any(|w| w == "out")) {
        return None;
    }
    let mut names: Vec<&str> = Vec::new();
    for statement in codes().flat_map(|code| code.split([';', '\n', '{', '}'])) {
        let statement = statement.trim_start();
        let statement = statement.strip_prefix("var ").unwrap_or(statement);
        let Some((name, value)) = statement.split_once('=') else { continue };
        let name = name.trim();
        let legal = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if legal && !value.starts_with('=') && !RESERVED.contains(&name) && !names.contains(&name) {
            names.push(name);
        }
    }
    let members: Vec<String> = names.iter().map(|n| format!("{n}:{n}")).collect();
    (!names.is_empty())
        .then(|| (format!("var {};", names.join(",")), format!("out={{{}}};", members.join(","))))
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).filter(|w| !w.is_empty())
}

struct Scope<'a> {
    out: Value,
    vars: Map<String, Value>,
    rules: Vec<(&'a str, &'a Value, &'a str)>,
    latest: Option<(&'a Value, &'a str)>,
    current: String,
    loose: bool,
    /// Objects taken from rules, which ECMAScript shares and this copies: they may not be changed if taken twice.
    shared: Cell<u32>,
    /// One of them may have been changed.
    changed: bool,
}

impl Scope<'_> {
    /// A value out of a rule, if copying it cannot be told from sharing it.
    fn take(&self, value: Value) -> Option<Value> {
        if value.is_object() || value.is_array() {
            if self.changed {
                return None;
            }
            self.shared.set(self.shared.get() + 1);
        }
        Some(value)
    }
}

struct Cursor<'c> {
    rest: &'c str,
}

impl<'c> Cursor<'c> {
    fn program(&mut self, scope: &mut Scope<'_>) -> Option<()> {
        loop {
            self.space();
            if self.rest.is_empty() {
                return Some(());
            }
            if self.eat(";") {
                continue;
            }
            self.statement(scope)?;
            // A line break may end a statement, a mere space may not.
            let before = self.rest;
            self.space();
            let broken = before[..before.len() - self.rest.len()].contains('\n');
            if !(self.rest.is_empty() || self.eat(";") || broken) {
                return None;
            }
        }
    }

    fn statement(&mut self, scope: &mut Scope<'_>) -> Option<()> {
        let declares = self.keyword("var");
        let path = self.path()?;
        self.space();
        let (&head, tail) = path.split_first()?;
        if declares && (head == "out" || !tail.is_empty()) {
            return None;
        }
        if !tail.is_empty() {
            if scope.shared.get() > 1 {
                return None;
            }
            scope.changed = scope.shared.get() > 0;
        }
        let adds = !declares && self.eat("+=");
        if !adds && (self.rest.starts_with("==") || !self.eat("=")) {
            return None;
        }
        let value = self.expression(scope)?;
        let place = if head == "out" && !scope.loose {
            &mut scope.out
        } else {
            if matches!(head, "rules" | "meta" | "out") {
                return None;
            }
            if !declares && !scope.loose && !scope.vars.contains_key(head) {
                return None;
            }
            scope.vars.entry(head).or_insert(Value::Null)
        };
        let place = descend(place, tail)?;
        *place = if adds { add(place.clone(), value)? } else { value };
        Some(())
    }

    fn expression(&mut self, scope: &Scope<'_>) -> Option<Value> {
        let mut value = self.term(scope)?;
        loop {
            self.space();
            if self.rest.starts_with("++") || self.rest.starts_with("+=") || !self.eat("+") {
                return Some(value);
            }
            value = add(value, self.term(scope)?)?;
        }
    }

    fn term(&mut self, scope: &Scope<'_>) -> Option<Value> {
        self.space();
        if let Some(text) = self.string() {
            return Some(Value::String(text));
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return self.number();
        }
        if self.eat("{") {
            self.space();
            return self.eat("}").then(|| Value::Object(Map::new()));
        }
        if self.keyword("new") {
            if !self.keyword("Object") {
                return None;
            }
            self.space();
            if self.eat("(") {
                self.space();
                return self.eat(")").then(|| Value::Object(Map::new()));
            }
            return Some(Value::Object(Map::new()));
        }
        for (word, value) in
            [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)]
        {
            if self.keyword(word) {
                return Some(value);
            }
        }
        let path = self.path()?;
        self.read(&path, scope)
    }

    fn read(&mut self, path: &[&'c str], scope: &Scope<'_>) -> Option<Value> {
        let calls = self.rest.trim_start().starts_with('(');
        match path {
            ["rules", "latest"] if calls => {
                self.call()?;
                let (value, _) = scope.latest?;
                self.follow(value).and_then(|v| scope.take(v))
            }
            ["meta", which @ ("latest" | "current")] if calls => {
                self.call()?;
                let text = if *which == "latest" { scope.latest?.1 } else { &scope.current };
                (self.eat(".") && self.path()? == ["text"]).then(|| Value::String(text.to_owned()))
            }
            _ if calls => None,
            ["meta", rule, "text"] => {
                let (.., text) = scope.rules.iter().find(|(name, ..)| name == rule)?;
                Some(Value::String((*text).to_owned()))
            }
            ["rules", rule, tail @ ..] => {
                let (_, value, _) = scope.rules.iter().find(|(name, ..)| name == rule)?;
                lookup(value, tail).and_then(|v| scope.take(v))
            }
            ["out", tail @ ..] => lookup(&scope.out, tail).filter(|v| !v.is_object()),
            [name, tail @ ..] => lookup(scope.vars.get(*name)?, tail).filter(|v| !v.is_object()),
            [] => None,
        }
    }

    /// `.a.b` after a call.
    fn follow(&mut self, value: &Value) -> Option<Value> {
        if self.rest.starts_with('.') {
            self.eat(".");
            let path = self.path()?;
            return (!self.rest.trim_start().starts_with(['(', '['])).then(|| lookup(value, &path))?;
        }
        (!self.rest.trim_start().starts_with(['(', '['])).then(|| value.clone())
    }

    fn call(&mut self) -> Option<()> {
        self.space();
        let opened = self.eat("(");
        self.space();
        (opened && self.eat(")")).then_some(())
    }

    fn path(&mut self) -> Option<Vec<&'c str>> {
        let mut path = vec![self.name()?];
        while self.rest.starts_with('.') {
            self.eat(".");
            path.push(self.name()?);
        }
        // Names that mean something to ECMAScript are none of ours.
        let known = path.iter().all(|name| !RESERVED.contains(name));
        (known && !self.rest.starts_with('[') && path.len() <= 16).then_some(path)
    }

    fn name(&mut self) -> Option<&'c str> {
        self.space();
        let legal = |c: char| c.is_alphanumeric() || c == '_';
        let end = self.rest.find(|c| !legal(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || rest.starts_with(['$', '\\'])
        {
            return None;
        }
        self.rest = rest;
        Some(name)
    }

    fn number(&mut self) -> Option<Value> {
        let end = self.rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        // No octals, no exponents: those are for the engine.
        let octal = text.len() > 1 && text.starts_with('0') && !text.starts_with("0.");
        if octal || text.len() > 15 || rest.starts_with(|c: char| c.is_alphabetic()) {
            return None;
        }
        self.rest = rest;
        if let Ok(whole) = text.parse::<i64>() {
            return Some(whole.into());
        }
        text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number)
    }

    /// A string literal without escapes.
    fn string(&mut self) -> Option<String> {
        let quote = self.rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (text, rest) = self.rest[1..].split_once(quote)?;
        if text.contains(['\\', '\n', '\r', '\u{2028}', '\u{2029}']) {
            return None;
        }
        self.rest = rest;
        Some(text.to_owned())
    }

    fn keyword(&mut self, word: &str) -> bool {
        self.space();
        let Some(rest) = self.rest.strip_prefix(word) else { return false };
        if rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$')) {
            return false;
        }
        self.rest = rest;
        true
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

/// Names whose meaning is the engine's business.
pub(super) const RESERVED: [&str; 16] = [
    "this",
    "function",
    "return",
    "if",
    "for",
    "while",
    "new",
    "typeof",
    "delete",
    "void",
    "arguments",
    "eval",
    "undefined",
    "length",
    "__proto__",
    "constructor",
];

fn lookup(value: &Value, path: &[&str]) -> Option<Value> {
    path.iter().try_fold(value, |value, name| value.as_object()?.get(*name)).cloned()
}

/// The place of a property; only the last name may be new.
fn descend<'v>(mut place: &'v mut Value, path: &[&str]) -> Option<&'v mut Value> {
    for (n, name) in path.iter().enumerate() {
        let object = place.as_object_mut()?;
        if n + 1 < path.len() && !object.contains_key(*name) {
            return None;
        }
        place = object.entry(*name).or_insert(Value::Null);
    }
    Some(place)
}

/// ECMAScript's `+` for strings and small whole numbers.
fn add(left: Value, right: Value) -> Option<Value> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    };
    match (&left, &right) {
        (Value::String(_), _) | (_, Value::String(_)) => Some(Value::String(text(&left)? + &text(&right)?)),
        (Value::Number(a), Value::Number(b)) => {
            let sum = a.as_i64()?.checked_add(b.as_i64()?)?;
            (sum.abs() < 1 << 53).then(|| sum.into())
        }
        _ => None,
    }
}
