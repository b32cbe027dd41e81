//! Many statements of one form as one: what a batch writes to a table, or asks of it, goes to PostgreSQL as columns
//! (`unnest`) instead of row by row. A statement costs a server and a client about as much as ten of its rows.
//!
//! Pure text and columns; [`super::postgres`] sends them. The order of writes to one table is kept; between tables there
//! is none to keep, for no table refers to another.

use super::db::{DbError, Row, Value};
use tokio_postgres::types::{ToSql, Type};

/// Writes of one form that may go together, in order.
#[derive(Debug, PartialEq)]
pub(super) struct Run {
    pub(super) sql: &'static str,
    pub(super) rows: Vec<Row>,
}

/// Gathers writes into runs: by table, in order, as long as the statement is the same and may be joined.
pub(super) fn runs(writes: Vec<(&'static str, Row)>) -> Vec<Run> {
    let mut tables: Vec<(&str, Vec<Run>)> = Vec::new();
    for (sql, row) in writes {
        let table = table_of(sql);
        let at = match tables.iter().position(|(name, _)| *name == table) {
            Some(at) => at,
            None => {
                tables.push((table, Vec::new()));
                tables.len() - 1
            }
        };
        let runs = &mut tables[at].1;
        match runs.last_mut().filter(|run| run.sql == sql && may_join(sql) && !touches_twice(run, &row)) {
            Some(run) => run.rows.push(row),
            None => runs.push(Run { sql, rows: vec![row] }),
        }
    }
    tables.into_iter().flat_map(|(_, runs)| runs).collect()
}

/// The table that a writing statement names.
fn table_of(sql: &str) -> &str {
    let mut words = sql.split_whitespace();
    match words.next() {
        Some("UPDATE") => words.next().unwrap_or(""),
        // `INSERT INTO t`, `DELETE FROM t`.
        _ => words.nth(1).unwrap_or(""),
    }
}

/// An `INSERT` of constants alone, or of something read, stays as it is.
fn may_join(sql: &str) -> bool {
    !sql.starts_with("INSERT") || sql.contains(" VALUES (?1")
}

/// An `UPDATE` over joined rows takes any one of two that meet the same row, and an upsert must not meet one twice. The key of
/// the first is its last parameter; of the second, its columns of conflict.
fn touches_twice(run: &Run, row: &Row) -> bool {
    let key = key_of(run.sql, row.len());
    !key.is_empty() && run.rows.iter().any(|before| key.iter().all(|i| before.get(*i) == row.get(*i)))
}

fn key_of(sql: &str, parameters: usize) -> Vec<usize> {
    if sql.starts_with("UPDATE") {
        return vec![parameters.saturating_sub(1)];
    }
    let conflict = sql.split_once(" ON CONFLICT (").filter(|_| sql.contains("DO UPDATE"));
    let Some(((head, tail), columns)) = conflict.zip(sql.split_once('(')) else { return Vec::new() };
    let (_, columns) = columns;
    let own: Vec<&str> = columns.split(')').next().unwrap_or("").split(',').map(str::trim).collect();
    debug_assert!(head.contains("VALUES"), "an upsert has its values before its conflict");
    let of_conflict = tail.split(')').next().unwrap_or("").split(',').map(str::trim);
    of_conflict.filter_map(|name| own.iter().position(|column| *column == name)).collect()
}

/// A writing statement over columns.
pub(super) fn write_many(sql: &str, types: &[Type]) -> String {
    let columns = names(types.len());
    let from = format!("unnest({}) AS u({columns})", arrays(types));
    let bound = bound(sql, types.len());
    if let Some((head, rest)) = bound.split_once(" VALUES (") {
        // What follows the values: a clause of conflict, or nothing.
        let (values, tail) = rest.split_once(')').unwrap_or((rest, ""));
        return format!("{head} SELECT {values} FROM {from}{tail}");
    }
    let word = if sql.starts_with("DELETE") { "USING" } else { "FROM" };
    let (head, condition) = bound.split_once(" WHERE ").unwrap_or((&bound, "true"));
    format!("{head} {word} {from} WHERE {condition}")
}

/// A reading statement over columns; each row of the answer begins with the number of its set, from 1.
pub(super) fn read_many(sql: &str, types: &[Type]) -> String {
    let from = format!("unnest({}) WITH ORDINALITY AS u({}, n)", arrays(types), names(types.len()));
    format!("SELECT u.n, q.* FROM {from}, LATERAL ({}) q", bound(sql, types.len()))
}

/// `?k` becomes `u.ck`.
fn bound(sql: &str, n: usize) -> String {
    // From the last: `?1` begins `?10` too.
    (1..=n).rev().fold(sql.to_owned(), |text, k| text.replace(&format!("?{k}"), &format!("u.c{k}")))
}

fn names(n: usize) -> String {
    (1..=n).map(|k| format!("c{k}")).collect::<Vec<_>>().join(", ")
}

fn arrays(types: &[Type]) -> String {
    let name = |ty: &Type| match *ty {
        Type::INT8 => "bigint",
        Type::TEXT => "text",
        _ => "bytea",
    };
    let each = types.iter().enumerate().map(|(i, ty)| format!("${}::{}[]", i + 1, name(ty)));
    each.collect::<Vec<_>>().join(", ")
}

/// A column of parameters.
pub(super) type Column = Box<dyn ToSql + Sync + Send>;

/// Turns rows into columns of these types.
///
/// # Errors
/// A value of another type than its column's: ours alone to avoid.
pub(super) fn columns(rows: &[Row], types: &[Type]) -> Result<Vec<Column>, DbError> {
    let refused = || DbError::Refused("a parameter has another type than its column".to_owned());
    types
        .iter()
        .enumerate()
        .map(|(i, ty)| {
            let values = rows.iter().map(|row| row.get(i).unwrap_or(&Value::Null));
            Ok(match *ty {
                Type::INT8 => {
                    let all: Option<Vec<Option<i64>>> = values.map(int).collect();
                    Box::new(all.ok_or_else(refused)?) as Column
                }
                Type::TEXT => {
                    let all: Option<Vec<Option<String>>> = values.map(text).collect();
                    Box::new(all.ok_or_else(refused)?) as Column
                }
                _ => {
                    let all: Option<Vec<Option<Vec<u8>>>> = values.map(blob).collect();
                    Box::new(all.ok_or_else(refused)?) as Column
                }
            })
        })
        .collect()
}

fn int(value: &Value) -> Option<Option<i64>> {
    match value {
        Value::Null => Some(None),
        Value::Int(v) => Some(Some(*v)),
        _ => None,
    }
}

fn text(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        // PostgreSQL's text holds no NUL.
        Value::Text(v) => Some(Some(v.replace('\0', " "))),
        _ => None,
    }
}

