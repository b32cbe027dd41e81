//! The embedded store: SQLite in WAL mode with `synchronous=FULL`, so a commit is on the disk when it is answered.
//! One connection writes. Readers open their own.

use super::db::{Db, DbError, Row, Value};
use super::engine::Engine;
use control::store::{Answer, Ask, Error, Store};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};
use std::path::Path;
use units::Now;

/// Layouts in order; each is applied once, in a transaction.
const STEPS: [&str; 2] = [include_str!("schema_sqlite.sql"), include_str!("schema_sqlite_2.sql")];
/// The layout this program writes; a store of a later one is refused.
const LAYOUT: i64 = 2;

/// A SQLite store.
pub struct Sqlite {
    engine: Engine<Connected>,
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite says why.
    #[error("the store cannot be opened: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A newer program wrote it.
    #[error("the store has layout {found}; this program knows {LAYOUT}")]
    Newer {
        /// What it has.
        found: i64,
    },
}

impl Sqlite {
    /// Opens or creates the store in a file.
    ///
    /// # Errors
    /// [`OpenError`] if the file cannot be opened or belongs to a newer program.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let conn = Connection::open(path)?;
        conn.pragma_update(None, "journal_mode", "WAL")?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        conn.pragma_update(None, "wal_autocheckpoint", 4_000)?;
        Self::set_up(conn)
    }

    /// A store that lives as long as the value: for simulations and tests.
    ///
    /// # Panics
    /// Never in practice: memory is the only thing that can be short.
    #[must_use]
    pub fn in_memory() -> Self {
        let conn = Connection::open_in_memory().expect("a database in memory opens");
        Self::set_up(conn).expect("an empty database takes the schema")
    }

    /// A second connection to a store in a file, for reading beside the writer.
    ///
    /// # Errors
    /// [`OpenError`] if the file cannot be opened.
    pub fn reader(path: &Path) -> Result<Self, OpenError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(path, flags)?;
        tune(&conn)?;
        Ok(Self { engine: Engine::new(Connected { conn }) })
    }

    fn set_up(conn: Connection) -> Result<Self, OpenError> {
        tune(&conn)?;
        let found: i64 = conn.query_row("PRAGMA user_version", [], |r| r.get(0))?;
        if found > LAYOUT {
            return Err(OpenError::Newer { found });
        }
        for (step, n) in STEPS.iter().zip(1..=LAYOUT).filter(|(_, n)| *n > found) {
            conn.execute_batch("BEGIN IMMEDIATE")?;
            conn.execute_batch(step)?;
            conn.pragma_update(None, "user_version", n)?;
            conn.execute_batch("COMMIT")?;
        }
        Ok(Self { engine: Engine::new(Connected { conn }) })
    }

    /// Bounds the file, in pages of 4 KiB: what a full disk looks like, for tests and quotas.
    ///
    /// # Errors
    /// [`OpenError`] if SQLite refuses.
    pub fn limit_pages(&mut self, pages: u32) -> Result<(), OpenError> {
        let set = format!("PRAGMA max_page_count = {pages}");
        self.engine.db().conn.query_row(&set, [], |_| Ok(()))?;
        Ok(())
    }

    /// How many pages the file has.
    ///
    /// # Errors
    /// [`OpenError`] if SQLite cannot say.
    pub fn pages(&mut self) -> Result<u32, OpenError> {
        Ok(self.engine.db().conn.query_row("PRAGMA page_count", [], |r| r.get(0))?)
    }
}

impl Store for Sqlite {
    fn run(&mut self, now: Now, batch: Vec<Ask>) -> Vec<Result<Answer, Error>> {
        self.engine.run(now, batch)
    }
}

fn tune(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(96);
    conn.pragma_update(None, "cache_size", -65_536)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.busy_timeout(std::time::Duration::from_secs(5))
}

/// The writing connection.
pub(crate) struct Connected {
    conn: Connection,
}

impl Db for Connected {
    fn begin(&mut self) -> Result<(), DbError> {
        self.plain("BEGIN IMMEDIATE")
    }

    fn commit(&mut self) -> Result<(), DbError> {
        self.plain("COMMIT")
    }

    fn rollback(&mut self) {
        // Some errors have rolled back already; then there is nothing to undo and this says so.
        let _ = self.plain("ROLLBACK");
    }

    fn lock(&mut self, _keys: &[i64]) -> Result<(), DbError> {
        Ok(())
    }

    fn read(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        let mut statement = self.conn.prepare_cached(sql).map_err(|e| verdict(&e))?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(params)).map_err(|e| verdict(&e))?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(|e| verdict(&e))? {
            let values = (0..columns).map(|i| row.get_ref(i).map(own)).collect::<Result<Row, _>>();
            out.push(values.map_err(|e| verdict(&e))?);
        }
        Ok(out)
    }

    fn write(&mut self, sql: &'static str, params: Vec<Value>) -> Result<(), DbError> {
        let mut statement = self.conn.prepare_cached(sql).map_err(|e| verdict(&e))?;
        statement.execute(rusqlite::params_from_iter(params.iter())).map_err(|e| verdict(&e))?;
        Ok(())
    }
}

impl Connected {
    fn plain(&mut self, sql: &'static str) -> Result<(), DbError> {
        self.conn.prepare_cached(sql).and_then(|mut s| s.execute([]).map(|_| ())).map_err(|e| verdict(&e))
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(v) => ValueRef::Integer(*v),
            Value::Text(v) => ValueRef::Text(v.as_bytes()),
            Value::Blob(v) => ValueRef::Blob(v),
        }))
    }
}

fn own(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(v) => Value::Int(v),
        // No statement of ours yields a real; were one stored by hand, the engine refuses the row as unreadable.
        ValueRef::Real(_) => Value::Blob(Vec::new()),
        ValueRef::Text(t) => Value::Text(String::from_utf8_lossy(t).into_owned()),
        ValueRef::Blob(b) => Value::Blob(b.to_vec()),
    }
}

/// What an error of SQLite means for the batch. After a failed write or fsync the page cache may say other than the
/// disk: retrying is how data was lost elsewhere, so the store stays shut until it is opened again.
fn verdict(error: &rusqlite::Error) -> DbError {
    let text = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => DbError::Away(text),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::OutOfMemory) => {
            DbError::Away(text)
        }
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            DbError::Away(text)
        }
        Some(ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            DbError::Poisoned(text)
        }
        _ => DbError::Refused(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: std::ffi::c_int, expected: fn(&DbError) -> bool) {
        let error = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
        assert!(expected(&verdict(&error)), "code {code} gave {:?}", verdict(&error));
    }

    #[test]
    fn a_full_disk_may_heal_and_a_failed_fsync_may_not() {
        check(rusqlite::ffi::SQLITE_FULL, |v| matches!(v, DbError::Away(_)));
        check(rusqlite::ffi::SQLITE_IOERR_FSYNC, |v| matches!(v, DbError::Poisoned(_)));
        check(rusqlite::ffi::SQLITE_IOERR_WRITE, |v| matches!(v, DbError::Poisoned(_)));
        check(rusqlite::ffi::SQLITE_CORRUPT, |v| matches!(v, DbError::Poisoned(_)));
        check(rusqlite::ffi::SQLITE_TOOBIG, |v| matches!(v, DbError::Refused(_)));
    }
}
