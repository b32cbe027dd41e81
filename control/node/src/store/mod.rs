//! The store's doors: SQLite ([`sqlite`], the default), PostgreSQL ([`postgres`], for a cluster), and the handle by which async shells ask.
//!
//! Tables: `orders` (payload, appended), `ready` (narrow: what may be claimed), `live` (one hot row per order that is
//! not over), `intake` (request ids), `caps` (rolling log per key), `records`, `story`, `notices`. A finished order
//! leaves nothing in the hot tables, so they stay as small as the work at hand, whatever has passed through.

mod bulk;
pub mod bus;
pub mod cdr;
mod db;
mod engine;
pub mod handle;
pub mod postgres;
pub mod sqlite;

#[cfg(test)]
pub(crate) mod suite;

pub use handle::{Handle, Limits};
pub use postgres::Postgres;
pub use sqlite::Sqlite;

use std::path::PathBuf;

/// A store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite.
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    /// A file or thread.
    #[error("the store: {0}")]
    Io(#[from] std::io::Error),
    /// No such kind of store.
    #[error("no store speaks `{0}:`; there are `sqlite:` and `postgres:`")]
    Kind(String),
}

/// Opens the store that a URL names (`sqlite:/path` or `postgres://...`) and starts its threads.
///
/// # Errors
/// [`OpenError`].
pub fn open(url: &str, limits: Limits, clock: fn() -> handle::Clock) -> Result<Handle, OpenError> {
    match url.split_once(':').map_or((url, ""), |(kind, rest)| (kind, rest)) {
        ("sqlite", path) => {
            let path = PathBuf::from(path);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let (writer, reader) = (Sqlite::open(&path)?, Sqlite::reader(&path)?);
            Ok(Handle::start(writer, Some(reader), limits, clock)?)
        }
        ("postgres" | "postgresql", _) => {
            let url = url.to_owned();
            // On a thread of its own: it has a runtime, and the caller may stand in another.
            let opened = std::thread::spawn(move || {
                Ok::<_, postgres::OpenError>((Postgres::open(&url)?, Postgres::open(&url)?))
            });
            let (writer, reader) = opened.join().map_err(|_| std::io::Error::other("its thread broke"))??;
            Ok(Handle::start(writer, Some(reader), limits, clock)?)
        }
        (kind, _) => Err(OpenError::Kind(kind.to_owned())),
    }
}

/// Brings the store that a URL names up to this program's layout; how many steps it took. SQLite does so by itself when
/// it is opened.
///
/// # Errors
/// [`OpenError`].
pub fn migrate(url: &str) -> Result<usize, OpenError> {
    match url.split_once(':') {
        Some(("sqlite", path)) => Ok(Sqlite::open(path.as_ref()).map(|_| 0)?),
        Some(("postgres" | "postgresql", _)) => Ok(Postgres::migrate(url)?),
        _ => Err(OpenError::Kind(url.split(':').next().unwrap_or_default().to_owned())),
    }
}
