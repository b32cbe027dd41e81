//! Was a prompt heard? Finds a reference in what was heard, by normalised correlation.

use crate::farend::mulaw;

/// Where a reference was found, and how alike it is (1.0: the same up to loudness).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Milliseconds into what was heard.
    pub at_ms: usize,
    /// Normalised correlation over the whole reference, -1.0..=1.0.
    pub likeness: f64,
}

/// Samples of the reference that are looked for first.
const PROBE: usize = 1600;
/// Nothing further on can be more alike in any way that matters.
const CERTAIN: f64 = 0.9999;
/// The whole is so alike that its place is right.
const SURE: f64 = 0.9;

/// The best place of `reference` in `heard` (mu-law both), or `None` if it is longer than what was heard.
#[must_use]
pub fn find(heard: &[u8], reference: &[u8]) -> Option<Match> {
    let heard: Vec<f32> = heard.iter().map(|&o| f32::from(mulaw::decode(o))).collect();
    let reference: Vec<f32> = reference.iter().map(|&o| f32::from(mulaw::decode(o))).collect();
    if reference.len() < PROBE || heard.len() < reference.len() {
        return None;
    }
    let first = by_probe(&heard, &reference, loudest(&reference));
    if first.likeness > SURE {
        return Some(first);
    }
    // A loss in the loudest stretch makes another place look better: other stretches are asked.
    let others = (0..=reference.len() - PROBE).step_by(((reference.len() - PROBE) / 3).max(1));
    others
        .map(|at| by_probe(&heard, &reference, at))
        .chain([first])
        .max_by(|a, b| a.likeness.total_cmp(&b.likeness))
}

/// Where the reference stands if its stretch at `probe` is found where it is most alike.
fn by_probe(heard: &[f32], reference: &[f32], probe: usize) -> Match {
    let stretch = &reference[probe..probe + PROBE];
    let (mut at, mut most) = (probe, f64::MIN);
    for i in probe..=heard.len() - (reference.len() - probe) {
        let alike = likeness(&heard[i..i + PROBE], stretch);
        if alike > most {
            (at, most) = (i, alike);
        }
        if alike > CERTAIN {
            break;
        }
    }
    let start = at - probe;
    Match { at_ms: start / 8, likeness: likeness(&heard[start..start + reference.len()], reference) }
}

/// Where the loudest stretch of the reference begins.
fn loudest(reference: &[f32]) -> usize {
    let energy = |i: usize| reference[i..i + PROBE].iter().map(|s| f64::from(*s).powi(2)).sum::<f64>();
    (0..=reference.len() - PROBE)
        .step_by(PROBE / 2)
        .max_by(|a, b| energy(*a).total_cmp(&energy(*b)))
        .unwrap_or(0)
}

fn likeness(a: &[f32], b: &[f32]) -> f64 {
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
    use super::*;

    fn noise(n: usize, seed: u64) -> Vec<u8> {
        let mut rng = units::Seed(seed).rng();
        #[expect(clippy::cast_possible_truncation, reason = "below 8,000")]
        (0..n).map(|_| mulaw::encode(rng.below(8000) as i16 - 4000)).collect()
    }

    #[test]
    fn a_prompt_is_found_where_it_stands_and_another_is_not() {
        let prompt = noise(4000, 1);
        let heard = [vec![0xff; 8000], prompt.clone(), vec![0xff; 3000]].concat();
        let m = find(&heard, &prompt).expect("long enough");
        assert!(m.at_ms == 1000 && m.likeness > 0.999, "{m:?}");
        assert!(find(&heard, &noise(4000, 2)).expect("long enough").likeness < 0.3);
        assert_eq!(find(&prompt[..100], &prompt), None);
    }

    #[test]
    fn a_loss_in_the_loudest_stretch_does_not_misplace_a_prompt() {
        let mut prompt = noise(8000, 1);
        prompt[3200..4800].iter_mut().for_each(|o| *o &= 0xcf);
        let mut heard = [vec![0xff; 800], prompt.clone(), vec![0xff; 800]].concat();
        heard[4000..5600].fill(0xff);
        let m = find(&heard, &prompt).expect("long enough");
        assert_eq!(m.at_ms, 100, "{m:?}");
    }
}
