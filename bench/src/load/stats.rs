//! Does a figure grow? The slope by Theil and Sen (the median of all pairs' slopes: single spikes do not move it), and
//! whether it is more than chance, by Mann and Kendall.

/// Points that are taken for a test: with more, every k-th one.
const POINTS_MAX: usize = 500;

/// What a series does over time.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct Slope {
    /// Units an hour.
    pub per_hour: f64,
    /// Share of the median an hour.
    pub relative_per_hour: f64,
    /// Standard score of Mann-Kendall's S: beyond 2.58 either way a trend is no chance (1 %).
    pub score: f64,
    /// Points used.
    pub points: usize,
}

impl Slope {
    /// Whether it rises, by more than chance.
    #[must_use]
    pub fn rises(&self) -> bool {
        self.score > 2.58 && self.per_hour > 0.0
    }

    /// Of points (seconds, value).
    #[must_use]
    pub fn of(points: &[(f64, f64)]) -> Self {
        let step = points.len().div_ceil(POINTS_MAX).max(1);
        let p: Vec<(f64, f64)> = points.iter().copied().step_by(step).collect();
        if p.len() < 3 {
            return Self { points: p.len(), ..Self::default() };
        }
        let mut slopes = Vec::with_capacity(p.len() * p.len() / 2);
        let mut s = 0.0;
        for (i, a) in p.iter().enumerate() {
            for b in &p[i + 1..] {
                if b.0 > a.0 {
                    slopes.push((b.1 - a.1) / (b.0 - a.0));
                }
                s += if b.1 > a.1 {
                    1.0
                } else if b.1 < a.1 {
                    -1.0
                } else {
                    0.0
                };
            }
        }
        let per_second = median(&mut slopes);
        let mut values: Vec<f64> = p.iter().map(|p| p.1).collect();
        let level = median(&mut values);
        let per_hour = per_second * 3600.0;
        Self {
            per_hour,
            relative_per_hour: if level == 0.0 { 0.0 } else { per_hour / level },
            score: score(s, &mut values),
            points: p.len(),
        }
    }
}

/// Mann-Kendall's S over its deviation, with the correction for equal values.
fn score(s: f64, values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = count(values.len());
    let ties: f64 = values
        .chunk_by(|a, b| a == b)
        .map(|run| count(run.len()))
        .map(|t| t * (t - 1.0) * (2.0 * t + 5.0))
        .sum();
    let variance = (n * (n - 1.0) * (2.0 * n + 5.0) - ties) / 18.0;
    if variance <= 0.0 { 0.0 } else { (s - s.signum()) / variance.sqrt() }
}

fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

#[expect(clippy::cast_precision_loss, reason = "a few hundred points")]
fn count(n: usize) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    fn series(n: u32, f: impl Fn(f64, f64) -> f64) -> Vec<(f64, f64)> {
        let mut rng = Seed(4).rng();
        (0..n).map(|i| (f64::from(i), f(f64::from(i), rng.unit()))).collect()
    }

    #[test]
    fn a_leak_is_found_in_noise_and_noise_is_no_leak() {
        let leak = Slope::of(&series(300, |t, noise| 1000.0 + 0.5 * t + 80.0 * noise));
        assert!(leak.rises() && (1_500.0..2_100.0).contains(&leak.per_hour), "{leak:?}");
        let flat = Slope::of(&series(300, |_, noise| 1000.0 + 80.0 * noise));
        assert!(!flat.rises() && flat.score.abs() < 2.58, "{flat:?}");
        assert!(!Slope::of(&series(300, |t, _| 1000.0 - t)).rises());
    }

    #[test]
    fn a_spike_and_equal_values_are_no_trend() {
        let spiked = Slope::of(&series(100, |t, _| if t == 50.0 { 9e9 } else { 7.0 }));
        assert!(!spiked.rises() && spiked.per_hour == 0.0, "{spiked:?}");
        assert_eq!(Slope::of(&[(0.0, 1.0)]).points, 1);
        assert_eq!(Slope::of(&series(2_000, |_, _| 3.0)).points, 500);
    }
}
