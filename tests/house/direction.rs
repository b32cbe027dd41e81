//! Law 2: rooms look only downwards, and each has its list of crates. By `cargo tree --no-dedupe`: without that flag
//! cargo hides repeated crates behind `(*)` and the test would pass falsely.

use std::collections::BTreeSet;
use std::process::Command;
use support::repo::root;

/// Room, the rooms it may see, and crates that must appear nowhere below it.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    ("carillon-units", &[], PURE),
    ("carillon-hw", &["carillon-units"], NO_RUNTIME),
    ("carillon-dataplane", &["carillon-units", "carillon-hw"], NO_RUNTIME),
    ("carillon-engine", &["carillon-units"], PURE),
    ("carillon-vxml", &["carillon-units", "carillon-engine"], PURE),
    ("carillon-signalling", &["carillon-units"], PURE),
    (
        "carillon-control",
        &[
            "carillon-units",
            "carillon-vxml",
            "carillon-engine",
            "carillon-signalling",
            "carillon-dataplane",
            "carillon-hw",
        ],
        NO_RUNTIME,
    ),
];

const PURE: &[&str] = &["tokio", "mio", "io-uring", "socket2", "rusqlite", "reqwest", "crossbeam"];
const NO_RUNTIME: &[&str] = &["tokio", "mio", "socket2", "rusqlite", "reqwest"];

/// Crates a pure room may name itself; each has its line in `docs/decisions/`.
const DIRECT: &[(&str, &[&str])] = &[
    ("units", &["serde"]),
    ("vxml", &["units", "engine", "serde", "serde_json", "quick-xml", "url"]),
    ("control/signalling", &["units", "serde", "sdp-types", "md-5", "sha2", "base64"]),
    (
        "control",
        &[
            "units",
            "vxml",
            "signalling",
            "dataplane",
            "serde",
            "serde_json",
            "toml",
            "jiff",
            "phonenumber",
            "mail-parser",
            "smtp-proto",
            "quick-xml",
            "sha2",
            "hmac",
            "ed25519-dalek",
            "base64",
            "url",
            "subtle",
        ],
    ),
];

fn tree(package: &str) -> BTreeSet<String> {
    let out = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "tree",
            "--offline",
            "--locked",
            "--no-dedupe",
            "-e",
            "normal",
            "--prefix",
            "none",
            "-p",
            package,
        ])
        .output()
        .expect("cargo runs");
    assert!(out.status.success(), "cargo tree -p {package}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter_map(|l| l.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != package)
        .collect()
}

#[test]
fn law_2_rooms_look_only_downwards() {
    for (package, may_see, never) in ROOMS {
        let below = tree(package);
        for name in &below {
            let house = name == "carillon" || name.starts_with("carillon-");
            assert!(!house || may_see.contains(&name.as_str()), "{package} looks into {name}");
            assert!(!never.contains(&name.as_str()), "{package} brings {name} in");
        }
    }
}

#[test]
fn pure_rooms_name_only_their_crates() {
    for (dir, allowed) in DIRECT {
        let text =
            std::fs::read_to_string(root().join(dir).join("Cargo.toml")).expect("the room has a manifest");
        let deps = text.split("[dependencies]").nth(1).expect("a dependency table").split("\n[").next();
        for line in deps.unwrap_or("").lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
            let name = line.split(['.', ' ', '=']).next().unwrap_or("");
            assert!(
                allowed.contains(&name),
                "{dir}/Cargo.toml names {name}: extend the list with a decision"
            );
        }
    }
}
