//! E1 framing (ITU-T G.704 §2.3): 32 timeslots in 256 bits, alignment in every second frame's timeslot 0, CRC-4
//! multiframe of 16 frames; alignment found and lost as G.706 §4 says.

/// Octets of a frame, timeslot 0 first.
pub const FRAME: usize = 32;

/// Sends frames.
#[derive(Clone, Debug)]
pub struct Transmitter {
    crc4: bool,
    frame: usize,
    /// CRC of the sub-multiframe being sent, and of the one before.
    crc: u8,
    sent: u8,
    /// Remote alarm (bit A) and the CRC errors to tell (bits E, which are 0 for an error).
    pub remote_alarm: bool,
    /// Received sub-multiframes I and II were without error.
    pub e_bits: [bool; 2],
}

impl Transmitter {
    /// With or without CRC-4.
    #[must_use]
    pub fn new(crc4: bool) -> Self {
        Self { crc4, frame: 0, crc: 0, sent: 0, remote_alarm: false, e_bits: [true; 2] }
    }

    /// Place of the next frame in the multiframe, 0..16.
    #[must_use]
    pub fn place(&self) -> usize {
        self.frame
    }

    /// Writes timeslot 0 of the next frame, whose other timeslots are in place already.
    pub fn frame(&mut self, octets: &mut [u8; FRAME]) {
        let at = self.frame;
        let first = if self.crc4 { self.first_bit(at) } else { 1 };
        octets[0] = if at.is_multiple_of(2) {
            FAS | (first << 7)
        } else {
            // Bit 2 is one, bit 3 the remote alarm, the rest spare and one.
            0x5F | (first << 7) | (u8::from(self.remote_alarm) << 5)
        };
        if at.is_multiple_of(8) {
            self.sent = std::mem::take(&mut self.crc);
            // The first bit that was just written belongs to the CRC of the sub-multiframe before.
            if self.crc4 {
                octets[0] = FAS | ((self.sent >> 3) << 7);
            }
        }
        self.crc = crc4(self.crc, octets, at.is_multiple_of(2));
        self.frame = (at + 1) % 16;
    }

    fn first_bit(&self, at: usize) -> u8 {
        if at.is_multiple_of(2) {
            (self.sent >> (3 - at / 2 % 4)) & 1
        } else {
            match at {
                13 => u8::from(self.e_bits[0]),
                15 => u8::from(self.e_bits[1]),
                _ => MULTIFRAME[at / 2],
            }
        }
    }
}

/// What the receiver found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A frame: its timeslots.
    Frame([u8; FRAME]),
    /// Alignment was found.
    Aligned,
    /// Alignment was lost.
    Lost,
    /// The CRC-4 multiframe was found.
    Multiframe,
    /// A sub-multiframe's CRC was wrong.
    CrcError,
    /// An alignment word was wrong.
    FramingError,
    /// The far end's E bit tells of an error.
    FarEndError,
}

/// Receives bits.
#[derive(Clone, Debug)]
pub struct Receiver {
    crc4: bool,
    state: State,
    /// The latest eight bits.
    window: u8,
    octets: [u8; FRAME],
    bits: usize,
    /// FAS or NFAS expected next.
    even: bool,
    wrong: u8,
    /// Place in the CRC multiframe, once found, and the search for it.
    place: Option<usize>,
    odd_bits: u8,
    crc: u8,
    told: u8,
    remote_alarm: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Looking at every bit for the word.
    Hunt,
    /// Seen once; the frame after must have bit 2 set, and the one after it the word.
    Verify(u8),
    Aligned,
}

impl Receiver {
    /// With or without CRC-4.
    #[must_use]
    pub fn new(crc4: bool) -> Self {
        Self {
            crc4,
            state: State::Hunt,
            window: 0,
            octets: [0; FRAME],
            bits: 0,
            even: true,
            wrong: 0,
            place: None,
            odd_bits: 0,
            crc: 0,
            told: 0,
            remote_alarm: false,
        }
    }

    /// True while aligned.
    #[must_use]
    pub fn aligned(&self) -> bool {
        self.state == State::Aligned
    }

