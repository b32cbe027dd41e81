//! The demo itself, as a user runs it.

use std::process::Command;
use support::peers::ours;

#[test]
fn the_demo_goes_as_it_should() {
    let out = tempfile::tempdir().expect("a temporary folder");
    let run = Command::new(ours("carillon-bench"))
        .arg("demo")
        .arg("--out")
        .arg(out.path())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    for number in ["0100", "0101", "0102"] {
        let wav = out.path().join(format!("heard-{number}.wav"));
        assert!(wav.metadata().is_ok_and(|m| m.len() > 80_000), "{}", wav.display());
    }
    println!("{}", said.lines().filter(|l| l.starts_with("ok ")).count());
}
