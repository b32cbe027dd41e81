//! Line codes as symbols: AMI, B8ZS (T1.403 §4.3) and HDB3 (G.703 annex A). A symbol is -1, 0 or +1.

/// Which code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Alternate mark inversion.
    Ami,
    /// AMI in which eight zeros become 000VB0VB.
    B8zs,
    /// AMI in which four zeros become 000V or B00V.
    Hdb3,
}

impl Code {
    const fn window(self) -> usize {
        match self {
            Code::Ami => 1,
            Code::B8zs => 8,
            Code::Hdb3 => 4,
        }
    }

    /// Zeros in a row that are too many for a receiver (T1.231 §6.1.1.1 for AMI: 15).
    const fn zeros_max(self) -> u32 {
        match self {
            Code::Ami => 15,
            Code::B8zs => 7,
            Code::Hdb3 => 3,
        }
    }
}

/// Bits to symbols, late by the code's window.
#[derive(Clone, Debug)]
pub struct Encoder {
    code: Code,
    line: [i8; 8],
    last: i8,
    zeros: usize,
    /// HDB3: pulses since the last violation.
    pulses: u32,
}

impl Encoder {
    /// At rest.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self { code, line: [0; 8], last: -1, zeros: 0, pulses: 0 }
    }

    /// How many symbols the line is behind the bits.
    #[must_use]
    pub fn delay(&self) -> usize {
        self.code.window()
    }

    /// Takes a bit (0 or 1), gives the symbol of the bit [`Encoder::delay`] before.
    pub fn bit(&mut self, bit: u8) -> i8 {
        let window = self.code.window();
        let out = self.line[0];
        self.line.copy_within(1..window, 0);
        self.line[window - 1] = if bit == 1 { self.pulse() } else { 0 };
        self.zeros = if bit == 1 { 0 } else { self.zeros + 1 };
        if self.zeros == window && self.code != Code::Ami {
            self.zeros = 0;
            self.substitute();
        }
        out
    }

    fn pulse(&mut self) -> i8 {
        self.last = -self.last;
        self.pulses += 1;
        self.last
    }

    fn substitute(&mut self) {
        let p = self.last;
        match self.code {
            Code::Ami => {}
            // The last pulse has the polarity of the one before all eight.
            Code::B8zs => self.line = [0, 0, 0, p, -p, 0, -p, p],
            Code::Hdb3 => {
                // Violations alternate when an odd number of pulses stands between them.
                let violation = if self.pulses % 2 == 1 { [0, 0, 0, p] } else { [-p, 0, 0, -p] };
                self.line[..4].copy_from_slice(&violation);
                self.last = violation[3];
                self.pulses = 0;
            }
        }
    }
}

/// Symbols to bits, late by the code's window; counts violations.
#[derive(Clone, Debug)]
pub struct Decoder {
    code: Code,
    line: [i8; 8],
    /// Bits of the symbols in `line`.
    bits: [u8; 8],
    last: i8,
    /// Polarity of the last pulse before the window (B8ZS).
    before: i8,
    last_violation: i8,
    zeros: u32,
    violations: u32,
}

