//! T1 framing (T1.403 §5): 24 timeslots and one framing bit in 193 bits; D4 superframes of 12 frames, or ESF
//! superframes of 24 with CRC-6 and a data link of 4 kbit/s.

/// Octets of a frame.
pub const SLOTS: usize = 24;
/// Bits of a frame.
const BITS: usize = 193;

/// Which superframe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Superframe of 12 frames.
    D4,
    /// Extended superframe of 24 frames.
    Esf,
}

impl Framing {
    /// Frames of a superframe.
    #[must_use]
    pub const fn frames(self) -> u8 {
        match self {
            Framing::D4 => 12,
            Framing::Esf => 24,
        }
    }

    /// The framing bit of frame `at` (from 0) where it is fixed.
    fn fixed(self, at: usize) -> Option<u8> {
        match self {
            // Terminal framing 101010 in odd frames, signalling framing 001110 in even ones.
            Framing::D4 => Some(D4[at]),
            Framing::Esf => (at % 4 == 3).then(|| ESF[at / 4]),
        }
    }
}

const D4: [u8; 12] = [1, 0, 0, 0, 1, 1, 0, 1, 1, 1, 0, 0];
/// Frames 4, 8, ... 24.
const ESF: [u8; 6] = [0, 0, 1, 0, 1, 1];

/// Sends frames.
#[derive(Clone, Debug)]
pub struct Transmitter {
    framing: Framing,
    at: usize,
    crc: u8,
    sent: u8,
}

impl Transmitter {
    /// From the first frame.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self { framing, at: 0, crc: 0, sent: 0 }
    }

    /// Number of the next frame in its superframe, from 1, as [`cas`](super::cas) counts.
    #[must_use]
    pub fn number(&self) -> u8 {
        u8::try_from(self.at).expect("at most 24") + 1
    }

    /// The framing bit that goes before these slots; `link` is the next bit of the data link, used in odd ESF frames.
    pub fn framing_bit(&mut self, slots: &[u8; SLOTS], link: u8) -> u8 {
        let at = self.at;
        if at == 0 {
            self.sent = std::mem::take(&mut self.crc);
        }
        let bit = self.framing.fixed(at).unwrap_or(if at.is_multiple_of(2) {
            link & 1
        } else {
            (self.sent >> (5 - at / 4)) & 1
        });
        self.crc = crc6(self.crc, slots);
        self.at = (at + 1) % usize::from(self.framing.frames());
        bit
    }
}

impl Transmitter {
    /// True if the next frame takes a bit of the data link.
    #[must_use]
    pub fn wants_link(&self) -> bool {
        self.framing == Framing::Esf && self.at.is_multiple_of(2)
    }
}

/// What the receiver found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A frame: its number in the superframe (from 1) and its slots.
    Frame(u8, [u8; SLOTS]),
    /// Framing was found.
    Aligned,
    /// Framing was lost.
    Lost,
    /// A framing bit was wrong.
    FramingError,
    /// A superframe's CRC-6 was wrong.
    CrcError,
    /// A bit of the data link.
    Link(u8),
}

/// Receives bits.
#[derive(Clone, Debug)]
pub struct Receiver {
    framing: Framing,
    /// While hunting: the bits at each of the 193 places, newest lowest.
    places: [u128; BITS],
    hunted: u32,
    place: usize,
    /// While aligned: bits of the frame so far, its number from 0.
    aligned: bool,
    bits: usize,
    at: usize,
    slots: [u8; SLOTS],
    framing_bit: u8,
    /// The latest fixed bits, 1 for a wrong one.
    wrong: u8,
    crc: u8,
    /// CRC of the superframe before; `None` until one was whole.
    before: Option<u8>,
    whole: bool,
    told: u8,
}

/// Superframes looked at before framing is believed: 24 fixed bits of ESF in a row, 48 of D4.
const HUNT_FRAMES: u32 = 96;

