//! `Phone`: one person at one telephone, step by step; a machine fed with time, with what the ear noticed, and with what
//! the leg tells.

use super::ear::{Ear, Hearing, Noticed};
use super::mouth::Mouth;
use super::prints::Prints;
use super::scenario::{Person, Step};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use units::{Digit, Mono, Rng};

/// Prompts that a log keeps of one call.
const PROMPTS_MAX: usize = 64;

/// What the phone asks of its leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Send 180.
    Ring,
    /// Send 183 with media.
    Early,
    /// Take the call.
    Accept,
    /// Refuse with a status.
    Reject(u16),
    /// Hang up.
    Clear,
}

/// A prompt that was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Heard {
    /// Its name, if it is one that the scenario declares.
    pub name: Option<String>,
    /// From the answer to its first sound, ms.
    pub at_ms: u64,
    /// From its first sound to its last, ms.
    pub length_ms: u32,
    /// It was shorter than it is, and no key was pressed into it.
    pub cut: bool,
}

/// What is known of a call when it is over.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CallLog {
    /// The number called.
    pub number: String,
    /// The person's name in the scenario.
    pub person: String,
    /// It rang.
    pub rang: bool,
    /// It was answered.
    pub answered: bool,
    /// Every step was done.
    pub complete: bool,
    /// The step that was not, and why.
    pub stuck: Option<String>,
    /// We ended it before its time, at the end of a run.
    pub cleared: bool,
    /// Status that ended it, for calls we made and were refused.
    pub status: Option<u16>,
    /// From the call's begin to its answer, ms.
    pub setup_ms: Option<u64>,
    /// From answer to the first sound, us.
    pub first_sound_us: Option<u64>,
    /// From the begin of each press's last key to the next prompt's begin, us.
    pub reactions_us: Vec<u64>,
    /// From the begin of a press, or of speech, to the last sound of the prompt that it cut, us.
    pub talkover_us: Vec<u64>,
    /// From answer to the end, ms.
    pub talk_ms: u64,
    /// The stream.
    pub hearing: Hearing,
    /// Prompts, the first of them.
    pub prompts: Vec<Heard>,
    /// Another prompt came than the scenario says.
    pub wrong_prompts: u32,
    /// Prompts that ended before their end without a key.
    pub cut_prompts: u32,
    /// Keys came that the scenario does not say.
    pub wrong_digits: u32,
    /// Keys of those that only repeat the one before: doubled.
    pub doubled_digits: u32,
    /// Answered, and not one packet came.
    pub deaf: bool,
    /// Answered, packets came, and none of them sounded.
    pub silent: bool,
    /// What was heard, if kept.
    #[serde(skip)]
    pub audio: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct Phone {
    person: Arc<Person>,
    prints: Arc<Prints>,
    outgoing: bool,
    at: usize,
    until: Option<Mono>,
    begun: Mono,
    answered: Option<Mono>,
    early: bool,
    ended_prompt: Option<Option<u16>>,
    started: bool,
    pressed: Option<Mono>,
    pressing: Option<Mono>,
    keys_taken: usize,
    /// What is sent.
    pub mouth: Option<Mouth>,
    /// What is heard.
    pub ear: Ear,
    /// Where RTP goes.
    pub remote: Option<SocketAddr>,
    log: CallLog,
}

impl Phone {
    /// A phone that begins with the person's first step at the next `step`.
    #[must_use]
    pub fn new(now: Mono, person: Arc<Person>, number: String, ear: Ear) -> Self {
        let log = CallLog { number, person: person.name.clone(), ..CallLog::default() };
        Self {
            person,
            prints: Arc::default(),
            outgoing: false,
            at: 0,
            until: None,
            begun: now,
            answered: None,
            early: false,
            ended_prompt: None,
            started: false,
            pressed: None,
            pressing: None,
            keys_taken: 0,
            mouth: None,
            ear,
            remote: None,
            log,
        }
    }

    /// It calls: its steps begin when it is answered, but for `abandon`.
    #[must_use]
    pub fn outgoing(mut self) -> Self {
        self.outgoing = true;
        self
    }

    /// Names prompts by these.
    #[must_use]
    pub fn knowing(mut self, prints: &Arc<Prints>) -> Self {
        self.prints = prints.clone();
        self
    }

