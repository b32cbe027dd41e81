//! Seeded mutation: a corpus, a seed, a number of turns. `CARILLON_FUZZ_TURNS` makes it long.

use units::{Rng, Seed};

/// Turns of one target in `./x test`.
const TURNS: u64 = 20_000;

/// Runs `target` on mutations of `corpus`; a panic tells seed and turn.
pub fn fuzz(name: &str, corpus: &[Vec<u8>], words: &[&str], mut target: impl FnMut(&[u8])) {
    let turns = std::env::var("CARILLON_FUZZ_TURNS").ok().and_then(|t| t.parse().ok()).unwrap_or(TURNS);
    assert!(!corpus.is_empty(), "{name}: no corpus");
    let seed = Seed(0xCA41_1104);
    let mut rng = seed.rng();
    for turn in 0..turns {
        let input = mutate(corpus, words, &mut rng);
        let guard = Told { name, turn, input: &input };
        target(&input);
        std::mem::forget(guard);
    }
}

/// Tells what broke it, if the target panics.
struct Told<'a> {
    name: &'a str,
    turn: u64,
    input: &'a [u8],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(self.input);
        eprintln!(
            "{}: turn {} broke it: {:?}",
            self.name,
            self.turn,
            text.chars().take(2_000).collect::<String>()
        );
    }
}

fn pick(rng: &mut Rng, n: usize) -> usize {
    usize::try_from(rng.below(n.max(1) as u64)).expect("an index")
}

/// One to six changes to a member of the corpus: flips, cuts, doublings, splices, words of the language.
fn mutate(corpus: &[Vec<u8>], words: &[&str], rng: &mut Rng) -> Vec<u8> {
    let mut b = corpus[pick(rng, corpus.len())].clone();
    for _ in 0..=rng.below(6) {
        let at = pick(rng, b.len() + 1).min(b.len());
        match rng.below(7) {
            0 if at < b.len() => b[at] ^= 1 << rng.below(8),
            1 if at < b.len() => b[at] = rng.next_u64().to_le_bytes()[0],
            2 => b.truncate(at),
            3 => {
                let end = (at + pick(rng, 64)).min(b.len());
                let piece = b[at..end].to_vec();
                b.splice(at..at, piece);
            }
            4 => {
                let end = (at + pick(rng, 64)).min(b.len());
                b.drain(at..end);
            }
            5 => {
                let other = &corpus[pick(rng, corpus.len())];
                let from = pick(rng, other.len());
                let end = (from + pick(rng, 200)).min(other.len());
                b.splice(at..at, other[from..end].to_vec());
            }
            _ if !words.is_empty() => {
                let word = words[pick(rng, words.len())].as_bytes().to_vec();
                b.splice(at..at, word);
            }
            _ => {}
        }
        b.truncate(1 << 16);
    }
    b
}
