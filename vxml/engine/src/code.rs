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

/// Whether the text has a big integer's literal (`123n`) outside strings. They are refused: turning a large one into
/// decimal digits takes seconds that neither interrupt nor allocator sees. One made by `eval` of a composed text is
/// not seen here; its blast radius is the shard's thread for some three seconds.
pub(crate) fn has_big_integer(source: &str) -> bool {
    let b = source.as_bytes();
    let word = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$') || c >= 0x80;
    let mut i = 0;
    while i < b.len() {
        if matches!(b[i], b'"' | b'\'') {
            let quote = b[i];
            i += 1;
            while i < b.len() && b[i] != quote && b[i] != b'\n' {
                i += if b[i] == b'\\' { 2 } else { 1 };
            }
            i += 1;
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
        ] {
            assert_eq!(has_big_integer(source), expected, "{source}");
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