    /// The call is up (we accepted, or our call was answered).
    pub fn up(&mut self, now: Mono) {
        self.answered = Some(now);
        self.log.answered = true;
        self.log.setup_ms = Some(u64::try_from(now.since(self.begun).as_millis()).unwrap_or(u64::MAX));
    }

    /// Whether the call is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.answered.is_some()
    }

    /// How long the call has been up, ms.
    #[must_use]
    pub fn talk_ms(&self, now: Mono) -> u64 {
        self.answered.map_or(0, |up| u64::try_from(now.since(up).as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether media flows: the call is up, or opened early.
    #[must_use]
    pub fn sends(&self) -> bool {
        self.is_up() || self.early
    }

    /// The packets' order of things: something was heard at `now`.
    pub fn noticed(&mut self, now: Mono, what: Noticed) {
        match what {
            Noticed::PromptStart => {
                self.started = true;
                if let Some(up) = self.answered
                    && self.log.first_sound_us.is_none()
                {
                    self.log.first_sound_us = Some(us(now.since(up)));
                }
                // While the prompt that was pressed into still sounds, this is its next syllable.
                if self.pressing.is_none()
                    && let Some(pressed) = self.pressed.take()
                {
                    self.log.reactions_us.push(us(now.since(pressed)));
                }
            }
            Noticed::PromptEnd { length_ms, since, last, which } => {
                self.prompt(length_ms, since, last, which)
            }
            Noticed::Key(_) => {}
        }
    }

    fn prompt(&mut self, length_ms: u32, since: Mono, last: Mono, which: Option<u16>) {
        self.ended_prompt = Some(which);
        let pressed = self.pressing.take();
        if let Some(pressing) = pressed {
            self.log.talkover_us.push(us(last.since(pressing)) + 20_000);
        }
        let print = which.and_then(|w| self.prints.get(w));
        let cut = pressed.is_none() && print.is_some_and(|p| length_ms + 60 < p.length_ms);
        self.log.cut_prompts += u32::from(cut);
        if self.log.prompts.len() < PROMPTS_MAX {
            let at_ms = self.answered.map_or(0, |up| us(since.since(up)) / 1000);
            self.log.prompts.push(Heard { name: print.map(|p| p.name.clone()), at_ms, length_ms, cut });
        }
    }

    /// Goes on as far as time allows; asks of the leg come out one by one until `None`.
    pub fn step(&mut self, now: Mono, rng: &mut Rng) -> Option<Ask> {
        let person = self.person.clone();
        loop {
            let step = person.steps.get(self.at)?;
            match self.one(now, rng, step) {
                Going::On => self.next(),
                Going::Asking(ask) => {
                    if !matches!(ask, Ask::Ring) {
                        self.next();
                    }
                    return Some(ask);
                }
                Going::Last(ask) => {
                    self.at = person.steps.len();
                    return Some(ask);
                }
                Going::Waiting => return None,
                Going::Stuck(why) => {
                    self.log.stuck = Some(format!("{}: {why}", self.told()));
                    self.at = usize::MAX;
                    return Some(Ask::Clear);
                }
            }
        }
    }

    fn told(&self) -> &str {
        self.person.told.get(self.at).map_or("", String::as_str)
    }

    /// The call is over; its log.
    #[must_use]
    pub fn over(mut self, now: Mono) -> CallLog {
        if !self.log.cleared
            && self.ear.sounding()
            && let Some(end) = self.ear.pause(Mono(u64::MAX))
        {
            // A prompt that our own hang-up ended was not cut by the server; and no hang-up is a barge-in.
            let ours = self.at >= self.person.steps.len();
            self.pressing = ours.then_some(now);
            let talkover = self.log.talkover_us.len();
            self.noticed(now, end);
            self.log.talkover_us.truncate(talkover);
        }
        // The last prompt that a scenario waits for may be ended by the hang-up itself.
        if self.log.stuck.is_none()
            && let Some(Step::HearPrompt { which, .. }) = self.person.steps.get(self.at)
            && self.ended_prompt.is_some_and(|heard| which.is_none() || heard == *which)
            && self.log.prompts.last().is_none_or(|p| !p.cut)
        {
            self.at += 1;
        }
        let waits_for_end =
            matches!(self.person.steps.get(self.at), Some(Step::WaitHangup(_) | Step::NoAnswer(_)));
        self.log.complete = self.log.stuck.is_none() && (self.at >= self.person.steps.len() || waits_for_end);
        self.log.cleared &= !self.log.complete;
        if !self.log.complete && !self.log.cleared && self.log.stuck.is_none() {
            let how = match (self.outgoing && self.answered.is_none(), self.log.status) {
                (true, Some(_)) => "refused",
                (true, None) => "never answered",
                _ => "the other side hung up",
            };
            self.log.stuck = Some(format!("{}: {how}", self.told()));
        }
        self.log.talk_ms = self.talk_ms(now);
        self.log.hearing = self.ear.hearing();
        let h = self.log.hearing;
        // Half a second is enough for a first packet, two for a first sound.
        self.log.deaf = self.log.talk_ms > 500 && h.packets + h.events + h.comfort == 0;
        self.log.silent = !self.log.deaf && self.log.talk_ms > 2_000 && h.loud == 0;
        self.log.audio = self.ear.into_audio();
        self.log
    }

    /// The run ends: the call is to be ended before its time.
    pub fn clear(&mut self) {
        self.log.cleared = true;
    }

    /// A status refused our call.
    pub fn refused(&mut self, status: u16) {
        self.log.status = Some(status);
    }

    fn next(&mut self) {
        self.at += 1;
        self.until = None;
    }

    fn passed(&mut self, now: Mono, ms: u32) -> bool {
        let until = *self.until.get_or_insert(now + std::time::Duration::from_millis(ms.into()));
        now >= until
    }

    fn one(&mut self, now: Mono, rng: &mut Rng, step: &Step) -> Going {
        if self.outgoing && self.answered.is_none() {
            let Step::Abandon(span) = step else { return Going::Waiting };
            let ms = if self.until.is_some() { 0 } else { span.draw(rng) };
            return if self.passed(now, ms) { Going::Last(Ask::Clear) } else { Going::Waiting };
        }
        match step {
            Step::Abandon(_) => Going::On,
            Step::Ring(span) => self.ring(now, span.draw(rng)),
            Step::Early => {
                self.early = true;
                Going::Asking(Ask::Early)
            }
            Step::Answer if self.outgoing => Going::On,
            Step::Answer => Going::Asking(Ask::Accept),
            Step::Reject(status) => Going::Asking(Ask::Reject(*status)),
            Step::Hangup => Going::Asking(Ask::Clear),
            Step::NoAnswer(ms) => match self.ring(now, *ms) {
                Going::On => Going::Stuck("the other side did not give up".into()),
                other => other,
            },
            Step::WaitHangup(ms) if self.passed(now, *ms) => Going::Stuck("nobody hung up".into()),
            Step::WaitHangup(_) => Going::Waiting,
            Step::Wait(span) => {
                let ms = if self.until.is_some() { 0 } else { span.draw(rng) };
                if self.passed(now, ms) { Going::On } else { Going::Waiting }
            }
            _ if !self.sends() => Going::Waiting,
            Step::At(ms) => {
                let due = self.answered.unwrap_or(now) + std::time::Duration::from_millis(u64::from(*ms));
                if now >= due { Going::On } else { Going::Waiting }
            }
            Step::HearStart { within_ms } => {
                let heard = std::mem::take(&mut self.started);
                if heard { Going::On } else { self.patience(now, *within_ms) }
            }
            Step::HearPrompt { which, within_ms } => self.hear_prompt(now, *which, *within_ms),
            Step::HearDigits { digits, within_ms } => self.hear_digits(now, digits, *within_ms),
            Step::Press { digits, in_band, hold_ms, gap_ms } => {
                self.press(now, digits, *in_band, (*hold_ms, *gap_ms))
            }
            Step::Say(audio) => {
                let sounding = self.ear.sounding();
                let Some(mouth) = &mut self.mouth else { return Going::Waiting };
                mouth.say(audio.clone());
                // Who speaks into a prompt wants it to stop, as who presses a key does.
                if sounding {
                    self.pressing = Some(now);
                }
                Going::On
            }
            Step::Hush => {
                if let Some(mouth) = &mut self.mouth {
                    mouth.hush();
                }
                Going::On
            }
            Step::WaitSaid => {
                if self.mouth.as_ref().is_some_and(Mouth::busy) {
                    Going::Waiting
                } else {
                    Going::On
                }
            }
        }
    }

    fn press(&mut self, now: Mono, digits: &[Digit], in_band: bool, (hold_ms, gap_ms): (u16, u16)) -> Going {
        let Some(mouth) = &mut self.mouth else { return Going::Waiting };
        let begin = now + std::time::Duration::from_millis(u64::from(mouth.queued_ms()));
        let mut before = 0;
        for &d in digits {
            before = mouth.queued_ms();
            mouth.press(d, hold_ms, in_band);
            let ends = if mouth.event_type().is_some() && !in_band { 60 } else { 0 };
            mouth.silence(u32::from(gap_ms).saturating_sub(ends));
        }
        self.pressing = self.ear.sounding().then_some(begin);
        self.pressed = Some(now + std::time::Duration::from_millis(before.into()));
        self.ear.expect_cut();
        (self.ended_prompt, self.started) = (None, false);
        Going::On
    }

    fn ring(&mut self, now: Mono, ms: u32) -> Going {
        if !self.log.rang {
            self.log.rang = true;
            self.passed(now, ms);
            return Going::Asking(Ask::Ring);
        }
        if self.passed(now, 0) { Going::On } else { Going::Waiting }
    }

    fn patience(&mut self, now: Mono, within_ms: u32) -> Going {
        if self.passed(now, within_ms) { Going::Stuck("heard nothing".into()) } else { Going::Waiting }
    }

    fn hear_prompt(&mut self, now: Mono, which: Option<u16>, within_ms: u32) -> Going {
        let Some(heard) = self.ended_prompt.take() else { return self.patience(now, within_ms) };
        self.started = false;
        if which.is_none() || which == heard {
            return Going::On;
        }
        self.log.wrong_prompts += 1;
        let name = heard.and_then(|h| self.prints.get(h)).map_or("an unknown prompt", |p| p.name.as_str());
        Going::Stuck(format!("heard {name}"))
    }

    /// Takes as many keys as are expected; one that repeats the one before and is not expected is a doubled one.
    fn hear_digits(&mut self, now: Mono, digits: &[Digit], within_ms: u32) -> Going {
        let heard = &self.ear.keys()[self.keys_taken..];
        if heard.len() < digits.len() {
            return self.patience(now, within_ms);
        }
        let taken = &heard[..digits.len()];
        self.keys_taken += digits.len();
        if taken == digits {
            return Going::On;
        }
        self.log.wrong_digits += 1;
        self.log.doubled_digits += doubled(taken, digits);
        Going::Stuck("other keys came".into())
    }
}

/// How many keys only repeat the one before, which was owed once.
fn doubled(heard: &[Digit], owed: &[Digit]) -> u32 {
    let (mut at, mut doubled) = (0, 0);
    for key in heard {
        if owed.get(at) == Some(key) {
            at += 1;
        } else if at > 0 && owed.get(at - 1) == Some(key) {
            doubled += 1;
        } else {
            break;
        }
    }
    doubled
}

enum Going {
    On,
    Asking(Ask),
    Last(Ask),
    Waiting,
    Stuck(String),
}

fn us(d: std::time::Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::scenario::Scenario;
    use super::*;
    use units::Seed;

    fn phone(steps: &str) -> (Phone, Rng) {
        let text = format!("person p\n{steps}");
        let s = Scenario::parse(&text, &|_| None).expect("valid");
        (Phone::new(Mono(0), s.people[0].clone(), "1".into(), Ear::new(0, 300, false)), Seed(1).rng())
    }

    #[test]
    fn a_person_rings_answers_hears_and_presses() {
        let (mut p, mut rng) = phone("ring 1s\nanswer\nhear prompt\npress 1\nwait hangup 5s");
        assert_eq!(p.step(Mono(0), &mut rng), Some(Ask::Ring));
        assert_eq!(p.step(Mono::from_ms(999), &mut rng), None);
        assert_eq!(p.step(Mono::from_ms(1000), &mut rng), Some(Ask::Accept));
        p.up(Mono::from_ms(1000));
        p.mouth = Some(Mouth::new(Seed(2), 0, Some(101)));
        assert_eq!(p.step(Mono::from_ms(1100), &mut rng), None);
        p.noticed(Mono::from_ms(1200), Noticed::PromptStart);
        p.noticed(Mono::from_ms(3000), ended(1500, 3000));
        assert_eq!(p.step(Mono::from_ms(3001), &mut rng), None);
        assert!(p.mouth.as_ref().is_some_and(Mouth::busy));
        let log = p.over(Mono::from_ms(4000));
        assert!(log.complete && log.rang && log.answered, "{log:?}");
        assert_eq!((log.first_sound_us, log.talk_ms), (Some(200_000), 3000));
    }

    fn ended(length_ms: u32, last_ms: u64) -> Noticed {
        let last = Mono::from_ms(last_ms);
        Noticed::PromptEnd {
            length_ms,
            since: Mono::from_ms(last_ms - u64::from(length_ms)),
            last,
            which: None,
        }
    }

    #[test]
    fn a_caller_waits_for_the_answer_and_may_give_up_before() {
        for (steps, gives_up) in [("answer\nhangup", None), ("abandon 2s\nhangup", Some(Ask::Clear))] {
            let (p, mut rng) = phone(steps);
            let mut p = p.outgoing();
            assert_eq!(p.step(Mono(0), &mut rng), None);
            assert_eq!(p.step(Mono::from_ms(2000), &mut rng), gives_up, "{steps}");
            if gives_up.is_none() {
                p.up(Mono::from_ms(2500));
                assert_eq!(p.step(Mono::from_ms(2500), &mut rng), Some(Ask::Clear));
            }
            let log = p.over(Mono::from_ms(3000));
            assert!(log.complete && log.answered == gives_up.is_none(), "{log:?}");
            assert_eq!(log.setup_ms, gives_up.is_none().then_some(2500));
        }
    }

    #[test]
    fn talk_over_is_from_the_press_to_the_last_sound() {
        let (mut p, mut rng) = phone("answer\nhear start\npress 1\nhear prompt\nwait hangup 5s");
        p.step(Mono(0), &mut rng);
        p.up(Mono(0));
        p.mouth = Some(Mouth::new(Seed(2), 0, Some(101)));
        let mut loud = vec![0x80, 0, 0, 1];
        loud.extend_from_slice(&[0; 8]);
        loud.extend_from_slice(&[0x90; 160]);
        let start = p.ear.packet(Mono::from_ms(500), &loud).expect("a prompt begins");
        p.noticed(Mono::from_ms(500), start);
        assert_eq!(p.step(Mono::from_ms(1000), &mut rng), None);
        p.noticed(Mono::from_ms(1300), ended(680, 1180));
        p.noticed(Mono::from_ms(1400), Noticed::PromptStart);
        let log = p.over(Mono::from_ms(2000));
        assert_eq!((log.talkover_us, log.reactions_us), (vec![200_000], vec![400_000]));
    }

    #[test]
    fn doubled_keys_are_told_from_wrong_ones() {
        for (owed, heard, wrong, doubled) in
            [("471", "471", 0, 0), ("4711", "44711", 1, 1), ("471", "472", 1, 0), ("11", "11", 0, 0)]
        {
            let (mut p, mut rng) = phone(&format!("answer\nhear digits {owed}\nwait hangup 5s"));
            p.step(Mono(0), &mut rng);
            p.up(Mono(0));
            p.ear.agree(0, Some(101));
            for (n, c) in (1u16..).zip(heard.chars()) {
                let mut key = vec![0x80, 101];
                key.extend_from_slice(&n.to_be_bytes());
                key.extend_from_slice(&(u32::from(n) * 800).to_be_bytes());
                key.extend_from_slice(&[0, 0, 0, 7, Digit::try_from(c).expect("a key").event(), 10, 0, 160]);
                p.ear.packet(Mono(0), &key);
            }
            p.step(Mono::from_ms(1), &mut rng);
            let log = p.over(Mono::from_ms(900));
            assert_eq!((log.wrong_digits, log.doubled_digits), (wrong, doubled), "{owed} {heard} {log:?}");
        }
    }

    #[test]
    fn who_hears_nothing_hangs_up_and_says_at_which_step() {
        let (mut p, mut rng) = phone("answer\nhear prompt within 2s");
        assert_eq!(p.step(Mono(0), &mut rng), Some(Ask::Accept));
        p.up(Mono(0));
        assert_eq!(p.step(Mono::from_ms(1), &mut rng), None);
        assert_eq!(p.step(Mono::from_ms(2001), &mut rng), Some(Ask::Clear));
        let log = p.over(Mono::from_ms(2001));
        assert!(
            !log.complete && log.stuck.as_deref() == Some("line 3: hear prompt within 2s: heard nothing")
        );
    }
}
