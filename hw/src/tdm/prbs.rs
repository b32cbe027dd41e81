//! Pseudo-random test patterns and the bit-error counter (BERT): ITU-T O.150/O.151.

/// Which pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// 2^9 - 1 (x^9 + x^5 + 1).
    P9,
    /// 2^11 - 1 (x^11 + x^9 + 1), for 64 kbit/s.
    P11,
    /// 2^15 - 1 (x^15 + x^14 + 1), inverted, for 2048 kbit/s (O.151).
    P15,
    /// 2^20 - 1 (x^20 + x^17 + 1) with at most 14 zeros in a row: the QRSS of 1544 kbit/s.
    Qrss,
}

impl Pattern {
    /// Length of the register and its other tap.
    const fn taps(self) -> (u32, u32) {
        match self {
            Pattern::P9 => (9, 5),
            Pattern::P11 => (11, 9),
            Pattern::P15 => (15, 14),
            Pattern::Qrss => (20, 17),
        }
    }
}

/// Makes a pattern, bit by bit.
#[derive(Clone, Debug)]
pub struct Generator {
    pattern: Pattern,
    register: u32,
}

impl Generator {
    /// From the register of all ones.
    #[must_use]
    pub fn new(pattern: Pattern) -> Self {
        Self { pattern, register: (1 << pattern.taps().0) - 1 }
    }

    /// The next bit.
    pub fn bit(&mut self) -> u8 {
        let (bit, register) = step(self.pattern, self.register);
        self.register = register;
        bit
    }

    /// Eight bits, the first the most significant.
    pub fn octet(&mut self) -> u8 {
        (0..8).fold(0, |o, _| (o << 1) | self.bit())
    }
}

/// The bit that a register sends, and the register after it.
fn step(pattern: Pattern, register: u32) -> (u8, u32) {
    let (length, tap) = pattern.taps();
    let feedback = ((register >> (length - 1)) ^ (register >> (tap - 1))) & 1;
    let next = ((register << 1) | feedback) & ((1 << length) - 1);
    let mut bit = u8::from(feedback == 1);
    match pattern {
        Pattern::P15 => bit ^= 1,
        // O.151 §2.2: a one where the fourteen bits after would be zeros too.
        Pattern::Qrss if register & 0x3FFF == 0 => bit = 1,
        _ => {}
    }
    (bit, next)
}

/// Finds a pattern in what is received and counts its errors.
#[derive(Clone, Debug)]
pub struct Counter {
    pattern: Pattern,
    register: u32,
    synchronous: bool,
    /// Right bits in a row while looking; bits of the present window while counting.
    run: u32,
    window_errors: u32,
    bits: u64,
    errors: u64,
    losses: u32,
}

/// Right predictions in a row that make synchronism.
const SYNC_BITS: u32 = 64;
/// More than one error in five within so many bits is loss of synchronism.
const WINDOW_BITS: u32 = 1000;

impl Counter {
    /// Looking for the pattern.
    #[must_use]
    pub fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            register: 0,
            synchronous: false,
            run: 0,
            window_errors: 0,
            bits: 0,
            errors: 0,
            losses: 0,
        }
    }

    /// Takes a received bit.
    pub fn bit(&mut self, bit: u8) {
        let bit = bit & 1;
        let (expected, next) = step(self.pattern, self.register);
        let right = expected == bit;
        if self.synchronous {
            self.register = next;
            self.bits += 1;
            self.errors += u64::from(!right);
            self.window(right);
            return;
        }
        // Looking: the register is filled from the line, so that it is right as soon as the line is.
        let length = self.pattern.taps().0;
        let line = if self.pattern == Pattern::P15 { bit ^ 1 } else { bit };
        self.register = ((self.register << 1) | u32::from(line)) & ((1 << length) - 1);
        self.run = if right && self.register != 0 { self.run + 1 } else { 0 };
        if self.run >= SYNC_BITS {
            (self.synchronous, self.run, self.window_errors) = (true, 0, 0);
        }
    }

    /// Takes eight bits, the most significant first.
    pub fn octet(&mut self, octet: u8) {
        (0..8).rev().for_each(|n| self.bit(octet >> n));
    }

    fn window(&mut self, right: bool) {
        self.run += 1;
        self.window_errors += u32::from(!right);
        if self.window_errors * 5 > WINDOW_BITS {
            (self.synchronous, self.run) = (false, 0);
            self.losses += 1;
        } else if self.run == WINDOW_BITS {
            (self.run, self.window_errors) = (0, 0);
        }
    }

    /// True while the pattern is found.
    #[must_use]
    pub fn synchronous(&self) -> bool {
        self.synchronous
    }

    /// Bits compared and errors among them, and how often the pattern was lost.
    #[must_use]
    pub fn result(&self) -> (u64, u64, u32) {
        (self.bits, self.errors, self.losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    const ALL: [Pattern; 4] = [Pattern::P9, Pattern::P11, Pattern::P15, Pattern::Qrss];

    #[test]
    fn o150_periods_and_longest_zeros() {
        for (pattern, zeros) in
            [(Pattern::P9, 8), (Pattern::P11, 10), (Pattern::P15, 15), (Pattern::Qrss, 14)]
        {
            let period = (1usize << pattern.taps().0) - 1;
            let mut g = Generator::new(pattern);
            let bits: Vec<u8> = (0..2 * period).map(|_| g.bit()).collect();
            assert!(bits[..period] == bits[period..], "{pattern:?}");
            let longest = bits.split(|&b| b == 1).map(<[u8]>::len).max();
            assert_eq!(longest, Some(zeros), "{pattern:?}");
        }
    }

    #[test]
    fn errors_are_counted_exactly_and_survive() {
        let mut rng = Seed(15).rng();
        for pattern in ALL {
            let (mut g, mut c) = (Generator::new(pattern), Counter::new(pattern));
            (0..37).for_each(|_| {
                g.bit();
            });
            let mut put = 0;
            for n in 0..100_000u32 {
                let error = n > 1000 && rng.chance(0.001);
                put += u64::from(error);
                c.bit(g.bit() ^ u8::from(error));
            }
            let (bits, errors, losses) = c.result();
            assert!((errors, losses) == (put, 0) && bits > 99_000, "{pattern:?} {bits} {errors} {put}");
        }
    }

    #[test]
    fn another_signal_is_no_pattern_and_loses_it() {
        let mut rng = Seed(16).rng();
        for pattern in ALL {
            let (mut g, mut c) = (Generator::new(pattern), Counter::new(pattern));
            (0..1000).for_each(|_| c.octet(u8::try_from(rng.below(256)).expect("an octet")));
            assert!(!c.synchronous());
            (0..100).for_each(|_| c.octet(g.octet()));
            assert!(c.synchronous());
            (0..1000).for_each(|_| c.octet(u8::try_from(rng.below(256)).expect("an octet")));
            assert!(!c.synchronous() && c.result().2 == 1);
            (0..1000).for_each(|_| c.octet(0));
            assert!(!c.synchronous(), "silence is no pattern");
        }
    }
}
