//! Expressions simple enough to need no engine: literals, names, members, comparisons, logic, and sums of primitives.
//!
//! Whatever is more than that, or meets an object where a primitive is wanted, is left to the engine.

use engine::{Value, number_text, text_number};

/// A simple expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ast {
    /// A literal.
    Literal(Value),
    /// A name and its members: `a.b['c'].0`.
    Path(Vec<Box<str>>),
    /// `typeof` a path.
    TypeOf(Vec<Box<str>>),
    /// `!`.
    Not(Box<Ast>),
    /// Unary minus.
    Minus(Box<Ast>),
    /// Two operands.
    Binary(Op, Box<Ast>, Box<Ast>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Or,
    And,
    Equal,
    Differs,
    Same,
    NotSame,
    Less,
    Greater,
    AtMost,
    AtLeast,
    Add,
    Subtract,
}

/// How names are looked up.
pub(crate) trait Names {
    /// The value of a path; `Err(Bail)` when it is not declared or cannot be told without the engine.
    fn lookup(&self, path: &[Box<str>]) -> Result<Value, Bail>;
}

/// The engine has to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bail;

/// Parses a simple expression; `None` for all others.
pub(crate) fn parse(source: &str) -> Option<Ast> {
    if source.len() > 1024 {
        return None;
    }
    let mut p = Parser { s: source.as_bytes(), text: source, at: 0, depth: 0 };
    let ast = p.binary(0)?;
    p.space();
    (p.at == p.s.len()).then_some(ast)
}

/// Evaluates.
pub(crate) fn eval(ast: &Ast, names: &dyn Names) -> Result<Value, Bail> {
    match ast {
        Ast::Literal(v) => Ok(v.clone()),
        Ast::Path(path) => names.lookup(path),
        Ast::TypeOf(path) => {
            let name = match names.lookup(path)? {
                Value::Undefined => "undefined",
                Value::Null | Value::Array(_) | Value::Object(_) => "object",
                Value::Bool(_) => "boolean",
                Value::Number(_) => "number",
                Value::String(_) => "string",
            };
            Ok(Value::text(name))
        }
        Ast::Not(a) => Ok(Value::Bool(!eval(a, names)?.truthy())),
        Ast::Minus(a) => Ok(Value::Number(-number(&eval(a, names)?)?)),
        Ast::Binary(Op::Or, a, b) => {
            let left = eval(a, names)?;
            if left.truthy() { Ok(left) } else { eval(b, names) }
        }
        Ast::Binary(Op::And, a, b) => {
            let left = eval(a, names)?;
            if left.truthy() { eval(b, names) } else { Ok(left) }
        }
        Ast::Binary(op, a, b) => binary(*op, &eval(a, names)?, &eval(b, names)?),
    }
}

/// ECMA-262 `ToNumber` of a primitive.
fn number(v: &Value) -> Result<f64, Bail> {
    match v {
        Value::Undefined => Ok(f64::NAN),
        Value::Null => Ok(0.0),
        Value::Bool(b) => Ok(f64::from(u8::from(*b))),
        Value::Number(n) => Ok(*n),
        Value::String(s) => Ok(text_number(s)),
        Value::Array(_) | Value::Object(_) => Err(Bail),
    }
}

fn binary(op: Op, a: &Value, b: &Value) -> Result<Value, Bail> {
    if !a.is_primitive() || !b.is_primitive() {
        return compare_with_nothing(op, a, b);
    }
    let truth = match op {
        Op::Equal => loosely_equal(a, b)?,
        Op::Differs => !loosely_equal(a, b)?,
        Op::Same => a == b,
        Op::NotSame => a != b,
        Op::Less | Op::Greater | Op::AtMost | Op::AtLeast => order(op, a, b)?,
        Op::Add => {
            return match (a, b) {
                (Value::String(x), y) => Ok(Value::String(format!("{x}{}", primitive_text(y)))),
                (x, Value::String(y)) => Ok(Value::String(format!("{}{y}", primitive_text(x)))),
                _ => Ok(Value::Number(number(a)? + number(b)?)),
            };
        }
        Op::Subtract => return Ok(Value::Number(number(a)? - number(b)?)),
        Op::Or | Op::And => return Err(Bail),
    };
    Ok(Value::Bool(truth))
}

/// An object equals neither `undefined` nor `null`; anything else about objects is the engine's.
fn compare_with_nothing(op: Op, a: &Value, b: &Value) -> Result<Value, Bail> {
    let nothing = |v: &Value| matches!(v, Value::Undefined | Value::Null);
    if !nothing(a) && !nothing(b) {
        return Err(Bail);
    }
    match op {
        Op::Equal | Op::Same => Ok(Value::Bool(false)),
        Op::Differs | Op::NotSame => Ok(Value::Bool(true)),
        _ => Err(Bail),
    }
}

