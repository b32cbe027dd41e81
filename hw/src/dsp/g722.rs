//! ITU-T G.722 at 64 kbit/s (mode 1): 16 kHz audio in two sub-bands of ADPCM; one octet for two samples.
//!
//! Written from the blocks of the Recommendation (§3, §4: QMF, QUANTL/H, INVQAL/H, SCALEL/H, and the adaptive predictor
//! RECONS ... PREDIC), in 32-bit integers; encoder and decoder are bit-exact with other implementations (a test
//! compares with libspandsp).

/// Encodes 16 kHz samples.
#[derive(Clone, Debug)]
pub struct Encoder {
    low: Band,
    high: Band,
    history: [i32; TAPS],
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// At rest.
    #[must_use]
    pub fn new() -> Self {
        Self { low: Band::new(32), high: Band::new(8), history: [0; TAPS] }
    }

    /// Encodes pairs of samples, as many as fit both slices; how many octets were written. An odd last sample is left.
    pub fn encode(&mut self, samples: &[i16], into: &mut [u8]) -> usize {
        let pairs = samples.as_chunks::<2>().0;
        for (octet, &pair) in into.iter_mut().zip(pairs) {
            *octet = self.pair(pair);
        }
        pairs.len().min(into.len())
    }

    fn pair(&mut self, pair: [i16; 2]) -> u8 {
        self.history.copy_within(2.., 0);
        (self.history[TAPS - 2], self.history[TAPS - 1]) = (i32::from(pair[0]), i32::from(pair[1]));
        let (odd, even) = qmf(&self.history);
        let low = self.encode_low((even + odd) >> 14);
        let high = self.encode_high((even - odd) >> 14);
        u8::try_from((high << 6) | low).expect("two bits and six bits")
    }

    /// SUBTRA, QUANTL and the adaptation of the low band; six bits.
    fn encode_low(&mut self, x: i32) -> usize {
        let e = saturate(x - self.low.s);
        let magnitude = if e >= 0 { e } else { -(e + 1) };
        let mut interval = 1;
        while interval < 30 && magnitude >= (Q6[interval] * self.low.det) >> 12 {
            interval += 1;
        }
        let code = if e < 0 { ILN[interval] } else { ILP[interval] };
        self.low.adapt_low(code >> 2);
        code
    }

    /// SUBTRA, QUANTH and the adaptation of the high band; two bits.
    fn encode_high(&mut self, x: i32) -> usize {
        let e = saturate(x - self.high.s);
        let magnitude = if e >= 0 { e } else { -(e + 1) };
        let outer = magnitude >= (564 * self.high.det) >> 12;
        let code = match (e < 0, outer) {
            (true, false) => 1,
            (true, true) => 0,
            (false, false) => 3,
            (false, true) => 2,
        };
        self.high.adapt_high(code);
        code
    }
}

/// Decodes to 16 kHz samples.
#[derive(Clone, Debug)]
pub struct Decoder {
    low: Band,
    high: Band,
    history: [i32; TAPS],
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// At rest.
    #[must_use]
    pub fn new() -> Self {
        Self { low: Band::new(32), high: Band::new(8), history: [0; TAPS] }
    }

    /// Decodes octets to pairs of samples, as many as fit both slices; how many samples were written.
    pub fn decode(&mut self, octets: &[u8], into: &mut [i16]) -> usize {
        let pairs = into.as_chunks_mut::<2>().0;
        let written = 2 * pairs.len().min(octets.len());
        for (pair, &octet) in pairs.iter_mut().zip(octets) {
            *pair = self.octet(octet);
        }
        written
    }

    /// Decodes octets to 8 kHz samples (one for each octet): the low band alone, which holds 0 to 4 kHz. How many.
    pub fn decode_narrow(&mut self, octets: &[u8], into: &mut [i16]) -> usize {
        for (sample, &octet) in into.iter_mut().zip(octets) {
            let (low, _) = self.bands(octet);
            *sample = to_i16(saturate(low << 1));
        }
        octets.len().min(into.len())
    }

    fn bands(&mut self, octet: u8) -> (i32, i32) {
        let (six, two) = (usize::from(octet & 63), usize::from(octet >> 6));
        let low = (self.low.s + ((self.low.det * QM6[six]) >> 15)).clamp(-16_384, 16_383);
        self.low.adapt_low(six >> 2);
        let high = (self.high.s + ((self.high.det * QM2[two]) >> 15)).clamp(-16_384, 16_383);
        self.high.adapt_high(two);
        (low, high)
    }

