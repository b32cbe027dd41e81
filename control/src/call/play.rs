//! The playlist of one call: prompts of the interpreter become items of the worker's queue, in order, each once its
//! audio is resident. Pure; what is to be done comes out of [`Playlist::poll`].
//!
//! An item whose audio cannot be had is replaced by its fallback (VoiceXML 2.0 §4.1.3). A bookmark is passed when all
//! before it has been heard. A digit cuts the running item in the worker within its tick; what was not yet handed over
//! and may be cut as well is dropped here.

pub use crate::conduct::{Loaded, Wanted};

use dataplane::command::{Cut, PromptHandle};
use dataplane::report::PlayEnd as Ended;
use std::collections::VecDeque;
use units::Samples;
use vxml::session::{Bargein, PlayEnd, PlayId, Prompt, Segment};

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Make resident, and answer by [`Playlist::loaded`].
    Load {
        /// Names the answer.
        item: u32,
        /// What.
        wanted: Wanted,
    },
    /// Not needed any more.
    Unload(PromptHandle),
    /// Queue at the worker.
    Play {
        /// Names the end.
        item: u32,
        /// What.
        prompt: PromptHandle,
        /// What cuts it.
        cut: Cut,
    },
    /// Queue silence at the worker.
    Silence {
        /// Names the end.
        item: u32,
        /// How long.
        length: Samples,
        /// What cuts it.
        cut: Cut,
    },
    /// Empty the worker's queue.
    Stop,
    /// A bookmark was passed.
    Mark {
        /// The play it belongs to.
        play: PlayId,
        /// Its name.
        name: String,
    },
    /// A play is over.
    Ended {
        /// Which.
        play: PlayId,
        /// How.
        end: PlayEnd,
        /// Heard of it, ms.
        heard_ms: u64,
        /// Last bookmark and the time since, ms.
        mark: Option<(String, u64)>,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Playlist {
    items: VecDeque<Item>,
    plays: VecDeque<Play>,
    next_item: u32,
    out: VecDeque<Act>,
}

#[derive(Debug)]
struct Item {
    id: u32,
    play: PlayId,
    bargein: Bargein,
    state: State,
}

#[derive(Debug)]
enum State {
    Loading {
        fallback: Vec<Segment>,
    },
    Ready(Loaded),
    Silence(Samples),
    Mark(String),
    /// At the worker; `None` for silence.
    Issued(Option<PromptHandle>),
    Over,
}

#[derive(Debug)]
struct Play {
    id: PlayId,
    heard: u64,
    played: bool,
    failed: bool,
    cut: Option<PlayEnd>,
    mark: Option<(String, u64)>,
}

/// Items handed to a worker at a time: below its queue of `dataplane::limits::PLAY_ITEMS`, with room for a tone.
const ISSUED_MAX: usize = 12;
/// Items of a call; what is more is counted as failed.
const ITEMS_MAX: usize = 4_096;

impl Playlist {
    /// Queues a play. A play without any audio ends at the next [`Self::pump`].
    pub fn push(&mut self, id: PlayId, prompts: Vec<Prompt>) {
        self.plays.push_back(Play { id, heard: 0, played: false, failed: false, cut: None, mark: None });
        for prompt in prompts {
            let bargein = prompt.bargein;
            for segment in prompt.segments {
                let at = self.items.len();
                self.insert(at, id, bargein, segment);
            }
        }
    }

    /// Hands ready items over, `listening` telling what may cut at the moment, and notices what is over.
    pub fn pump(&mut self, listening: Listening) {
        let mut issued = self.items.iter().filter(|i| matches!(i.state, State::Issued(_))).count();
        for item in &mut self.items {
            if issued >= ISSUED_MAX {
                break;
            }
            let cut = listening.cut(item.bargein);
            match &item.state {
                State::Loading { .. } => break,
                State::Ready(loaded) => {
                    self.out.push_back(Act::Play { item: item.id, prompt: loaded.prompt, cut });
                    item.state = State::Issued(Some(loaded.prompt));
                    issued += 1;
                }
                State::Silence(length) => {
                    self.out.push_back(Act::Silence { item: item.id, length: *length, cut });
                    item.state = State::Issued(None);
                    issued += 1;
                }
                State::Mark(_) | State::Issued(_) | State::Over => {}
            }
        }
        self.settle();
    }

    /// The answer to [`Act::Load`]; `None`: it cannot be had.
    pub fn loaded(&mut self, item: u32, loaded: Option<Loaded>) {
        let Some(at) = self.position(item) else {
            self.unload(loaded.map(|l| l.prompt));
            return;
        };
        match (&mut self.items[at].state, loaded) {
            (State::Loading { .. }, Some(loaded)) => self.items[at].state = State::Ready(loaded),
            (State::Loading { fallback }, None) => {
                let (fallback, play, bargein) =
                    (std::mem::take(fallback), self.items[at].play, self.items[at].bargein);
                self.items[at].state = State::Over;
                self.replace(at, play, bargein, fallback);
            }
            (_, loaded) => self.unload(loaded.map(|l| l.prompt)),
        }
    }

    /// An item has ended at the worker.
    pub fn ended(&mut self, item: u32, end: Ended, heard: Samples) {
        let Some(at) = self.position(item) else { return };
        let State::Issued(prompt) = self.items[at].state else { return };
        self.items[at].state = State::Over;
        self.unload(prompt);
        let play = self.items[at].play;
        if let Some(play) = self.plays.iter_mut().find(|p| p.id == play) {
            play.heard += u64::from(heard.0);
            play.played = true;
        }
        match end {
            Ended::Finished => {}
            Ended::CutByDigit | Ended::CutByVoice => self.drop_from(at, PlayEnd::Barged, true),
            Ended::Stopped => self.drop_from(at, PlayEnd::Stopped, true),
        }
    }

    /// Stops all: the plays end as soon as the worker has told so.
    pub fn stop(&mut self) {
        if self.items.iter().any(|i| matches!(i.state, State::Issued(_))) {
            self.out.push_back(Act::Stop);
        }
        self.drop_from(0, PlayEnd::Stopped, false);
    }

    /// The bearer is gone: nothing more will be told.
    pub fn abort(&mut self) {
        for at in 0..self.items.len() {
            if let State::Issued(prompt) = self.items[at].state {
                self.items[at].state = State::Over;
                self.unload(prompt);
            }
        }
        self.drop_from(0, PlayEnd::Stopped, false);
        self.settle();
    }

    /// Nothing is queued, loading or playing.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.plays.is_empty()
    }

    /// What is to be done next.
    pub fn poll(&mut self) -> Option<Act> {
        self.out.pop_front()
    }

    fn position(&self, item: u32) -> Option<usize> {
        self.items.iter().position(|i| i.id == item)
    }

    fn unload(&mut self, prompt: Option<PromptHandle>) {
        self.out.extend(prompt.map(Act::Unload));
    }

    fn insert(&mut self, at: usize, play: PlayId, bargein: Bargein, segment: Segment) {
        let id = self.next_item;
        self.next_item = self.next_item.wrapping_add(1);
        let load = |out: &mut VecDeque<Act>, wanted, fallback| {
            out.push_back(Act::Load { item: id, wanted });
            State::Loading { fallback }
        };
        let state = match segment {
            _ if self.items.len() >= ITEMS_MAX => {
                self.fail(play);
                return;
            }
            Segment::Audio { url, timeout_ms, caching, fallback } => {
                load(&mut self.out, Wanted::Url { url, timeout_ms, caching }, fallback)
            }
            Segment::Recording { name } => load(&mut self.out, Wanted::Recording(name), Vec::new()),
            Segment::Text(text) => load(&mut self.out, Wanted::Text(Box::new(text)), Vec::new()),
            Segment::Break { ms } => {
                State::Silence(Samples::from_ms(u32::try_from(ms).unwrap_or(u32::MAX).min(BREAK_MS_MAX)))
            }
            Segment::Mark { name } => State::Mark(name),
        };
        self.items.insert(at, Item { id, play, bargein, state });
    }

    fn replace(&mut self, at: usize, play: PlayId, bargein: Bargein, fallback: Vec<Segment>) {
        if fallback.is_empty() {
            self.fail(play);
        }
        for (offset, segment) in fallback.into_iter().enumerate() {
            self.insert(at + 1 + offset, play, bargein, segment);
        }
    }

    fn fail(&mut self, play: PlayId) {
        if let Some(play) = self.plays.iter_mut().find(|p| p.id == play) {
            play.failed = true;
        }
    }

    /// Drops what has not been handed over, from an item on; with `cuttable_only` up to the first that nothing cuts.
    fn drop_from(&mut self, at: usize, end: PlayEnd, cuttable_only: bool) {
        for i in at..self.items.len() {
            let item = &mut self.items[i];
            if cuttable_only && i > at && item.bargein == Bargein::None && end == PlayEnd::Barged {
                break;
            }
            if let Some(play) = self.plays.iter_mut().find(|p| p.id == item.play) {
                play.cut.get_or_insert(end);
            }
            match std::mem::replace(&mut item.state, State::Over) {
                State::Ready(loaded) => self.unload(Some(loaded.prompt)),
                issued @ State::Issued(_) => item.state = issued,
                _ => {}
            }
        }
        if !cuttable_only {
            self.plays.iter_mut().for_each(|p| _ = p.cut.get_or_insert(end));
        }
    }

    /// Takes what is over off the front; passes bookmarks; ends plays that have no item left.
    fn settle(&mut self) {
        while let Some(play) = self.plays.front_mut() {
            match self.items.front() {
                Some(item) if item.play == play.id => match &item.state {
                    State::Over => _ = self.items.pop_front(),
                    State::Mark(name) => {
                        play.mark = Some((name.clone(), play.heard));
                        self.out.push_back(Act::Mark { play: play.id, name: name.clone() });
                        self.items.pop_front();
                    }
                    _ => return,
                },
                _ => {
                    let play = self.plays.pop_front().expect("looked at above");
                    self.out.push_back(play.end());
                }
            }
        }
    }
}

