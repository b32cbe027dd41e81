//! Results for people: one page with plots that needs no other file, a few lines in words, and a comparison of two runs.

mod compare;
mod page;
pub mod svg;

pub use compare::{CompareOptions, compare};
pub use page::page;

use serde_json::Value;
use std::path::{Path, PathBuf};

/// `carillon-bench report`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReportOptions {
    /// A result that `--json` wrote.
    result: PathBuf,
    /// Where the page goes; default: beside the result.
    #[arg(long)]
    html: Option<PathBuf>,
}

/// Makes the page of a result that was kept as JSON.
///
/// # Errors
/// A file cannot be read or written, or holds no result.
pub fn report(options: &ReportOptions) -> Result<bool, Box<dyn std::error::Error>> {
    let result = read(&options.result)?;
    let path = options.html.clone().unwrap_or_else(|| options.result.with_extension("html"));
    std::fs::write(&path, page(&result)).map_err(|e| format!("{}: {e}", path.display()))?;
    crate::say!("{}", path.display());
    Ok(true)
}

fn read(path: &Path) -> Result<Value, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let value: Value = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
    if value.get("tool").is_none() {
        return Err(format!("{}: no result of carillon-bench", path.display()).into());
    }
    Ok(value)
}

/// The verdict in a few lines.
#[must_use]
pub fn told(r: &Value) -> Vec<String> {
    let n = |path: &str| r.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
    let mut lines = Vec::new();
    if let Some(capacity) = r.get("capacity").and_then(Value::as_u64) {
        let bound = if r["capacity_is_a_lower_bound"] == true { " at least" } else { "" };
        lines.push(format!("capacity:{bound} {capacity} calls held up within the limits"));
    }
    if r.get("calls").is_some() {
        lines.push(format!(
            "{} calls, {} complete; {} packets, {} missing, {} late (over 5 ms), {} doubled, {} out of order, {} wrong",
            n("/calls"),
            n("/complete"),
            n("/streams/packets"),
            n("/streams/missing"),
            n("/streams/late"),
            n("/streams/duplicated"),
            n("/streams/reordered"),
            n("/streams/wrong")
        ));
    }
    for (name, what) in [
        ("wrong_prompts", "heard another prompt than the scenario says"),
        ("cut_prompts", "prompts ended before their end"),
        ("doubled_digits", "keys came doubled"),
        ("deaf_calls", "calls got no packet at all"),
        ("silent_calls", "calls heard nothing but silence"),
        ("numbers_that_rang_more_than_once", "numbers rang more than once"),
    ] {
        let count = n(&format!("/{name}"));
        if count > 0.0 {
            lines.push(format!("{count} {what}"));
        }
    }
    for grew in r.get("grew").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        lines.push(grew.to_owned());
    }
    if r.pointer("/server/cpu_us_per_session_second").is_some() {
        lines.push(format!(
            "CPU a session-second: server {} us, this tool {} us",
            n("/server/cpu_us_per_session_second"),
            n("/far_end/cpu_us_per_session_second")
        ));
    }
    let because = r.pointer("/far_end/because").and_then(Value::as_array);
    for why in because.into_iter().flatten().filter_map(Value::as_str) {
        lines.push(format!("THIS TOOL WAS THE BOTTLENECK: {why}; the run does not count"));
    }
    if n("/far_end/ambiguous_calls") > 0.0 {
        lines.push(format!(
            "{} calls shared the server's address with another: their packets cannot be told apart; use --rtp-ports",
            n("/far_end/ambiguous_calls")
        ));
    }
    lines
}