    fn octet(&mut self, octet: u8) -> [i16; 2] {
        let (low, high) = self.bands(octet);
        self.history.copy_within(2.., 0);
        (self.history[TAPS - 2], self.history[TAPS - 1]) = (low + high, low - high);
        let (first, second) = qmf(&self.history);
        [to_i16(saturate(second >> 11)), to_i16(saturate(first >> 11))]
    }
}

/// One sub-band: its scale factor and its predictor with two poles and six zeros.
#[derive(Clone, Debug, Default)]
struct Band {
    /// Predicted signal, its part from the zeros.
    s: i32,
    sz: i32,
    /// Quantizer scale and its logarithm.
    det: i32,
    nb: i32,
    /// Reconstructed and partly reconstructed signal, newest first.
    r: [i32; 2],
    p: [i32; 2],
    a: [i32; 2],
    /// Difference signal, newest first, and the zeros' coefficients.
    d: [i32; 6],
    b: [i32; 6],
}

impl Band {
    fn new(det: i32) -> Self {
        Self { det, ..Self::default() }
    }

    /// INVQAL, LOGSCL, SCALEL, then the predictor, from the four high bits of the code.
    fn adapt_low(&mut self, four: usize) {
        let d = (self.det * QM4[four]) >> 15;
        self.nb = (((self.nb * 127) >> 7) + WL[RL42[four]]).clamp(0, 18_432);
        self.det = scale(self.nb, 8);
        self.predict(d);
    }

    /// INVQAH, LOGSCH, SCALEH, then the predictor.
    fn adapt_high(&mut self, two: usize) {
        let d = (self.det * QM2[two]) >> 15;
        self.nb = (((self.nb * 127) >> 7) + WH[two]).clamp(0, 22_528);
        self.det = scale(self.nb, 10);
        self.predict(d);
    }

    fn predict(&mut self, d: i32) {
        let r = saturate(self.s + d);
        let p = saturate(self.sz + d);
        self.poles(p);
        self.zeros(d);
        self.r = [r, self.r[0]];
        self.p = [p, self.p[0]];
        self.d.copy_within(..5, 1);
        self.d[0] = d;
        // FILTEP, FILTEZ, PREDIC.
        let pole = |a: i32, r: i32| (a * saturate(r + r)) >> 15;
        let sp = saturate(pole(self.a[0], self.r[0]) + pole(self.a[1], self.r[1]));
        let sum: i32 = self.b.iter().zip(&self.d).map(|(&b, &d)| (b * saturate(d + d)) >> 15).sum();
        self.sz = saturate(sum);
        self.s = saturate(sp + self.sz);
    }

    /// UPPOL2 and UPPOL1.
    fn poles(&mut self, p: i32) {
        let same = |q: i32| (p < 0) == (q < 0);
        let four = saturate(self.a[0] << 2);
        let first = if same(self.p[0]) { -four } else { four }.min(32_767);
        let step = if same(self.p[1]) { 128 } else { -128 };
        let second = ((first >> 7) + step + ((self.a[1] * 32_512) >> 15)).clamp(-12_288, 12_288);
        let step = if same(self.p[0]) { 192 } else { -192 };
        let bound = saturate(15_360 - second);
        self.a = [saturate(step + ((self.a[0] * 32_640) >> 15)).clamp(-bound, bound), second];
    }

    /// UPZERO.
    fn zeros(&mut self, d: i32) {
        let step = if d == 0 { 0 } else { 128 };
        for (b, &q) in self.b.iter_mut().zip(&self.d) {
            let step = if (d < 0) == (q < 0) { step } else { -step };
            *b = saturate(step + ((*b * 32_640) >> 15));
        }
    }
}

/// SCALEL and SCALEH: from the logarithm to the scale.
fn scale(nb: i32, base: i32) -> i32 {
    let fraction = ILB[usize::try_from((nb >> 6) & 31).expect("five bits")];
    let shift = base - (nb >> 11);
    (if shift < 0 { fraction << -shift } else { fraction >> shift }) << 2
}

/// Both halves of the quadrature mirror filter of 24 taps: over the even places and over the odd ones.
fn qmf(x: &[i32; TAPS]) -> (i32, i32) {
    let pairs = x.as_chunks::<2>().0;
    let mut sums = (0, 0);
    for (i, pair) in pairs.iter().enumerate() {
        sums.0 += pair[0] * QMF[i];
        sums.1 += pair[1] * QMF[QMF.len() - 1 - i];
    }
    sums
}