impl Receiver {
    /// Looking for framing.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            places: [0; BITS],
            hunted: 0,
            place: 0,
            aligned: false,
            bits: 0,
            at: 0,
            slots: [0; SLOTS],
            framing_bit: 0,
            wrong: 0,
            crc: 0,
            before: None,
            whole: false,
            told: 0,
        }
    }

    /// True while aligned.
    #[must_use]
    pub fn aligned(&self) -> bool {
        self.aligned
    }

    /// Takes a bit; calls `emit` for what was found.
    pub fn bit(&mut self, bit: u8, emit: &mut impl FnMut(Found)) {
        let bit = bit & 1;
        if !self.aligned {
            self.hunt(bit, emit);
            return;
        }
        if self.bits == 0 {
            self.framing_bit = bit;
            self.framing(bit, emit);
        } else {
            let slot = (self.bits - 1) / 8;
            self.slots[slot] = (self.slots[slot] << 1) | bit;
        }
        self.bits += 1;
        if self.bits == BITS && self.aligned {
            self.frame(emit);
        }
    }

    fn hunt(&mut self, bit: u8, emit: &mut impl FnMut(Found)) {
        let place = self.place;
        self.places[place] = (self.places[place] << 1) | u128::from(bit);
        self.place = (place + 1) % BITS;
        self.hunted = self.hunted.saturating_add(u32::from(self.place == 0));
        if self.hunted <= HUNT_FRAMES {
            return;
        }
        let frames = usize::from(self.framing.frames());
        let fits = |last: &usize| self.fits(self.places[place], *last);
        if let Some(last) = (0..frames).find(fits) {
            // This bit was the framing bit of frame `last`.
            (self.aligned, self.bits, self.at, self.wrong) = (true, 1, last, 0);
            (self.before, self.whole, self.crc, self.framing_bit) = (None, false, 0, bit);
            emit(Found::Aligned);
        }
    }

    /// Whether the latest 96 bits of a place are framing bits that end with frame `last`.
    fn fits(&self, bits: u128, last: usize) -> bool {
        let frames = usize::from(self.framing.frames());
        (0..usize::try_from(HUNT_FRAMES).expect("small")).all(|back| {
            let at = (last + 96 * frames - back) % frames;
            self.framing.fixed(at).is_none_or(|f| u128::from(f) == (bits >> back) & 1)
        })
    }

    fn framing(&mut self, bit: u8, emit: &mut impl FnMut(Found)) {
        let at = self.at;
        match self.framing.fixed(at) {
            Some(right) => {
                self.wrong = (self.wrong << 1) | u8::from(right != bit);
                if right != bit {
                    emit(Found::FramingError);
                }
                // T1.231 §6.1.2.2: out of frame when two of four framing bits are wrong.
                if (self.wrong & 15).count_ones() >= 2 {
                    self.aligned = false;
                    (self.hunted, self.place, self.places) = (0, 0, [0; BITS]);
                    emit(Found::Lost);
                }
            }
            None if at.is_multiple_of(2) => emit(Found::Link(bit)),
            None => self.told = (self.told << 1) | bit,
        }
    }

    fn frame(&mut self, emit: &mut impl FnMut(Found)) {
        self.bits = 0;
        let number = u8::try_from(self.at).expect("at most 24") + 1;
        if self.at == 0 {
            (self.crc, self.whole) = (0, true);
        }
        self.crc = crc6(self.crc, &self.slots);
        if number == self.framing.frames() {
            if self.framing == Framing::Esf && self.before.is_some_and(|c| c != self.told & 63) {
                emit(Found::CrcError);
            }
            self.before = self.whole.then_some(self.crc);
        }
        self.at = usize::from(number % self.framing.frames());
        emit(Found::Frame(number, self.slots));
    }
}

