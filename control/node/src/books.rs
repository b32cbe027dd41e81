//! Bookkeeping: records become files as configured in `[cdr]`, and what is kept long enough is forgotten.
//!
//! The store is the truth: files are written from it in order of the records' numbers, and a file system that refuses
//! only delays them. A finished file is never touched again.

use crate::store::Handle;
use crate::store::cdr::Files;
use arc_swap::ArcSwap;
use control::cdr::Form;
use control::config::Config;
use control::record::Record;
use control::store::{Answer, Ask};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use units::Wall;

/// New records are looked for so often.
const LOOK: Duration = Duration::from_secs(1);
/// After a refusal of the file system.
const AGAIN: Duration = Duration::from_secs(10);
/// Records read at once.
const PAGE: u32 = 1_000;
/// Retention is seen to so often.
const FORGET: Duration = Duration::from_secs(3_600);

/// Writes the files of each form that is configured; returns at once if there are none.
pub fn start(store: &Handle, config: &Arc<ArcSwap<Config>>) {
    tokio::spawn(forget(store.clone(), Arc::clone(config)));
    let cdr = config.load().cdr.clone();
    let Some(folder) = cdr.folder.map(PathBuf::from) else { return };
    for form in cdr.forms {
        let writer = Writer {
            store: store.clone(),
            folder: folder.clone(),
            form,
            rows_max: cdr.rows_max,
            rotate: cdr.rotate.duration(),
        };
        tokio::spawn(writer.run());
    }
}

struct Writer {
    store: Handle,
    folder: PathBuf,
    form: Form,
    rows_max: u64,
    rotate: Duration,
}

impl Writer {
    async fn run(self) {
        loop {
            if let Err(error) = self.write().await {
                metrics::counter!("carillon_cdr_refused_total").increment(1);
                tracing::error!(%error, folder = %self.folder.display(), "records wait for their files");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Until the file system refuses.
    async fn write(&self) -> std::io::Result<()> {
        let (folder, form, rows_max) = (self.folder.clone(), self.form, self.rows_max);
        let mut files = aside(move || Files::open(&folder, form, rows_max)).await?;
        let mut rotate_at = Instant::now() + self.rotate;
        loop {
            let ask = Ask::Records { tenant: None, order: None, after: files.cursor(), limit: PAGE };
            // A store that is away is asked again: nothing is lost by it.
            let page = match self.store.ask(ask).await {
                Ok(Answer::Records(page)) => page,
                _ => Vec::new(),
            };
            let full = page.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
            let rotate = Instant::now() >= rotate_at;
            files = aside(move || written(files, &page, rotate)).await?;
            if rotate {
                rotate_at = Instant::now() + self.rotate;
            }
            if !full {
                tokio::time::sleep(LOOK).await;
            }
        }
    }
}

fn written(mut files: Files, page: &[(u64, Record)], rotate: bool) -> std::io::Result<Files> {
    if !page.is_empty() {
        files.write(page)?;
    }
    if rotate {
        files.rotate()?;
    }
    Ok(files)
}

/// Off the runtime's threads: files block.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

/// Retention: finished orders and their stories, records, request ids.
async fn forget(store: Handle, config: Arc<ArcSwap<Config>>) {
    let mut tick = tokio::time::interval(FORGET);
    loop {
        tick.tick().await;
        let (orders, records) = {
            let config = config.load();
            (config.store.keep.duration(), config.cdr.keep.duration())
        };
        let now = crate::clock::now().wall;
        let ago =
            |keep: Duration| Wall(now.0.saturating_sub(i64::try_from(keep.as_millis()).unwrap_or(i64::MAX)));
        // The store keeps request ids for 7 days at least.
        let ask = Ask::Prune { orders: ago(orders), records: ago(records), intake: ago(orders) };
        match store.ask(ask).await {
            Ok(_) => tracing::debug!("retention seen to"),
            Err(error) => tracing::warn!(?error, "retention was put off"),
        }
    }
}

/// Checks every finished file of a folder by its trailer, and that none is missing between the first and the last; files and
/// rows.
///
/// # Errors
/// The first that is broken or missing, by name, with why.
pub fn check(folder: &Path) -> Result<(u64, u64), String> {
    let mut names: Vec<(String, u64, PathBuf)> = std::fs::read_dir(folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (number, form) = name.strip_prefix("cdr-")?.split_once('.')?;
            Some((form.to_owned(), number.parse().ok()?, entry.path()))
        })
        .filter(|(form, ..)| form == "csv" || form == "jsonl")
        .collect();
    names.sort();
    let (mut rows, mut last) = (0, None::<(String, u64)>);
    for (form, number, path) in &names {
        let shown = path.display();
        if let Some((_, before)) = last.filter(|(f, before)| f == form && before + 1 != *number) {
            return Err(format!("{shown}: the file before it is number {before}; some are missing"));
        }
        let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
        let (own, n) = control::cdr::check(&text).map_err(|why| format!("{shown}: {why:?}"))?;
        if own != *number {
            return Err(format!("{shown}: it says that it is number {own}"));
        }
        rows += n;
        last = Some((form.clone(), *number));
    }
    Ok((u64::try_from(names.len()).unwrap_or(u64::MAX), rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::suite::fixture::record;

    #[test]
    fn a_missing_or_changed_file_is_found() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut files = Files::open(folder.path(), Form::Csv, 2).expect("it opens");
        let page: Vec<_> = (1..=6).map(|n| (u64::from(n), record(n, 1))).collect();
        files.write(&page).expect("room");
        assert_eq!(check(folder.path()), Ok((3, 6)));
        let second = folder.path().join("cdr-00000002.csv");
        let text = std::fs::read_to_string(&second).expect("it is there");
        std::fs::write(&second, text.replacen("main", "maim", 1)).expect("room");
        assert!(check(folder.path()).is_err_and(|why| why.contains("Altered")));
        std::fs::remove_file(&second).expect("it was there");
        assert!(check(folder.path()).is_err_and(|why| why.contains("missing")));
    }
}
