//! What is written for people: every norm that the code cites stands in `docs/specs.md`, every page that a page
//! points to exists, every promise has a test or says that it has none.

use std::collections::BTreeSet;
use support::repo::{files, relative, root};

fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// `RFC 3261` and the like, wherever a comment cites a section of it (`RFC n §`).
fn cited(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("RFC ") {
        let rest = &text[at + 4..];
        let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if number.len() >= 3 && rest[number.len()..].trim_start().starts_with('§') {
            found.insert(format!("RFC {number}"));
        }
    }
    found
}

#[test]
fn every_cited_rfc_stands_in_specs() {
    let specs = page("docs/specs.md");
    let mut missing = BTreeSet::new();
    for file in ["units", "hw", "dataplane", "vxml", "control", "bench"].iter().flat_map(|r| files(r, "rs")) {
        let text = std::fs::read_to_string(&file).expect("a source file is readable");
        for rfc in cited(&text).into_iter().filter(|r| !specs.contains(r.as_str())) {
            missing.insert(format!("{rfc} (cited in {})", relative(&file)));
        }
    }
    assert!(
        missing.is_empty(),
        "docs/specs.md lacks:\n{}",
        missing.into_iter().collect::<Vec<_>>().join("\n")
    );
}

#[test]
fn pages_point_to_pages_that_exist() {
    let mut broken = Vec::new();
    let pages = files("docs", "md").into_iter().chain(
        files(".", "md")
            .into_iter()
            .filter(|p| p.parent() == Some(root().as_path()) || p.starts_with(root().join("bench"))),
    );
    for file in pages {
        let text = std::fs::read_to_string(&file).expect("a page is readable");
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#', ' ']).next().unwrap_or("");
            let outside = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
            if !outside && !file.parent().expect("a file has a folder").join(target).exists() {
                broken.push(format!("{}: {target}", relative(&file)));
            }
        }
    }
    assert!(broken.is_empty(), "dead links:\n{}", broken.join("\n"));
}

#[test]
fn every_promise_names_its_test_or_says_there_is_none() {
    let text = page("bench/PROMISES.md");
    let rows: Vec<&str> = text
        .lines()
        .filter(|l| l.starts_with('|') && !l.contains("---") && !l.starts_with("| promise"))
        .collect();
    assert!(rows.len() >= 10, "PROMISES.md has {} rows", rows.len());
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        assert!(cells.len() >= 5, "a promise has promise, goal, measured, command, test: {row}");
        let test = cells[4];
        assert!(
            test == "no test yet" || test.contains("tests/") || test.contains("::") || test.contains('/'),
            "the last cell names the test or says \"no test yet\": {row}"
        );
    }
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let mut numbers: Vec<u32> = files("docs/decisions", "md")
        .iter()
        .filter_map(|p| p.file_name()?.to_str()?.get(..4)?.parse().ok())
        .collect();
    numbers.sort_unstable();
    let expected: Vec<u32> = (1..=u32::try_from(numbers.len()).expect("few pages")).collect();
    assert_eq!(numbers, expected, "docs/decisions/NNNN-title.md");
}
