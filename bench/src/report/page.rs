//! The page of a result: verdict, plots, tables, and how it was made.

use super::svg::{Plot, escape, number};
use super::told;
use serde_json::Value;
use std::fmt::Write as _;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#667;--paper:#fff;--line:#dde;--c0:#1769aa;--c1:#c2571a;--c2:#2e7d4f;--c3:#8e44ad;--c4:#a8324a;--c5:#6b7a00}\
@media(prefers-color-scheme:dark){:root{--ink:#e4e8ee;--dim:#99a;--paper:#15181c;--line:#333a44;--c0:#5fb0ee;--c1:#f09a5c;--c2:#66c08a;--c3:#c58ae0;--c4:#ee7d92;--c5:#c2cf4a}}\
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1180px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem;margin:0}h2{font-size:1.1rem;margin:2rem 0 .5rem}.dim{color:var(--dim)}\
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:1rem}\
figure{margin:0;border:1px solid var(--line);border-radius:8px;padding:.6rem}figcaption{font-weight:600}\
svg{width:100%;height:auto}svg text{font-size:11px;fill:var(--dim)}svg .name{font-size:12px}\
.grid{stroke:var(--line)}polyline{fill:none;stroke-width:1.8}\
.s0{stroke:var(--c0)}.s1{stroke:var(--c1)}.s2{stroke:var(--c2)}.s3{stroke:var(--c3)}.s4{stroke:var(--c4)}.s5{stroke:var(--c5)}\
.b0{fill:var(--c0);background:var(--c0)}.b1{fill:var(--c1);background:var(--c1)}.b2{fill:var(--c2);background:var(--c2)}\
.b3{fill:var(--c3);background:var(--c3)}.b4{fill:var(--c4);background:var(--c4)}.b5{fill:var(--c5);background:var(--c5)}\
.legend{margin:.2rem 0 0;font-size:.85rem}.legend span{margin-right:1rem}.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.3em}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.15rem .7rem;border-bottom:1px solid var(--line);text-align:right}\
td:first-child,th:first-child{text-align:left;padding-left:0}.verdict{border-left:5px solid var(--c2);padding:.3rem .8rem;margin:1rem 0}\
.verdict.bad{border-color:var(--c4)}.scroll{overflow-x:auto}pre{white-space:pre-wrap}";

/// A whole page; it needs no other file and no network.
#[must_use]
pub fn page(r: &Value) -> String {
    let kind = r["kind"].as_str().unwrap_or("result");
    let bad = r["clean"] == false || r.pointer("/far_end/was_the_bottleneck") == Some(&Value::Bool(true));
    let verdict: String = told(r).iter().map(|l| format!("<div>{}</div>", escape(l))).collect();
    let plots = plots(r);
    let mut body = format!(
        "<h1>carillon-bench {}</h1><p class=\"dim\"><code>{}</code></p>\
         <div class=\"verdict{}\">{verdict}</div>",
        escape(kind),
        escape(r["command"].as_str().unwrap_or("")),
        if bad { " bad" } else { "" },
    );
    if !plots.is_empty() {
        let _ = write!(body, "<div class=\"plots\">{plots}</div>");
    }
    body.push_str(&points(r));
    body.push_str(&latencies(r));
    body.push_str(&counted(r, "stuck", "Where calls got stuck", "step"));
    body.push_str(&counted(r, "refused", "Statuses that refused calls", "status"));
    body.push_str(&counted(r, "prompts", "Prompts heard", "prompt"));
    body.push_str(&promises(r));
    body.push_str(&server(r));
    body.push_str(&facts(r));
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>carillon-bench {}</title>\
         <style>{STYLE}</style><body>{body}</body></html>\n",
        escape(kind)
    )
}

fn plots(r: &Value) -> String {
    let mut out = String::new();
    for plot in ramp(r).into_iter().chain([percentiles(r)]).chain(over_time(r)) {
        out.push_str(&plot.svg());
    }
    out
}

fn pick(rows: &Value, x: &str, y: &str) -> Vec<(f64, f64)> {
    let number = |row: &Value, path: &str| row.pointer(path).and_then(Value::as_f64);
    let mut points: Vec<(f64, f64)> = rows
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|row| Some((number(row, x)?, number(row, y)?)))
        .collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    points
}

/// What a ramp shows, against the load.
fn ramp(r: &Value) -> Vec<Plot> {
    let p = &r["points"];
    let of = |y: &str| pick(p, "/load", y);
    vec![
        Plot::new("Packets missing and late against calls held", "calls held", "%")
            .line("missing", of("/missing_percent"))
            .line("late", of("/late_percent"))
            .line("calls failed", of("/failed_percent"))
            .dotted(),
        Plot { log: true, ..Plot::new("Packet lateness against calls held", "calls held", "us") }
            .line("p50", of("/lateness_us/p50"))
            .line("p99", of("/lateness_us/p99"))
            .line("p99.9", of("/lateness_us/p999"))
            .dotted(),
        Plot::new("CPU a session-second against calls held", "calls held", "us")
            .line("server", of("/server/cpu_us_per_session_second"))
            .line("this tool", of("/far_end/cpu_us_per_session_second"))
            .dotted(),
        Plot::new("The server's cores against calls held", "calls held", "cores")
            .line("server", of("/server/cpu_cores"))
            .line("whole machine", of("/server/machine_busy_cores"))
            .dotted(),
    ]
}

