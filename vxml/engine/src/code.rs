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
