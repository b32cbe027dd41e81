//! What names a program declares at its top: enough of ECMAScript's lexical grammar to find `var`, `function`, `let`,
//! `const` and `class`, and no more. A name too many does no harm: it is only predefined as undefined.

/// Names by how they are declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    /// `var`, anywhere outside functions.
    pub(crate) vars: Vec<String>,
    /// `function` at the top.
    pub(crate) functions: Vec<String>,
    /// `let`, `const`, `class` at the top.
    pub(crate) lexical: Vec<String>,
}

/// The names a program declares.
pub(crate) fn declared(source: &str) -> Declared {
    let mut scan = Scan { tokens: tokens(source), at: 0, braces: Vec::new(), out: Declared::default() };
    scan.run();
    scan.out
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    Punct(u8),
    Other,
}

struct Scan<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    /// For each open brace, whether it is a function's body.
    braces: Vec<bool>,
    out: Declared,
}

impl Scan<'_> {
    fn run(&mut self) {
        let mut function = false;
        let mut depth = 0_i32;
        let mut list: Option<i32> = None;
        while let Some(&token) = self.tokens.get(self.at) {
            self.at += 1;
            let inside = self.braces.contains(&true);
            match token {
                Token::Word("function") => {
                    function = true;
                    self.function(inside);
                }
                Token::Word("var") if !inside => {
                    self.name(|d| &mut d.vars);
                    list = Some(depth);
                }
                Token::Word("let" | "const" | "class") if self.braces.is_empty() && depth == 0 => {
                    self.name(|d| &mut d.lexical);
                }
                Token::Punct(b',') if list == Some(depth) && !inside => self.name(|d| &mut d.vars),
                Token::Punct(b';') if list == Some(depth) => list = None,
                Token::Punct(b'(' | b'[') => depth += 1,
                Token::Punct(b')' | b']') => depth -= 1,
                Token::Punct(b'{') => {
                    self.braces.push(std::mem::take(&mut function));
                    depth += 1;
                }
                Token::Punct(b'}') => {
                    self.braces.pop();
                    depth -= 1;
                    if list.is_some_and(|d| d > depth) {
                        list = None;
                    }
                }
                Token::Punct(b'>') if self.at >= 2 && self.tokens[self.at - 2] == Token::Punct(b'=') => {
                    function = self.tokens.get(self.at) == Some(&Token::Punct(b'{'));
                }
                _ => {}
            }
        }
    }

    /// A function's name, if it stands at the top as a statement.
    fn function(&mut self, inside: bool) {
        let statement = match self.at.checked_sub(2).and_then(|i| self.tokens.get(i)) {
            None | Some(Token::Punct(b';' | b'}' | b'{')) => true,
            Some(Token::Punct(b')' | b']') | Token::Other) => true,
            Some(Token::Word(w)) => {
                !matches!(*w, "return" | "typeof" | "new" | "in" | "of" | "void" | "delete" | "throw")
            }
            Some(Token::Punct(_)) => false,
        };
        if statement && !inside && self.braces.is_empty() {
            self.name(|d| &mut d.functions);
        }
    }

    fn name(&mut self, list: impl FnOnce(&mut Declared) -> &mut Vec<String>) {
        if let Some(Token::Word(name)) = self.tokens.get(self.at) {
            let names = list(&mut self.out);
            if !names.iter().any(|n| n == name) {
                names.push((*name).to_owned());
            }
        }
    }
}

fn tokens(source: &str) -> Vec<Token<'_>> {
    let b = source.as_bytes();
    let mut out = Vec::new();
    let mut i = 0;
    while i < b.len() {
        let c = b[i];
        match c {
            b'/' if b.get(i + 1) == Some(&b'/') => i = find(b, i, b"\n"),
            b'<' if source.as_bytes()[i..].starts_with(b"<!--") => i = find(b, i, b"\n"),
            b'/' if b.get(i + 1) == Some(&b'*') => i = find(b, i + 2, b"*/"),
            b'"' | b'\'' | b'`' => {
                i = quoted(b, i, c);
                out.push(Token::Other);
            }
            b'/' if starts_regex(out.last()) => {
                i = regex(b, i);
                out.push(Token::Other);
            }
            _ if c.is_ascii_alphabetic() || matches!(c, b'_' | b'$') || c >= 0x80 => {
                let end = (i..b.len()).find(|&j| !is_word(b[j])).unwrap_or(b.len());
                out.push(Token::Word(&source[i..end]));
                i = end;
            }
            _ if c.is_ascii_digit() => {
                i = (i..b.len()).find(|&j| !is_word(b[j]) && b[j] != b'.').unwrap_or(b.len());
                out.push(Token::Other);
            }
            _ if c.is_ascii_whitespace() => i += 1,
            _ => {
                out.push(Token::Punct(c));
                i += 1;
            }
        }
    }
    out
}

fn is_word(c: u8) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$') || c >= 0x80
}

/// The offset behind the next `what`, or the end.
fn find(b: &[u8], from: usize, what: &[u8]) -> usize {
    let from = from.min(b.len());
    b[from..].windows(what.len()).position(|w| w == what).map_or(b.len(), |p| from + p + what.len())
}

fn quoted(b: &[u8], start: usize, quote: u8) -> usize {
    let mut i = start + 1;
    while i < b.len() && b[i] != quote {
        i += if b[i] == b'\\' { 2 } else { 1 };
    }
    (i + 1).min(b.len())
}

/// ECMA-262 §12: a slash begins a regular expression where no operand has just ended.
fn starts_regex(before: Option<&Token<'_>>) -> bool {
    match before {
        None => true,
        Some(Token::Word(w)) => matches!(*w, "return" | "typeof" | "case" | "in" | "of" | "void" | "delete"),
        Some(Token::Punct(c)) => !matches!(c, b')' | b']' | b'}'),
        Some(Token::Other) => false,
    }
}

fn regex(b: &[u8], start: usize) -> usize {
    let (mut i, mut class) = (start + 1, false);
    while i < b.len() && b[i] != b'\n' && (b[i] != b'/' || class) {
        match b[i] {
            b'\\' => i += 1,
            b'[' => class = true,
            b']' => class = false,
            _ => {}
        }
        i += 1;
    }
    (i + 1).min(b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, vars: &str, functions: &str, lexical: &str) {
        let d = declared(source);
        let text = |v: &[String]| v.join(" ");
        assert_eq!(
            (text(&d.vars), text(&d.functions), text(&d.lexical)),
            (vars.into(), functions.into(), lexical.into())
        );
    }

    #[test]
    fn declarations_are_found_and_those_inside_functions_are_not() {
        check("var a = 1, b = [2, 3], c; function f(x, y) { var z = 1; function g() {} }", "a b c", "f", "");
        check("if (x) { var y = /[/]var q/; } // var no\n/* var no */ 'var no'", "y", "", "");
        check("let a = 1; const b = 2; class C {} for (var i = 0, n = 3; i < n; i++) {}", "i n", "", "a b C");
        check("x = function h() { var no; }; (function () { var no; })();", "", "", "");
        check("var f = (a) => { var no; }", "f", "", "");
    }
}
