//! Which prompt was that? A stretch of what was heard is compared with the beginnings of the prompts that a scenario
//! declares, by normalised correlation at the offset that fitted last, and only if that fails at every offset.

use super::mulaw;

/// Octets of a prompt's beginning that are kept and compared: 400 ms.
pub const HEAD: usize = 3200;
/// Alike enough to be the same prompt, coded again or not.
const ALIKE: f64 = 0.7;
/// A server may cut its frames elsewhere than the file's: so many samples either way are searched.
const SEARCH: i32 = 480;
/// Samples compared while searching.
const PROBE: usize = 800;

/// One declared prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct Print {
    /// Name in the scenario.
    pub name: String,
    /// From its first loud frame to its last, ms.
    pub length_ms: u32,
    /// Samples around the first loud frame: `SEARCH` before it, `HEAD` and `SEARCH` after it.
    around: Vec<f32>,
}

impl Print {
    /// Of mu-law audio; `None`: it is silent, or shorter than 200 ms.
    #[must_use]
    pub fn new(name: &str, audio: &[u8]) -> Option<Self> {
        let loud = |frame: &[u8]| mulaw::level_dbm0(frame) >= super::ear::SOUND_DBM0;
        let frames = || audio.chunks_exact(160);
        let first = frames().position(loud)?;
        let last = frames().rposition(loud)?;
        let length_ms = u32::try_from((last + 1 - first) * 20).ok().filter(|ms| *ms >= 200)?;
        let at = i64::try_from(first * 160).ok()?;
        let around = (at - i64::from(SEARCH)..at + i64::try_from(HEAD).ok()? + i64::from(SEARCH))
            .map(|i| {
                let octet = usize::try_from(i).ok().and_then(|i| audio.get(i));
                octet.map_or(0.0, |&o| f32::from(mulaw::decode(o)))
            })
            .collect();
        Some(Self { name: name.into(), length_ms, around })
    }

    /// How alike at an offset of the file's frames against the heard ones, over so many samples.
    fn likeness(&self, heard: &[f32], offset: i32, samples: usize) -> f64 {
        let from = usize::try_from(SEARCH + offset).expect("offsets are within SEARCH");
        let n = samples.min(heard.len());
        correlation(&heard[..n], &self.around[from..from + n])
    }
}

/// All declared prompts, and the offset that fitted last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Prints {
    list: Vec<Print>,
}

impl Prints {
    /// Declares one; its number.
    pub fn add(&mut self, print: Print) -> u16 {
        self.list.push(print);
        u16::try_from(self.list.len() - 1).unwrap_or(u16::MAX)
    }

    /// The number of a name.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u16> {
        self.list.iter().position(|p| p.name == name).and_then(|i| u16::try_from(i).ok())
    }

    /// A declared prompt.
    #[must_use]
    pub fn get(&self, number: u16) -> Option<&Print> {
        self.list.get(usize::from(number))
    }

    /// Whether none is declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Which prompt begins so (mu-law octets from its first loud frame on); `hint` is the offset to try first and is
    /// set to the one that fitted.
    #[must_use]
    pub fn identify(&self, head: &[u8], hint: &mut i32) -> Option<u16> {
        if head.len() < PROBE {
            return None;
        }
        let heard: Vec<f32> = head.iter().take(HEAD).map(|&o| f32::from(mulaw::decode(o))).collect();
        let numbered = || self.list.iter().zip(0u16..);
        let quick = numbered().map(|(p, n)| (n, p.likeness(&heard, *hint, HEAD)));
        if let Some((n, _)) = quick.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, l)| *l >= ALIKE) {
            return Some(n);
        }
        let anywhere = numbered()
            .flat_map(|(p, n)| (-SEARCH..=SEARCH).map(move |o| (p, n, o)))
            .map(|(p, n, o)| (p, n, o, p.likeness(&heard, o, PROBE)));
        let (print, n, offset, _) = anywhere.max_by(|a, b| a.3.total_cmp(&b.3))?;
        if print.likeness(&heard, offset, HEAD) < ALIKE {
            return None;
        }
        *hint = offset;
        Some(n)
    }
}

fn correlation(a: &[f32], b: &[f32]) -> f64 {
    let (mut dot, mut aa, mut bb) = (0f32, 0f32, 0f32);
    for (x, y) in a.iter().zip(b) {
        dot += x * y;
        aa += x * x;
        bb += y * y;
    }
    if aa == 0.0 || bb == 0.0 { 0.0 } else { f64::from(dot) / (f64::from(aa) * f64::from(bb)).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::super::tones;
    use super::*;
    use units::Seed;

    fn two() -> (Prints, Vec<u8>, Vec<u8>) {
        let (a, b) = (tones::speech(3000, Seed(1)), tones::speech(3000, Seed(2)));
        let mut prints = Prints::default();
        prints.add(Print::new("a", &a).expect("loud"));
        prints.add(Print::new("b", &b).expect("loud"));
        (prints, a, b)
    }

    #[test]
    fn a_prompt_is_known_at_any_framing() {
        let (prints, a, b) = two();
        for shift in [0usize, 1, 40, 159] {
            let mut hint = 0;
            let heard = |audio: &[u8]| {
                let shifted = [&vec![0xff; shift][..], audio].concat();
                let first = shifted.chunks(160).position(|f| mulaw::level_dbm0(f) >= -42.0).expect("loud");
                shifted[first * 160..first * 160 + HEAD].to_vec()
            };
            assert_eq!(prints.identify(&heard(&a), &mut hint), Some(0), "{shift}");
            assert_eq!(prints.identify(&heard(&b), &mut hint), Some(1), "{shift}");
        }
    }

    #[test]
    fn what_was_not_declared_is_not_known() {
        let (prints, ..) = two();
        let mut hint = 0;
        assert_eq!(prints.identify(&tones::speech(400, Seed(9)), &mut hint), None);
        assert_eq!(prints.identify(&[0xff; HEAD], &mut hint), None);
        assert_eq!(prints.identify(&[], &mut hint), None);
        assert!(Print::new("quiet", &[0xff; 8000]).is_none());
    }
}
