//! Campaigns: many orders with one policy and one progress. Contacts come as CSV or JSON lines, streamed: [`Rows`]
//! takes octets as they arrive and gives rows; a bad row is told with its number, field, reason and fix, and does not
//! stop the others. What was read is known by octets, so an upload that broke goes on where the last durable row ended.

use crate::order::form::{self, Fields};
use crate::order::{Reason, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use units::{CampaignId, TenantId, Wall};

/// Where a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Contacts may be added; nobody is called.
    Draft,
    /// Calls are made.
    Running,
    /// No new calls.
    Paused,
    /// Over, by its tenant's will: what waits is refused.
    Aborted,
}

impl Stage {
    /// The stage after a word of the tenant; `None` if it makes no sense here.
    #[must_use]
    pub fn after(self, word: &str) -> Option<Stage> {
        match (self, word) {
            (Stage::Draft, "start") | (Stage::Paused, "resume") => Some(Stage::Running),
            (Stage::Running, "pause") => Some(Stage::Paused),
            (Stage::Aborted, _) => None,
            (_, "abort") => Some(Stage::Aborted),
            _ => None,
        }
    }
}

/// The form of a list of contacts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// RFC 4180, with a header row.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// A campaign as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// Whose.
    pub tenant: TenantId,
    /// What its tenant calls it.
    pub name: String,
    /// Where it stands.
    pub stage: Stage,
    /// Fields that all its orders share.
    pub common: Fields,
    /// Made.
    pub created: Wall,
    /// Form of its contacts, from the first octets on.
    #[serde(default)]
    pub form: Option<Form>,
    /// Header row of a CSV.
    #[serde(default)]
    pub header: Vec<String>,
    /// Octets of the list that are durable; an upload goes on here.
    #[serde(default)]
    pub offset: u64,
    /// Rows that are durable.
    #[serde(default)]
    pub rows: u64,
    /// Of these, orders.
    #[serde(default)]
    pub accepted: u64,
    /// Of these, refused.
    #[serde(default)]
    pub refused: u64,
}

/// Bounds of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowLimits {
    /// Octets of one row.
    pub row_bytes_max: usize,
    /// Columns.
    pub columns_max: usize,
}

impl Default for RowLimits {
    fn default() -> Self {
        Self { row_bytes_max: 16 << 10, columns_max: 100 }
    }
}

/// A row: its number from 1 (the header row of a CSV is 0), where it ends in the list, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Number.
    pub number: u64,
    /// Octets from the beginning of the list to the end of this row.
    pub end: u64,
    /// Fields of one recipient, or what is wrong with it.
    pub fields: Result<Fields, Refusal>,
}

/// See the module.
#[derive(Debug)]
pub struct Rows {
    form: Form,
    limits: RowLimits,
    header: Vec<String>,
    buffer: Vec<u8>,
    /// Octets of the list before the buffer.
    offset: u64,
    number: u64,
    /// A row that is too long is being skipped.
    skipping: bool,
    /// How far the buffer was searched for the end of a row, and where in a cell that is.
    searched: usize,
    cell: Cell,
}

/// Where in a cell of a CSV a reader is. A quote means something only at the beginning of a cell and inside quotes:
/// a stray one spoils its own row, not the rest of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Start,
    Plain,
    Quoted,
    /// After a quote inside quotes: it was the end, or the first of two.
    Closing,
}

impl Cell {
    fn after(self, octet: u8) -> Self {
        match (self, octet) {
            (Cell::Start | Cell::Closing, b'"') => Cell::Quoted,
            (Cell::Quoted, b'"') => Cell::Closing,
            (Cell::Quoted, _) => Cell::Quoted,
            (_, b',') => Cell::Start,
            _ => Cell::Plain,
        }
    }
}

impl Rows {
    /// A reader that goes on where a campaign's list is durable.
    #[must_use]
    pub fn resume(form: Form, header: Vec<String>, offset: u64, number: u64, limits: RowLimits) -> Self {
        Self {
            form,
            limits,
            header,
            buffer: Vec::new(),
            offset,
            number,
            skipping: false,
            searched: 0,
            cell: Cell::Start,
        }
    }

    /// The header row, once it was read.
    #[must_use]
    pub fn header(&self) -> &[String] {
        &self.header
    }

