//! Voice activity: is somebody speaking? Energy above a noise floor that is learnt, with a hangover.
//!
//! Frames of 10 ms (80 samples). The floor follows minima quickly and rises slowly, so that steady noise becomes
//! floor within seconds and speech does not. A frame is active when it is [`Limits::margin_db`] over the floor and
//! over [`Limits::quietest_dbm0`].

use super::level;

/// Samples in a frame.
pub const FRAME: usize = 80;

/// Bounds of the decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Nothing quieter is voice, dBm0.
    pub quietest_dbm0: f32,
    /// Voice is so much over the noise floor, dB.
    pub margin_db: f32,
    /// So many active milliseconds of the last [`Limits::window_ms`] begin voice.
    pub onset_ms: u32,
    /// The window for the onset, ms, at most 320.
    pub window_ms: u32,
    /// So many milliseconds without activity end it.
    pub hangover_ms: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { quietest_dbm0: -45.0, margin_db: 9.0, onset_ms: 60, window_ms: 100, hangover_ms: 300 }
    }
}

/// Voice began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Somebody began to speak.
    Voice,
    /// Silence began.
    Silence,
}

/// What changed, and when it began (samples since the start; in the past).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which.
    pub edge: Edge,
    /// Since when.
    pub at: u64,
}

/// See the module. 56 octets.
#[derive(Clone, Debug)]
pub struct Detector {
    sum: f32,
    filled: u32,
    frames: u64,
    floor: f32,
    recent: u32,
    quiet_frames: u32,
    speaking: bool,
    quietest: f32,
    margin: f32,
    onset: u32,
    window: u32,
    hangover: u32,
}

impl Default for Detector {
    fn default() -> Self {
        Self::new(&Limits::default())
    }
}

impl Detector {
    /// With these bounds.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        let quietest = level::mean_square(limits.quietest_dbm0);
        Self {
            sum: 0.0,
            filled: 0,
            frames: 0,
            floor: quietest / 8.0,
            recent: 0,
            quiet_frames: 0,
            speaking: false,
            quietest,
            margin: 10f32.powf(limits.margin_db / 10.0),
            onset: (limits.onset_ms / 10).max(1),
            window: (limits.window_ms / 10).clamp(1, 32),
            hangover: (limits.hangover_ms / 10).max(1),
        }
    }

    /// True while somebody speaks (hangover included).
    #[must_use]
    pub fn speaking(&self) -> bool {
        self.speaking
    }

    /// The noise floor, dBm0.
    #[must_use]
    pub fn floor_dbm0(&self) -> f32 {
        level::dbm0(self.floor)
    }

    /// Takes samples; calls `emit` at each edge.
    pub fn feed(&mut self, samples: &[i16], emit: &mut impl FnMut(Event)) {
        let mut rest = samples;
        while !rest.is_empty() {
            let left = FRAME - usize::try_from(self.filled).expect("less than a frame");
            let (now, later) = rest.split_at(left.min(rest.len()));
            self.sum += now.iter().map(|&s| f32::from(s) * f32::from(s)).sum::<f32>();
            self.filled += u32::try_from(now.len()).expect("less than a frame");
            rest = later;
            if self.filled == 80 {
                let power = self.sum / 80.0;
                (self.sum, self.filled) = (0.0, 0);
                self.frame(power, emit);
            }
        }
    }

    fn frame(&mut self, power: f32, emit: &mut impl FnMut(Event)) {
        self.frames += 1;
        let active = power > self.quietest && power > self.floor * self.margin;
        // Downwards in about 50 ms, upwards 3 dB a second (0.7 % a frame); never to nothing, or hiss would be voice.
        if power < self.floor {
            self.floor += (power - self.floor) * 0.2;
        } else {
            self.floor *= 1.007;
        }
        self.floor = self.floor.max(self.quietest / 1000.0);
        self.recent = (self.recent << 1) | u32::from(active);
        self.quiet_frames = if active { 0 } else { self.quiet_frames.saturating_add(1) };
        let mask = u32::MAX >> (32 - self.window);
        if !self.speaking && (self.recent & mask).count_ones() >= self.onset {
            self.speaking = true;
            let back = 32 - (self.recent & mask).leading_zeros();
            emit(Event { edge: Edge::Voice, at: self.samples_back(back) });
        } else if self.speaking && self.quiet_frames >= self.hangover {
            self.speaking = false;
            emit(Event { edge: Edge::Silence, at: self.samples_back(self.quiet_frames) });
        }
    }

    fn samples_back(&self, frames: u32) -> u64 {
        self.frames.saturating_sub(u64::from(frames)) * 80
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::math::sample;
    use units::{Rng, Seed};

    fn noise(rng: &mut Rng, count: usize, dbm0: f32) -> Vec<i16> {
        let rms = level::mean_square(dbm0).sqrt();
        (0..count)
            .map(|_| {
                let g: f64 = (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0;
                sample(crate::dsp::math::narrow(g) * rms)
            })
            .collect()
    }

    fn edges(samples: &[i16]) -> Vec<(Edge, u64)> {
        let mut d = Detector::default();
        let mut all = Vec::new();
        for part in samples.chunks(37) {
            d.feed(part, &mut |e| all.push((e.edge, e.at / 8)));
        }
        all
    }

    #[test]
    fn a_burst_over_noise_is_found_with_its_edges() {
        let mut rng = Seed(1).rng();
        let mut s = noise(&mut rng, 16_000, -50.0);
        s.extend(noise(&mut rng, 8_000, -20.0));
        s.extend(noise(&mut rng, 8_000, -50.0));
        let e = edges(&s);
        assert_eq!(e.len(), 2, "{e:?}");
        assert!(e[0].1.abs_diff(2000) <= 10 && e[1].1.abs_diff(3000) <= 10, "{e:?}");
    }

    #[test]
    fn clicks_are_not_voice_and_pauses_within_words_do_not_end_it() {
        let mut rng = Seed(2).rng();
        let mut s = vec![0i16; 8000];
        s[4000..4040].fill(20_000);
        assert_eq!(edges(&s), []);
        for _ in 0..4 {
            s.extend(noise(&mut rng, 1600, -20.0));
            s.extend(noise(&mut rng, 1600, -60.0));
        }
        assert_eq!(edges(&s).len(), 1, "200 ms pauses do not end voice");
    }

    #[test]
    fn steady_noise_becomes_the_floor() {
        let mut rng = Seed(3).rng();
        let e = edges(&noise(&mut rng, 8000 * 20, -30.0));
        assert!(e.len() <= 2 && e.last().is_none_or(|e| e.0 == Edge::Silence && e.1 < 15_000), "{e:?}");
    }
}
