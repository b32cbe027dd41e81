//! Bit HDLC of a D-channel (ISO/IEC 13239, Q.921 §2): flags, zero insertion, FCS of 16 bits, abort.
//!
//! Octets of a frame go least significant bit first (Q.921 §2.8.2); the first bit on the line is the most significant
//! of a timeslot's octet, as G.704 numbers them. Between frames there are flags.

/// Most octets of a frame, address to information, without the FCS.
pub const FRAME_OCTETS_MAX: usize = 272;

/// Sends frames one after another.
#[derive(Clone, Debug)]
pub struct Encoder {
    /// The frame in work, with its FCS.
    frame: [u8; FRAME_OCTETS_MAX + 2],
    len: usize,
    /// Next bit of the frame.
    at: usize,
    /// Ones in a row that were sent.
    ones: u8,
    /// Bits of the flag still to be sent, before the frame or between frames.
    flag: u8,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// Sending flags.
    #[must_use]
    pub fn new() -> Self {
        Self { frame: [0; FRAME_OCTETS_MAX + 2], len: 0, at: 0, ones: 0, flag: 8 }
    }

    /// True when a frame can be handed over.
    #[must_use]
    pub fn idle(&self) -> bool {
        self.len == 0
    }

    /// Hands over a frame without flags and FCS. False: one is being sent, or this one is empty or too long.
    pub fn send(&mut self, frame: &[u8]) -> bool {
        if !self.idle() || frame.is_empty() || frame.len() > FRAME_OCTETS_MAX {
            return false;
        }
        self.frame[..frame.len()].copy_from_slice(frame);
        let fcs = !crc(frame);
        self.frame[frame.len()..frame.len() + 2].copy_from_slice(&fcs.to_le_bytes());
        self.len = frame.len() + 2;
        self.at = 0;
        true
    }

    /// Fills a timeslot's octets.
    pub fn fill(&mut self, into: &mut [u8]) {
        for octet in into {
            *octet = (0..8).fold(0, |o, _| (o << 1) | self.bit());
        }
    }

    /// The next bit on the line, for channels that are not made of octets (the data link of a T1).
    pub fn bit(&mut self) -> u8 {
        if self.flag > 0 {
            self.flag -= 1;
            self.ones = 0;
            return (FLAG >> self.flag) & 1;
        }
        if self.ones == 5 {
            self.ones = 0;
            return 0;
        }
        if self.at == self.len * 8 {
            // The frame is over, or there is none: a flag, and a frame that comes meanwhile follows it.
            (self.len, self.at, self.flag) = (0, 0, 7);
            return 0;
        }
        let bit = (self.frame[self.at / 8] >> (self.at % 8)) & 1;
        self.at += 1;
        self.ones = if bit == 1 { self.ones + 1 } else { 0 };
        bit
    }
}

/// Why a frame was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its check sequence is wrong.
    Fcs,
    /// Seven or more ones in a row.
    Abort,
    /// Longer than [`FRAME_OCTETS_MAX`], shorter than an address and a control octet, or not a whole number of octets.
    Length,
}

/// Receives frames.
#[derive(Clone, Debug)]
pub struct Decoder {
    frame: [u8; FRAME_OCTETS_MAX + 2],
    /// Bits of the frame so far; `None` until a flag came.
    bits: Option<usize>,
    ones: u8,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// Waiting for a flag.
    #[must_use]
    pub fn new() -> Self {
        Self { frame: [0; FRAME_OCTETS_MAX + 2], bits: None, ones: 0 }
    }

    /// Takes a timeslot's octets; calls `emit` for each frame (without FCS) and for each that was lost.
    pub fn feed(&mut self, octets: &[u8], emit: &mut impl FnMut(Result<&[u8], Loss>)) {
        for &octet in octets {
            for n in (0..8).rev() {
                self.bit((octet >> n) & 1, emit);
            }
        }
    }

    /// Takes one bit, as [`Decoder::feed`] takes octets.
    pub fn bit(&mut self, bit: u8, emit: &mut impl FnMut(Result<&[u8], Loss>)) {
        if bit == 1 {
            self.ones = self.ones.saturating_add(1);
            if self.ones == 7 {
                // An abort, or an idle line of ones; only a frame that had begun is a loss.
                if self.bits.take().is_some_and(|b| b > 16) {
                    emit(Err(Loss::Abort));
                }
            } else if self.ones < 7 {
                self.push(1);
            }
            return;
        }
        match std::mem::take(&mut self.ones) {
            5 => {}
            6 => self.flag(emit),
            0..5 => self.push(0),
            _ => {}
        }
    }

    fn push(&mut self, bit: u8) {
        let Some(bits) = self.bits else { return };
        // Two octets more than a frame with FCS may stand here: the ones of the closing flag. Beyond, count only.
        if let Some(octet) = self.frame.get_mut(bits / 8) {
            let at = bits % 8;
            *octet = if at == 0 { bit } else { *octet | (bit << at) };
        }
        self.bits = Some(bits + 1);
    }