    /// Takes octets.
    pub fn push(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// The next whole row.
    ///
    /// # Errors
    /// A [`Refusal`] of the header row: then no row can be read.
    pub fn next_row(&mut self) -> Result<Option<Row>, Refusal> {
        while let Some(end) = self.line_end() {
            let line: Vec<u8> = self.buffer.drain(..end).collect();
            self.searched = 0;
            self.cell = Cell::Start;
            if let Some(row) = self.row(&line)? {
                return Ok(Some(row));
            }
        }
        if self.buffer.len() > self.limits.row_bytes_max {
            self.offset += self.buffer.len() as u64;
            self.buffer.clear();
            self.searched = 0;
            self.cell = Cell::Start;
            self.skipping = true;
        }
        Ok(None)
    }

    /// The last row, if the list does not end with a line feed.
    ///
    /// # Errors
    /// As [`Rows::next_row`].
    pub fn finish(&mut self) -> Result<Option<Row>, Refusal> {
        if self.buffer.is_empty() && !self.skipping {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.buffer);
        self.row(&line)
    }

    /// End of the first row in the buffer, its line feed included. In a CSV a line feed inside quotes ends no row.
    fn line_end(&mut self) -> Option<usize> {
        let quotes_count = self.form == Form::Csv && !self.skipping;
        for (i, b) in self.buffer.iter().enumerate().skip(self.searched) {
            if *b == b'\n' && self.cell != Cell::Quoted {
                return Some(i + 1);
            }
            if quotes_count {
                self.cell = self.cell.after(*b);
            }
        }
        self.searched = self.buffer.len();
        None
    }

    fn row(&mut self, line: &[u8]) -> Result<Option<Row>, Refusal> {
        self.offset += line.len() as u64;
        let too_long = std::mem::take(&mut self.skipping) || line.len() > self.limits.row_bytes_max;
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() && !too_long {
            return Ok(None);
        }
        if self.form == Form::Csv && self.header.is_empty() {
            self.header = self.read_header(text, too_long)?;
            return Ok(None);
        }
        self.number += 1;
        let fields = match self.form {
            _ if too_long => Err(Refusal::new("row", Reason::TooLong { max: self.limits.row_bytes_max })),
            Form::Csv => self.csv(text),
            Form::Jsonl => jsonl(text),
        };
        Ok(Some(Row { number: self.number, end: self.offset, fields }))
    }

    fn read_header(&self, text: &[u8], too_long: bool) -> Result<Vec<String>, Refusal> {
        let malformed =
            || Refusal::new("header", Reason::NotA("a header row such as `to,tz,lang,param.name`"));
        if too_long {
            return Err(malformed());
        }
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let names = cells(text, self.limits.columns_max).ok_or_else(malformed)?;
        let mut out: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            let name = name.trim().to_ascii_lowercase();
            let field = column(&name).ok_or_else(|| {
                let nearest = crate::order::refusal::nearest(&name, COLUMNS);
                Refusal::new(format!("header.{name}"), Reason::UnknownField { nearest })
            })?;
            if out.contains(&field) {
                return Err(Refusal::new(format!("header.{name}"), Reason::Twice));
            }
            out.push(field);
        }
        if out.iter().any(|c| c == "to") { Ok(out) } else { Err(Refusal::new("header.to", Reason::Missing)) }
    }

    fn csv(&self, text: &[u8]) -> Result<Fields, Refusal> {
        let malformed = Refusal::new("row", Reason::Malformed { what: "CSV", line: 0, column: 0 });
        let cells = cells(text, self.limits.columns_max).ok_or_else(|| malformed.clone())?;
        if cells.len() > self.header.len() {
            return Err(Refusal::new("row", Reason::TooMany { max: self.header.len() }));
        }
        let (mut fields, mut params) = (Map::new(), Map::new());
        for (name, cell) in self.header.iter().zip(cells).filter(|(_, c)| !c.is_empty()) {
            match name.strip_prefix("param.") {
                Some(param) => params.insert(param.to_owned(), Value::from(cell)),
                None => fields.insert(name.clone(), Value::from(cell)),
            };
        }
        if !params.is_empty() {
            fields.insert("params".into(), Value::Object(params));
        }
        Ok(fields)
    }
}

/// Columns of a CSV beside `param.*`.
pub const COLUMNS: &[&str] = &["to", "tz", "zone", "lang", "customer", "subject", "not_before", "not_after"];

/// The field that a column fills.
fn column(name: &str) -> Option<String> {
    match name {
        "tz" | "zone" => Some("zone".into()),
        "not_before" => Some("at".into()),
        "not_after" => Some("expires".into()),
        "to" | "lang" | "customer" | "subject" => Some(name.into()),
        _ => name.strip_prefix("param.").filter(|p| !p.is_empty()).map(|_| name.to_owned()),
    }
}

