//! The prompt store: audio from URLs, recordings and spoken text become resident [`Prompt`]s, rendered once for every
//! codec and shared by all calls. Bounded; what no worker holds goes first, the longest unused before others.

use crate::fetch::{Fetcher, Jar};
use crate::speech::Speaker;
use crate::spoken::Spoken;
use crate::vault::Vault;
use arc_swap::ArcSwap;
use control::call::play::Wanted;
use dataplane::pool::Prompt;
use hw::audio::{Limits, Listen, Sound};
use sha2::{Digest, Sha256};
use speech::frame::Speak;
use speech::pls::Lexicon;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;
use units::OrderId;
use vxml::session::Caching;

/// A lexicon is had within this, ms, or the text is spoken as it stands.
const LEXICON_MS: u64 = 3_000;
/// Pieces that one text is cut into.
const PIECES_MAX: usize = 200;

/// See the module.
pub struct Prompts {
    fetcher: Arc<ArcSwap<Fetcher>>,
    speaker: Speaker,
    spoken: Spoken,
    recordings: (PathBuf, Arc<Vault>),
    attachments: Attachments,
    limits: Limits,
    octets_max: usize,
    resident: Mutex<Resident>,
}

/// Octets and media type of what came with an order, by its name.
pub type Attachments = Arc<
    dyn Fn(OrderId, String) -> futures::future::BoxFuture<'static, Option<(String, Vec<u8>)>> + Send + Sync,
>;

#[derive(Default)]
struct Resident {
    prompts: BTreeMap<Key, (Arc<Prompt>, u64)>,
    octets: usize,
    uses: u64,
}

/// What a prompt is made of, so that the same sound from two places is held once.
type Key = [u8; 32];

impl Prompts {
    /// A store that takes no more than `octets_max` octets and prompts no longer than `longest_s`.
    #[must_use]
    pub fn new(
        fetcher: Arc<ArcSwap<Fetcher>>,
        speaker: Speaker,
        spoken: Spoken,
        recordings: (PathBuf, Arc<Vault>),
        attachments: Attachments,
        media: &control::config::Media,
    ) -> Self {
        let samples_max = usize::try_from(media.prompt_max.ms).unwrap_or(usize::MAX).saturating_mul(48);
        Self {
            fetcher,
            speaker,
            spoken,
            recordings,
            attachments,
            limits: Limits { samples_max, ..Limits::default() },
            octets_max: media.prompts_max.len(),
            resident: Mutex::default(),
        }
    }

    /// Makes a prompt resident.
    ///
    /// # Errors
    /// Why it cannot be had, free of private data.
    pub async fn load(
        &self,
        jar: Jar,
        order: Option<OrderId>,
        wanted: Wanted,
    ) -> Result<Arc<Prompt>, String> {
        match wanted {
            Wanted::Text(text) => {
                let wish = self.speaker.wish(&text);
                let wishes = if text.lexicons.is_empty() || wish.phoneme.is_some() {
                    vec![wish]
                } else {
                    self.pronounced(jar, &text.lexicons, &wish).await
                };
                self.texts(wishes).await
            }
            Wanted::Recording(name) => {
                let (folder, vault) = &self.recordings;
                let path = recording_path(folder, &name).ok_or("no such recording")?;
                let vault = Arc::clone(vault);
                let read = tokio::task::spawn_blocking(move || vault.read_file(&path)).await;
                let octets = read.map_err(|_| "reading broke")?.map_err(|e| e.kind().to_string())?;
                self.decode(format!("{name}.wav"), octets).await
            }
            Wanted::Url { url, timeout_ms, caching } => {
                if let Some(name) = url.strip_prefix("cid:") {
                    let order = order.ok_or("no order to look for attachments in")?;
                    let found = (self.attachments)(order, name.to_owned()).await;
                    let (_, octets) = found.ok_or("no such attachment")?;
                    return self.decode(name.to_owned(), octets).await;
                }
                let fetched = self.fetcher.load().audio(jar, &url, timeout_ms, caching).await;
                let fetched = fetched.map_err(|error| format!("{error:?}"))?;
                let name = name_for(&fetched.url, &fetched.media_type);
                self.decode(name, fetched.body.to_vec()).await
            }
        }
    }

    /// A text cut where its lexicons say it otherwise. A lexicon that cannot be had changes nothing.
    async fn pronounced(&self, jar: Jar, lexicons: &[String], wish: &Speak) -> Vec<Speak> {
        let mut all = Lexicon::default();
        for url in lexicons {
            match self.fetcher.load().audio(jar, url, LEXICON_MS, Caching::default()).await {
                Ok(fetched) => all.extend(Lexicon::read(&fetched.body)),
                Err(error) => tracing::info!(?error, "a lexicon cannot be had"),
            }
        }
        let pieces = all.pieces(&wish.text).into_iter();
        let wishes = pieces.map(|p| Speak { text: p.text, phoneme: p.phoneme, ..wish.clone() });
        let wishes: Vec<Speak> = wishes.take(PIECES_MAX).collect();
        if wishes.is_empty() { vec![wish.clone()] } else { wishes }
    }