/// CRC-6 (x^6 + x + 1) over a frame; framing bits count as ones (T1.403 §5.2.2).
fn crc6(mut crc: u8, slots: &[u8; SLOTS]) -> u8 {
    let mut push = |bit: u8| {
        let feedback = ((crc >> 5) ^ bit) & 1;
        crc = ((crc << 1) & 63) ^ if feedback == 1 { 0b00_0011 } else { 0 };
    };
    push(1);
    for &octet in slots {
        (0..8).rev().for_each(|n| push(octet >> n));
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tdm::hdlc;
    use units::Seed;

    fn line(framing: Framing, frames: usize, seed: u64) -> Vec<u8> {
        let mut rng = Seed(seed).rng();
        let mut tx = Transmitter::new(framing);
        let mut bits = Vec::new();
        for n in 0..frames {
            let mut slots = [0u8; SLOTS];
            slots.iter_mut().for_each(|o| *o = u8::try_from(rng.below(256)).expect("an octet"));
            bits.push(tx.framing_bit(&slots, u8::from(n % 6 < 2)));
            bits.extend(slots.iter().flat_map(|&o| (0..8).rev().map(move |n| (o >> n) & 1)));
        }
        bits
    }

    fn found(framing: Framing, bits: &[u8]) -> (Vec<Found>, Receiver) {
        let mut rx = Receiver::new(framing);
        let mut all = Vec::new();
        bits.iter().for_each(|&b| rx.bit(b, &mut |f| all.push(f)));
        (all, rx)
    }

    fn count(all: &[Found], what: Found) -> usize {
        all.iter().filter(|&&f| f == what).count()
    }

    #[test]
    fn framing_is_found_from_any_bit_and_frames_are_whole() {
        for framing in [Framing::D4, Framing::Esf] {
            let bits = line(framing, 200, 1);
            for skip in [0, 1, 192, 193, 1000] {
                let (all, rx) = found(framing, &bits[skip..]);
                assert!(rx.aligned(), "{framing:?} {skip}");
                assert_eq!((count(&all, Found::Aligned), count(&all, Found::FramingError)), (1, 0));
                assert_eq!(count(&all, Found::CrcError), 0, "{framing:?} {skip}");
                let last = all
                    .iter()
                    .rev()
                    .find_map(|f| if let Found::Frame(n, s) = f { Some((*n, *s)) } else { None });
                let sent = bits[bits.len() - 192..].chunks(8).map(|c| c.iter().fold(0, |o, b| (o << 1) | b));
                let number = u8::try_from(199 % usize::from(framing.frames())).expect("small") + 1;
                assert_eq!(last.map(|l| (l.0, l.1.to_vec())), Some((number, sent.collect())));
            }
        }
    }

    #[test]
    fn t1_403_5_2_2_crc_errors_are_seen() {
        let mut bits = line(Framing::Esf, 24 * 20, 2);
        for n in 10..15 {
            bits[n * 24 * 193 + 2000] ^= 1;
        }
        let (all, _) = found(Framing::Esf, &bits);
        assert_eq!(count(&all, Found::CrcError), 5);
    }

    #[test]
    fn t1_231_two_of_four_wrong_framing_bits_lose_it() {
        for framing in [Framing::D4, Framing::Esf] {
            let mut bits = line(framing, 500, 3);
            bits[203 * 193] ^= 1;
            let (all, rx) = found(framing, &bits);
            assert!(rx.aligned() && count(&all, Found::Lost) == 0);
            for n in [243, 247] {
                bits[n * 193] ^= 1;
            }
            let (all, rx) = found(framing, &bits);
            let lost = count(&all, Found::Lost);
            assert!(rx.aligned() && lost == usize::from(framing == Framing::Esf), "{framing:?}");
            bits[244 * 193] ^= 1;
            bits[245 * 193] ^= 1;
            let (all, rx) = found(framing, &bits);
            assert!(
                rx.aligned() && count(&all, Found::Lost) == 1 && count(&all, Found::Aligned) == 2,
                "{framing:?}"
            );
        }
    }

    #[test]
    fn t1_403_9_4_2_a_performance_report_crosses_the_data_link() {
        // Goal: message-oriented signals of the data link are HDLC. Method: a report of 13 octets without its FCS.
        let report = [0x38, 0x01, 0x03, 1, 2, 3, 4, 5, 6, 7, 8];
        let (mut tx, mut rx) = (Transmitter::new(Framing::Esf), Receiver::new(Framing::Esf));
        let (mut encoder, mut decoder) = (hdlc::Encoder::new(), hdlc::Decoder::new());
        let mut got = Vec::new();
        for n in 0..800 {
            if n == 300 {
                assert!(encoder.send(&report));
            }
            let slots = [0x7F; SLOTS];
            let link = if tx.wants_link() { encoder.bit() } else { 0 };
            let framing = tx.framing_bit(&slots, link);
            let bits = slots.iter().flat_map(|&o| (0..8).rev().map(move |n| (o >> n) & 1));
            for bit in std::iter::once(framing).chain(bits) {
                rx.bit(bit, &mut |f| {
                    if let Found::Link(b) = f {
                        decoder.bit(b, &mut |frame| got.push(frame.map(<[u8]>::to_vec)));
                    }
                });
            }
        }
        assert_eq!(got, [Ok(report.to_vec())]);
    }

    #[test]
    fn the_data_link_comes_through() {
        let (all, _) = found(Framing::Esf, &line(Framing::Esf, 400, 4));
        let link: Vec<u8> =
            all.iter().filter_map(|f| if let Found::Link(b) = f { Some(*b) } else { None }).collect();
        // Odd frames have n = 0, 2, 4 of six: 1, 0, 0.
        assert!(link.len() > 100 && link.windows(3).all(|w| w.iter().sum::<u8>() == 1));
    }
}
