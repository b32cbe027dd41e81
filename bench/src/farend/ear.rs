//! `Ear`: what one stream sounded like. Checks RTP (RFC 3550) against its own 20 ms grid, finds where prompts begin and
//! end and which they were, decodes RFC 4733 keys, and keeps the audio when asked to.

use super::mulaw;
use super::prints::{HEAD, Prints};
use std::sync::{Arc, LazyLock};
use units::{Digit, Mono};

/// Octets of a 20 ms frame.
const FRAME: u32 = 160;
/// Louder than this counts as sound, dBm0.
pub const SOUND_DBM0: f64 = -42.0;
/// Later than this from its place on the grid counts as late, ns (`bench/PROMISES.md`: 5 ms).
const LATE_NS: i64 = 5_000_000;
/// After a key press so much quiet ends the prompt that sounded, ms: it was cut.
const CUT_QUIET_MS: u32 = 100;
/// Payload type of comfort noise (RFC 3389 §4).
const COMFORT: u8 = 13;
/// Keys that are kept of a stream.
const KEYS_MAX: usize = 256;

/// Samples that a packet may lie before the first that came, if that one overtook it.
const OVERTAKEN_MAX: u32 = 8_000;
static SOUND: LazyLock<u64> = LazyLock::new(|| mulaw::power_at(SOUND_DBM0, FRAME));

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
    /// RFC 4733 packets.
    pub events: u64,
    /// Comfort noise packets (RFC 3389).
    pub comfort: u64,
    /// Frames in which something sounded.
    pub loud: u64,
    /// Longest time between two packets that came, us.
    pub stall_max_us: u64,
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
        /// When it began.
        since: Mono,
        /// When its last sound came.
        last: Mono,
        /// Which of the declared prompts it was.
        which: Option<u16>,
    },
    /// A key, by RFC 4733.
    Key(Digit),
}