    /// True while the CRC-4 multiframe is found.
    #[must_use]
    pub fn multiframe(&self) -> bool {
        self.place.is_some()
    }

    /// The far end's remote alarm.
    #[must_use]
    pub fn remote_alarm(&self) -> bool {
        self.remote_alarm
    }

    /// Takes a bit; calls `emit` for what was found.
    pub fn bit(&mut self, bit: u8, emit: &mut impl FnMut(Found)) {
        self.window = (self.window << 1) | (bit & 1);
        if self.state == State::Hunt {
            if self.window & 0x7F == FAS {
                // The word ends here: timeslot 0 of an even frame is whole.
                self.state = State::Verify(0);
                (self.octets[0], self.bits, self.even) = (self.window, 8, true);
            }
            return;
        }
        let slot = self.bits / 8;
        self.octets[slot] = (self.octets[slot] << 1) | (bit & 1);
        self.bits += 1;
        if self.bits == 8 {
            self.timeslot_0(emit);
        } else if self.bits == 8 * FRAME {
            self.bits = 0;
            if self.state == State::Aligned {
                self.whole(emit);
                emit(Found::Frame(self.octets));
            }
            self.even = !self.even;
        }
    }

    fn timeslot_0(&mut self, emit: &mut impl FnMut(Found)) {
        let word = self.octets[0];
        let right = if self.even { word & 0x7F == FAS } else { word & 0x40 != 0 };
        match self.state {
            State::Hunt => {}
            // G.706 §4.1.2: word, bit 2, word.
            State::Verify(_) if !right => self.state = State::Hunt,
            State::Verify(0) => self.state = State::Verify(1),
            State::Verify(_) => {
                (self.state, self.wrong, self.place, self.odd_bits) = (State::Aligned, 0, None, 0);
                emit(Found::Aligned);
            }
            State::Aligned => {
                if self.even {
                    self.wrong = if right { 0 } else { self.wrong + 1 };
                    if !right {
                        emit(Found::FramingError);
                    }
                }
                // G.706 §4.1.1: three wrong words in a row.
                if self.wrong == 3 {
                    (self.state, self.place) = (State::Hunt, None);
                    emit(Found::Lost);
                }
                if !self.even {
                    self.remote_alarm = word & 0x20 != 0;
                }
            }
        }
    }

    /// A whole frame: the CRC-4 multiframe.
    fn whole(&mut self, emit: &mut impl FnMut(Found)) {
        if !self.crc4 {
            return;
        }
        let first = self.octets[0] >> 7;
        let Some(place) = self.place else {
            if !self.even {
                self.odd_bits = (self.odd_bits << 1) | first;
                // 001011 in frames 1 to 11: this is frame 11.
                if self.odd_bits & 0x3F == 0b00_1011 {
                    self.place = Some(12);
                    (self.crc, self.told) = (0xFF, 0xFF);
                    emit(Found::Multiframe);
                }
            }
            return;
        };
        self.in_multiframe(place, first, emit);
        if self.place.is_some() {
            self.place = Some((place + 1) % 16);
        }
    }

    fn in_multiframe(&mut self, place: usize, first: u8, emit: &mut impl FnMut(Found)) {
        if place.is_multiple_of(8) {
            // `told` is what the sub-multiframe before should be said to have; 0xFF: it was not whole.
            self.told = std::mem::take(&mut self.crc);
        }
        if place.is_multiple_of(2) {
            let right = (self.told >> (3 - place / 2 % 4)) & 1;
            if self.told != 0xFF && right != first {
                // One error a sub-multiframe.
                self.told = 0xFF;
                emit(Found::CrcError);
            }
        } else if place >= 13 {
            if first == 0 {
                emit(Found::FarEndError);
            }
        } else if first != MULTIFRAME[place / 2] {
            self.odd_bits = 0;
            self.place = None;
        }
        if self.crc != 0xFF {
            self.crc = crc4(self.crc, &self.octets, place.is_multiple_of(2));
        }
    }
}