impl Decoder {
    /// At rest.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self {
            code,
            line: [0; 8],
            bits: [0; 8],
            last: 0,
            before: 0,
            last_violation: 0,
            zeros: 0,
            violations: 0,
        }
    }

    /// Violations that belong to no code, and excessive zeros, since the last call.
    pub fn violations(&mut self) -> u32 {
        std::mem::take(&mut self.violations)
    }

    /// How many bits are behind the symbols.
    #[must_use]
    pub fn delay(&self) -> usize {
        self.code.window()
    }

    /// Takes a symbol, gives the bit of the symbol [`Decoder::delay`] before.
    pub fn symbol(&mut self, symbol: i8) -> u8 {
        let window = self.code.window();
        let out = self.bits[0];
        if self.line[0] != 0 {
            self.before = self.line[0];
        }
        self.line.copy_within(1..window, 0);
        self.bits.copy_within(1..window, 0);
        self.line[window - 1] = symbol;
        self.bits[window - 1] = u8::from(symbol != 0);
        self.zeros = if symbol == 0 { self.zeros + 1 } else { 0 };
        if self.zeros == self.code.zeros_max() + 1 {
            self.violations = self.violations.saturating_add(1);
        }
        let violates = symbol != 0 && symbol == self.last;
        if symbol != 0 {
            self.last = symbol;
        }
        match self.code {
            Code::Ami => self.violations = self.violations.saturating_add(u32::from(violates)),
            Code::B8zs => self.b8zs(violates),
            Code::Hdb3 => self.hdb3(violates),
        }
        out
    }

    fn b8zs(&mut self, violates: bool) {
        let p = self.before;
        if p != 0 && self.line == [0, 0, 0, p, -p, 0, -p, p] {
            self.bits = [0; 8];
            // The two violations of the code were counted when they passed.
            self.violations = self.violations.saturating_sub(2);
        } else if violates {
            self.violations = self.violations.saturating_add(1);
        }
    }

    fn hdb3(&mut self, violates: bool) {
        if !violates {
            return;
        }
        let v = self.line[3];
        let coded = self.line[1] == 0 && self.line[2] == 0 && (self.line[0] == 0 || self.line[0] == v);
        if coded {
            self.bits[..4].fill(0);
        }
        // Violations of the code alternate; one that repeats the polarity shows an error on the line.
        if !coded || v == self.last_violation {
            self.violations = self.violations.saturating_add(1);
        }
        self.last_violation = v;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    fn symbols(code: Code, bits: &[u8]) -> Vec<i8> {
        let mut e = Encoder::new(code);
        let delay = e.delay();
        let mut all: Vec<i8> = bits.iter().map(|&b| e.bit(b)).collect();
        all.extend((0..delay).map(|n| e.bit(u8::from(n == 0))));
        all.split_off(delay)
    }

    #[test]
    fn t1_403_4_3_eight_zeros_are_000vb0vb() {
        // The first pulse is positive.
        assert_eq!(symbols(Code::B8zs, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 1]), [1, 0, 0, 0, 1, -1, 0, -1, 1, -1]);
        assert_eq!(symbols(Code::B8zs, &[1, 0, 0, 0, 0, 0, 0, 0, 1]), [1, 0, 0, 0, 0, 0, 0, 0, -1]);
    }

    #[test]
    fn g703_annex_a_four_zeros_are_000v_or_b00v() {
        assert_eq!(symbols(Code::Hdb3, &[1, 0, 0, 0, 0, 0, 0, 0, 0, 1]), [1, 0, 0, 0, 1, -1, 0, 0, -1, 1]);
    }

    #[test]
    fn random_bits_come_back_balanced_and_without_violations() {
        let mut rng = Seed(8).rng();
        for code in [Code::Ami, Code::B8zs, Code::Hdb3] {
            let dense = if code == Code::Ami { 0.5 } else { 0.1 };
            // The first pulse tells the receiver the polarity.
            let bits: Vec<u8> = (0..40_000).map(|n| u8::from(n == 0 || rng.chance(dense))).collect();
            let line = symbols(code, &bits);
            let mut sum = 0;
            for &s in &line {
                sum += i32::from(s);
                assert!(sum.abs() <= 3, "the line carries no direct current");
            }
            let mut d = Decoder::new(code);
            let delay = d.delay();
            let mut back: Vec<u8> = line.iter().map(|&s| d.symbol(s)).collect();
            let seen = d.violations();
            back.extend((0..delay).map(|_| d.symbol(0)));
            assert!(back.split_off(delay) == bits, "{code:?}");
            assert!(seen == 0 || code == Code::Ami && seen < 3, "{code:?}: {seen}");
        }
    }

    #[test]
    fn errors_are_counted_as_violations() {
        let mut rng = Seed(9).rng();
        for code in [Code::Ami, Code::B8zs, Code::Hdb3] {
            let bits: Vec<u8> = (0..10_000).map(|_| u8::from(rng.chance(0.5))).collect();
            let mut line = symbols(code, &bits);
            let mut turned = 0;
            for s in line.iter_mut().step_by(500).filter(|s| **s != 0) {
                *s = -*s;
                turned += 1;
            }
            let mut d = Decoder::new(code);
            line.iter().for_each(|&s| {
                d.symbol(s);
            });
            let seen = d.violations();
            assert!((turned..=4 * turned).contains(&seen), "{code:?}: {turned} turned, {seen} seen");
        }
    }
}
