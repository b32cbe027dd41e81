//! `Ear`: what one stream sounded like. Checks RTP (RFC 3550) against its own 20 ms grid, finds where prompts begin and
//! end, and keeps the audio when asked to.

use super::mulaw;
use units::Mono;

/// Octets of a 20 ms frame.
const FRAME: u32 = 160;
/// Louder than this counts as sound, dBm0.
const SOUND_DBM0: f64 = -42.0;
/// Later than this from its place on the grid counts as late, ns (`bench/PROMISES.md`: 5 ms).
const LATE_NS: i64 = 5_000_000;

/// What was counted of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Hearing {
    /// Packets taken.
    pub packets: u64,
    /// Sequence numbers that never came.
    pub missing: u64,
    /// Came twice.
    pub duplicated: u64,
    /// Came out of order.
    pub reordered: u64,
    /// More than 5 ms after their place on the stream's own 20 ms grid.
    pub late: u64,
    /// Wrong version, payload type or length.
    pub wrong: u64,
    /// Missing packets while a prompt sounded.
    pub gaps_in_prompt: u64,
    /// Prompts heard to an end.
    pub prompts: u32,
    /// Largest lateness, us.
    pub late_max_us: u64,
}

/// What the ear noticed in a packet or a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// A prompt begins.
    PromptStart,
    /// It ended: so long ago did the last sound come, ms.
    PromptEnd {
        /// Milliseconds of sound from start to the last loud frame.
        length_ms: u32,
    },
}

/// One stream's judge.
#[derive(Debug)]
pub struct Ear {
    payload_type: u8,
    quiet_ms: u32,
    keep: bool,
    first: Option<First>,
    highest: u64,
    seen: u64,
    sounding: Option<Sounding>,
    hearing: Hearing,
    audio: Vec<u8>,
}

#[derive(Debug)]
struct First {
    ssrc: u32,
    at: Mono,
    timestamp: u32,
    grid_ns: i64,
}

#[derive(Clone, Copy, Debug)]
struct Sounding {
    since: Mono,
    last: Mono,
}

impl Ear {
    /// An ear for a payload type; a prompt has ended after `quiet_ms` without sound; `keep` keeps the audio.
    #[must_use]
    pub fn new(payload_type: u8, quiet_ms: u32, keep: bool) -> Self {
        Self {
            payload_type,
            quiet_ms,
            keep,
            first: None,
            highest: 0,
            seen: 0,
            sounding: None,
            hearing: Hearing::default(),
            audio: Vec::new(),
        }
    }

    /// Takes one packet that arrived at `at` (kernel time if there is one).
    pub fn packet(&mut self, at: Mono, packet: &[u8]) -> Option<Noticed> {
        let Some((sequence, timestamp, ssrc, payload)) = parse(packet, self.payload_type) else {
            self.hearing.wrong += 1;
            return None;
        };
        if self.first.as_ref().is_none_or(|f| f.ssrc != ssrc) {
            self.first = Some(First { ssrc, at, timestamp, grid_ns: 0 });
            self.highest = u64::from(sequence);
            self.seen = 1;
        } else if !self.place(sequence) {
            return None;
        }
        self.hearing.packets += 1;
        self.judge_time(at, timestamp);
        self.store(timestamp, payload);
        self.listen(at, payload)
    }

    /// Time passes without a packet: a prompt may have ended.
    pub fn pause(&mut self, now: Mono) -> Option<Noticed> {
        let s = self.sounding?;
        if now.since(s.last).as_millis() < u128::from(self.quiet_ms) {
            return None;
        }
        self.sounding = None;
        self.hearing.prompts += 1;
        Some(Noticed::PromptEnd { length_ms: ms(s.last.since(s.since)) + 20 })
    }

    /// What was counted so far.
    #[must_use]
    pub fn hearing(&self) -> Hearing {
        self.hearing
    }

    /// Whether a prompt sounds just now.
    #[must_use]
    pub fn sounding(&self) -> bool {
        self.sounding.is_some()
    }

    /// The audio in its place on the stream's timeline, mu-law as received; gaps are silence.
    #[must_use]
    pub fn audio(&self) -> &[u8] {
        &self.audio
    }

    /// Extends the sequence number (RFC 3550 appendix A.1); false: heard before.
    fn place(&mut self, sequence: u16) -> bool {
        let expected = self.highest + 1;
        let ahead = sequence.wrapping_sub(u16::try_from(expected & 0xffff).expect("masked"));
        if ahead < 0x8000 {
            let ahead = u64::from(ahead);
            self.hearing.missing += ahead;
            if self.sounding.is_some() {
                self.hearing.gaps_in_prompt += ahead;
            }
            self.seen = if ahead >= 63 { 1 } else { (self.seen << (ahead + 1)) | 1 };
            self.highest = expected + ahead;
            return true;
        }
        let behind = u64::from(ahead.wrapping_neg()) - 1;
        let mask = if behind < 64 { 1u64 << behind } else { 0 };
        if mask == 0 || self.seen & mask != 0 {
            self.hearing.duplicated += 1;
            return false;
        }
        self.seen |= mask;
        self.hearing.reordered += 1;
        self.hearing.missing = self.hearing.missing.saturating_sub(1);
        true
    }

