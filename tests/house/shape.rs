//! Sizes and first lines: a file has a `//!`, at most 800 lines, and no word that means "later".

use support::repo::{files, relative};

const ALL: &[&str] = &["units", "hw", "dataplane", "vxml", "control", "bench", "tests"];

/// Lines in a file, at most (style: Size).
const FILE_LINES_MAX: usize = 800;

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut broken = Vec::new();
    for file in ALL.iter().flat_map(|r| files(r, "rs")) {
        let text = std::fs::read_to_string(&file).expect("a source file is readable");
        let n = text.lines().count();
        if n > FILE_LINES_MAX {
            broken.push(format!("{}: {n} lines", relative(&file)));
        }
        let opens = text.lines().find(|l| !l.trim().is_empty() && !l.starts_with("#!["));
        if !opens.is_some_and(|l| l.starts_with("//!")) {
            broken.push(format!("{}: no //! at its head", relative(&file)));
        }
    }
    assert!(broken.is_empty(), "shape:\n{}", broken.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    let mut broken = Vec::new();
    for file in ALL.iter().flat_map(|r| files(r, "rs")) {
        let path = relative(&file);
        if path == "tests/house/shape.rs" {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source file is readable");
        for (n, line) in text.lines().enumerate() {
            if ["todo!(", "unimplemented!(", "#[ignore", "TODO", "FIXME"].iter().any(|w| line.contains(w)) {
                broken.push(format!("{path}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "left for later:\n{}", broken.join("\n"));
}
