//! The clustered store: PostgreSQL 15 or newer, by tokio-postgres on this thread's own current-thread runtime.
//!
//! Writes are gathered and sent together with the next read or the commit (pipelined), and those of one form as one
//! statement ([`bulk`]), so a batch costs few round trips and few statements. Rows are locked in one order by every writer; what deadlocks or cannot be serialised all the same is run again.

use super::bulk::{self, Column as Param};
use super::db::{Db, DbError, Row, Value};
use super::engine::Engine;
use bytes::BytesMut;
use control::store::{Answer, Ask, Error, Store};
use futures::future::try_join_all;
use std::collections::HashMap;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Config, NoTls, Statement};
use units::{Now, Wall};

/// Layouts in order; each is applied once, in a transaction.
const MIGRATIONS: &[&str] = &[include_str!("schema_postgres.sql"), include_str!("schema_postgres_2.sql")];
/// Only one process migrates at a time.
const MIGRATION_LOCK: i64 = 0x6361_7269_6c6c_6f6e;
/// A statement that takes longer is given up: the database is as good as away.
const STATEMENT: Duration = Duration::from_secs(10);
/// After a failed connection the next try is made no sooner.
const RECONNECT_MS: u64 = 500;
const DAY_MS: i64 = 86_400_000;
/// Partitions are made for so many days ahead.
const DAYS_AHEAD: i64 = 3;

/// A PostgreSQL store.
pub struct Postgres {
    engine: Engine<Session>,
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// PostgreSQL or the way to it says why.
    #[error("PostgreSQL: {0}")]
    Postgres(#[from] tokio_postgres::Error),
    /// No runtime.
    #[error("no runtime: {0}")]
    Runtime(#[from] std::io::Error),
    /// A newer program wrote it, or nobody did yet.
    #[error(
        "the store has layout {found}, this program needs {needed}: run `carillon migrate`, or a newer program"
    )]
    Layout {
        /// What it has.
        found: usize,
        /// What is needed.
        needed: usize,
    },
}

impl Postgres {
    /// Connects by a connection string (`host=... user=... dbname=...` or a `postgresql://` URL).
    ///
    /// # Errors
    /// [`OpenError`] if it cannot be reached, or its layout is not this program's.
    pub fn open(url: &str) -> Result<Self, OpenError> {
        let config: Config = url.parse()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = runtime.block_on(connect(&config))?;
        let found = runtime.block_on(layout(&client))?;
        if found != MIGRATIONS.len() {
            return Err(OpenError::Layout { found, needed: MIGRATIONS.len() });
        }
        let session = Session {
            config,
            runtime,
            client: Some(client),
            statements: HashMap::new(),
            joined: HashMap::new(),
            unsent: Vec::new(),
            broken_at: None,
            now: Now::default(),
            day: 0,
        };
        Ok(Self { engine: Engine::new(session) })
    }

    /// Brings the layout up to date (`carillon migrate`); how many steps it took.
    ///
    /// # Errors
    /// [`OpenError`] if the database refuses; nothing of the failed step is left behind.
    pub fn migrate(url: &str) -> Result<usize, OpenError> {
        let config: Config = url.parse()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut client = connect(&config).await?;
            client.execute("SELECT pg_advisory_lock($1)", &[&MIGRATION_LOCK]).await?;
            let found = layout(&client).await?;
            if found > MIGRATIONS.len() {
                return Err(OpenError::Layout { found, needed: MIGRATIONS.len() });
            }
            for (n, step) in MIGRATIONS.iter().enumerate().skip(found) {
                let transaction = client.transaction().await?;
                transaction.batch_execute(step).await?;
                let n = i64::try_from(n + 1).unwrap_or(i64::MAX);
                transaction.execute("INSERT INTO layout (n) VALUES ($1)", &[&n]).await?;
                transaction.commit().await?;
            }
            Ok(MIGRATIONS.len() - found)
        })
    }
}

impl Store for Postgres {
    fn run(&mut self, now: Now, batch: Vec<Ask>) -> Vec<Result<Answer, Error>> {
        self.engine.db().now = now;
        if let Some(Ask::Prune { orders, records, .. }) =
            batch.iter().find(|a| matches!(a, Ask::Prune { .. }))
        {
            self.engine.db().drop_days(*orders, *records);
        }
        self.engine.db().make_days(now.wall);
        self.engine.run(now, batch)
    }
}

