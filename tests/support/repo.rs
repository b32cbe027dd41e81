//! The repository as a tree of files, and the corpora beside it.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ stands in the root").to_path_buf()
}

/// The corpora (`CARILLON_CORPORA`, default `../shared` beside the repository), or `None` after saying so.
pub fn corpora(part: &str) -> Option<PathBuf> {
    let base = std::env::var_os("CARILLON_CORPORA").map_or_else(|| root().join("../shared"), PathBuf::from);
    let path = base.join(part);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: no corpora at {} (set CARILLON_CORPORA)", path.display());
    None
}

/// A program on PATH or in the usual system folders, or `None` after saying so.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let found = std::env::split_paths(&path).chain(extra).map(|d| d.join(name)).find(|p| p.is_file());
    if found.is_none() {
        println!("SKIPPED: {name} is not installed (./x setup installs it)");
    }
    found
}

/// All files below `dir` (relative to the root) with this extension, build output left out.
pub fn files(dir: &str, ext: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(&root().join(dir), ext, &mut found);
    found.sort();
    found
}

fn walk(dir: &Path, ext: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() {
            if name != "target" && !name.to_string_lossy().starts_with('.') {
                walk(&path, ext, found);
            }
        } else if path.extension().is_some_and(|e| e == ext) {
            found.push(path);
        }
    }
}

/// A path as it is written in messages: relative to the root.
pub fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