fn blob(value: &Value) -> Option<Option<Vec<u8>>> {
    match value {
        Value::Null => Some(None),
        Value::Blob(v) => Some(Some(v.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: [Type; 2] = [Type::INT8, Type::BYTEA];

    #[test]
    fn statements_over_columns() {
        let check = |sql: &str, expected: &str| assert_eq!(write_many(sql, &TYPES), expected);
        check(
            "INSERT INTO t (a, b) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            "INSERT INTO t (a, b) SELECT u.c1, u.c2 FROM unnest($1::bigint[], $2::bytea[]) AS u(c1, c2) ON CONFLICT DO NOTHING",
        );
        check(
            "UPDATE t SET a = ?1 WHERE b = ?2",
            "UPDATE t SET a = u.c1 FROM unnest($1::bigint[], $2::bytea[]) AS u(c1, c2) WHERE b = u.c2",
        );
        check(
            "DELETE FROM t WHERE a = ?1 AND b = ?2",
            "DELETE FROM t USING unnest($1::bigint[], $2::bytea[]) AS u(c1, c2) WHERE a = u.c1 AND b = u.c2",
        );
        assert_eq!(
            read_many("SELECT x FROM t WHERE a = ?1 AND b > ?2 LIMIT 1", &TYPES),
            "SELECT u.n, q.* FROM unnest($1::bigint[], $2::bytea[]) WITH ORDINALITY AS u(c1, c2, n), \
             LATERAL (SELECT x FROM t WHERE a = u.c1 AND b > u.c2 LIMIT 1) q"
        );
    }

    #[test]
    fn the_tenth_parameter_is_not_the_first() {
        assert_eq!(bound("?1 ?10 ?11 ?2", 11), "u.c1 u.c10 u.c11 u.c2");
    }

    #[test]
    fn writes_to_one_table_keep_their_order_and_join() {
        const PUT: &str = "INSERT INTO ready (a) VALUES (?1)";
        const TAKE: &str = "DELETE FROM ready WHERE a = ?1";
        const SET: &str = "UPDATE live SET a = ?1 WHERE id = ?2";
        const UPSERT: &str = "INSERT INTO shelf (a) VALUES (?1) ON CONFLICT (a) DO UPDATE SET a = excluded.a";
        let row = |n: i64| vec![Value::Int(n)];
        let set = |n: i64, id: i64| vec![Value::Int(n), Value::Int(id)];
        let writes = vec![
            (PUT, row(1)),
            (SET, set(1, 7)),
            (PUT, row(2)),
            (SET, set(2, 8)),
            (TAKE, row(1)),
            (SET, set(3, 7)),
            (PUT, row(1)),
            (UPSERT, row(1)),
            (UPSERT, row(2)),
            (UPSERT, row(1)),
        ];
        let shape: Vec<(&str, usize)> = runs(writes).iter().map(|r| (r.sql, r.rows.len())).collect();
        let expected = [(PUT, 2), (TAKE, 1), (PUT, 1), (SET, 2), (SET, 1), (UPSERT, 2), (UPSERT, 1)];
        assert_eq!(shape, expected, "what was put and taken and put again ends as it should");
    }
}