async fn connect(config: &Config) -> Result<Client, tokio_postgres::Error> {
    let mut config = config.clone();
    config.connect_timeout(Duration::from_secs(5));
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(%error, "the connection to PostgreSQL ended");
        }
    });
    // The engine's joins are by key, a few rows each: without statistics on a fresh table PostgreSQL would hash whole
    // tables. Deadlocks are prevented by order; where one happens it is found early.
    client
        .batch_execute(
            "SET client_min_messages = warning; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET jit = off; \
             SET plan_cache_mode = force_generic_plan; SET synchronous_commit = on; SET statement_timeout = '10s'",
        )
        .await?;
    Ok(client)
}

async fn layout(client: &Client) -> Result<usize, tokio_postgres::Error> {
    client.batch_execute("CREATE TABLE IF NOT EXISTS layout (n BIGINT PRIMARY KEY)").await?;
    let row = client.query_one("SELECT count(*) FROM layout", &[]).await?;
    Ok(usize::try_from(row.get::<_, i64>(0)).unwrap_or(0))
}

/// One connection, made again when it breaks.
pub(crate) struct Session {
    config: Config,
    runtime: Runtime,
    client: Option<Client>,
    statements: HashMap<&'static str, Statement>,
    /// The same over columns.
    joined: HashMap<&'static str, Statement>,
    /// Writes of this transaction that were not sent yet.
    unsent: Vec<(&'static str, Vec<Value>)>,
    broken_at: Option<u64>,
    now: Now,
    /// Partitions exist up to this day.
    day: i64,
}

impl Db for Session {
    fn slot(&self) -> u32 {
        std::process::id() % 16
    }

    fn begin(&mut self) -> Result<(), DbError> {
        self.unsent.clear();
        self.reconnect()?;
        self.plain("BEGIN")
    }

    fn commit(&mut self) -> Result<(), DbError> {
        self.send()?;
        self.plain("COMMIT")
    }

    fn rollback(&mut self) {
        self.unsent.clear();
        if self.plain("ROLLBACK").is_err() {
            self.broken();
        }
    }

    fn lock(&mut self, keys: &[i64]) -> Result<(), DbError> {
        let sets: Vec<Vec<Value>> = keys.iter().map(|key| vec![(*key).into()]).collect();
        self.read_each("SELECT 1::BIGINT FROM pg_advisory_xact_lock(?1)", &sets).map(|_| ())
    }

