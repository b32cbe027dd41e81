//! `Phone`: one person at one telephone, step by step; a machine fed with time, with what the ear noticed, and with what
//! the leg tells.

use super::ear::{Ear, Hearing, Noticed};
use super::mouth::Mouth;
use super::scenario::{Person, Step};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use units::{Mono, Rng};

/// What the phone asks of its leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Send 180.
    Ring,
    /// Take the call.
    Accept,
    /// Refuse with a status.
    Reject(u16),
    /// Hang up.
    Clear,
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
    /// Name of the step that was not.
    pub stuck: Option<String>,
    /// Status that ended it, for calls we made and were refused.
    pub status: Option<u16>,
    /// From the call's begin to its answer, ms.
    pub setup_ms: Option<u64>,
    /// From answer to the first sound, us.
    pub first_sound_us: Option<u64>,
    /// From each press's end to the next prompt's begin, us.
    pub reactions_us: Vec<u64>,
    /// From the begin of a press, or of speech, until the ear was certain that the prompt it cut had ended (its pause
    /// included), us.
    pub talkover_us: Vec<u64>,
    /// From answer to the end, ms.
    pub talk_ms: u64,
    /// The stream.
    pub hearing: Hearing,
    /// What was heard, if kept.
    #[serde(skip)]
    pub audio: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct Phone {
    person: Arc<Person>,
    at: usize,
    until: Option<Mono>,
    begun: Mono,
    answered: Option<Mono>,
    prompt_heard: bool,
    started: bool,
    pressed: Option<Mono>,
    pressing: Option<Mono>,
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
            at: 0,
            until: None,
            begun: now,
            answered: None,
            prompt_heard: false,
            started: false,
            pressed: None,
            pressing: None,
            mouth: None,
            ear,
            remote: None,
            log,
        }
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

    /// Something was heard.
    pub fn noticed(&mut self, now: Mono, what: Noticed) {
        match what {
            Noticed::PromptStart => {
                self.started = true;
                if let Some(up) = self.answered
                    && self.log.first_sound_us.is_none()
                {
                    self.log.first_sound_us = Some(us(now.since(up)));
                }
                if let Some(pressed) = self.pressed.take() {
                    self.log.reactions_us.push(us(now.since(pressed)));
                }
            }
            Noticed::PromptEnd { .. } => {
                self.prompt_heard = true;
                if let Some(pressing) = self.pressing.take() {
                    self.log.talkover_us.push(us(now.since(pressing)));
                }
            }
        }
    }

    /// Goes on as far as time allows; asks of the leg come out one by one until `None`.
    pub fn step(&mut self, now: Mono, rng: &mut Rng) -> Option<Ask> {
        loop {
            let step = self.person.steps.get(self.at)?.clone();
            match self.one(now, rng, &step) {
                Going::On => self.next(),
                Going::Asking(ask) => {
                    if !matches!(step, Step::Ring(_)) {
                        self.next();
                    }
                    return Some(ask);
                }
                Going::Waiting => return None,
                Going::Stuck => {
                    self.log.stuck = Some(format!("{step:?}").chars().take(40).collect());
                    self.at = usize::MAX;
                    return Some(Ask::Clear);
                }
            }
        }
    }

    /// The call is over; its log.
    #[must_use]
    pub fn over(mut self, now: Mono) -> CallLog {
        let waits_for_end = matches!(self.person.steps.get(self.at), Some(Step::WaitHangup(_)));
        self.log.complete = self.log.stuck.is_none() && (self.at >= self.person.steps.len() || waits_for_end);
        if !self.log.complete && self.log.stuck.is_none() {
            self.log.stuck =
                self.person.steps.get(self.at).map(|s| format!("{s:?}").chars().take(40).collect());
        }
        self.log.talk_ms =
            self.answered.map_or(0, |up| u64::try_from(now.since(up).as_millis()).unwrap_or(u64::MAX));
        if self.ear.sounding() {
            self.ear.pause(Mono(u64::MAX));
        }
        self.log.hearing = self.ear.hearing();
        self.log.audio = self.ear.audio().to_vec();
        self.log
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
        match step {
            Step::Ring(span) => self.ring(now, span.draw(rng)),
            Step::Answer => Going::Asking(Ask::Accept),
            Step::Reject(status) => Going::Asking(Ask::Reject(*status)),
            Step::Hangup => Going::Asking(Ask::Clear),
            Step::WaitHangup(ms) => {
                if self.passed(now, *ms) {
                    Going::Stuck
                } else {
                    Going::Waiting
                }
            }
            Step::Wait(span) => {
                let ms = if self.until.is_some() { 0 } else { span.draw(rng) };
                if self.passed(now, ms) { Going::On } else { Going::Waiting }
            }
            _ if self.answered.is_none() => Going::Waiting,
            Step::HearStart { within_ms } => self.heard(now, *within_ms, self.started),
            Step::HearPrompt { within_ms } => self.heard(now, *within_ms, self.prompt_heard),
            Step::Press { digits, in_band } => {
                let sounding = self.ear.sounding();
                let Some(mouth) = &mut self.mouth else { return Going::Waiting };
                for &d in digits {
                    mouth.press(d, 100, *in_band);
                }
                self.pressing = sounding.then_some(now);
                self.pressed = Some(now + std::time::Duration::from_millis(160 * digits.len() as u64));
                (self.prompt_heard, self.started) = (false, false);
                Going::On
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
        }
    }

    fn ring(&mut self, now: Mono, ms: u32) -> Going {
        if !self.log.rang {
            self.log.rang = true;
            self.passed(now, ms);
            return Going::Asking(Ask::Ring);
        }
        if self.passed(now, 0) { Going::On } else { Going::Waiting }
    }

    fn heard(&mut self, now: Mono, within_ms: u32, yes: bool) -> Going {
        if yes {
            (self.prompt_heard, self.started) = (false, false);
            return Going::On;
        }
        if self.passed(now, within_ms) { Going::Stuck } else { Going::Waiting }
    }
}

enum Going {
    On,
    Asking(Ask),
    Waiting,
    Stuck,
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
        p.noticed(Mono::from_ms(3000), Noticed::PromptEnd { length_ms: 1500 });
        assert_eq!(p.step(Mono::from_ms(3001), &mut rng), None);
        assert!(p.mouth.as_ref().is_some_and(Mouth::busy));
        let log = p.over(Mono::from_ms(4000));
        assert!(log.complete && log.rang && log.answered, "{log:?}");
        assert_eq!((log.first_sound_us, log.talk_ms), (Some(200_000), 3000));
    }

    #[test]
    fn who_hears_nothing_hangs_up_and_says_at_which_step() {
        let (mut p, mut rng) = phone("answer\nhear prompt within 2s");
        assert_eq!(p.step(Mono(0), &mut rng), Some(Ask::Accept));
        p.up(Mono(0));
        assert_eq!(p.step(Mono::from_ms(1), &mut rng), None);
        assert_eq!(p.step(Mono::from_ms(2001), &mut rng), Some(Ask::Clear));
        let log = p.over(Mono::from_ms(2001));
        assert!(!log.complete && log.stuck.is_some_and(|s| s.contains("HearPrompt")));
    }
}
