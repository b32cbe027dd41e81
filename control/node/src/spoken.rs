//! Texts that were spoken before, on disk by the hash of everything that makes their sound: a campaign's prompt is
//! synthesised once, also across restarts. Bounded; what was not asked for longest goes first. A folder that cannot be
//! read or written only costs synthesis.

use hw::audio::Sound;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The store. Its methods read and write files: call them where that may take time.
#[derive(Clone, Debug)]
pub struct Spoken {
    folder: PathBuf,
    octets_max: u64,
}

/// What files of ours end in: 8 kHz linear samples, little-endian, without a header.
const ENDING: &str = "s16";

impl Spoken {
    /// In a folder that is made if it is not there; `octets_max` 0: nothing is kept.
    #[must_use]
    pub fn new(folder: PathBuf, octets_max: u64) -> Self {
        if octets_max > 0
            && let Err(error) = fs::create_dir_all(&folder)
        {
            tracing::warn!(%error, folder = %folder.display(), "spoken texts are not kept");
        }
        Self { folder, octets_max }
    }

    fn path(&self, key: &[u8; 32]) -> PathBuf {
        let name: String = key.iter().map(|b| format!("{b:02x}")).collect();
        self.folder.join(name).with_extension(ENDING)
    }

    /// The sound under a key.
    #[must_use]
    pub fn get(&self, key: &[u8; 32]) -> Option<Sound> {
        if self.octets_max == 0 {
            return None;
        }
        let path = self.path(key);
        let octets = fs::read(&path).ok()?;
        // Its age is that of its last use.
        let touched =
            fs::File::options().append(true).open(&path).and_then(|f| f.set_modified(SystemTime::now()));
        drop(touched);
        let samples = octets.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
        Some(Sound { rate: 8_000, samples })
    }

    /// Keeps a sound of 8 kHz under a key, and makes room.
    pub fn put(&self, key: &[u8; 32], sound: &Sound) {
        let octets: Vec<u8> = sound.samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        let size = u64::try_from(octets.len()).unwrap_or(u64::MAX);
        if self.octets_max == 0 || size > self.octets_max {
            return;
        }
        let path = self.path(key);
        let passing = path.with_extension("new");
        // Whole or not at all: a reader never sees half a sound.
        if let Err(error) = fs::write(&passing, octets).and_then(|()| fs::rename(&passing, &path)) {
            tracing::warn!(%error, "a spoken text is not kept");
        }
        self.make_room();
    }

    fn make_room(&self) {
        let Ok(all) = held(&self.folder) else { return };
        let mut octets: u64 = all.iter().map(|(_, size, _)| size).sum();
        let mut by_age = all;
        by_age.sort_by_key(|(used, _, _)| *used);
        for (_, size, path) in by_age {
            if octets <= self.octets_max {
                return;
            }
            if fs::remove_file(path).is_ok() {
                octets -= size;
            }
        }
    }
}

fn held(folder: &Path) -> std::io::Result<Vec<(SystemTime, u64, PathBuf)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if path.extension().is_some_and(|e| e == ENDING) {
            let about = entry.metadata()?;
            all.push((about.modified()?, about.len(), path));
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_spoken_is_found_again_and_the_oldest_goes() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let spoken = Spoken::new(folder.path().join("spoken"), 2_500);
        let sound = |value: i16| Sound { rate: 8_000, samples: vec![value; 500] };
        assert!(spoken.get(&[1; 32]).is_none());
        let now = SystemTime::now();
        for n in 1..=3_u8 {
            spoken.put(&[n; 32], &sound(n.into()));
            let path = spoken.path(&[n; 32]);
            if let Ok(file) = fs::File::options().append(true).open(path) {
                let age = std::time::Duration::from_secs(100 - u64::from(n));
                file.set_modified(now - age).expect("our own file");
            }
        }
        assert!(spoken.get(&[1; 32]).is_none(), "three do not fit");
        assert_eq!(spoken.get(&[2; 32]).map(|s| s.samples), Some(vec![2; 500]));
        // The second was just used: the third goes before it.
        spoken.put(&[4; 32], &sound(4));
        assert!(spoken.get(&[3; 32]).is_none() && spoken.get(&[2; 32]).is_some());
        assert!(Spoken::new(folder.path().to_owned(), 0).get(&[2; 32]).is_none());
    }
}
