//! Codes by which a far end asks for a loop: in the voice bits of a T1 (T1.403 §9.4.1.1) and as bit-oriented messages
//! of the ESF data link (T1.403 §9.4.1.2, table 4).

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Loop the line back.
    Up,
    /// Take the loop away.
    Down,
}

/// Finds in-band codes: 00001 repeated (up), 001 repeated (down), for five seconds, errors up to one in a hundred.
#[derive(Clone, Debug)]
pub struct InBand {
    up: Periodic,
    down: Periodic,
}

impl InBand {
    /// For a line of so many bits a second (1,544,000 for a whole T1).
    #[must_use]
    pub fn new(bits_per_second: u32) -> Self {
        Self {
            up: Periodic::new(0b00001, 5, bits_per_second),
            down: Periodic::new(0b001, 3, bits_per_second),
        }
    }

    /// Takes a bit; a request once when its five seconds are over.
    pub fn bit(&mut self, bit: u8) -> Option<Request> {
        let (up, down) = (self.up.bit(bit), self.down.bit(bit));
        if up {
            Some(Request::Up)
        } else if down {
            Some(Request::Down)
        } else {
            None
        }
    }
}

/// One code word repeated: each bit must equal the one a period before, and the word must be the right one.
#[derive(Clone, Debug)]
struct Periodic {
    word: u32,
    length: u32,
    register: u32,
    needed: u32,
    run: u32,
    errors: u32,
    told: bool,
}

impl Periodic {
    fn new(word: u32, length: u32, bits_per_second: u32) -> Self {
        Self {
            word,
            length,
            register: 0,
            needed: bits_per_second.saturating_mul(5),
            run: 0,
            errors: 0,
            told: false,
        }
    }

    fn bit(&mut self, bit: u8) -> bool {
        self.register = ((self.register << 1) | u32::from(bit & 1)) & ((1 << self.length) - 1);
        self.run = self.run.saturating_add(1);
        if !self.is_rotation() {
            self.errors += 1;
            // One error on the line spoils as many registers as a word is long.
            if self.errors * 100 > self.run * self.length + 500 {
                (self.run, self.errors, self.told) = (0, 0, false);
            }
        }
        let now = self.run >= self.needed && !self.told;
        self.told |= now;
        now
    }

    fn is_rotation(&self) -> bool {
        // Both words have a single one, so a rotation is any register with a single one.
        debug_assert_eq!(self.word.count_ones(), 1);
        self.register.count_ones() == 1
    }
}

/// A bit-oriented message of the ESF data link: `0xxxxxx0 11111111`, by its six bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message(pub u8);

impl Message {
    /// Remote alarm ("yellow"): 00000000 11111111.
    pub const YELLOW: Message = Message(0b00_0000);
    /// Line loopback on.
    pub const LINE_UP: Message = Message(0b00_0111);
    /// Line loopback off.
    pub const LINE_DOWN: Message = Message(0b01_1100);
    /// Payload loopback on.
    pub const PAYLOAD_UP: Message = Message(0b00_1010);
    /// Payload loopback off.
    pub const PAYLOAD_DOWN: Message = Message(0b01_1001);

    /// The sixteen bits; the most significant goes first.
    #[must_use]
    pub const fn bits(self) -> u16 {
        // T1.403 shows codes right to left as sent: eight ones, a zero, six bits, a zero.
        0xFF00 | ((self.0 as u16 & 63) << 1)
    }
}

/// Finds messages in the data link's bits: seven of ten repetitions make one.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    register: u16,
    /// Bits since the candidate was seen last.
    since: u8,
    candidate: Option<Message>,
    seen: u8,
    told: Option<Message>,
}

impl Messages {
    /// Takes a bit of the data link; a message once when it is certain. [`Messages::current`] says whether it goes on.
    pub fn bit(&mut self, bit: u8) -> Option<Message> {
        self.register = (self.register << 1) | u16::from(bit & 1);
        self.since = self.since.saturating_add(1);
        let framed = self.register & 0xFF81 == 0xFF00;
        if framed && (self.candidate.is_none() || self.since >= 16) {
            let low = u8::try_from((self.register >> 1) & 63).expect("six bits");
            let message = Message(low);
            self.seen = if self.candidate == Some(message) { self.seen.saturating_add(1) } else { 1 };
            (self.candidate, self.since) = (Some(message), 0);
            if self.seen == 7 && self.told != Some(message) {
                self.told = Some(message);
                return Some(message);
            }
        } else if self.since > 64 {
            (self.candidate, self.seen, self.told) = (None, 0, None);
        }
        None
    }

    /// The message that stands.
    #[must_use]
    pub fn current(&self) -> Option<Message> {
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    #[test]
    fn t1_403_in_band_codes_take_five_seconds_and_survive_errors() {
        let mut rng = Seed(17).rng();
        for (word, want) in [(&[0, 0, 0, 0, 1][..], Request::Up), (&[0, 0, 1], Request::Down)] {
            let mut c = InBand::new(8000);
            let mut found = Vec::new();
            for n in 0..56_000usize {
                let bit = word[n % word.len()] ^ u8::from(rng.chance(0.001));
                found.extend(c.bit(bit).map(|r| ((n + 1) / 8000, r)));
            }
            assert_eq!(found, [(5, want)]);
        }
        let mut c = InBand::new(8000);
        assert!((0..200_000).all(|_| c.bit(u8::from(rng.chance(0.5))).is_none()));
        assert!((0..200_000).all(|_| c.bit(0).is_none()), "zeros are no code");
    }

    #[test]
    fn t1_403_messages_need_seven_repetitions() {
        for message in [Message::YELLOW, Message::LINE_UP, Message::PAYLOAD_DOWN] {
            let mut m = Messages::default();
            let mut found = Vec::new();
            for n in 0..10 * 16 {
                let bit = u8::from((message.bits() >> (15 - n % 16)) & 1 == 1);
                found.extend(m.bit(bit).map(|f| (n / 16, f)));
            }
            assert_eq!(found, [(6, message)]);
            assert_eq!(m.current(), Some(message));
            // Idle flags of the data link end it.
            for n in (0..12).flat_map(|_| 0..8) {
                m.bit((0x7E >> n) & 1);
            }
            assert_eq!(m.current(), None);
        }
    }
}
