//! Channel-associated signalling: ABCD bits in a T1's robbed bits and in an E1's timeslot 16.
//!
//! T1 (T1.403 §7.1): the least significant bit of every slot is robbed in each sixth frame; in ESF frames 6, 12, 18
//! and 24 carry A, B, C and D, in D4 frames 6 and 12 carry A and B. E1 (G.704 §5.1.3.2): a multiframe of 16 frames;
//! timeslot 16 of frame 0 holds `0000xyxx` (y: remote alarm), of frame n the bits of slots n and n + 16.

/// Bits are believed when two multiframes agree, so that one error on the line is no hook flash.
#[derive(Clone, Debug)]
pub struct Debounce {
    candidate: [u8; SLOTS_MAX],
    stable: [u8; SLOTS_MAX],
}

/// Most signalling slots of a span.
pub const SLOTS_MAX: usize = 30;

impl Default for Debounce {
    fn default() -> Self {
        Self { candidate: [0; SLOTS_MAX], stable: [0; SLOTS_MAX] }
    }
}

impl Debounce {
    /// Takes a multiframe's bits; calls `changed` with index and ABCD for each that is new and was seen twice.
    pub fn multiframe(&mut self, bits: &[u8], changed: &mut impl FnMut(usize, u8)) {
        for (n, &abcd) in bits.iter().enumerate().take(SLOTS_MAX) {
            if self.candidate[n] == abcd && self.stable[n] != abcd {
                self.stable[n] = abcd;
                changed(n, abcd);
            }
            self.candidate[n] = abcd;
        }
    }
}

/// Writes a T1's ABCD bits into the slots of a frame; `frame` counts from 1 to 24 (ESF) or 12 (D4). Other frames than
/// each sixth stay as they are.
pub fn rob(slots: &mut [u8], abcd: &[u8], frame: u8) {
    let Some(shift) = robbed(frame) else { return };
    for (slot, bits) in slots.iter_mut().zip(abcd) {
        *slot = (*slot & 0xFE) | ((bits >> shift) & 1);
    }
}

/// Collects the ABCD bits of a T1 from the slots of a frame; true when the last of the multiframe is in.
pub fn collect(slots: &[u8], abcd: &mut [u8], frame: u8, frames: u8) -> bool {
    let Some(shift) = robbed(frame) else { return false };
    for (slot, bits) in slots.iter().zip(abcd.iter_mut()) {
        *bits = (*bits & !(1 << shift)) | ((slot & 1) << shift);
    }
    if frame == frames && frames == 12 {
        // D4 has no C and D; they repeat A and B.
        abcd.iter_mut().for_each(|b| *b = (*b & 0b1100) | (*b >> 2));
    }
    frame == frames
}

fn robbed(frame: u8) -> Option<u8> {
    (frame.is_multiple_of(6) && (6..=24).contains(&frame)).then(|| 4 - frame / 6)
}

/// Timeslot 16 of frame `frame` (0..16) of an E1's multiframe from the ABCD bits of 30 channels (timeslots 1 to 15, 17
/// to 31) and the multiframe's remote alarm. ABCD 0000 would look like the alignment word and is sent as 1111 (§5.1.3.2.2
/// forbids it).
#[must_use]
pub fn timeslot_16(frame: usize, abcd: &[u8; SLOTS_MAX], remote_alarm: bool) -> u8 {
    let nibble = |n: usize| match abcd[n] & 15 {
        0 => 15,
        bits => bits,
    };
    match frame & 15 {
        0 => 0x0B | (u8::from(remote_alarm) << 2),
        n => (nibble(n - 1) << 4) | nibble(n + 14),
    }
}

/// Finds the multiframe in timeslot 16 and collects its bits.
#[derive(Clone, Debug)]
pub struct Timeslot16 {
    /// Place in the multiframe, once aligned.
    at: Option<usize>,
    missed: u8,
    abcd: [u8; SLOTS_MAX],
    remote_alarm: bool,
    /// Octet of the frame before: the alignment word must not follow another with 0000.
    before: u8,
}

