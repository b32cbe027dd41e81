//! The narrow waist under the store's engine: statements with positional parameters against one writing connection.
//! One engine ([`super::engine`]) speaks to both databases through it, so that both keep the same rules.
//!
//! Statements are written in the words both databases know, with `?1`-style parameters in order of first use;
//! integers are 64 bits, ids octet strings, documents text. Where PostgreSQL must say more, a comment marks the place:
//! `/*claim x*/` becomes `FOR UPDATE OF x SKIP LOCKED`, `/*lock*/` `FOR UPDATE`.

/// A parameter or a column.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// NULL.
    Null,
    /// A 64-bit integer.
    Int(i64),
    /// Text.
    Text(String),
    /// Octets.
    Blob(Vec<u8>),
}

/// One row.
pub(crate) type Row = Vec<Value>;

/// What went wrong below, as far as the engine must tell it apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DbError {
    /// No room, or the database is away: what ran is undone; it may work later.
    Away(String),
    /// The disk lied or may have (I/O error, failed fsync, corruption): nothing may be accepted any more until the
    /// store is opened again.
    Poisoned(String),
    /// This statement alone cannot be carried out (too big, a constraint).
    Refused(String),
    /// Another writer won (deadlock, serialisation): the same batch may be run again at once.
    Again(String),
}

/// One connection that writes.
pub(crate) trait Db: Send {
    /// Which row of a sum this writer adds to: writers with different ones do not wait for each other.
    fn slot(&self) -> u32 {
        0
    }
    /// Opens a transaction.
    fn begin(&mut self) -> Result<(), DbError>;
    /// Makes it durable.
    fn commit(&mut self) -> Result<(), DbError>;
    /// Undoes it; errors are of no use here.
    fn rollback(&mut self);
    /// Waits until no other writer holds one of these names (sorted). SQLite has one writer: nothing to do.
    fn lock(&mut self, keys: &[i64]) -> Result<(), DbError>;
    /// Reads rows.
    fn read(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, DbError>;
    /// Reads rows once per set of parameters; one round trip where there are round trips.
    fn read_each(&mut self, sql: &'static str, sets: &[Vec<Value>]) -> Result<Vec<Vec<Row>>, DbError> {
        sets.iter().map(|p| self.read(sql, p)).collect()
    }
    /// Writes; may be sent later, at the latest with the next read or commit, in order.
    fn write(&mut self, sql: &'static str, params: Vec<Value>) -> Result<(), DbError>;
}

impl From<i64> for Value {
    fn from(v: i64) -> Self {
        Value::Int(v)
    }
}
impl From<u32> for Value {
    fn from(v: u32) -> Self {
        Value::Int(i64::from(v))
    }
}
impl From<u64> for Value {
    /// Saturates: nothing here counts beyond 2^63.
    fn from(v: u64) -> Self {
        Value::Int(i64::try_from(v).unwrap_or(i64::MAX))
    }
}
impl From<u128> for Value {
    fn from(v: u128) -> Self {
        Value::Blob(v.to_be_bytes().to_vec())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Value::Text(v)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Value::Text(v.to_owned())
    }
}
impl From<Vec<u8>> for Value {
    fn from(v: Vec<u8>) -> Self {
        Value::Blob(v)
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Self {
        v.map_or(Value::Null, Into::into)
    }
}

/// Takes a row's columns in order; a column of another kind is a stored row that cannot be read back.
pub(crate) struct Columns(std::vec::IntoIter<Value>);

/// A stored row cannot be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Columns {
    pub(crate) fn of(row: Row) -> Self {
        Self(row.into_iter())
    }

    fn next(&mut self) -> Value {
        self.0.next().unwrap_or(Value::Null)
    }

    pub(crate) fn int_or_null(&mut self) -> Result<Option<i64>, Unreadable> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Int(v) => Ok(Some(v)),
            _ => Err(Unreadable),
        }
    }

    pub(crate) fn int(&mut self) -> Result<i64, Unreadable> {
        self.int_or_null()?.ok_or(Unreadable)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Unreadable> {
        u32::try_from(self.int()?).map_err(|_| Unreadable)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Unreadable> {
        u64::try_from(self.int()?).map_err(|_| Unreadable)
    }

    pub(crate) fn text_or_null(&mut self) -> Result<Option<String>, Unreadable> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Text(v) => Ok(Some(v)),
            _ => Err(Unreadable),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, Unreadable> {
        self.text_or_null()?.ok_or(Unreadable)
    }

    pub(crate) fn blob_or_null(&mut self) -> Result<Option<Vec<u8>>, Unreadable> {
        match self.next() {
            Value::Null => Ok(None),
            Value::Blob(v) => Ok(Some(v)),
            _ => Err(Unreadable),
        }
    }

    pub(crate) fn id_or_null(&mut self) -> Result<Option<u128>, Unreadable> {
        let Some(octets) = self.blob_or_null()? else { return Ok(None) };
        <[u8; 16]>::try_from(octets).map(|o| Some(u128::from_be_bytes(o))).map_err(|_| Unreadable)
    }

    pub(crate) fn id(&mut self) -> Result<u128, Unreadable> {
        self.id_or_null()?.ok_or(Unreadable)
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Unreadable> {
        serde_json::from_str(&self.text()?).map_err(|_| Unreadable)
    }
}
