//! The DTMF detector against ITU-T Q.24 (AT&T column), on a generated tape; libspandsp scored on the same tape beside it.
//!
//! Goal: every row right, and in no row worse than the oracle. The oracle is compiled and run at test time only; where
//! the library or a C compiler is missing, its column is left out and the test says so. Where packets are known to be
//! lost, ours is told so and the oracle gets concealed samples.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a test runs programs, uses files and is told by the environment how long to run"
)]

mod tape;

use hw::dsp::dtmf::{Detector, Edge, Event};
use std::io::Write as _;
use std::process::{Command, Stdio};
use tape::{Clip, Row};

fn heard(clip: &Clip) -> String {
    let mut detector = Detector::default();
    let mut digits = String::new();
    for (n, packet) in clip.samples.chunks(160).enumerate() {
        let mut hear = |e: Event| {
            if e.edge == Edge::Start {
                digits.push(e.digit.as_char());
            }
        };
        if clip.lost.get(n) == Some(&true) {
            detector.lost(packet.len(), &mut hear);
        } else {
            detector.feed(packet, &mut hear);
        }
    }
    digits
}

/// The oracle's digits for each clip of each row, or why there are none.
fn oracle(rows: &[Row]) -> Result<Vec<String>, String> {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let program = dir.path().join("oracle");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tape/oracle_dtmf.c");
    let built = Command::new("cc").args(["-O1", source, "-o"]).arg(&program).arg("-lspandsp").output();
    if !built.is_ok_and(|o| o.status.success()) {
        return Err("no C compiler or no libspandsp".into());
    }
    let input = dir.path().join("tape");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&input).map_err(|e| e.to_string())?);
    for (row, clip) in rows.iter().flat_map(|r| r.clips.iter().map(move |c| (r, c))) {
        let count = u32::try_from(clip.samples.len()).expect("short");
        file.write_all(&count.to_le_bytes()).map_err(|e| e.to_string())?;
        file.write_all(&u32::from(row.dial_filter).to_le_bytes()).map_err(|e| e.to_string())?;
        for s in &clip.samples {
            file.write_all(&s.to_le_bytes()).map_err(|e| e.to_string())?;
        }
    }
    drop(file);
    let stdin = Stdio::from(std::fs::File::open(&input).map_err(|e| e.to_string())?);
    let out = Command::new(&program).stdin(stdin).output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&out.stdout);
    Ok(text.lines().map(str::to_owned).collect())
}

#[test]
fn q24_every_row_and_never_worse_than_the_oracle() {
    let times = if std::env::var("CARILLON_LONG").is_ok_and(|v| v == "1") { 20 } else { 5 };
    let rows = tape::q24(times);
    let theirs = oracle(&rows);
    if let Err(why) = &theirs {
        println!("SKIPPED: comparison with libspandsp: {why}");
    }
    let mut at = 0;
    let mut wrong = Vec::new();
    println!("| row | clips | Carillon right | spandsp right |\n|---|---|---|---|");
    let (mut all, mut all_ours, mut all_theirs) = (0, 0, 0);
    for row in &rows {
        let ours = row.clips.iter().filter(|c| heard(c) == c.digits).count();
        let mark = if row.dial_filter { " (oracle's filter on)" } else { "" };
        let other = theirs.as_ref().ok().map(|lines| {
            let lines = &lines[at..at + row.clips.len()];
            row.clips.iter().zip(lines).filter(|(c, l)| **l == c.digits).count()
        });
        at += row.clips.len();
        let other_text = other.map_or_else(|| "-".to_owned(), |n| n.to_string());
        println!("| {}{mark} | {} | {ours} | {other_text} |", row.name, row.clips.len());
        all += row.clips.len();
        all_ours += ours;
        all_theirs += other.unwrap_or(0);
        let beyond = row.name.contains("beyond");
        // Rows beyond Q.24 are information: two packets lost in a row leave less of an 80 ms digit than 40 ms.
        if !beyond && (ours < row.clips.len() || other.is_some_and(|o| ours < o)) {
            wrong.push(row.name);
        }
    }
    println!("| all | {all} | {all_ours} | {all_theirs} |");
    assert!(wrong.is_empty(), "rows short: {wrong:?}");
}