    /// Texts one after the other as one prompt, each spoken only if it never was.
    async fn texts(&self, wishes: Vec<Speak>) -> Result<Arc<Prompt>, String> {
        let keys: Vec<Key> = wishes.iter().map(wish_key).collect();
        let whole = match keys[..] {
            [one] => one,
            _ => key(&keys.iter().map(|k| &k[..]).collect::<Vec<_>>()),
        };
        if let Some(prompt) = self.resident(&whole).await {
            return Ok(prompt);
        }
        let mut samples = Vec::new();
        for (wish, key) in wishes.into_iter().zip(keys) {
            let spoken = self.spoken.clone();
            let kept = tokio::task::spawn_blocking(move || spoken.get(&key)).await.ok().flatten();
            let sound = match kept {
                Some(sound) => sound,
                None => {
                    let sound = self.speaker.speak(wish).await.ok_or("the text was not spoken")?;
                    let spoken = self.spoken.clone();
                    let kept = tokio::task::spawn_blocking(move || {
                        let sound = sound.at_8_khz();
                        spoken.put(&key, &sound);
                        sound
                    });
                    kept.await.map_err(|_| "keeping a sound broke")?
                }
            };
            samples.extend(sound.samples);
        }
        self.keep(whole, move || Ok(Sound { rate: 8_000, samples })).await
    }

    async fn decode(&self, name: String, octets: Vec<u8>) -> Result<Arc<Prompt>, String> {
        let ending = name.rsplit('.').next().unwrap_or_default();
        let key = key(&[ending.as_bytes(), &octets]);
        if let Some(prompt) = self.resident(&key).await {
            return Ok(prompt);
        }
        let limits = self.limits;
        self.keep(key, move || {
            hw::audio::read(&name, &octets, Listen::Mix, &limits).map_err(|error| error.to_string())
        })
        .await
    }

    async fn resident(&self, key: &Key) -> Option<Arc<Prompt>> {
        let mut resident = self.resident.lock().await;
        resident.uses += 1;
        let uses = resident.uses;
        let (prompt, used) = resident.prompts.get_mut(key)?;
        *used = uses;
        Some(Arc::clone(prompt))
    }

    /// Renders apart from the calls' threads, and keeps what was rendered.
    async fn keep(
        &self,
        key: Key,
        sound: impl FnOnce() -> Result<Sound, String> + Send + 'static,
    ) -> Result<Arc<Prompt>, String> {
        let render = move || Ok(Arc::new(Prompt::from_linear(&sound()?.at_8_khz().samples)));
        let prompt: Result<Arc<Prompt>, String> =
            tokio::task::spawn_blocking(render).await.map_err(|_| "rendering broke".to_owned())?;
        let prompt = prompt?;
        let size = octets(&prompt);
        let mut resident = self.resident.lock().await;
        resident.make_room(size, self.octets_max);
        resident.uses += 1;
        let uses = resident.uses;
        if resident.prompts.insert(key, (Arc::clone(&prompt), uses)).is_none() {
            resident.octets += size;
        }
        Ok(prompt)
    }
}

impl Resident {
    /// Forgets what is longest unused until there is room. What calls hold stays with them until they are done.
    fn make_room(&mut self, size: usize, max: usize) {
        while self.octets + size > max {
            let oldest = self.prompts.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            let Some((prompt, _)) = oldest.and_then(|key| self.prompts.remove(&key)) else { return };
            self.octets -= octets(&prompt);
        }
    }
}

/// Both G.711 renderings.
fn octets(prompt: &Prompt) -> usize {
    usize::try_from(prompt.length().0).unwrap_or(usize::MAX).saturating_mul(2)
}

/// Everything that makes a text's sound.
fn wish_key(wish: &Speak) -> Key {
    key(&[
        wish.voice.as_bytes(),
        wish.variant.as_bytes(),
        wish.lang.as_bytes(),
        format!("{} {} {}", wish.rate, wish.pitch, wish.volume).as_bytes(),
        wish.asked.as_bytes(),
        wish.phoneme.as_ref().map_or("", |p| &p.alphabet).as_bytes(),
        wish.phoneme.as_ref().map_or("", |p| &p.ph).as_bytes(),
        wish.text.as_bytes(),
    ])
}

fn key(parts: &[&[u8]]) -> Key {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A file name that tells the encoding of headerless sound: by the media type first, else as the URL ends.
fn name_for(url: &str, media_type: &str) -> String {
    let ending = match media_type {
        // VoiceXML 2.0 appendix E.
        "audio/basic" | "audio/x-mulaw" | "audio/pcmu" => Some("ulaw"),
        "audio/x-alaw-basic" | "audio/pcma" => Some("alaw"),
        _ => None,
    };
    let path = url.split(['?', '#']).next().unwrap_or_default();
    ending.map_or_else(|| path.to_owned(), |ending| format!("sound.{ending}"))
}

/// Where a recording lies. Names are ours, so anything else is refused.
#[must_use]
pub fn recording_path(folder: &std::path::Path, name: &str) -> Option<PathBuf> {
    let fine = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    fine.then(|| folder.join(format!("{name}.wav")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_recordings_cannot_leave_their_folder() {
        let folder = std::path::Path::new("/r");
        assert_eq!(recording_path(folder, "att_1-1"), Some(PathBuf::from("/r/att_1-1.wav")));
        assert_eq!(recording_path(folder, "../etc/passwd"), None);
        assert_eq!(recording_path(folder, ""), None);
    }

    #[test]
    fn voicexml_appendix_e_media_types_tell_the_encoding() {
        assert_eq!(name_for("http://a/x?y=1.wav", "audio/basic"), "sound.ulaw");
        assert_eq!(name_for("http://a/x.ul?y", "application/octet-stream"), "http://a/x.ul");
    }

    #[test]
    fn room_is_made_from_the_longest_unused() {
        let mut resident = Resident::default();
        for n in 0..4_u8 {
            let prompt = Arc::new(Prompt::from_linear(&[0; 100]));
            resident.make_room(octets(&prompt), 600);
            resident.octets += octets(&prompt);
            resident.prompts.insert([n; 32], (prompt, u64::from(n)));
        }
        assert_eq!(resident.prompts.len(), 3);
        assert!(!resident.prompts.contains_key(&[0; 32]));
    }
}