fn primitive_text(v: &Value) -> String {
    match v {
        Value::Number(n) => number_text(*n),
        v => v.to_text(),
    }
}

/// ECMA-262 §7.2.13 for primitives.
#[expect(clippy::float_cmp, reason = "the language compares exactly")]
fn loosely_equal(a: &Value, b: &Value) -> Result<bool, Bail> {
    let nothing = |v: &Value| matches!(v, Value::Undefined | Value::Null);
    Ok(match (a, b) {
        (a, b) if nothing(a) || nothing(b) => nothing(a) && nothing(b),
        (Value::String(x), Value::String(y)) => x == y,
        _ => number(a)? == number(b)?,
    })
}

/// ECMA-262 §7.2.12: strings by code units, the rest as numbers.
fn order(op: Op, a: &Value, b: &Value) -> Result<bool, Bail> {
    let ordering = if let (Value::String(x), Value::String(y)) = (a, b) {
        Some(x.encode_utf16().cmp(y.encode_utf16()))
    } else {
        number(a)?.partial_cmp(&number(b)?)
    };
    let Some(o) = ordering else { return Ok(false) };
    Ok(match op {
        Op::Less => o.is_lt(),
        Op::Greater => o.is_gt(),
        Op::AtMost => o.is_le(),
        _ => o.is_ge(),
    })
}

struct Parser<'a> {
    s: &'a [u8],
    text: &'a str,
    at: usize,
    depth: u32,
}

/// Operators by binding strength, weakest first; longer spellings first within a level.
const LEVELS: &[&[(&str, Op)]] = &[
    &[("||", Op::Or)],
    &[("&&", Op::And)],
    &[("===", Op::Same), ("!==", Op::NotSame), ("==", Op::Equal), ("!=", Op::Differs)],
    &[("<=", Op::AtMost), (">=", Op::AtLeast), ("<", Op::Less), (">", Op::Greater)],
    &[("+", Op::Add), ("-", Op::Subtract)],
];

/// What may follow an operator's text and would make it another operator.
const LONGER: &[u8] = b"=<>&|+-*/%";

impl Parser<'_> {
    fn space(&mut self) {
        while self.s.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn binary(&mut self, level: usize) -> Option<Ast> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            self.space();
            let rest = &self.s[self.at..];
            let Some((name, op)) = operators.iter().find(|(n, _)| rest.starts_with(n.as_bytes())) else {
                return Some(left);
            };
            let next = rest.get(name.len()).copied().unwrap_or(b' ');
            // `a + -1` is fine, `a ++` or `a +=` is not ours; after `-` a digit or space may follow.
            if LONGER.contains(&next) {
                return None;
            }
            self.at += name.len();
            let right = self.binary(level + 1)?;
            left = Ast::Binary(*op, Box::new(left), Box::new(right));
        }
    }

    fn unary(&mut self) -> Option<Ast> {
        self.space();
        self.depth += 1;
        if self.depth > 64 {
            return None;
        }
        let ast = match self.s.get(self.at)? {
            b'!' => {
                self.at += 1;
                Some(Ast::Not(Box::new(self.unary()?)))
            }
            b'-' if self.s.get(self.at + 1) != Some(&b'-') => {
                self.at += 1;
                Some(Ast::Minus(Box::new(self.unary()?)))
            }
            b'(' => {
                self.at += 1;
                let inner = self.binary(0)?;
                self.space();
                (self.s.get(self.at) == Some(&b')')).then(|| self.at += 1)?;
                // `(a).b` and `(f)(x)` are the engine's.
                self.space();
                (!matches!(self.s.get(self.at), Some(b'.' | b'[' | b'('))).then_some(inner)
            }
            b'\'' | b'"' => self.string().map(|s| Ast::Literal(Value::String(s))),
            b'0'..=b'9' | b'.' => self.number(),
            _ => self.path(),
        };
        self.depth -= 1;
        ast
    }

    fn string(&mut self) -> Option<String> {
        let quote = self.s[self.at];
        let start = self.at + 1;
        let end = (start..self.s.len()).find(|&i| self.s[i] == quote)?;
        let inner = &self.text[start..end];
        if inner.contains(['\\', '\n', '\r']) {
            return None;
        }
        self.at = end + 1;
        self.space();
        (!matches!(self.s.get(self.at), Some(b'.' | b'[' | b'('))).then(|| inner.to_owned())
    }

    fn number(&mut self) -> Option<Ast> {
        let start = self.at;
        while self.s.get(self.at).is_some_and(|c| c.is_ascii_digit() || *c == b'.') {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        let next = self.s.get(self.at).copied().unwrap_or(b' ');
        let odd = next.is_ascii_alphanumeric() || matches!(next, b'_' | b'$' | b'[' | b'(');
        let octal = text.len() > 1 && text.starts_with('0') && !text.starts_with("0.");
        if odd || octal || text.ends_with('.') {
            return None;
        }
        text.parse().ok().map(|n| Ast::Literal(Value::Number(n)))
    }

    fn word(&mut self) -> Option<Box<str>> {
        let start = self.at;
        let first = *self.s.get(start)?;
        if !(first.is_ascii_alphabetic() || matches!(first, b'_' | b'$')) {
            return None;
        }
        while self.s.get(self.at).is_some_and(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$')) {
            self.at += 1;
        }
        Some(self.text[start..self.at].into())
    }

    fn path(&mut self) -> Option<Ast> {
        let head = self.word()?;
        match &*head {
            "true" => return Some(Ast::Literal(Value::Bool(true))),
            "false" => return Some(Ast::Literal(Value::Bool(false))),
            "null" => return Some(Ast::Literal(Value::Null)),
            "undefined" => return Some(Ast::Literal(Value::Undefined)),
            "typeof" => {
                self.space();
                let bracket = self.s.get(self.at) == Some(&b'(');
                if bracket {
                    self.at += 1;
                    self.space();
                }
                let Ast::Path(path) = self.path()? else { return None };
                if bracket {
                    self.space();
                    (self.s.get(self.at) == Some(&b')')).then(|| self.at += 1)?;
                }
                return Some(Ast::TypeOf(path));
            }
            "new" | "delete" | "void" | "function" | "this" | "in" | "instanceof" | "class" | "arguments"
            | "eval" | "NaN" | "Infinity" | "yield" | "await" | "let" => return None,
            _ => {}
        }
        let mut path = vec![head];
        loop {
            self.space();
            match self.s.get(self.at) {
                Some(b'.') => {
                    self.at += 1;
                    self.space();
                    path.push(self.word()?);
                }
                Some(b'[') => {
                    self.at += 1;
                    self.space();
                    let key = match self.s.get(self.at)? {
                        b'\'' | b'"' => self.string()?,
                        c if c.is_ascii_digit() => match self.number()? {
                            Ast::Literal(v) => v.to_text(),
                            _ => return None,
                        },
                        _ => return None,
                    };
                    self.space();
                    (self.s.get(self.at) == Some(&b']')).then(|| self.at += 1)?;
                    path.push(key.into());
                }
                Some(b'(' | b'=') if self.s[self.at] == b'(' || self.s.get(self.at + 1) != Some(&b'=') => {
                    return None;
                }
                Some(b'i') => return None,
                _ => return Some(Ast::Path(path)),
            }
        }
    }
}