const QUANTILES: [(&str, &str); 6] = [
    ("p50", "50 %"),
    ("p90", "90 %"),
    ("p99", "99 %"),
    ("p999", "99.9 %"),
    ("p9999", "99.99 %"),
    ("max", "max"),
];

const LATENCIES: [(&str, &str, f64); 7] = [
    ("setup_ms", "set-up", 1.0),
    ("first_sound_us", "answer to first sound", 0.001),
    ("reaction_us", "digit to reaction", 0.001),
    ("talkover_us", "talk-over after barge-in", 0.001),
    ("lateness_us", "packet lateness", 0.001),
    ("longest_stall_of_a_call_us", "longest stall of a call", 0.001),
    ("latency_us", "answer", 0.001),
];

/// Latencies against the share of those that were faster.
fn percentiles(r: &Value) -> Plot {
    let mut plot = Plot { log: true, ..Plot::new("Latency by percentile", "share that was faster", "ms") };
    plot.marks = (0u32..).zip(QUANTILES).map(|(i, (_, name))| (f64::from(i), name.to_owned())).collect();
    for (key, name, scale) in LATENCIES {
        if r[key]["n"].as_u64().unwrap_or(0) == 0 {
            continue;
        }
        let points = (0u32..)
            .zip(QUANTILES)
            .filter_map(|(i, (q, _))| Some((f64::from(i), r[key][q].as_f64()? * scale)))
            .filter(|p| p.1 > 0.0)
            .collect();
        plot = plot.line(name, points);
    }
    plot.dotted()
}

fn over_time(r: &Value) -> Vec<Plot> {
    let s = &r["samples"];
    let of = |y: &str| pick(s, "/at_s", y);
    let watched = of("/server_mib").iter().any(|p| p.1 > 0.0);
    let mut all = vec![
        Plot::new("Calls up over time", "s", "calls").line("up", of("/up")),
        Plot::new("Packet lateness p99, second by second", "s", "us").line("p99", of("/late_p99_us")),
        Plot::new("Packets missing and late, second by second", "s", "packets")
            .line("missing", of("/missing"))
            .line("late", of("/late")),
    ];
    let cost = Plot::new("CPU a session-second over time", "s", "us").line("this tool", of("/far_us"));
    if watched {
        all.push(cost.line("server", of("/server_us")));
        all.push(Plot::new("The server's CPU over time", "s", "cores").line("server", of("/server_cores")));
        all.push(Plot::new("The server's memory over time", "s", "MiB").line("resident", of("/server_mib")));
        all.push(
            Plot::new("The server's threads, files and sockets", "s", "count")
                .line("threads", of("/threads"))
                .line("files", of("/files"))
                .line("sockets", of("/sockets")),
        );
    } else {
        all.push(cost);
    }
    all
}

/// The stages of a ramp.
fn points(r: &Value) -> String {
    let Some(all) = r["points"].as_array().filter(|p| !p.is_empty()) else { return String::new() };
    let mut out = String::from(
        "<h2>Stages</h2><div class=\"scroll\"><table><tr><th>calls</th><th>held</th><th>missing %</th><th>late %</th>\
         <th>lateness p99, us</th><th>failed %</th><th>server cores</th><th>server us/s</th><th>tool us/s</th><th>verdict</th></tr>",
    );
    for p in all {
        let n = |path: &str| p.pointer(path).and_then(Value::as_f64).map_or("-".to_owned(), number);
        let why: Vec<&str> = p["why"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            n("/load"),
            n("/held"),
            n("/missing_percent"),
            n("/late_percent"),
            n("/lateness_us/p99"),
            n("/failed_percent"),
            n("/server/cpu_cores"),
            n("/server/cpu_us_per_session_second"),
            n("/far_end/cpu_us_per_session_second"),
            if why.is_empty() { "within the limits".into() } else { escape(&why.join("; ")) }
        );
    }
    out + "</table></div>"
}

fn latencies(r: &Value) -> String {
    let mut rows = String::new();
    for (key, name, scale) in LATENCIES {
        if r[key]["n"].as_u64().unwrap_or(0) == 0 {
            continue;
        }
        let cells: String = QUANTILES
            .iter()
            .map(|(q, _)| format!("<td>{}</td>", number(r[key][q].as_f64().unwrap_or(0.0) * scale)))
            .collect();
        let _ = write!(rows, "<tr><td>{name}, ms</td><td>{}</td>{cells}</tr>", r[key]["n"]);
    }
    if rows.is_empty() {
        return rows;
    }
    let heads: String = QUANTILES.iter().map(|(_, name)| format!("<th>{name}</th>")).collect();
    format!("<h2>Latencies</h2><table><tr><th></th><th>n</th>{heads}</tr>{rows}</table>")
}

