//! `carillon-bench promises`: runs what `bench/PROMISES.md` states, says promise, figure, ratio, pass or short, and writes the
//! measured column.

mod probes;
mod table;

use probes::{Figure, PROBES, Probe};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use table::{Goal, Row, Table};
use tokio::process::Command;

/// `carillon-bench promises`.
#[derive(Clone, Debug, clap::Args)]
pub struct PromisesOptions {
    /// The table.
    #[arg(long, default_value = "bench/PROMISES.md")]
    file: PathBuf,
    /// Only what takes seconds: five minutes in all at most.
    #[arg(long)]
    quick: bool,
    /// Run the `cargo test` commands of the table too (in the repository).
    #[arg(long, conflicts_with = "quick")]
    tests: bool,
    /// Write what was measured into the table.
    #[arg(long)]
    write: bool,
    /// Only rows whose promise holds this word.
    #[arg(long)]
    only: Option<String>,
    /// Write the result here as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Write a page here.
    #[arg(long)]
    html: Option<PathBuf>,
}

/// All probes together take at most this with `--quick`.
const QUICK_MAX: Duration = Duration::from_secs(280);
/// One command takes at most this.
const COMMAND_MAX: Duration = Duration::from_secs(1800);

/// Runs it; true: nothing fell short.
///
/// # Errors
/// The table cannot be read or written.
pub async fn promises(options: &PromisesOptions) -> Result<bool, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(&options.file)
        .map_err(|e| format!("{}: {e} (run it in the repository, or say --file)", options.file.display()))?;
    let mut table = Table::parse(&text);
    let begun = Instant::now();
    let mut outputs: Vec<(&[&str], Option<String>)> = Vec::new();
    let mut told = Vec::new();
    let profile = if cfg!(debug_assertions) { "assertions on: no release build" } else { "release" };
    crate::say!("{:64} {:>14} {:>22} {:>6}  verdict ({profile})", "promise", "goal", "figure", "ratio");
    for at in 0..table.rows.len() {
        let row = table.rows[at].clone();
        if options.only.as_ref().is_some_and(|word| !row.promise.contains(word.as_str())) {
            continue;
        }
        let Some(probe) = PROBES.iter().find(|p| row.promise.starts_with(p.row)) else {
            if options.tests && row.command.starts_with("cargo test") {
                told.push(by_test(&row).await);
            }
            continue;
        };
        if options.quick && (!probe.quick || begun.elapsed() > QUICK_MAX) {
            told.push(tell(&row, None, "left out by --quick"));
            continue;
        }
        let output = match outputs.iter().find(|(c, _)| *c == probe.command) {
            Some((_, output)) => output.clone(),
            None => {
                let output = run(probe).await;
                outputs.push((probe.command, output.clone()));
                output
            }
        };
        let figure = output.as_deref().and_then(probe.read);
        if let Some(figure) = figure.as_ref().filter(|_| options.write) {
            table.measured(at, &format!("{} ({profile}, load {})", figure.text, load()));
        }
        let why = if output.is_none() { "did not run" } else { "no figure in what it said" };
        told.push(tell(&row, figure, why));
    }
    if options.write {
        std::fs::write(&options.file, table.text())
            .map_err(|e| format!("{}: {e}", options.file.display()))?;
    }
    finish(options, profile, told)
}

fn finish(
    options: &PromisesOptions,
    profile: &str,
    told: Vec<Value>,
) -> Result<bool, Box<dyn std::error::Error>> {
    let short = told.iter().filter(|t| t["verdict"] == "short").count();
    let result = json!({
        "tool": concat!("carillon-bench ", env!("CARGO_PKG_VERSION")), "kind": "promises",
        "command": crate::load::command(), "seed": 1, "machine": crate::load::Machine::here(),
        "profile": profile, "promises": told, "short": short,
    });
    let text = serde_json::to_string_pretty(&result)?;
    if let Some(path) = &options.json {
        std::fs::write(path, text).map_err(|e| format!("--json {}: {e}", path.display()))?;
    }
    if let Some(path) = &options.html {
        let page = crate::report::page(&result);
        std::fs::write(path, page).map_err(|e| format!("--html {}: {e}", path.display()))?;
    }
    crate::say!("{} looked at, {short} short", told.len());
    Ok(short == 0)
}

/// One line, and the same as JSON.
fn tell(row: &Row, figure: Option<Figure>, why: &str) -> Value {
    let goal = Goal::parse(&row.goal);
    let ratio = figure.as_ref().and_then(|f| goal.map(|g| g.ratio(f.value)));
    let verdict = match (&figure, goal) {
        (None, _) => why,
        (Some(_), None) => "measured",
        (Some(f), Some(g)) if g.held(f.value) => "pass",
        _ => "short",
    };
    let text = figure.as_ref().map_or("-", |f| f.text.as_str());
    let shown = ratio.map_or("-".to_owned(), |r| format!("{r:.2}"));
    let promise: String = row.promise.chars().take(64).collect();
    let wanted: String = row.goal.chars().take(14).collect();
    crate::say!("{promise:64} {wanted:>14} {text:>22} {shown:>6}  {verdict}");
    json!({ "promise": row.promise, "goal": row.goal, "figure": text, "ratio": shown, "verdict": verdict })
}

/// Runs a probe, which is a command of this program; what it printed.
async fn run(probe: &Probe) -> Option<String> {
    let me = std::env::current_exe().ok()?;
    let mut command = Command::new(me);
    command.args(probe.command).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(COMMAND_MAX, command.output()).await.ok()?.ok()?;
    // A run that is not clean says so in its figures; 2 means that it did not run.
    (output.status.code() != Some(2)).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs the row's own test.
async fn by_test(row: &Row) -> Value {
    let mut words = row.command.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("cargo"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let held = match tokio::time::timeout(COMMAND_MAX, command.status()).await {
        Ok(Ok(status)) => status.success(),
        _ => false,
    };
    let verdict = if held { "pass" } else { "short" };
    let promise: String = row.promise.chars().take(64).collect();
    crate::say!(
        "{promise:64} {:>14} {:>22} {:>6}  {verdict}",
        "its test",
        if held { "held" } else { "failed" },
        "-"
    );
    json!({ "promise": row.promise, "goal": "its test", "figure": row.measured, "ratio": "-", "verdict": verdict })
}

fn load() -> String {
    crate::load::Machine::here().load.split(' ').next().unwrap_or("?").to_owned()
}
