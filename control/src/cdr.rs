//! Records as files for billing: CSV with fixed, versioned columns and its JSONL twin. One row an attempt, UTC in ms,
//! never rewritten. A file ends with a trailer that holds its sequence number, its rows and a checksum, so that a cut or
//! a missing file is seen.

use crate::record::{Direction, Record};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use units::Wall;

/// Version of the columns; a new one gets a new name for the file, and old columns keep their places.
pub const VERSION: u32 = 1;

/// The columns, in order.
pub const COLUMNS: [&str; 25] = [
    "attempt",
    "order",
    "parent",
    "tenant",
    "direction",
    "from",
    "to",
    "server",
    "trunk",
    "application",
    "started",
    "alerted",
    "answered",
    "ended",
    "talk_ms",
    "busy_ms",
    "cause",
    "status",
    "released_by",
    "disposition",
    "recordings",
    "rtp_received",
    "rtp_lost",
    "rtp_late",
    "rtp_jitter",
];

/// The form of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// RFC 4180 with a header row.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// A file under way: turns records into lines and keeps the sum for the trailer.
#[derive(Clone, Debug)]
pub struct Sheet {
    form: Form,
    sequence: u64,
    rows: u64,
    sum: Sha256,
}

impl Sheet {
    /// Begins file number `sequence`; the first lines of it.
    #[must_use]
    pub fn begin(form: Form, sequence: u64) -> (Self, String) {
        let mut sheet = Self { form, sequence, rows: 0, sum: Sha256::new() };
        let head = match form {
            Form::Csv => COLUMNS.join(",") + "\r\n",
            Form::Jsonl => String::new(),
        };
        sheet.sum.update(head.as_bytes());
        (sheet, head)
    }

    /// One record's line.
    pub fn line(&mut self, record: &Record) -> String {
        let line = match self.form {
            Form::Csv => csv(record),
            Form::Jsonl => jsonl(record),
        };
        self.rows += 1;
        self.sum.update(line.as_bytes());
        line
    }

    /// Takes up a file that was left under way: its whole lines so far, header included.
    pub fn resume(&mut self, line: &str) {
        self.sum.update(line.as_bytes());
        self.rows += 1;
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The last line: sequence number, rows, SHA-256 of everything above it.
    #[must_use]
    pub fn trailer(&self) -> String {
        let sum = hex(&self.sum.clone().finalize());
        match self.form {
            Form::Csv => format!("#trailer,{VERSION},{},{},{sum}\r\n", self.sequence, self.rows),
            Form::Jsonl => {
                let json = serde_json::json!({
                    "trailer": { "version": VERSION, "sequence": self.sequence, "rows": self.rows, "sha256": sum }
                });
                format!("{json}\n")
            }
        }
    }
}

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// It has no trailer: it was cut, or is still being written.
    Cut,
    /// Rows or checksum do not fit.
    Altered,
}

/// Checks a whole file by its trailer; its sequence number and rows.
///
/// # Errors
/// [`Broken`].
pub fn check(text: &str) -> Result<(u64, u64), Broken> {
    let body_end = text.trim_end_matches(['\r', '\n']).rfind('\n').map_or(0, |at| at + 1);
    let (body, last) = text.split_at(body_end);
    let fields: Vec<String> = match last.strip_prefix("#trailer,") {
        Some(csv) => csv.trim_end().split(',').map(str::to_owned).collect(),
        None => {
            let json: serde_json::Value = serde_json::from_str(last).map_err(|_| Broken::Cut)?;
            let trailer = json.get("trailer").ok_or(Broken::Cut)?;
            let field = |name: &str| {
                trailer.get(name).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned))
            };
            ["version", "sequence", "rows", "sha256"].iter().filter_map(|name| field(name)).collect()
        }
    };
    let [_, sequence, rows, sum] = fields.as_slice() else { return Err(Broken::Cut) };
    let (Ok(sequence), Ok(rows)) = (sequence.parse(), rows.parse()) else { return Err(Broken::Cut) };
    let header = u64::from(last.starts_with('#'));
    let lines = u64::try_from(body.matches('\n').count()).unwrap_or(u64::MAX);
    if hex(&Sha256::digest(body.as_bytes())) != *sum || lines.checked_sub(header) != Some(rows) {
        return Err(Broken::Altered);
    }
    Ok((sequence, rows))
}