fn counted(r: &Value, key: &str, title: &str, what: &str) -> String {
    let Some(all) = r[key].as_object().filter(|o| !o.is_empty()) else { return String::new() };
    let mut rows: Vec<(&String, u64)> = all.iter().map(|(k, v)| (k, v.as_u64().unwrap_or(0))).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.1));
    let rows: String =
        rows.iter().map(|(k, n)| format!("<tr><td>{}</td><td>{n}</td></tr>", escape(k))).collect();
    format!("<h2>{title}</h2><table><tr><th>{what}</th><th>how often</th></tr>{rows}</table>")
}

/// What `carillon-bench promises` found.
fn promises(r: &Value) -> String {
    let Some(all) = r["promises"].as_array() else { return String::new() };
    let text = |v: &Value| match v {
        Value::String(s) => escape(s),
        Value::Null => "-".into(),
        other => other.to_string(),
    };
    let rows: String = all
        .iter()
        .map(|p| {
            let cells = ["promise", "goal", "figure", "ratio", "verdict"]
                .map(|k| format!("<td>{}</td>", text(&p[k])));
            format!("<tr>{}</tr>", cells.concat())
        })
        .collect();
    format!(
        "<h2>Promises</h2><table><tr><th>promise</th><th>goal</th><th>figure</th><th>ratio</th><th>verdict</th></tr>{rows}</table>"
    )
}

fn server(r: &Value) -> String {
    let s = &r["server"];
    if !s.is_object() {
        return String::new();
    }
    let threads = s["cpu_us_by_thread"].as_object();
    let mut rows: Vec<(&String, f64)> =
        threads.into_iter().flatten().map(|(k, v)| (k, v.as_f64().unwrap_or(0.0) / 1000.0)).collect();
    rows.sort_by(|a, b| b.1.total_cmp(&a.1));
    let rows: String = rows
        .iter()
        .map(|(k, ms)| format!("<tr><td>{}</td><td>{}</td></tr>", escape(k), number(*ms)))
        .collect();
    let memory = s["resident_kib"].as_f64().unwrap_or(0.0) / 1024.0;
    format!(
        "<h2>The server</h2><p>{} cores, {} MiB, {} threads, {} sockets; whole machine {} cores busy.</p>\
         <table><tr><th>threads</th><th>CPU, ms</th></tr>{rows}</table>",
        number(s["cpu_cores"].as_f64().unwrap_or(0.0)),
        number(memory),
        s["threads"],
        s["sockets"],
        number(s["machine_busy_cores"].as_f64().unwrap_or(0.0)),
    )
}

/// How it was made, and everything else.
fn facts(r: &Value) -> String {
    let m = &r["machine"];
    let mut rest = r.clone();
    if let Some(all) = rest.as_object_mut() {
        all.remove("samples");
        all.remove("points");
    }
    let rest = serde_json::to_string_pretty(&rest).unwrap_or_default();
    format!(
        "<h2>How it was made</h2><p>Seed {}; {} cores of {}, {} MiB, Linux {}; load averages {} when it ended; {}.</p>\
         <details><summary>Everything, as JSON</summary><pre>{}</pre></details>",
        r["seed"],
        m["cores"],
        escape(m["processor"].as_str().unwrap_or("?")),
        m["memory_mib"],
        escape(m["kernel"].as_str().unwrap_or("?")),
        escape(m["load"].as_str().unwrap_or("?")),
        escape(r["tool"].as_str().unwrap_or("?")),
        escape(&rest)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_needs_no_other_file_and_shows_what_there_is() {
        let quantiles =
            json!({"n": 9, "p50": 20, "p90": 30, "p99": 900, "p999": 1000, "p9999": 1000, "max": 5000});
        let r = json!({
            "tool": "carillon-bench 0", "kind": "ramp", "command": "carillon-bench ramp --to <x>", "seed": 3,
            "machine": {"cores": 2, "processor": "p", "memory_mib": 1, "kernel": "6", "load": "0 0 0"},
            "clean": false, "calls": 3, "complete": 2, "capacity": 40, "stuck": {"a, line 2: <answer>": 1},
            "setup_ms": quantiles, "lateness_us": quantiles,
            "points": [{"load": 20, "well": true, "why": [], "missing_percent": 0.0, "lateness_us": quantiles},
                       {"load": 80, "well": false, "why": ["late 3 %"], "missing_percent": 2.5, "lateness_us": quantiles}],
            "samples": [{"at_s": 1.0, "up": 5, "server_mib": 20.0, "server_us": 90.0}, {"at_s": 2.0, "up": 9, "server_mib": 21.0}],
            "server": {"cpu_cores": 0.5, "cpu_us_by_thread": {"media": 500}, "resident_kib": 1000, "threads": 4, "sockets": 5},
        });
        let html = page(&r);
        for word in
            ["capacity: 40", "late 3 %", "Packets missing", "memory over time", "&lt;answer&gt;", "media"]
        {
            assert!(html.contains(word), "{word}");
        }
        for outside in ["http://", "https://", "<script", "src=", "<x>", "@import"] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.matches("<svg").count() >= 5);
        assert!(page(&json!({"tool": "t"})).contains("How it was made"));
    }
}