    /// A flag: its zero and six ones are in the frame already; take the seven bits off.
    fn flag(&mut self, emit: &mut impl FnMut(Result<&[u8], Loss>)) {
        let bits = self.bits.replace(0).map_or(0, |b| b.saturating_sub(7));
        if bits < 8 {
            return;
        }
        let octets = bits / 8;
        if !bits.is_multiple_of(8) || octets < 4 || octets > self.frame.len() {
            emit(Err(Loss::Length));
        } else if crc(&self.frame[..octets]) != GOOD {
            emit(Err(Loss::Fcs));
        } else {
            emit(Ok(&self.frame[..octets - 2]));
        }
    }
}

/// The CRC register after these octets (x^16 + x^12 + x^5 + 1, reflected, preset to ones); the FCS is its complement.
#[must_use]
pub fn crc(octets: &[u8]) -> u16 {
    octets.iter().fold(0xFFFF, |crc, &o| (crc >> 8) ^ CRC[usize::from((crc ^ u16::from(o)) & 0xFF)])
}

const fn crc_table() -> [u16; 256] {
    let mut t = [0; 256];
    let mut i = 0;
    while i < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "an index of a table of 256")]
        let mut c = i as u16;
        let mut n = 0;
        while n < 8 {
            c = if c & 1 == 1 { (c >> 1) ^ 0x8408 } else { c >> 1 };
            n += 1;
        }
        t[i] = c;
        i += 1;
    }
    t
}

static CRC: [u16; 256] = crc_table();
const FLAG: u8 = 0x7E;
/// The register after a frame with its FCS.
const GOOD: u16 = 0xF0B8;

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    fn decoded(octets: &[u8]) -> Vec<Result<Vec<u8>, Loss>> {
        let mut d = Decoder::new();
        let mut all = Vec::new();
        for part in octets.chunks(8) {
            d.feed(part, &mut |f| all.push(f.map(<[u8]>::to_vec)));
        }
        all
    }

    #[test]
    fn iso13239_fcs_check_value() {
        assert_eq!(!crc(b"123456789"), 0x906E);
    }

    #[test]
    fn frames_of_every_content_come_back_in_order() {
        let mut rng = Seed(5).rng();
        let mut encoder = Encoder::new();
        let (mut line, mut sent) = (Vec::new(), Vec::new());
        for n in 0..200 {
            let len = 2 + usize::try_from(rng.below(270)).expect("small");
            let fill = [0x7E, 0xFF, 0x00, 0xFE][n % 4];
            let frame: Vec<u8> = (0..len)
                .map(|_| if n % 3 == 0 { fill } else { u8::try_from(rng.below(256)).expect("an octet") })
                .collect();
            assert!(encoder.send(&frame) && !encoder.send(&frame));
            while !encoder.idle() {
                let mut slot = [0; 8];
                encoder.fill(&mut slot);
                line.extend(slot);
            }
            sent.push(Ok(frame));
        }
        let mut slot = [0; 8];
        encoder.fill(&mut slot);
        line.extend(slot);
        assert_eq!(decoded(&line), sent);
    }

    #[test]
    fn an_error_is_a_lost_frame_and_the_next_comes_through() {
        let mut encoder = Encoder::new();
        let mut line = vec![0; 4];
        encoder.fill(&mut line);
        for _ in 0..2 {
            assert!(encoder.send(&[2, 1, 0, 0, 8, 1, 5]));
            let mut part = [0; 16];
            encoder.fill(&mut part);
            line.extend(part);
        }
        line[8] ^= 0x10;
        let all = decoded(&line);
        assert!(
            all.iter().any(Result::is_err) && all.last() == Some(&Ok(vec![2, 1, 0, 0, 8, 1, 5])),
            "{all:?}"
        );
    }

    #[test]
    fn aborts_idle_ones_and_babble_are_survived() {
        let mut encoder = Encoder::new();
        assert!(encoder.send(&[1, 2, 3, 4, 5, 6, 7, 8]));
        let mut line = vec![0; 6];
        encoder.fill(&mut line);
        line.extend([0xFF; 10]);
        assert_eq!(decoded(&line), [Err(Loss::Abort)]);
        assert_eq!(decoded(&[0xFF; 100]), []);
        let mut rng = Seed(6).rng();
        let babble: Vec<u8> = (0..200_000).map(|_| u8::try_from(rng.below(256)).expect("an octet")).collect();
        assert!(
            decoded(&babble).iter().filter(|f| f.is_ok()).count() < 3,
            "an FCS of 16 bits lets few through"
        );
        let long = vec![0x55; 1000];
        let mut framed = vec![0x7E];
        framed.extend(long);
        framed.push(0x7E);
        assert_eq!(decoded(&framed), [Err(Loss::Length)]);
    }
}