fn csv(r: &Record) -> String {
    let time = |at: Option<Wall>| at.map(rfc3339).unwrap_or_default();
    let fields: [String; 25] = [
        r.attempt.to_string(),
        r.order.map(|o| o.to_string()).unwrap_or_default(),
        r.parent.map(|p| p.to_string()).unwrap_or_default(),
        r.tenant.0.to_string(),
        word(&r.direction),
        r.from.expose().clone(),
        r.to.expose().clone(),
        r.server.0.to_string(),
        r.trunk.clone(),
        r.application.clone(),
        rfc3339(r.started),
        time(r.alerted),
        time(r.answered),
        rfc3339(r.ended),
        r.talk_ms.to_string(),
        r.busy_ms.to_string(),
        r.cause.0.to_string(),
        r.status.map(|s| s.to_string()).unwrap_or_default(),
        released_by(r).to_owned(),
        word(&r.disposition),
        r.recordings.join(";"),
        r.media[0].to_string(),
        r.media[1].to_string(),
        r.media[2].to_string(),
        r.media[3].to_string(),
    ];
    let mut line = String::with_capacity(400);
    for (i, field) in fields.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(line, "{comma}{}", quoted(field));
    }
    line + "\r\n"
}

/// The twin of the CSV row: the same names, types where JSON has them. Collected values stay in the store, where they
/// are private.
fn jsonl(r: &Record) -> String {
    let json = serde_json::json!({
        "attempt": r.attempt, "order": r.order, "parent": r.parent, "tenant": r.tenant, "direction": r.direction,
        "from": r.from, "to": r.to, "server": r.server, "trunk": r.trunk, "application": r.application,
        "started": rfc3339(r.started), "alerted": r.alerted.map(rfc3339), "answered": r.answered.map(rfc3339),
        "ended": rfc3339(r.ended), "talk_ms": r.talk_ms, "busy_ms": r.busy_ms, "cause": r.cause, "status": r.status,
        "released_by": released_by(r), "disposition": r.disposition, "recordings": r.recordings,
        "rtp_received": r.media[0], "rtp_lost": r.media[1], "rtp_late": r.media[2], "rtp_jitter": r.media[3],
    });
    format!("{json}\n")
}

fn released_by(r: &Record) -> &'static str {
    match (r.direction, r.by_peer) {
        (Direction::Inbound, true) => "caller",
        (Direction::Inbound, false) => "us",
        (_, true) => "callee",
        (_, false) => "us",
    }
}

fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn rfc3339(at: Wall) -> String {
    Timestamp::from_millisecond(at.0).map(|t| format!("{t:.3}")).unwrap_or_default()
}

/// RFC 4180 §2: quoted if it has a comma, a quote or a line end. A spreadsheet takes `=`, `+`, `-`, `@` at the start
/// for a formula; numbers begin with `+`, and are left alone, for they are followed by digits only.
fn quoted(field: &str) -> String {
    let formula = field.starts_with(['=', '-', '@'])
        || (field.starts_with('+') && !field[1..].bytes().all(|b| b.is_ascii_digit()));
    let text = if formula { format!("'{field}") } else { field.to_owned() };
    if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Disposition;
    use units::{AttemptId, Cause, OrderId, Private, ServerId, TenantId};

    fn record() -> Record {
        Record {
            attempt: AttemptId(1),
            order: Some(OrderId(2)),
            parent: None,
            tenant: TenantId(3),
            direction: Direction::Outbound,
            from: Private::new("=1+1,\"x\"".into()),
            to: Private::new("+15551234567".into()),
            server: ServerId(4),
            trunk: "main".into(),
            application: "https://example.com/a".into(),
            started: Wall(1_700_000_000_123),
            alerted: None,
            answered: Some(Wall(1_700_000_005_000)),
            ended: Wall(1_700_000_010_000),
            talk_ms: 5_000,
            busy_ms: 9_877,
            cause: Cause::NORMAL,
            status: Some(200),
            by_peer: true,
            disposition: Disposition::Completed,
            values: Private::new("{}".into()),
            recordings: vec!["a".into(), "b".into()],
            media: [250, 1, 0, 12],
        }
    }

    #[test]
    fn columns_are_fixed() {
        let (mut sheet, head) = Sheet::begin(Form::Csv, 7);
        assert_eq!(head.trim_end().split(',').count(), COLUMNS.len());
        assert_eq!(
            sheet.line(&record()),
            "att_00000000000000000000000000000001,call_00000000000000000000000000000002,,3,outbound,\
             \"'=1+1,\"\"x\"\"\",+15551234567,4,main,https://example.com/a,2023-11-14T22:13:20.123Z,,\
             2023-11-14T22:13:25.000Z,2023-11-14T22:13:30.000Z,5000,9877,16,200,callee,completed,a;b,250,1,0,12\r\n"
        );
    }

    #[test]
    fn a_trailer_finds_cuts_and_changes() {
        for form in [Form::Csv, Form::Jsonl] {
            let (mut sheet, mut text) = Sheet::begin(form, 7);
            text += &sheet.line(&record());
            text += &sheet.line(&record());
            assert_eq!(check(&text), Err(Broken::Cut));
            text += &sheet.trailer();
            assert_eq!(check(&text), Ok((7, 2)), "{form:?}");
            assert_eq!(check(&text.replacen("main", "maim", 1)), Err(Broken::Altered));
        }
    }
}