    fn read(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, DbError> {
        let rows = self.read_each(sql, &[params.to_vec()])?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    fn read_each(&mut self, sql: &'static str, sets: &[Vec<Value>]) -> Result<Vec<Vec<Row>>, DbError> {
        if sets.is_empty() {
            return Ok(Vec::new());
        }
        self.reconnect()?;
        self.send()?;
        let statement = self.prepare(sql)?;
        if sets.len() > 1 && !statement.params().is_empty() {
            return self.read_joined(sql, &statement, sets);
        }
        let Some(client) = &self.client else { return Err(away()) };
        let asked = sets.iter().map(|set| {
            let statement = &statement;
            async move { client.query(statement, &borrowed(set)).await }
        });
        let all = self.runtime.block_on(within(try_join_all(asked)));
        let all = self.checked(all)?;
        Ok(all.iter().map(|rows| rows.iter().map(own).collect()).collect())
    }

    fn write(&mut self, sql: &'static str, params: Vec<Value>) -> Result<(), DbError> {
        self.unsent.push((sql, params));
        Ok(())
    }
}

impl Session {
    fn reconnect(&mut self) -> Result<(), DbError> {
        if self.client.as_ref().is_some_and(|c| !c.is_closed()) {
            return Ok(());
        }
        let ms = self.now.mono.as_ms();
        if self.broken_at.is_some_and(|at| ms < at + RECONNECT_MS) {
            return Err(away());
        }
        self.statements.clear();
        self.joined.clear();
        match self.runtime.block_on(connect(&self.config)) {
            Ok(client) => {
                (self.client, self.broken_at) = (Some(client), None);
                Ok(())
            }
            Err(error) => {
                self.broken_at = Some(ms);
                Err(DbError::Away(error.to_string()))
            }
        }
    }

    fn broken(&mut self) {
        self.client = None;
        self.statements.clear();
        self.joined.clear();
    }

    fn plain(&mut self, sql: &'static str) -> Result<(), DbError> {
        let Some(client) = &self.client else { return Err(away()) };
        let done = self.runtime.block_on(within(client.batch_execute(sql)));
        self.checked(done)
    }

    /// Prepared once a connection. The dialect: `?1` is `$1`, and the comments of `db.rs` become locks.
    fn prepare(&mut self, sql: &'static str) -> Result<Statement, DbError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let Some(client) = &self.client else { return Err(away()) };
        let prepared = self.runtime.block_on(within(client.prepare(&dialect(sql))));
        let statement = self.checked(prepared)?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    fn prepare_joined(
        &mut self,
        sql: &'static str,
        text: impl FnOnce() -> String,
    ) -> Result<Statement, DbError> {
        if let Some(statement) = self.joined.get(sql) {
            return Ok(statement.clone());
        }
        let Some(client) = &self.client else { return Err(away()) };
        let prepared = self.runtime.block_on(within(client.prepare(&dialect(&text()))));
        let statement = self.checked(prepared)?;
        self.joined.insert(sql, statement.clone());
        Ok(statement)
    }

    /// One question for all sets; its rows come back with the number of their set.
    fn read_joined(
        &mut self,
        sql: &'static str,
        single: &Statement,
        sets: &[Vec<Value>],
    ) -> Result<Vec<Vec<Row>>, DbError> {
        let types = single.params().to_vec();
        let many = self.prepare_joined(sql, || bulk::read_many(sql, &types))?;
        let columns = bulk::columns(sets, &types)?;
        let Some(client) = &self.client else { return Err(away()) };
        let params: Vec<&(dyn ToSql + Sync)> = columns.iter().map(|p| &**p as &(dyn ToSql + Sync)).collect();
        let rows = self.runtime.block_on(within(client.query(&many, &params)));
        let mut all = vec![Vec::new(); sets.len()];
        for row in self.checked(rows)? {
            let mut row = own(&row).into_iter();
            let Some(Value::Int(n)) = row.next() else { continue };
            let set = usize::try_from(n - 1).ok().and_then(|n| all.get_mut(n));
            if let Some(set) = set {
                set.push(row.collect());
            }
        }
        Ok(all)
    }

    /// Sends what was written, all at once, in order.
    fn send(&mut self) -> Result<(), DbError> {
        let mut prepared: Vec<(Statement, Vec<Param>)> = Vec::new();
        for run in bulk::runs(std::mem::take(&mut self.unsent)) {
            let single = self.prepare(run.sql)?;
            if run.rows.len() > 1 {
                let types = single.params().to_vec();
                let many = self.prepare_joined(run.sql, || bulk::write_many(run.sql, &types))?;
                prepared.push((many, bulk::columns(&run.rows, &types)?));
            } else {
                let row = run.rows.into_iter().flatten();
                prepared.push((single, row.map(|value| Box::new(value) as Param).collect()));
            }
        }
        let Some(client) = &self.client else { return Err(away()) };
        let sent = prepared.iter().map(|(statement, params)| async move {
            client.execute_raw(statement, params.iter().map(|p| &**p as &(dyn ToSql + Sync))).await
        });
        let done = self.runtime.block_on(within(try_join_all(sent)));
        self.checked(done).map(|_| ())
    }

    fn checked<T>(&mut self, result: Result<T, Trouble>) -> Result<T, DbError> {
        result.map_err(|trouble| {
            let verdict = verdict(&trouble);
            if matches!(trouble, Trouble::Slow) || self.client.as_ref().is_none_or(Client::is_closed) {
                self.broken();
            }
            verdict
        })
    }

    /// Partitions for the days to come. A failure is no matter: rows go to the default partition.
    fn make_days(&mut self, now: Wall) {
        let today = now.0.div_euclid(DAY_MS);
        if today + DAYS_AHEAD <= self.day || self.reconnect().is_err() {
            return;
        }
        for day in today..=today + DAYS_AHEAD {
            for table in ["orders", "records", "story"] {
                let (from, to) = (day * DAY_MS, (day + 1) * DAY_MS);
                self.maintain(&format!(
                    "CREATE TABLE IF NOT EXISTS {table}_{day} PARTITION OF {table} FOR VALUES FROM ({from}) TO ({to})"
                ));
            }
        }
        self.day = today + DAYS_AHEAD;
    }

    /// Retention drops whole days; the engine's deletes then find the rest.
    fn drop_days(&mut self, orders: Wall, records: Wall) {
        if self.reconnect().is_err() {
            return;
        }
        let Some(client) = &self.client else { return };
        let listed = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'orders'::regclass OR \
                      inhparent = 'records'::regclass OR inhparent = 'story'::regclass";
        let rows = self.runtime.block_on(within(client.query(listed, &[])));
        for row in self.checked(rows).unwrap_or_default() {
            let name: String = row.get(0);
            let Some((table, day)) =
                name.rsplit_once('_').and_then(|(t, d)| Some((t, d.parse::<i64>().ok()?)))
            else {
                continue;
            };
            let before = if table == "records" { records } else { orders };
            if (day + 1) * DAY_MS <= before.0 {
                // An order that is not over keeps its day.
                let guard = if table == "orders" {
                    format!("SELECT 1 FROM {name} WHERE done = 0 LIMIT 1")
                } else {
                    String::new()
                };
                if guard.is_empty() || self.is_empty(&guard) {
                    self.maintain(&format!("DROP TABLE {name}"));
                }
            }
        }
    }

    fn is_empty(&mut self, sql: &str) -> bool {
        let Some(client) = &self.client else { return false };
        let rows = self.runtime.block_on(within(client.query(sql, &[])));
        self.checked(rows).is_ok_and(|rows| rows.is_empty())
    }

    fn maintain(&mut self, sql: &str) {
        let Some(client) = &self.client else { return };
        let done = self.runtime.block_on(within(client.batch_execute(sql)));
        if let Err(error) = self.checked(done) {
            tracing::info!(?error, "maintenance was put off");
        }
    }
}

enum Trouble {
    Sql(tokio_postgres::Error),
    Slow,
}

async fn within<T>(work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Trouble> {
    match tokio::time::timeout(STATEMENT + Duration::from_secs(2), work).await {
        Ok(done) => done.map_err(Trouble::Sql),
        Err(_) => Err(Trouble::Slow),
    }
}

fn away() -> DbError {
    DbError::Away("PostgreSQL cannot be reached".into())
}

fn verdict(trouble: &Trouble) -> DbError {
    let error = match trouble {
        Trouble::Slow => return DbError::Away("PostgreSQL does not answer".into()),
        Trouble::Sql(error) => error,
    };
    let text = error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string);
    let Some(state) = error.code() else { return DbError::Away(text) };
    match state {
        s if *s == SqlState::T_R_DEADLOCK_DETECTED || *s == SqlState::T_R_SERIALIZATION_FAILURE => {
            DbError::Again(text)
        }
        // Two writers met on a key between look and insert: the second look will see it.
        s if *s == SqlState::UNIQUE_VIOLATION => DbError::Again(text),
        s if *s == SqlState::IO_ERROR
            || *s == SqlState::DATA_CORRUPTED
            || *s == SqlState::INDEX_CORRUPTED =>
        {
            DbError::Away(text)
        }
        // Classes 22 (data), 23 (constraint), 42 (syntax, access), 54 (limits): this statement's own fault.
        s if ["22", "23", "42", "54"].iter().any(|class| s.code().starts_with(class)) => {
            DbError::Refused(text)
        }
        _ => DbError::Away(text),
    }
}

fn dialect(sql: &str) -> String {
    let mut text = sql.replace('?', "$");
    text = text.replace("/*lock*/", "FOR UPDATE");
    while let Some((before, rest)) = text.split_once("/*claim ") {
        let (tables, after) = rest.split_once("*/").unwrap_or((rest, ""));
        text = format!("{before}FOR UPDATE OF {tables} SKIP LOCKED{after}");
    }
    text
}

fn borrowed(set: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    set.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

impl ToSql for Value {
    fn to_sql(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Int(v) => v.to_sql(ty, out),
            // PostgreSQL's text holds no NUL; nothing of ours has one by intent.
            Value::Text(v) if v.contains('\0') => v.replace('\0', " ").to_sql(ty, out),
            Value::Text(v) => v.to_sql(ty, out),
            Value::Blob(v) => v.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(ty)
    }

    to_sql_checked!();
}

/// A column as the engine knows it.
struct Column(Value);

impl<'a> FromSql<'a> for Column {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(match *ty {
            Type::INT8 => Value::Int(i64::from_sql(ty, raw)?),
            Type::TEXT => Value::Text(String::from_sql(ty, raw)?),
            _ => Value::Blob(raw.to_vec()),
        }))
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::TEXT, Type::BYTEA].contains(ty)
    }
}

fn own(row: &tokio_postgres::Row) -> Row {
    let column = |i| match row.try_get::<_, Option<Column>>(i) {
        Ok(Some(Column(value))) => value,
        Ok(None) => Value::Null,
        // No statement of ours yields another type; the engine refuses the row as unreadable.
        Err(_) => Value::Blob(Vec::new()),
    };
    (0..row.len()).map(column).collect()
}