/// CRC-4 (x^4 + x + 1) over a frame, its first bit taken as 0 where it carries the CRC itself (G.704 §2.3.3.5.2).
fn crc4(mut crc: u8, octets: &[u8; FRAME], carries: bool) -> u8 {
    for (n, &octet) in octets.iter().enumerate() {
        let octet = if n == 0 && carries { octet & 0x7F } else { octet };
        for shift in (0..8).rev() {
            let feedback = ((crc >> 3) ^ (octet >> shift)) & 1;
            crc = ((crc << 1) & 15) ^ if feedback == 1 { 0b0011 } else { 0 };
        }
    }
    crc
}

/// The alignment word in bits 2 to 8.
const FAS: u8 = 0b001_1011;
/// First bits of frames 1, 3, ... 11.
const MULTIFRAME: [u8; 6] = [0, 0, 1, 0, 1, 1];

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    /// `frames` frames of random timeslots as bits, most significant first.
    fn line(crc4: bool, frames: usize, seed: u64) -> Vec<u8> {
        let mut rng = Seed(seed).rng();
        let mut tx = Transmitter::new(crc4);
        let mut bits = Vec::new();
        for _ in 0..frames {
            let mut f = [0u8; FRAME];
            f[1..].iter_mut().for_each(|o| *o = u8::try_from(rng.below(256)).expect("an octet"));
            tx.frame(&mut f);
            bits.extend(f.iter().flat_map(|&o| (0..8).rev().map(move |n| (o >> n) & 1)));
        }
        bits
    }

    fn found(crc4: bool, bits: &[u8]) -> (Vec<Found>, Receiver) {
        let mut rx = Receiver::new(crc4);
        let mut all = Vec::new();
        bits.iter().for_each(|&b| rx.bit(b, &mut |f| all.push(f)));
        (all, rx)
    }

    fn count(all: &[Found], what: Found) -> usize {
        all.iter().filter(|&&f| f == what).count()
    }

    #[test]
    fn g706_4_alignment_is_found_from_any_bit() {
        let bits = line(true, 100, 1);
        for skip in [0, 1, 100, 255, 256, 300] {
            let (all, rx) = found(true, &bits[skip..]);
            assert!(rx.aligned() && rx.multiframe(), "{skip}");
            assert_eq!((count(&all, Found::CrcError), count(&all, Found::FramingError)), (0, 0), "{skip}");
            assert!(all.iter().filter(|f| matches!(f, Found::Frame(_))).count() >= 60, "{skip}");
        }
    }

    #[test]
    fn g704_frames_come_back_whole() {
        let bits = line(false, 50, 2);
        let (all, _) = found(false, &bits);
        let sent: Vec<u8> = bits.chunks(8).map(|c| c.iter().fold(0, |o, b| (o << 1) | b)).collect();
        let got: Vec<u8> =
            all.iter().flat_map(|f| if let Found::Frame(o) = f { o.to_vec() } else { Vec::new() }).collect();
        assert!(got.len() >= 45 * FRAME && sent.ends_with(&got));
    }

    #[test]
    fn g704_2_3_3_crc_errors_are_seen_once_a_sub_multiframe() {
        let mut bits = line(true, 16 * 20, 3);
        for n in 8..16 {
            bits[n * 16 * 256 + 1000] ^= 1;
        }
        let (all, rx) = found(true, &bits);
        assert_eq!(count(&all, Found::CrcError), 8);
        assert!(rx.multiframe());
    }

    #[test]
    fn g706_4_1_1_three_wrong_words_lose_alignment() {
        let mut bits = line(false, 60, 4);
        for (n, wrong) in [(20, 2), (30, 3)] {
            (0..wrong).for_each(|k| bits[(n + 2 * k) * 256 + 3] ^= 1);
        }
        let (all, rx) = found(false, &bits);
        assert_eq!((count(&all, Found::Lost), count(&all, Found::FramingError)), (1, 5));
        assert!(rx.aligned(), "and it is found again");
    }

    #[test]
    fn the_remote_alarm_is_seen() {
        let mut tx = Transmitter::new(false);
        tx.remote_alarm = true;
        let mut rx = Receiver::new(false);
        for _ in 0..10 {
            let mut f = [0xD5; FRAME];
            tx.frame(&mut f);
            f.iter().for_each(|&o| (0..8).rev().for_each(|n| rx.bit(o >> n, &mut |_| ())));
        }
        assert!(rx.remote_alarm());
    }
}