    /// The grid follows the earliest packets: a packet that is earlier than its place moves the grid.
    fn judge_time(&mut self, at: Mono, timestamp: u32) {
        let Some(first) = &mut self.first else { return };
        let place = i64::from(timestamp.wrapping_sub(first.timestamp).cast_signed()) * 125_000;
        let off = i64::try_from(at.0).unwrap_or(i64::MAX) - i64::try_from(first.at.0).unwrap_or(0) - place;
        if off < first.grid_ns {
            first.grid_ns = off;
            return;
        }
        let late = off - first.grid_ns;
        if late > LATE_NS {
            self.hearing.late += 1;
        }
        self.hearing.late_max_us = self.hearing.late_max_us.max(late.unsigned_abs() / 1000);
    }

    fn store(&mut self, timestamp: u32, payload: &[u8]) {
        if !self.keep {
            return;
        }
        let first = self.first.as_ref().map_or(timestamp, |f| f.timestamp);
        let at = usize::try_from(timestamp.wrapping_sub(first)).unwrap_or(usize::MAX);
        // Ten minutes are the most that a test keeps.
        if at > 10 * 60 * 8000 {
            return;
        }
        if self.audio.len() < at + payload.len() {
            self.audio.resize(at + payload.len(), 0xff);
        }
        self.audio[at..at + payload.len()].copy_from_slice(payload);
    }

    fn listen(&mut self, at: Mono, payload: &[u8]) -> Option<Noticed> {
        if mulaw::level_dbm0(payload) < SOUND_DBM0 {
            return self.pause(at);
        }
        match &mut self.sounding {
            Some(s) => {
                s.last = at;
                None
            }
            None => {
                self.sounding = Some(Sounding { since: at, last: at });
                Some(Noticed::PromptStart)
            }
        }
    }
}

fn ms(d: std::time::Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}

/// Sequence, timestamp, SSRC and payload of an RTP packet of 20 ms (RFC 3550 §5.1); `None`: something is wrong.
fn parse(packet: &[u8], payload_type: u8) -> Option<(u16, u32, u32, &[u8])> {
    let head = packet.get(..12)?;
    if head[0] >> 6 != 2 || head[1] & 0x7f != payload_type {
        return None;
    }
    let csrc = usize::from(head[0] & 0x0f) * 4;
    let payload = packet.get(12 + csrc..)?;
    let word = |i: usize| u32::from_be_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
    let fits = u32::try_from(payload.len()).ok()? == FRAME && head[0] & 0x30 == 0;
    fits.then(|| (u16::from_be_bytes([head[2], head[3]]), word(4), word(8), payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u16, loud: bool) -> Vec<u8> {
        let mut p = vec![0x80, 0];
        p.extend_from_slice(&sequence.to_be_bytes());
        p.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        p.extend_from_slice(&7u32.to_be_bytes());
        p.extend_from_slice(&[if loud { 0x90 } else { 0xff }; 160]);
        p
    }

    fn feed(ear: &mut Ear, order: &[u16]) {
        for &s in order {
            ear.packet(Mono::from_ms(u64::from(s) * 20), &packet(s, true));
        }
    }

    #[test]
    fn rfc3550_a_1_counts_loss_duplicates_and_order() {
        let mut ear = Ear::new(0, 500, false);
        feed(&mut ear, &[1, 2, 4, 3, 3, 7]);
        let h = ear.hearing();
        assert_eq!((h.packets, h.missing, h.duplicated, h.reordered), (5, 2, 1, 1));
    }

    #[test]
    fn the_sequence_wraps() {
        let mut ear = Ear::new(0, 500, false);
        for s in [65_534u16, 65_535, 0, 1] {
            ear.packet(Mono(0), &packet(s, false));
        }
        assert_eq!((ear.hearing().packets, ear.hearing().missing), (4, 0));
    }

    #[test]
    fn lateness_is_against_the_streams_own_grid() {
        let mut ear = Ear::new(0, 500, false);
        for s in 0..10u16 {
            let late = if s == 5 { 8 } else { 0 };
            ear.packet(Mono::from_ms(1000 + u64::from(s) * 20 + late), &packet(s, false));
        }
        assert_eq!((ear.hearing().late, ear.hearing().late_max_us), (1, 8000));
    }

    #[test]
    fn a_prompt_begins_with_sound_and_ends_with_quiet() {
        let mut ear = Ear::new(0, 300, true);
        assert_eq!(ear.packet(Mono::from_ms(0), &packet(0, false)), None);
        assert_eq!(ear.packet(Mono::from_ms(20), &packet(1, true)), Some(Noticed::PromptStart));
        assert_eq!(ear.packet(Mono::from_ms(40), &packet(2, true)), None);
        assert_eq!(ear.pause(Mono::from_ms(300)), None);
        assert_eq!(ear.pause(Mono::from_ms(341)), Some(Noticed::PromptEnd { length_ms: 40 }));
        assert_eq!(ear.audio().len(), 480);
    }

    #[test]
    fn wrong_packets_are_counted_apart() {
        let mut ear = Ear::new(0, 300, false);
        for bad in [&b""[..], &[0x80; 11], &[0x40; 172], &[0x85; 172]] {
            ear.packet(Mono(0), bad);
        }
        assert_eq!((ear.hearing().wrong, ear.hearing().packets), (4, 0));
    }
}
