//! Files that a node keeps for itself: its secrets, and recordings for as long as they are to be kept.

use crate::clock;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// 32 secret octets that lie in a file for us alone, made when they are not there. From one of them and the attempt id
/// the names of our calls derive: the same after a restart, unknown to others.
///
/// # Errors
/// What the system says; `InvalidData`: what lies there is not 32 octets.
pub(crate) fn secret(path: &Path) -> std::io::Result<[u8; 32]> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    match std::fs::read(path) {
        Ok(octets) => {
            <[u8; 32]>::try_from(octets.as_slice()).map_err(|_| std::io::ErrorKind::InvalidData.into())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = clock::random::<32>();
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            file.write_all(&secret).and_then(|()| file.sync_all())?;
            Ok(secret)
        }
        Err(error) => Err(error),
    }
}

/// How often old recordings are looked for.
const FORGET: Duration = Duration::from_secs(3_600);

/// Recordings go when their time is over, for ever.
pub(crate) async fn forget_recordings(folder: PathBuf, keep: Duration) {
    loop {
        let folder = folder.clone();
        let gone = tokio::task::spawn_blocking(move || forgotten(&folder, keep)).await;
        match gone {
            Ok(Ok(0)) => {}
            Ok(Ok(gone)) => tracing::info!(gone, "old recordings were deleted"),
            Ok(Err(error)) => tracing::error!(%error, "recordings cannot be looked through"),
            Err(_) => return,
        }
        tokio::time::sleep(FORGET).await;
    }
}

fn forgotten(folder: &Path, keep: Duration) -> std::io::Result<u32> {
    let mut gone = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let ours = entry.path().extension().is_some_and(|e| e == "wav" || e == "sealing");
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if ours && age > keep {
            std::fs::remove_file(entry.path())?;
            gone += 1;
        }
    }
    Ok(gone)
}