/// Cells of a row (RFC 4180 §2); `None` if quotes are broken, the text is not UTF-8, or there are too many.
#[must_use]
pub fn cells(text: &[u8], max: usize) -> Option<Vec<String>> {
    let text = std::str::from_utf8(text).ok()?;
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        let (cell, after) = match rest.strip_prefix('"') {
            Some(inner) => quoted_cell(inner)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let plain = &rest[..end];
                if plain.contains('"') {
                    return None;
                }
                (plain.trim().to_owned(), &rest[end..])
            }
        };
        out.push(cell);
        if out.len() > max {
            return None;
        }
        if after.is_empty() {
            return Some(out);
        }
        rest = after.strip_prefix(',')?;
    }
}

fn quoted_cell(inner: &str) -> Option<(String, &str)> {
    let mut cell = String::new();
    let mut rest = inner;
    loop {
        let end = rest.find('"')?;
        cell.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                cell.push('"');
                rest = after;
            }
            None => return Some((cell, rest)),
        }
    }
}

fn jsonl(text: &[u8]) -> Result<Fields, Refusal> {
    let limits = crate::limits::OrderLimits { body_bytes_max: 64 << 10, ..Default::default() };
    let mut fields = form::json(text, &limits)?;
    for (column, field) in [("tz", "zone"), ("not_before", "at"), ("not_after", "expires")] {
        if let Some(value) = fields.remove(column)
            && fields.insert(field.to_owned(), value).is_some()
        {
            return Err(Refusal::new(column, Reason::Twice));
        }
    }
    Ok(fields)
}

