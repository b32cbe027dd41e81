//! The adaptive jitter buffer of one bearer: a ring of octets indexed by RTP timestamp (all our codecs carry one octet
//! a timestamp unit), with a bit of presence per millisecond. Fixed size, no allocation.
//!
//! The delay follows a histogram of how late packets come relative to the earliest ones: it is the delay that all but
//! a few in a thousand meet, with half a minute of memory. It grows by playing a concealed frame, preferably where
//! one is missing or quiet anyway, and shrinks by leaving out such a frame.

use crate::limits::FRAME;

/// Octets (and samples) of the ring: 256 ms.
pub const RING: usize = 2048;
const RING_TS: u32 = 2048;
const FRAME_TS: u32 = 160;
/// Octets of the past that concealment wants.
pub const PAST: usize = 3 * FRAME;
/// Samples per presence bit.
const GRAIN: u32 = 8;
const GRAINS: usize = RING / 8;
/// A histogram bin: 5 ms of lateness.
const BIN: u32 = 40;
const BINS: usize = 40;
/// Weight of a packet; the histogram halves when a bin's sum reaches the cap: memory of about 30 s.
const WEIGHT: u32 = 16;
const TOTAL_MAX: u32 = WEIGHT * 1500;
/// Takes that a frame too much of delay waits for a quiet or missing frame before a loud one is left out.
const PATIENCE: u8 = 100;

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It will be played.
    Placed,
    /// It came after its time.
    Late,
    /// Its timestamp is far from the stream's: the buffer began anew with it.
    Restarted,
}

/// What a frame's time brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// No packet has come yet.
    Idle,
    /// All samples are there.
    Frame,
    /// Some are missing; conceal the whole frame.
    Missing,
    /// Nothing is missing: the delay grew by a frame that is to be concealed.
    Stretch,
}

/// See the module.
#[derive(Clone)]
pub struct Jitter {
    ring: [u8; RING],
    present: [u64; GRAINS / 64],
    /// Timestamp of the next sample to play.
    play: u32,
    /// Timestamp behind the last frame that was brought whole.
    good: u32,
    /// Smallest of now - timestamp seen, in samples: the transit of the earliest packets.
    base: u32,
    bins: [u16; BINS],
    total: u32,
    /// Delay wanted above `base`, in samples: follows the histogram.
    want: u32,
    state: State,
    patience: u8,
    since_scan: u8,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Idle,
    /// A first packet came; its timestamp is `play`, playing begins at the next take.
    Primed,
    Playing,
}

impl Default for Jitter {
    fn default() -> Self {
        Self {
            ring: [0; RING],
            present: [0; GRAINS / 64],
            play: 0,
            good: 0,
            base: 0,
            bins: [0; BINS],
            total: 0,
            want: 2 * BIN,
            state: State::Idle,
            patience: 0,
            since_scan: 0,
        }
    }
}

impl Jitter {
    /// Forgets everything: a new bearer or a new source.
    pub fn reset(&mut self) {
        self.present = [0; GRAINS / 64];
        self.bins = [0; BINS];
        (self.total, self.want, self.state) = (0, 2 * BIN, State::Idle);
        (self.patience, self.since_scan) = (0, 0);
    }

    /// Takes a packet that came at `now` (in samples) with `payload` for `timestamp`.
    pub fn put(&mut self, now: u32, timestamp: u32, payload: &[u8]) -> Put {
        let len = u32::try_from(payload.len()).unwrap_or(RING_TS).min(RING_TS / 2);
        if self.state == State::Idle {
            self.begin(now, timestamp);
        }
        let ahead = timestamp.wrapping_sub(self.play).cast_signed();
        let far = RING_TS.cast_signed();
        if ahead + len.cast_signed() > far || ahead < -4 * far {
            // A jump of the timestamp, as after a transfer behind the same address: the old samples are worthless.
            let want = self.want;
            self.reset();
            self.want = want;
            self.begin(now, timestamp);
            self.store(timestamp, payload);
            return Put::Restarted;
        }
        self.learn(now.wrapping_sub(timestamp));
        if ahead + len.cast_signed() <= 0 {
            if self.state == State::Playing {
                return Put::Late;
            }
            // Reordered before playing began: begin with the earlier one.
            self.play = timestamp;
        }
        if self.state == State::Primed && ahead < 0 {
            self.play = timestamp;
        }
        self.store(timestamp, payload);
        if ahead < 0 && self.state == State::Playing { Put::Late } else { Put::Placed }
    }

    fn begin(&mut self, now: u32, timestamp: u32) {
        self.state = State::Primed;
        self.play = timestamp;
        self.base = now.wrapping_sub(timestamp);
    }

    fn store(&mut self, timestamp: u32, payload: &[u8]) {
        let payload = &payload[..payload.len().min(RING / 2)];
        let at = ring_index(timestamp);
        let first = payload.len().min(RING - at);
        self.ring[at..at + first].copy_from_slice(&payload[..first]);
        self.ring[..payload.len() - first].copy_from_slice(&payload[first..]);
        let grains = payload.len().div_ceil(8);
        let skip =
            usize::try_from(self.play.wrapping_sub(timestamp).cast_signed().max(0)).unwrap_or(0).div_ceil(8);
        for g in skip..grains {
            let bit = (at / 8 + g) % GRAINS;
            self.present[bit / 64] |= 1 << (bit % 64);
        }
    }