/// Longest `<break>`: ten minutes.
const BREAK_MS_MAX: u32 = 600_000;

impl Play {
    fn end(self) -> Act {
        let end = match self.cut {
            Some(cut) => cut,
            None if self.failed && !self.played => PlayEnd::Failed,
            None => PlayEnd::Finished,
        };
        let heard = self.heard;
        let mark = self.mark.map(|(name, at)| (name, heard.saturating_sub(at) / 8));
        Act::Ended { play: self.id, end, heard_ms: heard / 8, mark }
    }
}

/// What the interpreter listens for while it plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Digits.
    pub dtmf: bool,
    /// Voice.
    pub voice: bool,
}

impl Listening {
    /// VoiceXML 2.0 §4.1.5: only what is listened for cuts; a hotword cuts by a match, which the interpreter decides.
    fn cut(self, bargein: Bargein) -> Cut {
        match (bargein, self) {
            (Bargein::None | Bargein::Hotword, _) => Cut::Never,
            (Bargein::Speech, Listening { voice: true, .. }) => Cut::DigitOrVoice,
            (Bargein::Speech, Listening { dtmf: true, .. }) => Cut::Digit,
            (Bargein::Speech, _) => Cut::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vxml::session::Caching;

    const DTMF: Listening = Listening { dtmf: true, voice: false };

    fn audio(url: &str, fallback: Vec<Segment>) -> Segment {
        Segment::Audio { url: url.into(), timeout_ms: 1, caching: Caching::default(), fallback }
    }

    fn prompt(segments: Vec<Segment>) -> Prompt {
        Prompt { bargein: Bargein::Speech, segments }
    }

    fn loaded(n: u32) -> Option<Loaded> {
        Some(Loaded { prompt: PromptHandle(n), length: Samples(800) })
    }

    fn drain(list: &mut Playlist) -> Vec<Act> {
        std::iter::from_fn(|| list.poll()).collect()
    }

    #[test]
    fn items_are_handed_over_in_order_whatever_loads_first() {
        let mut list = Playlist::default();
        list.push(PlayId(1), vec![prompt(vec![audio("a", vec![]), audio("b", vec![])])]);
        assert_eq!(drain(&mut list).len(), 2, "both are asked for at once");
        list.loaded(1, loaded(11));
        list.pump(DTMF);
        assert_eq!(drain(&mut list), vec![]);
        list.loaded(0, loaded(10));
        list.pump(DTMF);
        let play = |item, prompt| Act::Play { item, prompt: PromptHandle(prompt), cut: Cut::Digit };
        assert_eq!(drain(&mut list), vec![play(0, 10), play(1, 11)]);
        list.ended(0, Ended::Finished, Samples(800));
        list.ended(1, Ended::Finished, Samples(800));
        list.pump(DTMF);
        let end = Act::Ended { play: PlayId(1), end: PlayEnd::Finished, heard_ms: 200, mark: None };
        assert_eq!(drain(&mut list), vec![Act::Unload(PromptHandle(10)), Act::Unload(PromptHandle(11)), end]);
        assert!(list.is_idle());
    }

    #[test]
    fn voicexml_4_1_3_missing_audio_is_replaced_by_its_fallback() {
        let mut list = Playlist::default();
        let inner = audio("b", vec![Segment::Break { ms: 100 }]);
        list.push(PlayId(1), vec![prompt(vec![audio("a", vec![inner])])]);
        drain(&mut list);
        list.loaded(0, None);
        assert!(matches!(drain(&mut list)[..], [Act::Load { item: 1, .. }]));
        list.loaded(1, None);
        list.pump(DTMF);
        assert_eq!(drain(&mut list), vec![Act::Silence { item: 2, length: Samples(800), cut: Cut::Digit }]);
    }

    #[test]
    fn nothing_to_be_had_is_told_as_failed() {
        let mut list = Playlist::default();
        list.push(PlayId(4), vec![prompt(vec![audio("a", vec![])])]);
        drain(&mut list);
        list.loaded(0, None);
        list.pump(DTMF);
        let end = Act::Ended { play: PlayId(4), end: PlayEnd::Failed, heard_ms: 0, mark: None };
        assert_eq!(drain(&mut list), vec![end]);
    }

    #[test]
    fn a_digit_drops_what_was_still_loading_but_not_what_nothing_cuts() {
        let mut list = Playlist::default();
        let fixed = Prompt { bargein: Bargein::None, segments: vec![audio("c", vec![])] };
        list.push(PlayId(1), vec![prompt(vec![audio("a", vec![]), audio("b", vec![])]), fixed]);
        list.loaded(0, loaded(10));
        list.pump(DTMF);
        drain(&mut list);
        list.ended(0, Ended::CutByDigit, Samples(80));
        list.loaded(2, loaded(12));
        list.pump(DTMF);
        let play = Act::Play { item: 2, prompt: PromptHandle(12), cut: Cut::Never };
        assert_eq!(drain(&mut list), vec![Act::Unload(PromptHandle(10)), play]);
        list.loaded(1, loaded(11));
        list.ended(2, Ended::Finished, Samples(800));
        list.pump(DTMF);
        let end = Act::Ended { play: PlayId(1), end: PlayEnd::Barged, heard_ms: 110, mark: None };
        let gone = |n| Act::Unload(PromptHandle(n));
        assert_eq!(drain(&mut list), vec![gone(11), gone(12), end], "the late one is not kept");
    }

    #[test]
    fn bookmarks_pass_when_what_is_before_was_heard() {
        let mut list = Playlist::default();
        let mark = Segment::Mark { name: "m".into() };
        list.push(PlayId(1), vec![prompt(vec![Segment::Break { ms: 10 }, mark, Segment::Break { ms: 30 }])]);
        list.pump(Listening::default());
        drain(&mut list);
        list.ended(0, Ended::Finished, Samples(80));
        list.pump(Listening::default());
        assert_eq!(drain(&mut list), vec![Act::Mark { play: PlayId(1), name: "m".into() }]);
        list.ended(2, Ended::CutByDigit, Samples(160));
        list.pump(Listening::default());
        let mark = Some(("m".to_owned(), 20));
        assert_eq!(
            drain(&mut list),
            vec![Act::Ended { play: PlayId(1), end: PlayEnd::Barged, heard_ms: 30, mark }]
        );
    }

    #[test]
    fn stop_ends_every_play_once_the_worker_told() {
        let mut list = Playlist::default();
        list.push(PlayId(1), vec![prompt(vec![Segment::Break { ms: 10 }])]);
        list.push(PlayId(2), vec![prompt(vec![audio("a", vec![])])]);
        list.pump(DTMF);
        drain(&mut list);
        list.stop();
        list.pump(DTMF);
        assert_eq!(drain(&mut list), vec![Act::Stop]);
        list.ended(0, Ended::Stopped, Samples(8));
        list.pump(DTMF);
        let end =
            |play, heard_ms| Act::Ended { play: PlayId(play), end: PlayEnd::Stopped, heard_ms, mark: None };
        assert_eq!(drain(&mut list), vec![end(1, 1), end(2, 0)]);
        list.loaded(1, loaded(3));
        assert_eq!(drain(&mut list), vec![Act::Unload(PromptHandle(3))]);
    }
}