/// The request of one row: the campaign's common fields with the row's own over them.
///
/// # Errors
/// If the row says what only the campaign may say.
pub fn request(common: &Fields, row: Fields, id: CampaignId, number: u64) -> Result<Fields, Refusal> {
    const OWN: [&str; 8] = ["to", "zone", "lang", "customer", "subject", "params", "at", "expires"];
    let mut fields = common.clone();
    fields.insert("request_id".into(), Value::from(format!("{id}:{number}")));
    for (name, value) in row {
        if !OWN.contains(&name.as_str()) {
            return Err(Refusal::new(name, Reason::NotAllowed));
        }
        match (fields.get_mut(&name), value) {
            (Some(Value::Object(shared)), Value::Object(own)) => shared.extend(own),
            (_, value) => drop(fields.insert(name, value)),
        }
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use units::Seed;

    fn read(form: Form, list: &[u8], piece: usize) -> Result<Vec<Row>, Refusal> {
        let mut rows = Rows::resume(form, Vec::new(), 0, 0, RowLimits::default());
        let mut out = Vec::new();
        for octets in list.chunks(piece) {
            rows.push(octets);
            while let Some(row) = rows.next_row()? {
                out.push(row);
            }
        }
        out.extend(rows.finish()?);
        Ok(out)
    }

    const LIST: &str = "\u{feff}to,tz,param.name\r\n+15551234567,UTC,\"Ann \"\"A\"\", B\"\r\n\r\n+15551234568,,\"two\nlines\"\r\nsip:b@h,\"x\",y,z\n+1,a\"b,c\n+15551234569";

    #[test]
    fn rfc4180_rows_whole_and_octet_by_octet() {
        let whole = read(Form::Csv, LIST.as_bytes(), LIST.len()).unwrap();
        for piece in [1, 2, 7] {
            assert_eq!(read(Form::Csv, LIST.as_bytes(), piece).unwrap(), whole, "pieces of {piece}");
        }
        let fields: Vec<Option<Value>> =
            whole.iter().map(|r| r.fields.clone().ok().map(Value::Object)).collect();
        assert_eq!(
            fields[0],
            Some(json!({"to": "+15551234567", "zone": "UTC", "params": {"name": "Ann \"A\", B"}}))
        );
        assert_eq!(fields[1], Some(json!({"to": "+15551234568", "params": {"name": "two\nlines"}})));
        assert_eq!((fields[2].clone(), fields[3].clone()), (None, None), "too many cells; a stray quote");
        assert_eq!(fields[4], Some(json!({"to": "+15551234569"})));
        assert_eq!(whole[4].end, LIST.len() as u64);
        assert_eq!(whole.iter().map(|r| r.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn an_upload_goes_on_after_any_row() {
        let whole = read(Form::Csv, LIST.as_bytes(), LIST.len()).unwrap();
        let header = vec!["to".to_owned(), "zone".into(), "param.name".into()];
        for (i, row) in whole.iter().enumerate() {
            let mut rows = Rows::resume(Form::Csv, header.clone(), row.end, row.number, RowLimits::default());
            rows.push(&LIST.as_bytes()[usize::try_from(row.end).unwrap()..]);
            let mut rest = Vec::new();
            while let Some(r) = rows.next_row().unwrap() {
                rest.push(r);
            }
            rest.extend(rows.finish().unwrap());
            assert_eq!(rest, whole[i + 1..]);
        }
    }

    #[test]
    fn headers_are_checked() {
        let refused = |h: &str| read(Form::Csv, h.as_bytes(), 99).unwrap_err();
        assert_eq!(refused("tz,lang\n"), Refusal::new("header.to", Reason::Missing));
        assert_eq!(refused("to,to\n"), Refusal::new("header.to", Reason::Twice));
        assert_eq!(refused("to,zone,tz\n"), Refusal::new("header.tz", Reason::Twice));
        assert_eq!(
            refused("to,langg\n"),
            Refusal::new("header.langg", Reason::UnknownField { nearest: Some("lang") })
        );
        assert!(matches!(refused("to,\"x\n\"y\n").reason, Reason::NotA(_)));
    }

    #[test]
    fn json_lines() {
        let rows =
            read(Form::Jsonl, b"{\"to\":\"a\",\"tz\":\"UTC\"}\n{bad\n{\"to\":1,\"to\":2}\n[]\n", 5).unwrap();
        assert_eq!(rows[0].fields.clone().map(Value::Object), Ok(json!({"to": "a", "zone": "UTC"})));
        assert!(rows[1..].iter().all(|r| r.fields.is_err()));
        assert_eq!(rows.len(), 4);
    }

    #[test]
    fn a_row_that_never_ends_is_skipped_in_bounded_memory() {
        let mut rows = Rows::resume(Form::Jsonl, Vec::new(), 0, 0, RowLimits::default());
        for _ in 0..1_000 {
            rows.push(&[b'x'; 4_096]);
            assert_eq!(rows.next_row(), Ok(None));
            assert!(rows.buffer.len() <= 24 << 10);
        }
        rows.push(b"\n{\"to\":\"a\"}\n");
        assert!(matches!(rows.next_row(), Ok(Some(Row { number: 1, fields: Err(_), .. }))));
        assert!(matches!(rows.next_row(), Ok(Some(Row { number: 2, fields: Ok(_), .. }))));
    }

    #[test]
    fn rows_say_their_own_and_no_more() {
        let common: Fields =
            serde_json::from_value(json!({"purpose": "survey", "params": {"a": "1", "b": "2"}})).unwrap();
        let row = |v: Value| serde_json::from_value::<Fields>(v).unwrap();
        let made = request(&common, row(json!({"to": "x", "params": {"b": "3"}})), CampaignId(1), 7).unwrap();
        assert_eq!(made["params"], json!({"a": "1", "b": "3"}));
        assert!(made["request_id"].as_str().unwrap().ends_with("0001:7"));
        assert!(request(&common, row(json!({"to": "x", "purpose": "emergency"})), CampaignId(1), 7).is_err());
    }

    #[test]
    fn stages_by_table() {
        for (from, word, to) in [
            (Stage::Draft, "start", Some(Stage::Running)),
            (Stage::Draft, "pause", None),
            (Stage::Draft, "abort", Some(Stage::Aborted)),
            (Stage::Running, "start", None),
            (Stage::Running, "pause", Some(Stage::Paused)),
            (Stage::Paused, "resume", Some(Stage::Running)),
            (Stage::Paused, "abort", Some(Stage::Aborted)),
            (Stage::Aborted, "resume", None),
            (Stage::Aborted, "abort", None),
            (Stage::Running, "explode", None),
        ] {
            assert_eq!(from.after(word), to, "{from:?} {word}");
        }
    }

    #[test]
    fn mutated_lists_never_panic() {
        let mut rng = Seed(5).rng();
        let mut seen = 0;
        for _ in 0..3_000 {
            let mut list = LIST.as_bytes().to_vec();
            for _ in 0..rng.below(8) {
                let at = usize::try_from(rng.below(list.len() as u64)).unwrap();
                list[at] = b"\",\n\r\0\xff+a"[usize::try_from(rng.below(8)).unwrap()];
            }
            let piece = 1 + usize::try_from(rng.below(40)).unwrap();
            seen += read(Form::Csv, &list, piece).map_or(0, |r| r.len());
        }
        assert!(seen > 1_000);
    }
}
