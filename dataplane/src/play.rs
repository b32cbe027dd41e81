//! What a bearer plays: a queue of prompts, tones and silences, read a frame at a time. Prompts are octets of the
//! bearer's codec already, so that playing them is copying.

use crate::codec;
use crate::command::{Cut, PromptHandle, Tone};
use crate::limits::PLAY_ITEMS;
use crate::pool::{LentPrompt, Table};
use crate::report::PlayEnd;
use hw::dsp::cadence::{Country, Player, Signal};
use units::{Codec, Samples};

/// What an item sounds like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sound {
    /// A lent prompt.
    Prompt(PromptHandle),
    /// A tone.
    Tone(Tone),
    /// Nothing.
    Silence,
}

/// One queued item.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Names it in reports.
    pub item: u32,
    /// What is played.
    pub sound: Sound,
    /// Where it began, samples.
    pub start: u32,
    /// Where it is, samples.
    pub at: u32,
    /// Where it ends, samples; `u32::MAX`: never.
    pub end: u32,
    /// What cuts it.
    pub cut: Cut,
}

const NO_ITEM: Item = Item { item: 0, sound: Sound::Silence, start: 0, at: 0, end: 0, cut: Cut::Never };

/// An item that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub item: u32,
    /// What it was.
    pub sound: Sound,
    /// How it ended.
    pub end: PlayEnd,
    /// How much was sent.
    pub heard: Samples,
}

impl Item {
    fn ended(&self, end: PlayEnd) -> Ended {
        Ended { item: self.item, sound: self.sound, end, heard: Samples(self.at.wrapping_sub(self.start)) }
    }

