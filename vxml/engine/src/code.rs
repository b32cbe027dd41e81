//! Source text made into bytecode that knows nothing of the session it will run in.

use std::sync::Arc;

/// Compiled once, run in any engine of this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Code {
    pub(crate) bytes: Arc<[u8]>,
    /// The source can create a global by accident (it holds an assignment), so the globals are looked at after it.
    pub(crate) writes: bool,
}

impl Code {
    /// Octets of bytecode.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// An expression as a function of the five scopes.
pub(crate) fn wrap_expression(source: &str) -> String {
    format!("(function($0,$1,$2,$3,$4){{with($0)with($1)with($2)with($3)with($4){{return (\n{source}\n)}}}})")
}

/// A program as a function of the five scopes and the current one (`$5`), to which it exports `names`: `var`s must
/// already be defined there, functions are hoisted within the block and exported before the body runs, and what
/// `let`, `const` and `class` declare is exported when it has run.
pub(crate) fn wrap_program(source: &str, functions: &[&str], lexical: &[&str]) -> String {
    let export = |names: &[&str]| names.iter().map(|n| format!("$5.{n}={n};")).collect::<String>();
    format!(
        "(function($0,$1,$2,$3,$4,$5){{with($0)with($1)with($2)with($3)with($4){{{}\n{source}\n;{}}}}})",
        export(functions),
        export(lexical)
    )
}

/// Whether the text may assign to something: an `=` that is no comparison, `++` or `--`, or a call of `eval`.
pub(crate) fn may_write(source: &str) -> bool {
    let b = source.as_bytes();
    let at = |i: usize| b.get(i).copied().unwrap_or(b' ');
    let assigns = (0..b.len()).any(|i| match b[i] {
        b'=' => {
            let before = if i == 0 { b' ' } else { b[i - 1] };
            at(i + 1) != b'=' && !matches!(before, b'=' | b'!' | b'<' | b'>')
                || i >= 2 && at(i - 1) == at(i - 2) && matches!(before, b'<' | b'>')
        }
        b'+' | b'-' => at(i + 1) == b[i],
        _ => false,
    });
    assigns || source.contains("eval") || source.contains("Function") || source.contains('(')
}

/// Whether the text has a big integer's literal (`123n`). Strings and comments are passed over as long as it is certain
/// what they are; from the first slash, back quote or odd line end that is none of a comment, anything that looks like
/// such a literal is one.
pub(crate) fn has_big_integer(b: &[u8]) -> bool {
    let word = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$') || c >= 0x80;
    let (mut i, mut certain) = (0, true);
    while i < b.len() {
        if certain && let Some(end) = hidden(b, i) {
            match end {
                Hidden::Until(end) => i = end,
                Hidden::Unclear => {
                    certain = false;
                    i += 1;
                }
            }
        } else if b[i].is_ascii_digit() {
            let end = (i..b.len()).find(|&j| !word(b[j])).unwrap_or(b.len());
            if b[end - 1] == b'n' {
                return true;
            }
            i = end;
        } else if word(b[i]) {
            i = (i..b.len()).find(|&j| !word(b[j])).unwrap_or(b.len());
        } else {
            i += 1;
        }
    }
    false
}

enum Hidden {
    Until(usize),
    Unclear,
}

/// A string or comment that begins here.
fn hidden(b: &[u8], i: usize) -> Option<Hidden> {
    let rest = &b[i..];
    let odd_end = |j: usize| {
        let end = rest.get(j..).unwrap_or_default();
        [&b"\r"[..], "\u{2028}".as_bytes(), "\u{2029}".as_bytes()].iter().any(|odd| end.starts_with(odd))
    };
    match rest[0] {
        quote @ (b'"' | b'\'') => {
            let mut j = 1;
            while let Some(&c) = rest.get(j) {
                if c == quote {
                    return Some(Hidden::Until(i + j + 1));
                }
                if c == b'\n' || odd_end(j) {
                    return Some(Hidden::Unclear);
                }
                j += if c == b'\\' { 2 } else { 1 };
            }
            Some(Hidden::Unclear)
        }
        b'/' if rest.starts_with(b"//") => {
            let end = (0..rest.len()).find(|&j| rest[j] == b'\n' || odd_end(j)).unwrap_or(rest.len());
            Some(if odd_end(end) { Hidden::Unclear } else { Hidden::Until(i + end) })
        }
        b'/' if rest.starts_with(b"/*") => {
            let end = rest.windows(2).skip(2).position(|w| w == b"*/");
            Some(end.map_or(Hidden::Unclear, |end| Hidden::Until(i + end + 4)))
        }
        b'/' | b'`' => Some(Hidden::Unclear),
        b'<' if rest.starts_with(b"<!") => Some(Hidden::Unclear),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_integers_are_seen_outside_strings() {
        for (source, expected) in [
            ("1n", true),
            ("x + 0x1Fn", true),
            ("'1n'", false),
            ("a1n", false),
            ("1 + n", false),
            ("10", false),
            ("'http://x/1n'", false),
            ("a // 1n\n+ 2", false),
            ("a /* ' */ + 1n /* ' */", true),
            ("/'/.test(a); 1n; /'/", true),
            ("`${1n}`", true),
            ("<!-- '\r1n<!-- '", true),
            ("'a\\\r\n' + 1n + ''", true),
            ("'a\u{2028}b' + 1n + 'c'", true),
            ("a / 2 + '3n'", true),
        ] {
            assert_eq!(has_big_integer(source.as_bytes()), expected, "{source}");
        }
    }

    #[test]
    fn assignments_are_seen() {
        for (source, expected) in
            [("a == b", false), ("a = b", true), ("a <= b", false), ("i++", true), ("a >>= 1", true)]
        {
            assert_eq!(may_write(source), expected, "{source}");
        }
    }
}
