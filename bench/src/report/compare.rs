//! `carillon-bench compare A.json B.json`: what changed between two results, and whether to the better.

use super::read;
use super::svg::number;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// See the module.
#[derive(Clone, Debug, clap::Args)]
pub struct CompareOptions {
    /// Before.
    a: PathBuf,
    /// After.
    b: PathBuf,
    /// What changes by less than this is not told, %.
    #[arg(long, default_value_t = 5.0)]
    beyond: f64,
    /// All figures, changed or not.
    #[arg(long)]
    all: bool,
    /// Write the differences here as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One figure of both.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
struct Change {
    figure: String,
    a: f64,
    b: f64,
    /// Relative, %; `None`: it was 0.
    percent: Option<f64>,
    /// `better`, `worse`, or nothing where neither can be said.
    verdict: &'static str,
}

/// Compares; true: nothing became worse.
///
/// # Errors
/// A file cannot be read or holds no result.
pub fn compare(options: &CompareOptions) -> Result<bool, Box<dyn std::error::Error>> {
    let (a, b) = (read(&options.a)?, read(&options.b)?);
    if a["kind"] != b["kind"] {
        return Err(format!(
            "{} is a {}, {} a {}",
            options.a.display(),
            a["kind"],
            options.b.display(),
            b["kind"]
        )
        .into());
    }
    for (key, why) in [("machine", "made on different machines"), ("seed", "made from different seeds")] {
        let of = |v: &Value| {
            let mut v = v[key].clone();
            if let Some(all) = v.as_object_mut() {
                all.remove("load");
            }
            v
        };
        if of(&a) != of(&b) {
            crate::say!("note: {why}");
        }
    }
    let changes = changes(&a, &b);
    let told: Vec<&Change> = changes
        .iter()
        .filter(|c| options.all || c.percent.is_none_or(|p| p.abs() >= options.beyond))
        .filter(|c| options.all || c.a != c.b)
        .collect();
    crate::say!("{:46} {:>12} {:>12} {:>9}", "figure", "before", "after", "change");
    for c in &told {
        let percent = c.percent.map_or("from 0".into(), |p| format!("{p:+.1} %"));
        crate::say!("{:46} {:>12} {:>12} {percent:>9}  {}", c.figure, number(c.a), number(c.b), c.verdict);
    }
    let worse = told.iter().filter(|c| c.verdict == "worse").count();
    let better = told.iter().filter(|c| c.verdict == "better").count();
    crate::say!(
        "{better} better, {worse} worse beyond {} %, {} figures compared",
        options.beyond,
        changes.len()
    );
    if let Some(path) = &options.json {
        let all = json!({ "tool": "carillon-bench compare", "kind": "compare", "changes": changes });
        std::fs::write(path, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(worse == 0)
}

/// Figures that stand in both, in order of their names.
fn changes(a: &Value, b: &Value) -> Vec<Change> {
    let (mut left, mut right) = (BTreeMap::new(), BTreeMap::new());
    flatten("", a, &mut left);
    flatten("", b, &mut right);
    left.into_iter()
        .filter_map(|(figure, a)| {
            let b = *right.get(&figure)?;
            let percent = (a != 0.0).then(|| (b - a) / a * 100.0);
            let verdict = match direction(&figure) {
                _ if a == b => "",
                0 => "",
                d if (b - a) * f64::from(d) > 0.0 => "better",
                _ => "worse",
            };
            Some(Change { figure, a, b, percent, verdict })
        })
        .collect()
}

/// 1: more is better; -1: less is; 0: neither.
fn direction(figure: &str) -> i8 {
    let last = figure.rsplit('.').next().unwrap_or(figure);
    let has = |words: &[&str]| words.iter().any(|w| figure.contains(w));
    if last == "n" || has(&["machine", "ticks", "seconds_wanted"]) {
        return 0;
    }
    if last == "capacity" || last == "complete" || last.ends_with("a_second") {
        return 1;
    }
    let less = [
        "_us",
        "_ms",
        "missing",
        "late",
        "duplicated",
        "reordered",
        "wrong",
        "gaps",
        "stuck",
        "deaf",
        "silent",
        "resident",
        "threads",
        "files",
        "sockets",
        "dropped",
        "refused",
        "cut_prompts",
        "doubled",
        "cpu_cores",
    ];
    if has(&less) && last != "cpu_us" && last != "cpu_ms" { -1 } else { 0 }
}

fn flatten(name: &str, v: &Value, into: &mut BTreeMap<String, f64>) {
    match v {
        Value::Number(n) => {
            into.insert(name.into(), n.as_f64().unwrap_or(0.0));
        }
        Value::Object(all) => {
            for (k, v) in all {
                if !matches!(k.as_str(), "samples" | "points" | "machine" | "seed" | "limits") {
                    flatten(&if name.is_empty() { k.clone() } else { format!("{name}.{k}") }, v, into);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_with_their_direction() {
        let a = json!({"capacity": 100, "streams": {"missing": 0}, "setup_ms": {"n": 5, "p99": 10}, "calls": 3, "samples": [1]});
        let b =
            json!({"capacity": 150, "streams": {"missing": 4}, "setup_ms": {"n": 9, "p99": 9}, "calls": 4});
        let all = changes(&a, &b);
        let of = |name: &str| all.iter().find(|c| c.figure == name).expect("compared");
        assert_eq!((of("capacity").percent, of("capacity").verdict), (Some(50.0), "better"));
        assert_eq!((of("streams.missing").percent, of("streams.missing").verdict), (None, "worse"));
        assert_eq!(
            (of("setup_ms.p99").verdict, of("setup_ms.n").verdict, of("calls").verdict),
            ("better", "", "")
        );
    }
}