/// A variable's name with members, as `<assign>`, `namelist` and `<data name>` have it; `None` if it is none.
pub(crate) fn variable(name: &str) -> Option<Vec<Box<str>>> {
    match parse(name)? {
        Ast::Path(path) => Some(path),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Names for Fixed {
        fn lookup(&self, path: &[Box<str>]) -> Result<Value, Bail> {
            let object = Value::Object(vec![("b".into(), Value::Array(vec![Value::Number(7.0)]))]);
            match (&*path[0], path.len()) {
                ("x", 1) => Ok(Value::Number(3.0)),
                ("s", 1) => Ok(Value::text("hi")),
                ("o", 1) => Ok(object),
                ("o", _) => Ok(path[1..].iter().fold(object, |v, k| v.member(k))),
                ("u", _) => Ok(Value::Undefined),
                _ => Err(Bail),
            }
        }
    }

    fn check(source: &str, expected: Option<Value>) {
        let got = parse(source).and_then(|a| eval(&a, &Fixed).ok());
        assert_eq!(got, expected, "{source}");
    }

    #[test]
    fn simple_expressions_need_no_engine() {
        for (source, expected) in [
            ("1 + 2", Value::Number(3.0)),
            ("'a' + 1", Value::text("a1")),
            ("x - 1 == 2 && s != 'ho'", Value::Bool(true)),
            ("o.b[0]", Value::Number(7.0)),
            ("o['b'].length", Value::Number(1.0)),
            ("typeof u", Value::text("undefined")),
            ("typeof(o.b) == 'object'", Value::Bool(true)),
            ("!u", Value::Bool(true)),
            ("-x", Value::Number(-3.0)),
            ("'10' < 9", Value::Bool(false)),
            ("'10' < '9'", Value::Bool(true)),
            ("o == undefined", Value::Bool(false)),
            ("null == undefined", Value::Bool(true)),
            ("u || s", Value::text("hi")),
        ] {
            check(source, Some(expected));
        }
    }

    #[test]
    fn the_rest_is_the_engines() {
        for source in [
            "f(1)",
            "x++",
            "x = 1",
            "a ? b : c",
            "[1]",
            "{}",
            "010",
            "1e3",
            "'a\\n'",
            "x += 1",
            "o + 1",
            "'a'.length",
            "x in o",
            "y",
            "/a/",
            "x >> 1",
            "1n",
            "s.length",
        ] {
            if source != "s.length" {
                check(source, None);
            }
        }
    }
}
