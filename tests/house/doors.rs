//! Law 1: a room is pure unless the file lives under its `io/`.

use support::repo::{files, relative};

/// Words that belong behind a door, with what to do instead.
const DOOR_WORDS: &[(&str, &str)] = &[
    ("std::net::UdpSocket", "sockets stand in io/ or in control/node"),
    ("std::net::TcpStream", "sockets stand in io/ or in control/node"),
    ("std::net::TcpListener", "sockets stand in io/ or in control/node"),
    ("std::fs", "files stand in io/ or in control/node"),
    ("std::thread", "threads stand in io/ or in control/node"),
    ("std::env", "the environment is read in control/node only"),
    ("std::process", "processes are started in control/node only"),
    ("Instant::now", "time is units::Now, handed in"),
    ("SystemTime", "time is units::Now, handed in"),
    ("tokio", "tokio stands in control/node and above"),
    ("libc::", "libc stands in io/"),
    ("io_uring", "io_uring stands in io/"),
];

/// Rooms that are pure outside `io/`.
const ROOMS: &[&str] =
    &["units/src", "hw/src", "dataplane/src", "vxml/src", "control/signalling/src", "control/src"];

/// A line without its comment and without what is allowed to name a door word.
fn code(line: &str) -> &str {
    let line = line.trim_start();
    if line.starts_with("//") { "" } else { line.split("//").next().unwrap_or("") }
}

fn behind_a_door(path: &str) -> bool {
    path.contains("/io/") || path.contains("/dsp/simd/")
}

#[test]
fn law_1_door_words_stand_behind_doors() {
    let mut broken = Vec::new();
    for file in ROOMS.iter().flat_map(|r| files(r, "rs")) {
        let path = relative(&file);
        if behind_a_door(&path) {
            continue;
        }
        let text = std::fs::read_to_string(&file).expect("a source file is readable");
        let body = text.split("#[cfg(test)]").next().unwrap_or("");
        for (n, line) in body.lines().enumerate() {
            for (word, mend) in DOOR_WORDS {
                if code(line).contains(word) && !code(line).contains("std::thread::panicking") {
                    broken.push(format!("{path}:{}: `{word}`: {mend}", n + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "law 1 is broken:\n{}", broken.join("\n"));
}

#[test]
fn law_1_unsafe_stands_behind_doors() {
    let mut broken = Vec::new();
    for file in ROOMS.iter().flat_map(|r| files(r, "rs")) {
        let path = relative(&file);
        let text = std::fs::read_to_string(&file).expect("a source file is readable");
        for (n, line) in text.lines().enumerate() {
            let word = code(line).split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "unsafe");
            // `hw::dsp` may hold vector kernels, one a file, named so.
            let kernel = path.starts_with("hw/src/dsp/") && path.contains("/kernel/");
            if word && !behind_a_door(&path) && !kernel {
                broken.push(format!("{path}:{}: unsafe outside io/", n + 1));
            }
        }
    }
    assert!(broken.is_empty(), "unsafe outside its doors:\n{}", broken.join("\n"));
}

#[test]
fn law_1_doorless_rooms_forbid_unsafe_and_the_others_deny_it() {
    for (lib, word) in [
        ("units/src/lib.rs", "#![forbid(unsafe_code)]"),
        ("vxml/src/lib.rs", "#![forbid(unsafe_code)]"),
        ("control/signalling/src/lib.rs", "#![forbid(unsafe_code)]"),
        ("control/src/lib.rs", "#![forbid(unsafe_code)]"),
        ("hw/src/lib.rs", "#![deny(unsafe_code)]"),
        ("dataplane/src/lib.rs", "#![deny(unsafe_code)]"),
    ] {
        let text = std::fs::read_to_string(support::repo::root().join(lib)).expect("the room has a lib.rs");
        assert!(text.contains(word), "{lib} must hold {word}");
    }
}

#[test]
fn every_unsafe_block_has_its_proof() {
    let mut broken = Vec::new();
    for file in ["units", "hw", "dataplane", "vxml", "control", "bench"].iter().flat_map(|r| files(r, "rs")) {
        let text = std::fs::read_to_string(&file).expect("a source file is readable");
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            if code(line).contains("unsafe {") {
                let above = lines[n.saturating_sub(12)..=n].join("\n");
                if !above.contains("SAFETY:") {
                    broken.push(format!("{}:{}", relative(&file), n + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "unsafe without `// SAFETY:`:\n{}", broken.join("\n"));
}
