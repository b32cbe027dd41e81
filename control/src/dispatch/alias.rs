//! Drawing from a discrete distribution in O(1): Walker's alias method in Vose's form (1991).

use units::Rng;

/// A distribution over `0..n`; built in O(n).
#[derive(Clone, Debug, Default)]
pub(super) struct Alias {
    /// Keep the column with this probability (in 2^32), else take its alias.
    columns: Vec<(u64, usize)>,
}

const ONE: u64 = 1 << 32;

impl Alias {
    /// From weights; all zero gives an empty distribution.
    pub(super) fn new(weights: impl Iterator<Item = u32>) -> Self {
        let weights: Vec<u64> = weights.map(u64::from).collect();
        let (n, sum) = (weights.len(), weights.iter().sum::<u64>());
        let Some(sum) = std::num::NonZeroU64::new(sum) else { return Self::default() };
        // Scaled so that the mean is 2^32; 128 bits, since weights are 32 and lists 14 bits long.
        let scale =
            |w: u64| u64::try_from(u128::from(w) * (n as u128) * u128::from(ONE) / u128::from(sum.get()));
        let mut left: Vec<u64> = weights.iter().map(|w| scale(*w).unwrap_or(u64::MAX)).collect();
        let (mut small, mut large): (Vec<usize>, Vec<usize>) = (0..n).partition(|i| left[*i] < ONE);
        let mut columns: Vec<(u64, usize)> = (0..n).map(|i| (ONE, i)).collect();
        while let (Some(s), Some(l)) = (small.pop(), large.last().copied()) {
            columns[s] = (left[s], l);
            left[l] = left[l].saturating_sub(ONE - left[s]);
            if left[l] < ONE {
                large.pop();
                small.push(l);
            }
        }
        // What is left over on either list is there by rounding, but a weight of nothing is never drawn.
        let heaviest = (0..n).max_by_key(|i| weights[*i]).unwrap_or(0);
        for s in small.into_iter().filter(|s| weights[*s] == 0) {
            columns[s] = (0, heaviest);
        }
        Self { columns }
    }

    /// One draw.
    pub(super) fn draw(&self, rng: &mut Rng) -> Option<usize> {
        if self.columns.is_empty() {
            return None;
        }
        let bits = rng.next_u64();
        let column = usize::try_from(((bits >> 32) * (self.columns.len() as u64)) >> 32).ok()?;
        let (keep, alias) = self.columns[column];
        Some(if (bits & (ONE - 1)) < keep { column } else { alias })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    #[test]
    fn draws_follow_the_weights() {
        // Goal: shares within 1 % (absolute) of the weights over 100,000 draws; method: fixed seed.
        let weights = [24, 0, 96, 120, 480];
        let (alias, mut rng) = (Alias::new(weights.into_iter()), Seed(1).rng());
        let mut hits = [0_u32; 5];
        for _ in 0..100_000 {
            hits[alias.draw(&mut rng).expect("not empty")] += 1;
        }
        for (weight, hits) in weights.iter().zip(hits) {
            let (expected, got) = (f64::from(*weight) / 720.0, f64::from(hits) / 100_000.0);
            assert!((expected - got).abs() < 0.01, "{weight}: {got}");
        }
        assert_eq!(hits[1], 0);
        assert_eq!(Alias::new([0, 0].into_iter()).draw(&mut rng), None);
    }
}
