//! Answers of a running node as people read them.

use crate::admin::Question;
use serde_json::Value;
use std::fmt::Write;

/// A question's answer as text.
pub(super) fn table(question: &Question, answer: &Value) -> String {
    match question {
        Question::Calls => calls(answer),
        Question::Call(_) => call(answer),
        Question::Workers => lines(answer),
        Question::Servers => servers(answer),
        Question::Trunks => trunks(answer),
        Question::Spans => rows(answer, &["span", "switchtype", "alarm", "d_channel", "idle", "calls"]),
        Question::Span(_) => span(answer),
        Question::Why(_) => serde_json::to_string_pretty(answer).unwrap_or_default(),
        Question::Numbers => {
            rows(answer, &["match", "tenant", "url", "trunks", "hours", "zone", "reserve", "from"])
        }
        Question::Tenants(None) => {
            rows(answer, &["name", "id", "mail_level_min", "hours", "orders_a_second_max"])
        }
        Question::Tenants(Some(_)) | Question::Provision(_) | Question::Forecast(..) => {
            serde_json::to_string_pretty(answer).unwrap_or_default()
        }
        Question::Block(..)
        | Question::Maintain(..)
        | Question::Clear(_)
        | Question::Reload
        | Question::Drain
        | Question::Trunk(..) => plain(answer),
    }
}

const TRUNK_COLUMNS: [&str; 9] =
    ["name", "group", "address", "state", "calls", "calls_max", "sent", "answered", "failed"];

fn calls(answer: &Value) -> String {
    rows(answer, &["attempt", "order", "tenant", "direction", "stage", "age_ms"])
}

/// The trunks, and below them why one is not up.
fn trunks(answer: &Value) -> String {
    let mut text = rows(answer, &TRUNK_COLUMNS);
    for trunk in answer.as_array().into_iter().flatten().filter(|t| !plain(&t["why"]).is_empty()) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{}: {}", plain(&trunk["name"]), plain(&trunk["why"]));
    }
    text
}

/// One process shows itself; in a cluster, all of them.
fn servers(answer: &Value) -> String {
    let cluster = answer.as_array().is_some_and(|rows| rows.iter().any(|row| !row["name"].is_null()));
    if cluster {
        rows(answer, &["server", "name", "role", "state", "address", "used", "capacity", "seen_ms_ago"])
    } else {
        rows(answer, &["server", "used", "capacity"])
    }
}

/// A span: how it stands, what each timeslot does, what was counted.
fn span(answer: &Value) -> String {
    let mut text = String::new();
    for key in ["span", "switchtype", "alarm", "d_channel", "loopback", "idle", "calls"] {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{key:<12} {}", plain(&answer[key]));
    }
    for (slot, state) in answer["slots"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "slot {slot:<7} {}", plain(state));
    }
    for (slot, bert) in answer["bert"].as_object().into_iter().flatten() {
        let state = match (bert["running"].as_bool(), bert["pattern_found"].as_bool()) {
            (Some(true), Some(true)) => "running",
            (Some(true), _) => "running, pattern not found",
            _ => "stopped",
        };
        let (bits, errors, losses) = (&bert["bits"], &bert["errors"], &bert["losses"]);
        let _ = writeln!(text, "bert {slot:<7} {state}: {errors} errors in {bits} bits, lost {losses} times");
    }
    for (what, n) in answer["counters"].as_object().into_iter().flatten() {
        let _ = writeln!(text, "{what:<12} {n}");
    }
    text.trim_end().to_owned()
}

fn lines(answer: &Value) -> String {
    answer.as_array().map(|l| l.iter().map(plain).collect::<Vec<_>>().join("\n")).unwrap_or_default()
}

/// A call: how it stands, each attempt, and what happened, line by line.
fn call(answer: &Value) -> String {
    let mut text = String::new();
    let status = &answer["status"];
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<12} {value}");
        }
    };
    line("call", plain(&status["order"]["id"]));
    line("request", plain(&status["order"]["request_id"]));
    line("state", plain(&status["state"]));
    line("disposition", plain(&status["disposition"]));
    line("attempts", plain(&status["attempts"]));
    line("due", time(&status["due"]));
    line("accepted", time(&status["accepted"]));
    let records = answer["records"].as_array().cloned().unwrap_or_default();
    for pair in &records {
        let record = &pair[1];
        let _ = writeln!(
            text,
            "\nattempt {}  trunk {}  {}  cause {}  sip {}  talk {} ms  rtp received/lost/late/jitter {}",
            plain(&record["attempt"]),
            plain(&record["trunk"]),
            plain(&record["disposition"]),
            plain(&record["cause"]),
            plain(&record["status"]),
            plain(&record["talk_ms"]),
            record["media"],
        );
    }
    let story = answer["story"].as_array().cloned().unwrap_or_default();
    if !story.is_empty() {
        text.push('\n');
    }
    for entry in &story {
        let _ =
            writeln!(text, "{}  {:<6} {}", time(&entry["at"]), plain(&entry["kind"]), plain(&entry["text"]));
    }
    text.trim_end().to_owned()
}

/// Milliseconds of UTC as RFC 3339.
fn time(value: &Value) -> String {
    let stamp = value.as_i64().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    stamp.map(|t| format!("{t:.3}")).unwrap_or_default()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Objects as a table with aligned columns.
pub(super) fn rows(answer: &Value, columns: &[&str]) -> String {
    let head: Vec<String> = columns.iter().map(|c| (*c).to_owned()).collect();
    let body = answer.as_array().cloned().unwrap_or_default();
    let mut table = vec![head];
    table.extend(body.iter().map(|row| columns.iter().map(|c| plain(&row[*c])).collect()));
    let width = |i: usize| table.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_stand_under_each_other() {
        let answer = json!([{"attempt": "att_1", "stage": "talking", "tenant": 1, "age_ms": 5}]);
        assert_eq!(
            calls(&answer),
            "attempt  order  tenant  direction  stage    age_ms\natt_1           1                  talking  5"
        );
    }

    #[test]
    fn a_story_reads_from_top_to_bottom() {
        let answer = json!({
            "status": {"order": {"id": "call_1", "request_id": "r"}, "state": "done", "attempts": 1},
            "records": [],
            "story": [{"at": 0, "kind": "sip", "text": "answered"}],
        });
        let text = call(&answer);
        assert!(text.ends_with("1970-01-01T00:00:00.000Z  sip    answered"), "{text}");
    }
}