/// One stream's judge.
#[derive(Debug)]
pub struct Ear {
    payload_type: u8,
    event_type: Option<u8>,
    quiet_ms: u32,
    keep: bool,
    first: Option<First>,
    highest: u64,
    seen: u64,
    last_came: Option<Mono>,
    sounding: Option<Sounding>,
    cutting: bool,
    hearing: Hearing,
    late_us: Option<u64>,
    event: Option<u32>,
    keys: Vec<Digit>,
    audio: Vec<u8>,
    /// The timestamp of the first octet of `audio`.
    origin: Option<u32>,
    prints: Option<Arc<Prints>>,
    head: Vec<u8>,
    hint: i32,
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
            event_type: None,
            quiet_ms,
            keep,
            first: None,
            highest: 0,
            seen: 0,
            last_came: None,
            sounding: None,
            cutting: false,
            hearing: Hearing::default(),
            late_us: None,
            event: None,
            keys: Vec::new(),
            audio: Vec::new(),
            origin: None,
            prints: None,
            head: Vec::new(),
            hint: 0,
        }
    }

    /// Knows these prompts.
    #[must_use]
    pub fn knowing(mut self, prints: &Arc<Prints>) -> Self {
        self.prints = (!prints.is_empty()).then(|| prints.clone());
        self
    }

    /// What was agreed: payload type of the audio (0 or 8) and of events.
    pub fn agree(&mut self, payload_type: u8, event_type: Option<u8>) {
        (self.payload_type, self.event_type) = (payload_type, event_type);
    }

    /// Takes one packet that arrived at `at` (kernel time if there is one).
    pub fn packet(&mut self, at: Mono, packet: &[u8]) -> Option<Noticed> {
        self.late_us = None;
        let Some(p) = parse(packet).filter(|p| self.fits(p)) else {
            self.hearing.wrong += 1;
            return None;
        };
        if self.first.as_ref().is_none_or(|f| f.ssrc != p.ssrc) {
            self.first = Some(First { ssrc: p.ssrc, at, timestamp: p.timestamp, grid_ns: 0 });
            self.highest = u64::from(p.sequence);
            self.seen = 1;
        } else if !self.place(p.sequence) {
            return None;
        }
        self.stall(at);
        if p.payload_type != self.payload_type {
            return self.other(&p);
        }
        self.hearing.packets += 1;
        self.judge_time(at, &p);
        if self.payload_type == 8 {
            let mut frame = [0xff; FRAME as usize];
            frame.copy_from_slice(p.payload);
            mulaw::from_alaw(&mut frame);
            self.store(p.timestamp, &frame);
            return self.listen(at, &frame);
        }
        self.store(p.timestamp, p.payload);
        self.listen(at, p.payload)
    }

    /// Time passes without a packet: a prompt may have ended.
    pub fn pause(&mut self, now: Mono) -> Option<Noticed> {
        let s = self.sounding?;
        let quiet = if self.cutting { CUT_QUIET_MS.min(self.quiet_ms) } else { self.quiet_ms };
        if now.since(s.last).as_millis() < u128::from(quiet) {
            return None;
        }
        (self.sounding, self.cutting) = (None, false);
        self.hearing.prompts += 1;
        let which = self.prints.as_ref().and_then(|p| p.identify(&self.head, &mut self.hint));
        Some(Noticed::PromptEnd {
            length_ms: ms(s.last.since(s.since)) + 20,
            since: s.since,
            last: s.last,
            which,
        })
    }

    /// A key was pressed into a prompt: the first 100 ms of quiet end it, so that talk-over is told well.
    pub fn expect_cut(&mut self) {
        self.cutting = self.sounding.is_some();
    }

    /// What was counted so far.
    #[must_use]
    pub fn hearing(&self) -> Hearing {
        self.hearing
    }

    /// How late the last packet was against its grid, us; `None`: it was none to be judged.
    #[must_use]
    pub fn late_us(&self) -> Option<u64> {
        self.late_us
    }

    /// Whether a prompt sounds just now.
    #[must_use]
    pub fn sounding(&self) -> bool {
        self.sounding.is_some()
    }

    /// Keys heard so far.
    #[must_use]
    pub fn keys(&self) -> &[Digit] {
        &self.keys
    }

    /// The audio in its place on the stream's timeline, as mu-law; gaps are silence. Taken out.
    #[must_use]
    pub fn into_audio(self) -> Vec<u8> {
        self.audio
    }

    /// The audio in its place on the stream's timeline, as mu-law; gaps are silence.
    #[must_use]
    pub fn audio(&self) -> &[u8] {
        &self.audio
    }

    fn fits(&self, p: &Parsed<'_>) -> bool {
        if p.payload_type == self.payload_type {
            return p.payload.len() == FRAME as usize;
        }
        (Some(p.payload_type) == self.event_type && p.payload.len() >= 4) || p.payload_type == COMFORT
    }

    /// Events and comfort noise. RFC 4733 §2.5.1.4: an event is one press by its timestamp, however many packets tell it.
    fn other(&mut self, p: &Parsed<'_>) -> Option<Noticed> {
        if p.payload_type == COMFORT && self.event_type != Some(COMFORT) {
            self.hearing.comfort += 1;
            return None;
        }
        self.hearing.events += 1;
        if self.event.replace(p.timestamp) == Some(p.timestamp) {
            return None;
        }
        let digit = Digit::from_event(p.payload[0])?;
        if self.keys.len() < KEYS_MAX {
            self.keys.push(digit);
        }
        Some(Noticed::Key(digit))
    }

    fn stall(&mut self, at: Mono) {
        if let Some(before) = self.last_came.replace(at) {
            let gap = u64::try_from(at.since(before).as_micros()).unwrap_or(u64::MAX);
            self.hearing.stall_max_us = self.hearing.stall_max_us.max(gap);
        }
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
        if self.sounding.is_some() {
            self.hearing.gaps_in_prompt = self.hearing.gaps_in_prompt.saturating_sub(1);
        }
        true
    }

    /// The grid follows the earliest packets: a packet that is earlier than its place moves the grid.
    fn judge_time(&mut self, at: Mono, p: &Parsed<'_>) {
        let Some(first) = &mut self.first else { return };
        // RFC 3551 §4.1: the marker stands on the first packet after silence; a sender may begin a new grid there.
        if p.marker {
            (first.at, first.timestamp, first.grid_ns) = (at, p.timestamp, 0);
        }
        let place = i64::from(p.timestamp.wrapping_sub(first.timestamp).cast_signed()) * 125_000;
        let off = i64::try_from(at.0).unwrap_or(i64::MAX) - i64::try_from(first.at.0).unwrap_or(0) - place;
        if off < first.grid_ns {
            first.grid_ns = off;
            self.late_us = Some(0);
            return;
        }
        let late = off - first.grid_ns;
        if late > LATE_NS {
            self.hearing.late += 1;
        }
        let late_us = late.unsigned_abs() / 1000;
        self.late_us = Some(late_us);
        self.hearing.late_max_us = self.hearing.late_max_us.max(late_us);
    }

    fn store(&mut self, timestamp: u32, payload: &[u8]) {
        if !self.keep {
            return;
        }
        // Not the grid's first packet: a marker begins a new grid, and the tape goes on.
        let origin = *self.origin.get_or_insert(timestamp);
        let before = origin.wrapping_sub(timestamp);
        if (1..=OVERTAKEN_MAX).contains(&before) {
            // A packet that a later one overtook at the very beginning.
            self.origin = Some(timestamp);
            let room = usize::try_from(before).expect("at most a second");
            self.audio.splice(0..0, std::iter::repeat_n(0xff, room));
        }
        let at = timestamp.wrapping_sub(self.origin.unwrap_or(timestamp));
        let at = usize::try_from(at).unwrap_or(usize::MAX);
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
        let loud = mulaw::power(payload) >= *SOUND;
        if self.prints.is_some() && (loud || self.sounding.is_some()) {
            self.remember(payload);
        }
        if !loud {
            return self.pause(at);
        }
        self.hearing.loud += 1;
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

    /// Keeps the beginning of a prompt, to know it by.
    fn remember(&mut self, payload: &[u8]) {
        if self.sounding.is_none() {
            self.head.clear();
        }
        if self.head.len() < HEAD {
            self.head.extend_from_slice(payload);
        }
    }
}