fn saturate(x: i32) -> i32 {
    x.clamp(-32_768, 32_767)
}

fn to_i16(x: i32) -> i16 {
    i16::try_from(x).expect("saturated")
}

const TAPS: usize = 24;
// G.722 table 11: half of the symmetric filter.
const QMF: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
// Tables 14 to 21: decision levels, codes, quantizer outputs, and the scale's steps.
const Q6: [i32; 32] = [
    0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121,
    1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919, 0, 0,
];
const ILN: [usize; 32] = [
    0, 63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8,
    7, 6, 5, 4, 0,
];
const ILP: [usize; 32] = [
    0, 61, 60, 59, 58, 57, 56, 55, 54, 53, 52, 51, 50, 49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 39, 38, 37,
    36, 35, 34, 33, 32, 0,
];
const QM2: [i32; 4] = [-7408, -1616, 7408, 1616];
const QM4: [i32; 16] =
    [0, -20_456, -12_896, -8968, -6288, -4240, -2584, -1200, 20_456, 12_896, 8968, 6288, 4240, 2584, 1200, 0];
const QM6: [i32; 64] = [
    -136, -136, -136, -136, -24_808, -21_904, -19_008, -16_704, -14_984, -13_512, -12_280, -11_192, -10_232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032,
    -1688, -1360, -1040, -728, 24_808, 21_904, 19_008, 16_704, 14_984, 13_512, 12_280, 11_192, 10_232, 9360,
    8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040,
    728, 432, 136, -432, -136,
];
const RL42: [usize; 16] = [0, 7, 6, 5, 4, 3, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0];
const WL: [i32; 8] = [-60, -30, 58, 172, 334, 538, 1198, 3042];
const WH: [i32; 4] = [798, -214, 798, -214];
const ILB: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896,
    2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsp::level;
    use crate::dsp::math::{narrow, sample};
    use units::Seed;

    fn tone(hz: f64, rate: f64, count: u32) -> Vec<i16> {
        (0..count)
            .map(|n| sample(narrow(9000.0 * (2.0 * std::f64::consts::PI * hz * f64::from(n) / rate).sin())))
            .collect()
    }

    /// Signal to noise of a round trip, dB, the codec's delay of 22 samples taken out.
    fn round_trip(samples: &[i16]) -> f32 {
        let mut octets = vec![0; samples.len() / 2];
        let mut back = vec![0; samples.len()];
        assert_eq!(Encoder::new().encode(samples, &mut octets), octets.len());
        assert_eq!(Decoder::new().decode(&octets, &mut back), back.len());
        let error: Vec<i16> =
            samples[1000..].iter().zip(&back[1022..]).map(|(a, b)| a.saturating_sub(*b)).collect();
        level::of(samples) - level::of(&error)
    }

    #[test]
    fn tones_of_both_bands_come_back() {
        for (hz, want) in [(400.0, 35.0), (1000.0, 35.0), (2500.0, 30.0), (5500.0, 15.0)] {
            let snr = round_trip(&tone(hz, 16_000.0, 16_000));
            assert!(snr > want, "{hz} Hz: {snr} dB");
        }
    }

    #[test]
    fn the_low_band_alone_is_the_narrow_band_signal() {
        let wide = tone(1000.0, 16_000.0, 16_000);
        let mut octets = vec![0; 8000];
        Encoder::new().encode(&wide, &mut octets);
        let mut narrow = vec![0; 8000];
        assert_eq!(Decoder::new().decode_narrow(&octets, &mut narrow), 8000);
        assert!((level::of(&narrow[400..]) - level::of(&wide)).abs() < 0.5, "{}", level::of(&narrow[400..]));
    }

    #[test]
    fn any_octets_decode_without_overflow() {
        let mut rng = Seed(9).rng();
        let mut d = Decoder::new();
        let mut e = Encoder::new();
        let mut out = [0i16; 320];
        for _ in 0..500 {
            let octets: Vec<u8> = (0..160).map(|_| u8::try_from(rng.below(256)).expect("an octet")).collect();
            d.decode(&octets, &mut out);
            let loud: Vec<i16> =
                (0..320).map(|_| if rng.chance(0.5) { i16::MAX } else { i16::MIN }).collect();
            let mut coded = [0; 160];
            assert_eq!(e.encode(&loud, &mut coded), 160);
        }
    }
}