    fn cut_by(&self, end: PlayEnd) -> bool {
        match end {
            PlayEnd::CutByDigit => self.cut != Cut::Never,
            PlayEnd::CutByVoice => self.cut == Cut::DigitOrVoice,
            PlayEnd::Finished | PlayEnd::Stopped => true,
        }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Queue {
    items: [Item; PLAY_ITEMS],
    first: u8,
    len: u8,
    paused: bool,
    /// Plays the front item, if it is a tone that has begun.
    player: Option<Player>,
}

impl Default for Queue {
    fn default() -> Self {
        Self { items: [NO_ITEM; PLAY_ITEMS], first: 0, len: 0, paused: false, player: None }
    }
}

impl Queue {
    /// Nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Holds or goes on.
    pub fn pause(&mut self, on: bool) {
        self.paused = on;
    }

    /// Queues an item; gives it back if the queue is full.
    ///
    /// # Errors
    /// The item, when [`PLAY_ITEMS`] are queued.
    pub fn push(&mut self, item: Item) -> Result<(), Item> {
        if usize::from(self.len) == PLAY_ITEMS {
            return Err(item);
        }
        let at = (usize::from(self.first) + usize::from(self.len)) % PLAY_ITEMS;
        self.items[at] = item;
        self.len += 1;
        Ok(())
    }

    fn front(&mut self) -> Option<&mut Item> {
        (self.len > 0).then(|| &mut self.items[usize::from(self.first)])
    }

    fn pop(&mut self) {
        self.first = (self.first + 1) % u8::try_from(PLAY_ITEMS).expect("few");
        self.len -= 1;
        self.player = None;
    }

    /// Ends the front item if `end` may cut it; call until `None`: then all that it cuts are gone. What is queued
    /// behind an item that it may not cut stays.
    pub fn end_front(&mut self, end: PlayEnd) -> Option<Ended> {
        let ended = self.front().filter(|item| item.cut_by(end))?.ended(end);
        self.pop();
        Some(ended)
    }

    /// Fills a frame; `ended` is told of each item that finishes within it. False: nothing to play, all silence.
    pub(crate) fn fill(
        &mut self,
        voice: &mut Voice<'_>,
        into: &mut codec::Octets,
        mut ended: impl FnMut(Ended),
    ) -> bool {
        if self.paused || self.len == 0 {
            into.fill(codec::silence(voice.codec));
            return false;
        }
        let mut filled = 0;
        while filled < into.len() && self.len > 0 {
            let item = &mut self.items[usize::from(self.first)];
            let left = usize::try_from(item.end.saturating_sub(item.at)).unwrap_or(usize::MAX);
            let n = left.min(into.len() - filled);
            let room = &mut into[filled..filled + n];
            let played = match item.sound {
                Sound::Prompt(handle) => copy_prompt(voice.prompts, handle, voice.codec, item.at, room),
                Sound::Tone(tone) => {
                    let player = self.player.get_or_insert_with(|| Player::new(voice.country, signal(tone)));
                    let mut pcm = [0; crate::limits::FRAME];
                    player.fill(&mut pcm[..n]);
                    codec::encode(voice.codec, voice.wide.as_deref_mut(), &pcm[..n], room);
                    n
                }
                Sound::Silence => {
                    room.fill(codec::silence(voice.codec));
                    n
                }
            };
            filled += played;
            item.at = item.at.wrapping_add(u32::try_from(played).expect("at most a frame"));
            if item.end == u32::MAX && item.at > u32::MAX / 2 {
                // An endless tone: forget the hours.
                item.at = item.start;
            }
            if played < n || item.at >= item.end {
                let done = item.ended(PlayEnd::Finished);
                self.pop();
                ended(done);
            }
        }
        into[filled..].fill(codec::silence(voice.codec));
        true
    }
}

/// What a queue needs to sound.
pub(crate) struct Voice<'a> {
    pub(crate) codec: Codec,
    pub(crate) country: Country,
    pub(crate) wide: Option<&'a mut codec::Wide>,
    pub(crate) prompts: &'a Table<LentPrompt>,
}

fn signal(tone: Tone) -> Signal {
    match tone {
        Tone::Ringback => Signal::Ringback,
        Tone::Busy => Signal::Busy,
        Tone::Congestion => Signal::Congestion,
        Tone::Beep => Signal::Beep,
        Tone::Sit => Signal::SpecialInformation,
    }
}

/// Copies from a prompt; fewer octets than asked at its end, or 0 if it has no rendering for the codec.
fn copy_prompt(
    prompts: &Table<LentPrompt>,
    handle: PromptHandle,
    codec: Codec,
    at: u32,
    into: &mut [u8],
) -> usize {
    let Some(lent) = prompts.get(handle.0) else { return 0 };
    let Some(octets) = lent.prompt.octets(codec) else { return 0 };
    let rest = usize::try_from(at).ok().and_then(|at| octets.get(at..)).unwrap_or(&[]);
    let n = rest.len().min(into.len());
    into[..n].copy_from_slice(&rest[..n]);
    n
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Prompt;
    use std::sync::Arc;

    fn prompts() -> Table<LentPrompt> {
        let mut table = Table::new(4);
        for (h, (octet, len)) in [(1_u8, 200), (2, 100)].into_iter().enumerate() {
            let prompt = Arc::new(Prompt::new(Codec::Pcmu, Arc::new(vec![octet; len])));
            let lent = LentPrompt { prompt, uses: 1, returning: false };
            assert!(table.put(u32::try_from(h).expect("few"), lent).is_ok());
        }
        table
    }

    fn item(item: u32, handle: u32, cut: Cut) -> Item {
        Item { item, sound: Sound::Prompt(PromptHandle(handle)), start: 0, at: 0, end: u32::MAX, cut }
    }

    #[test]
    fn prompts_follow_each_other_without_a_gap() {
        let (table, mut q, mut out, mut ends) = (prompts(), Queue::default(), [0; 160], Vec::new());
        let mut voice =
            Voice { codec: Codec::Pcmu, country: Country::default(), wide: None, prompts: &table };
        q.push(item(7, 0, Cut::Never)).expect("room");
        q.push(item(8, 1, Cut::Never)).expect("room");
        assert!(q.fill(&mut voice, &mut out, |e| ends.push(e)));
        assert_eq!(out, [1; 160]);
        assert!(q.fill(&mut voice, &mut out, |e| ends.push(e)));
        assert_eq!((&out[..40], &out[40..140], &out[140..]), (&[1; 40][..], &[2; 100][..], &[0xff; 20][..]));
        let told: Vec<_> = ends.iter().map(|e| (e.item, e.end, e.heard.0)).collect();
        assert_eq!(told, [(7, PlayEnd::Finished, 200), (8, PlayEnd::Finished, 100)]);
        assert!(!q.fill(&mut voice, &mut out, |_| ()));
    }

    #[test]
    fn a_cut_takes_all_behind_that_allow_it_and_no_more() {
        let mut q = Queue::default();
        for (i, cut) in [Cut::Digit, Cut::DigitOrVoice, Cut::Never, Cut::Digit].into_iter().enumerate() {
            q.push(item(u32::try_from(i).expect("few"), 0, cut)).expect("room");
        }
        assert_eq!(q.end_front(PlayEnd::CutByVoice), None);
        let cut: Vec<_> = std::iter::from_fn(|| q.end_front(PlayEnd::CutByDigit)).map(|e| e.item).collect();
        assert_eq!(cut, [0, 1]);
        assert_eq!(q.end_front(PlayEnd::Stopped).map(|e| e.item), Some(2));
    }
}