    /// Puts a packet's transit into the histogram.
    fn learn(&mut self, transit: u32) {
        let over = transit.wrapping_sub(self.base).cast_signed();
        if over < 0 {
            // An earlier packet than any before: all others are later by so much.
            let shift = usize::try_from(over.unsigned_abs().div_ceil(BIN)).unwrap_or(BINS).min(BINS);
            self.bins.copy_within(..BINS - shift, shift);
            self.bins[..shift].fill(0);
            self.base = self.base.wrapping_sub(u32::try_from(shift).unwrap_or(0) * BIN);
        }
        let over = transit.wrapping_sub(self.base);
        let bin = usize::try_from(over / BIN).unwrap_or(BINS).min(BINS - 1);
        self.bins[bin] = self.bins[bin].saturating_add(16);
        self.total += WEIGHT;
        self.since_scan += 1;
        if self.since_scan >= 8 || self.total < 64 * WEIGHT {
            self.scan();
        }
    }

    fn scan(&mut self) {
        self.since_scan = 0;
        if self.total >= TOTAL_MAX {
            self.bins.iter_mut().for_each(|b| *b /= 2);
            self.total = self.bins.iter().map(|&b| u32::from(b)).sum();
        }
        // Empty bins at the low end: the path grew longer, or the far clock is slower than ours.
        let empty = self.bins.iter().take_while(|&&b| b == 0).count();
        if empty > 0 && empty < BINS {
            self.bins.copy_within(empty.., 0);
            self.bins[BINS - empty..].fill(0);
            self.base = self.base.wrapping_add(u32::try_from(empty).unwrap_or(0) * BIN);
        }
        // The delay that all but 0.4 % of the packets meet.
        let mut allowed = self.total / 256;
        let mut bin = BINS - 1;
        while bin > 0 && u32::from(self.bins[bin]) <= allowed {
            allowed -= u32::from(self.bins[bin]);
            bin -= 1;
        }
        let floor = if self.total < 64 * WEIGHT { 2 } else { 1 };
        self.want = (u32::try_from(bin).unwrap_or(0) + 1).max(floor) * BIN;
    }

    /// Brings a frame at `now` (in samples). `quiet` judges octets: such a frame may be left out or stretched.
    pub fn take(&mut self, now: u32, quiet: impl Fn(&[u8; FRAME]) -> bool, into: &mut [u8; FRAME]) -> Take {
        match self.state {
            State::Idle => return Take::Idle,
            State::Primed => {
                let delay = now.wrapping_sub(self.play).wrapping_sub(self.base);
                let lacking = self.want.saturating_sub(delay).div_ceil(FRAME_TS) * FRAME_TS;
                if lacking > 0 {
                    return Take::Idle;
                }
                self.state = State::Playing;
            }
            State::Playing => {}
        }
        let all = self.peek(into);
        let delay = now.wrapping_sub(self.play).wrapping_sub(self.base).cast_signed();
        let want = self.want.cast_signed();
        if delay < want {
            self.patience = self.patience.saturating_add(1);
            if !all || self.patience >= 5 || quiet(into) {
                self.patience = 0;
                return Take::Stretch;
            }
        } else if delay >= want + 240 {
            self.patience = self.patience.saturating_add(1);
            if !all || self.patience >= PATIENCE || quiet(into) {
                self.patience = 0;
                self.advance();
                let all = self.peek(into);
                return self.brought(all);
            }
        } else {
            self.patience = 0;
        }
        self.brought(all)
    }

    fn brought(&mut self, all: bool) -> Take {
        self.advance();
        if all {
            self.good = self.play;
            Take::Frame
        } else {
            Take::Missing
        }
    }

    /// The octets before the loss that has just begun, for concealment: 60 ms.
    pub fn past(&self, into: &mut [u8; PAST]) {
        let from = self.good.wrapping_sub(u32::try_from(PAST).expect("small"));
        let at = ring_index(from);
        let first = PAST.min(RING - at);
        into[..first].copy_from_slice(&self.ring[at..at + first]);
        into[first..].copy_from_slice(&self.ring[..PAST - first]);
    }

    /// Puts what was played in place of the frame that was missing, so that it is part of the past.
    pub fn patch(&mut self, octets: &[u8; FRAME]) {
        let at = ring_index(self.play.wrapping_sub(FRAME_TS));
        let first = FRAME.min(RING - at);
        self.ring[at..at + first].copy_from_slice(&octets[..first]);
        self.ring[..FRAME - first].copy_from_slice(&octets[first..]);
    }

    /// Copies the frame at the play position; true if all of it is there.
    fn peek(&self, into: &mut [u8; FRAME]) -> bool {
        let at = ring_index(self.play);
        let first = FRAME.min(RING - at);
        into[..first].copy_from_slice(&self.ring[at..at + first]);
        into[first..].copy_from_slice(&self.ring[..FRAME - first]);
        (0..FRAME / 8).all(|g| {
            let bit = (at / 8 + g) % GRAINS;
            self.present[bit / 64] & (1 << (bit % 64)) != 0
        })
    }