impl Default for Timeslot16 {
    fn default() -> Self {
        Self { at: None, missed: 0, abcd: [0; SLOTS_MAX], remote_alarm: false, before: 0 }
    }
}

impl Timeslot16 {
    /// Takes timeslot 16 of the next frame; the 30 channels' bits when a multiframe is whole.
    pub fn octet(&mut self, octet: u8) -> Option<&[u8; SLOTS_MAX]> {
        let aligned = octet & 0xF0 == 0;
        let before = std::mem::replace(&mut self.before, octet);
        let Some(at) = self.at else {
            // G.732 §5.2.3: aligned at the first 0000 that a frame with a signal comes before.
            if aligned && before & 0xF0 != 0 {
                (self.at, self.missed, self.remote_alarm) = (Some(1), 0, octet & 4 != 0);
            }
            return None;
        };
        self.at = Some((at + 1) % 16);
        if at == 0 {
            self.missed = if aligned { 0 } else { self.missed + 1 };
            self.remote_alarm = aligned && octet & 4 != 0;
            if self.missed == 2 {
                // G.732 §5.2.3: lost when two words in a row are wrong.
                self.at = None;
            }
            return None;
        }
        (self.abcd[at - 1], self.abcd[at + 14]) = (octet >> 4, octet & 15);
        (at == 15 && self.missed == 0).then_some(&self.abcd)
    }

    /// True while the multiframe is found.
    #[must_use]
    pub fn aligned(&self) -> bool {
        self.at.is_some()
    }

    /// The far end's multiframe alarm.
    #[must_use]
    pub fn remote_alarm(&self) -> bool {
        self.remote_alarm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    #[test]
    fn t1_403_bits_are_robbed_in_each_sixth_frame_only() {
        let abcd: Vec<u8> = (0..24).map(|n| n % 16).collect();
        for (frames, mask) in [(24, 15), (12, 12)] {
            let mut got = vec![0; 24];
            for frame in 1..=frames {
                let mut slots = vec![0xFF; 24];
                rob(&mut slots, &abcd, frame);
                assert_eq!(slots.iter().all(|&s| s == 0xFF), frame % 6 != 0, "{frame}");
                assert_eq!(collect(&slots, &mut got, frame, frames), frame == frames);
            }
            assert!(got.iter().zip(&abcd).all(|(g, a)| g & mask == a & mask), "{got:?}");
        }
    }

    #[test]
    fn g704_timeslot_16_round_trips_from_any_place() {
        let mut rng = Seed(16).rng();
        let mut abcd = [0; SLOTS_MAX];
        abcd.iter_mut().for_each(|b| *b = 1 + u8::try_from(rng.below(15)).expect("small"));
        for start in 0..16 {
            let mut rx = Timeslot16::default();
            let mut got = None;
            for frame in start..start + 40 {
                got = rx.octet(timeslot_16(frame, &abcd, true)).copied().or(got);
            }
            assert_eq!((got, rx.aligned(), rx.remote_alarm()), (Some(abcd), true, true), "{start}");
        }
    }

    #[test]
    fn g732_5_2_3_two_wrong_words_lose_the_multiframe() {
        let mut rx = Timeslot16::default();
        let abcd = [13; SLOTS_MAX];
        (0..32).for_each(|f| {
            rx.octet(timeslot_16(f, &abcd, false));
        });
        assert!(rx.aligned());
        for f in 0..17 {
            rx.octet(if f % 16 == 0 { 0xFF } else { 0xDD });
        }
        assert!(!rx.aligned());
    }

    #[test]
    fn bits_are_believed_when_seen_twice() {
        let mut d = Debounce::default();
        let mut all = Vec::new();
        for bits in [[1, 5], [1, 0], [3, 5], [1, 5]] {
            d.multiframe(&bits, &mut |n, b| all.push((n, b)));
        }
        assert_eq!(all, [(0, 1), (1, 5)]);
    }
}
