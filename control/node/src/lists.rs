//! Lists of fields as people send them: CSV with a header row (RFC 4180), JSON lines, or one JSON array. What the
//! columns mean is the reader's; here each row becomes an object of texts.

use control::campaign::cells;
use control::limits::OrderLimits;
use control::order::form::{self, Fields};
use control::order::{Reason, Refusal};
use serde_json::Value;

/// Columns of a CSV.
const COLUMNS_MAX: usize = 100;

/// Rows of a list with their numbers, from 1.
pub struct Lines<'a> {
    form: Form<'a>,
    number: u64,
}

enum Form<'a> {
    Csv { header: Vec<String>, rest: &'a [u8] },
    Jsonl(&'a [u8]),
    Json(std::vec::IntoIter<Value>),
}

impl<'a> Lines<'a> {
    /// A list by its media type; `None`: no list has this type.
    ///
    /// # Errors
    /// A [`Refusal`] of the header row, or of the array.
    #[must_use]
    pub fn of(media_type: &str, octets: &'a [u8]) -> Option<Result<Self, Refusal>> {
        let form = match media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str()
        {
            "text/csv" => csv(octets),
            "application/jsonl" | "application/x-ndjson" => Ok(Form::Jsonl(octets)),
            "application/json" => match serde_json::from_slice(octets) {
                Ok(Value::Array(all)) => Ok(Form::Json(all.into_iter())),
                _ => Err(Refusal::new("body", Reason::NotA("a JSON array of objects"))),
            },
            _ => return None,
        };
        Some(form.map(|form| Self { form, number: 0 }))
    }
}

fn csv(octets: &[u8]) -> Result<Form<'_>, Refusal> {
    let octets = octets.strip_prefix("\u{feff}".as_bytes()).unwrap_or(octets);
    let mut rest = octets;
    let malformed = || Refusal::new("header", Reason::NotA("a header row with the names of the columns"));
    let line = row(&mut rest).ok_or_else(malformed)?;
    let header = cells(line, COLUMNS_MAX).ok_or_else(malformed)?;
    let header: Vec<String> = header.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    let twice = header.iter().enumerate().find(|(i, name)| header[..*i].contains(name));
    match twice {
        Some((_, name)) => Err(Refusal::new(format!("header.{name}"), Reason::Twice)),
        None => Ok(Form::Csv { header, rest }),
    }
}

/// The next line that is not empty; a line feed inside quotes ends none.
fn row<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    while !rest.is_empty() {
        let mut quoted = false;
        let end = rest.iter().position(|b| {
            quoted ^= *b == b'"';
            *b == b'\n' && !quoted
        });
        let (line, after) = end.map_or((*rest, &rest[rest.len()..]), |e| (&rest[..e], &rest[e + 1..]));
        *rest = after;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.is_empty() {
            return Some(line);
        }
    }
    None
}

impl Iterator for Lines<'_> {
    type Item = (u64, Result<Fields, Refusal>);

    fn next(&mut self) -> Option<Self::Item> {
        self.number += 1;
        let bad = |what| Refusal::new("row", Reason::Malformed { what, line: 0, column: 0 });
        let fields = match &mut self.form {
            Form::Csv { header, rest } => {
                let line = row(rest)?;
                match cells(line, COLUMNS_MAX).filter(|c| c.len() <= header.len()) {
                    Some(cells) => {
                        let filled = header.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
                        Ok(filled.map(|(name, cell)| (name.clone(), Value::from(cell))).collect())
                    }
                    None => Err(bad("CSV")),
                }
            }
            Form::Jsonl(rest) => form::json(row_plain(rest)?, &OrderLimits::default()),
            Form::Json(all) => match all.next()? {
                Value::Object(fields) => Ok(fields),
                _ => Err(bad("JSON")),
            },
        };
        Some((self.number, fields))
    }
}

fn row_plain<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        let (line, after) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
        *rest = after;
        if !line.trim_ascii().is_empty() {
            return Some(line.trim_ascii());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(media_type: &str, text: &str, expected: &[Option<Value>]) {
        let lines = Lines::of(media_type, text.as_bytes()).expect("a form").expect("a header");
        let read: Vec<Option<Value>> = lines.map(|(_, row)| row.ok().map(Value::Object)).collect();
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn three_forms_give_the_same_rows() {
        let rows = [Some(json!({ "number": "+1", "zone": "UTC" })), Some(json!({ "number": "a,\nb" }))];
        check("text/csv; charset=utf-8", "Number,zone\r\n+1,UTC\r\n\"a,\nb\",\r\n", &rows);
        check("application/jsonl", "{\"number\":\"+1\",\"zone\":\"UTC\"}\n\n{\"number\":\"a,\\nb\"}", &rows);
        check("application/json", "[{\"number\":\"+1\",\"zone\":\"UTC\"},{\"number\":\"a,\\nb\"}]", &rows);
        check("text/csv", "a\n1,2\nx\n", &[None, Some(json!({ "a": "x" }))]);
        check("application/json", "[1]", &[None]);
        assert!(Lines::of("text/plain", b"").is_none());
        assert!(Lines::of("text/csv", b"a,a\n").expect("a form").is_err());
        assert!(Lines::of("application/json", b"{}").expect("a form").is_err());
    }
}