    fn advance(&mut self) {
        let at = ring_index(self.play) / 8;
        for g in 0..FRAME / 8 {
            let bit = (at + g) % GRAINS;
            self.present[bit / 64] &= !(1 << (bit % 64));
        }
        self.play = self.play.wrapping_add(FRAME_TS);
    }

    /// The delay that is wanted above the fastest packets, samples.
    #[must_use]
    pub fn wanted(&self) -> u32 {
        self.want
    }
}

/// Where a timestamp's octet lies, rounded to the grain: a stream keeps its alignment.
fn ring_index(timestamp: u32) -> usize {
    usize::try_from((timestamp / GRAIN * GRAIN) % RING_TS).expect("below the ring's size")
}

const _: () = assert!(RING.is_multiple_of(64) && RING > 4 * FRAME && GRAINS.is_multiple_of(64));

#[cfg(test)]
mod tests {
    use super::*;
    use units::Seed;

    /// Sends 20 ms packets with delays from `delay_ms`, takes a frame each 20 ms; counts what was played, concealed
    /// and late.
    fn run(seconds: u32, loss: f64, mut delay_ms: impl FnMut(u32) -> u32) -> (u32, u32, u32, u32) {
        let mut j = Jitter::default();
        let mut rng = Seed(9).rng();
        let n = seconds * 50;
        let mut arrivals: Vec<(u32, u32)> =
            (0..n).filter(|_| !rng.chance(loss)).map(|i| (i * 20 + delay_ms(i), i)).collect();
        let sent = u32::try_from(arrivals.len()).expect("few");
        arrivals.sort_unstable();
        let mut next = arrivals.into_iter().peekable();
        let (mut played, mut concealed, mut late) = (0, 0, 0);
        let mut last = 0;
        for ms in 0..n * 20 {
            while next.peek().is_some_and(|&(at, _)| at <= ms) {
                let (_, i) = next.next().expect("peeked");
                let mark = [u8::try_from(i % 251).expect("below 251"); FRAME];
                let ts = 4_294_900_000_u32.wrapping_add(i * 160);
                late += u32::from(j.put(ms * 8, ts, &mark) == Put::Late);
            }
            if ms % 20 == 7 {
                let mut out = [0; FRAME];
                match j.take(ms * 8, |_| false, &mut out) {
                    Take::Frame => {
                        assert!(out.iter().all(|&o| o == out[0]), "frames are not mixed");
                        let step = (u32::from(out[0]) + 251 - last) % 251;
                        assert!((1..=20).contains(&step) || played == 0, "in order: {step}");
                        last = u32::from(out[0]);
                        played += 1;
                    }
                    Take::Missing | Take::Stretch => concealed += 1,
                    Take::Idle => {}
                }
            }
        }
        (sent, played, concealed, late)
    }

    #[test]
    fn a_steady_stream_is_played_whole_with_little_delay() {
        let (sent, played, concealed, late) = run(60, 0.0, |_| 30);
        assert_eq!((concealed, late), (0, 0));
        assert!(sent - played <= 3, "{sent} sent, {played} played");
    }

    #[test]
    fn sixty_ms_of_jitter_loses_at_most_one_per_cent() {
        let mut rng = Seed(60).rng();
        let (sent, played, concealed, late) = run(120, 0.0, |_| u32::try_from(rng.below(61)).expect("small"));
        assert!(late * 100 <= sent, "{late} of {sent} late");
        assert!(
            concealed * 100 <= 2 * sent && played * 100 >= sent * 98,
            "{concealed} concealed, {played} played"
        );
    }

    #[test]
    fn five_per_cent_of_loss_costs_no_more_than_seven_of_sound() {
        let mut rng = Seed(5).rng();
        let (_, played, concealed, _) = run(120, 0.05, |_| u32::try_from(rng.below(30)).expect("small"));
        assert!(concealed * 100 <= (played + concealed) * 7, "{concealed} concealed, {played} played");
    }

    #[test]
    fn a_jump_of_the_timestamp_restarts() {
        let mut j = Jitter::default();
        let mut out = [0; FRAME];
        assert_eq!(j.put(0, 1000, &[1; FRAME]), Put::Placed);
        assert_eq!(j.put(160, 9_000_000, &[2; FRAME]), Put::Restarted);
        assert_eq!(j.take(480, |_| false, &mut out), Take::Frame);
        assert_eq!(out, [2; FRAME]);
    }

    #[test]
    fn any_packet_is_survived() {
        let mut rng = Seed(77).rng();
        let mut j = Jitter::default();
        let mut out = [0; FRAME];
        let bytes = [0; 640];
        for i in 0..200_000_u32 {
            let len = usize::try_from(rng.below(640)).expect("small");
            j.put(i * 16, rng.next_u32() >> rng.below(32), &bytes[..len]);
            j.take(i * 160, |_| true, &mut out);
        }
        assert!(j.wanted() <= u32::try_from(BINS).expect("few") * BIN);
    }
}