fn ms(d: std::time::Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}

struct Parsed<'a> {
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    marker: bool,
    payload_type: u8,
    payload: &'a [u8],
}

/// The fields of an RTP packet without padding or extension (RFC 3550 §5.1); `None`: something is wrong.
fn parse(packet: &[u8]) -> Option<Parsed<'_>> {
    let head = packet.get(..12)?;
    if head[0] & 0xf0 != 0x80 {
        return None;
    }
    let csrc = usize::from(head[0] & 0x0f) * 4;
    let payload = packet.get(12 + csrc..)?;
    let word = |i: usize| u32::from_be_bytes([head[i], head[i + 1], head[i + 2], head[i + 3]]);
    Some(Parsed {
        sequence: u16::from_be_bytes([head[2], head[3]]),
        timestamp: word(4),
        ssrc: word(8),
        marker: head[1] & 0x80 != 0,
        payload_type: head[1] & 0x7f,
        payload,
    })
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
    fn the_tape_goes_on_over_a_marker_and_takes_what_was_overtaken() {
        let mut ear = Ear::new(0, 500, true);
        for s in [1u16, 0, 2, 3] {
            let mut octets = packet(s, s == 2);
            // RFC 3550 §5.1: the marker bit.
            octets[1] |= if s == 0 || s == 3 { 0x80 } else { 0 };
            ear.packet(Mono::from_ms(u64::from(s) * 20), &octets);
        }
        let loud: Vec<bool> = ear.audio().chunks(160).map(|f| f.iter().any(|o| *o != 0xff)).collect();
        assert_eq!(loud, [false, false, true, false]);
    }

    #[test]
    fn a_prompt_begins_with_sound_and_ends_with_quiet() {
        let mut ear = Ear::new(0, 300, true);
        assert_eq!(ear.packet(Mono::from_ms(0), &packet(0, false)), None);
        assert_eq!(ear.packet(Mono::from_ms(20), &packet(1, true)), Some(Noticed::PromptStart));
        assert_eq!(ear.packet(Mono::from_ms(40), &packet(2, true)), None);
        assert_eq!(ear.pause(Mono::from_ms(300)), None);
        let (since, last) = (Mono::from_ms(20), Mono::from_ms(40));
        let end = Noticed::PromptEnd { length_ms: 40, since, last, which: None };
        assert_eq!(ear.pause(Mono::from_ms(341)), Some(end));
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

    #[test]
    fn a_press_into_a_prompt_is_cut_by_little_quiet() {
        let mut ear = Ear::new(0, 900, false);
        ear.packet(Mono::from_ms(0), &packet(0, true));
        ear.expect_cut();
        for s in 1..5u16 {
            assert_eq!(ear.packet(Mono::from_ms(u64::from(s) * 20), &packet(s, false)), None);
        }
        let end = ear.packet(Mono::from_ms(100), &packet(5, false));
        assert!(matches!(end, Some(Noticed::PromptEnd { last: Mono(0), .. })), "{end:?}");
    }

    #[test]
    fn rfc4733_2_5_1_4_a_key_counts_once_however_many_packets_tell_it() {
        let mut ear = Ear::new(0, 900, false);
        ear.agree(0, Some(101));
        let key = |sequence: u16, timestamp: u32, event: u8| {
            let mut p = vec![0x80, 101];
            p.extend_from_slice(&sequence.to_be_bytes());
            p.extend_from_slice(&timestamp.to_be_bytes());
            p.extend_from_slice(&7u32.to_be_bytes());
            p.extend_from_slice(&[event, 10, 0, 160]);
            p
        };
        let heard: Vec<bool> = [(1, 100, 4), (2, 100, 4), (3, 100, 4), (4, 900, 4), (5, 1700, 11)]
            .iter()
            .map(|&(s, t, e)| ear.packet(Mono(0), &key(s, t, e)).is_some())
            .collect();
        assert_eq!(heard, [true, false, false, true, true]);
        let keys: String = ear.keys().iter().map(|d| d.as_char()).collect();
        assert_eq!((keys.as_str(), ear.hearing().events, ear.hearing().wrong), ("44#", 5, 0));
    }

    #[test]
    fn rfc3551_4_1_a_marker_begins_a_new_grid() {
        let mut ear = Ear::new(0, 900, false);
        ear.packet(Mono::from_ms(0), &packet(1, false));
        let mut p = packet(2, false);
        p[1] |= 0x80;
        ear.packet(Mono::from_ms(500), &p);
        assert_eq!((ear.hearing().late, ear.hearing().stall_max_us), (0, 500_000));
    }
}
