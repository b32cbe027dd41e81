//! One E&M channel: seizure, wink, digits, answer, clearing; both directions (ANSI T1.405 §5.2 to §5.4).
//!
//! ```text
//! out: Idle ─▶ Seizing ─wink─▶ Pausing ─▶ Dialling ─▶ Waiting ─off-hook─▶ Active ─▶ Releasing ─▶ Guard ─▶ Idle
//! in:  Idle ─off-hook─▶ Seized ─▶ Winking ─▶ Collecting ─▶ Offered ─taken─▶ Active
//!                                                            └─refused─▶ Refused (busy tone until on-hook)
//! ```

use super::{Pulse, Register, Start};
use std::collections::VecDeque;
use std::time::Duration;
use units::{Cause, Mono, Now, Private};

/// Intervals of a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Our wink: 140 to 290 ms (EIA/TIA-464 §5.3.2).
    pub wink: Duration,
    /// A wink of the peer is at least so long, else it is a hit on the line.
    pub wink_min: Duration,
    /// And at most so long; longer is a seizure: glare.
    pub wink_max: Duration,
    /// Seizure to the end of the peer's wink.
    pub wink_wait: Duration,
    /// End of the wink, or the seizure itself in immediate start, to the first digit (at least 70 ms).
    pub pause: Duration,
    /// Off-hook counts as seizure or answer after so long.
    pub off_hook: Duration,
    /// On-hook counts as the end after so long; what is shorter is a hit.
    pub on_hook: Duration,
    /// A slot is not used again before.
    pub guard: Duration,
    /// The first digit comes until then.
    pub first_digit: Duration,
    /// A number is complete when no digit follows for so long (DTMF); an MF number without ST is refused then.
    pub next_digit: Duration,
    /// Digits said, and the peer's patience with them; a register that never tells is given up then.
    pub said: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            wink: ms(200),
            wink_min: ms(100),
            wink_max: ms(350),
            wink_wait: ms(5_000),
            pause: ms(120),
            off_hook: ms(30),
            on_hook: ms(300),
            guard: ms(750),
            first_digit: ms(10_000),
            next_digit: ms(3_000),
            said: ms(20_000),
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The peer's hook.
    Hook {
        /// Off.
        off: bool,
    },
    /// Seize, and say this number.
    Place {
        /// Digits only.
        number: Private<String>,
        /// Patience with a telephone that rings.
        ring_max: Duration,
    },
    /// A digit was heard: `0-9 * # A-D`, or `K` and `S` of MF.
    Signal(char),
    /// The digits are said.
    Said,
    /// Incoming: take it.
    Answer,
    /// End it, from whatever state; an incoming call that was not taken is refused.
    Clear(Cause),
    /// The span is dead: over, without a word.
    Drop(Cause),
    /// The deadline passed.
    Timer,
}

/// What is asked, or told.
#[derive(Clone, Debug)]
pub enum Output {
    /// Our hook.
    Hook {
        /// Off.
        off: bool,
    },
    /// Tones of the slot.
    Register(Register),
    /// Something for the owner.
    Told(Told),
}

/// What a channel tells its owner.
#[derive(Clone, Debug)]
pub enum Told {
    /// A call comes in, for this number.
    Incoming(Private<String>),
    /// The number is said: what the network has to say can be heard.
    Dialled,
    /// Answered.
    Answered,
    /// Over.
    Ended {
        /// Why.
        cause: Cause,
        /// The peer ended it.
        by_peer: bool,
    },
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    /// Off-hook sent, the wink is awaited; `since`: the peer went off-hook.
    Seizing {
        number: Private<String>,
        since: Option<Mono>,
    },
    Pausing {
        number: Private<String>,
    },
    Dialling,
    /// Said; `since`: the peer went off-hook.
    Waiting {
        until: Mono,
        since: Option<Mono>,
    },
    /// `since`: the peer went on-hook.
    Active {
        since: Option<Mono>,
    },
    /// The peer is off-hook, perhaps only a hit.
    Seized,
    Winking,
    Collecting {
        digits: Private<String>,
        started: bool,
        on_since: Option<Mono>,
    },
    Offered {
        on_since: Option<Mono>,
    },
    Refused,
    /// We are on-hook; the peer is not yet.
    Releasing,
    Guard,
}

/// See the module.
#[derive(Debug)]
pub struct Channel {
    start: Start,
    pulse: Pulse,
    timing: Timing,
    /// A number of so many digits is complete.
    digits_want: Option<u8>,
    state: State,
    far_off: bool,
    ring_max: Duration,
    until: Option<Mono>,
    out: VecDeque<Output>,
}

/// Digits of a number.
const DIGITS_MAX: usize = 32;
/// Both sides seized: another channel is to be tried (Q.850: requested circuit not available).
const GLARE: Cause = Cause(44);

impl Channel {
    /// On-hook, idle. Numbers that come in are complete with so many digits, else by ST or a pause.
    #[must_use]
    pub fn new(start: Start, pulse: Pulse, timing: Timing, digits_want: Option<u8>) -> Self {
        Self {
            start,
            pulse,
            timing,
            digits_want,
            state: State::Idle,
            far_off: false,
            ring_max: Duration::ZERO,
            until: None,
            out: VecDeque::new(),
        }
    }

    /// One input; then drain [`Self::poll`].
    pub fn handle(&mut self, now: Now, input: Input) {
        assert!(self.out.is_empty(), "drain before the next input");
        let now = now.mono;
        match input {
            Input::Hook { off } if off != self.far_off => {
                self.far_off = off;
                self.hook(now, off);
            }
            Input::Hook { .. } => {}
            Input::Place { number, ring_max } => self.place(now, number, ring_max),
            Input::Signal(signal) => self.signal(now, signal),
            Input::Said => self.said(now),
            Input::Answer => {
                if matches!(self.state, State::Offered { .. }) {
                    self.out.push_back(Output::Hook { off: true });
                    // A caller who has just gone on-hook is one that is over when it lasts.
                    let since = (!self.far_off).then_some(now);
                    self.until = since.map(|at| at + self.timing.on_hook);
                    self.state = State::Active { since };
                    self.tell(Told::Answered);
                }
            }
            Input::Clear(cause) => self.clear(now, cause),
            Input::Drop(cause) => self.dropped(now, cause),
            Input::Timer => {
                if self.until.is_some_and(|at| at <= now) {
                    self.until = None;
                    self.expired(now);
                }
            }
        }
    }

    /// Next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to come back with [`Input::Timer`].
    #[must_use]
    pub fn deadline(&self) -> Option<Mono> {
        self.until
    }

    /// A call of ours may begin here.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle) && !self.far_off
    }

    /// In a call that came in, or one that begins to.
    #[must_use]
    pub fn is_incoming(&self) -> bool {
        matches!(
            self.state,
            State::Seized
                | State::Winking
                | State::Collecting { .. }
                | State::Offered { .. }
                | State::Refused
        )
    }

    /// Its last call is over and it rests.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        matches!(self.state, State::Releasing | State::Guard)
    }

    fn tell(&mut self, told: Told) {
        self.out.push_back(Output::Told(told));
    }

    fn register(&mut self, register: Register) {
        self.out.push_back(Output::Register(register));
    }

    fn place(&mut self, now: Mono, number: Private<String>, ring_max: Duration) {
        if !self.is_idle() {
            return self.tell(Told::Ended { cause: GLARE, by_peer: false });
        }
        self.ring_max = ring_max;
        self.out.push_back(Output::Hook { off: true });
        match self.start {
            Start::Wink => {
                self.state = State::Seizing { number, since: None };
                self.until = Some(now + self.timing.wink_wait);
            }
            Start::Immediate => {
                self.state = State::Pausing { number };
                self.until = Some(now + self.timing.pause);
            }
        }
    }

    fn hook(&mut self, now: Mono, off: bool) {
        let t = self.timing;
        match &mut self.state {
            State::Idle if off => (self.state, self.until) = (State::Seized, Some(now + t.off_hook)),
            State::Seized if !off => (self.state, self.until) = (State::Idle, None),
            State::Seizing { since, .. } if off => {
                *since = Some(now);
                self.until = Some(now + t.wink_max);
            }
            State::Seizing { number, since } => {
                let long = since.take().map_or(Duration::ZERO, |began| now.since(began));
                if long >= t.wink_min {
                    let number = number.clone();
                    (self.state, self.until) = (State::Pausing { number }, Some(now + t.pause));
                } else {
                    self.until = Some(now + t.wink_wait);
                }
            }
            // T1.405 §5.4: both seized. In immediate start there is no wink that it could be, and once digits are being
            // said it is an answer that did not wait for their end.
            State::Pausing { .. } if off && self.start == Start::Immediate => self.glare(now),
            State::Waiting { until, since } => {
                *since = off.then_some(now);
                self.until = Some(if off { now + t.off_hook } else { *until });
            }
            State::Active { since } => {
                *since = (!off).then_some(now);
                self.until = (!off).then(|| now + t.on_hook);
            }
            State::Collecting { on_since, .. } | State::Offered { on_since } => {
                let before = on_since.take();
                *on_since = (!off).then_some(now);
                if !off {
                    let over = now + t.on_hook;
                    self.until = Some(self.until.map_or(over, |at| at.min(over)));
                } else if before.is_some() {
                    self.until = matches!(self.state, State::Collecting { .. }).then(|| now + t.next_digit);
                }
            }
            State::Winking if !off => self.lost(now),
            State::Refused if !off => self.lost(now),
            State::Releasing if !off => (self.state, self.until) = (State::Guard, Some(now + t.guard)),
            _ => {}
        }
    }

    /// The caller has gone before anybody was told of the call.
    fn lost(&mut self, now: Mono) {
        self.register(Register::Off);
        self.out.push_back(Output::Hook { off: false });
        (self.state, self.until) = (State::Guard, Some(now + self.timing.guard));
    }

    fn glare(&mut self, now: Mono) {
        self.register(Register::Off);
        self.out.push_back(Output::Hook { off: false });
        // A peer that does not let go, too, is served when the guard is over.
        (self.state, self.until) = (State::Guard, Some(now + self.timing.guard));
        self.tell(Told::Ended { cause: GLARE, by_peer: false });
    }

    fn signal(&mut self, now: Mono, signal: char) {
        let (pulse, next) = (self.pulse, self.timing.next_digit);
        let State::Collecting { digits, started, on_since: None } = &mut self.state else { return };
        let complete = match (pulse, signal) {
            (Pulse::Mf, 'K') => {
                (*digits, *started) = (Private::default(), true);
                false
            }
            // Q.323: what stands before KP is noise.
            (Pulse::Mf, _) if !*started => return,
            (Pulse::Mf, 'S') | (Pulse::Dtmf, '#') => true,
            (_, digit) if digit.is_ascii_digit() || pulse == Pulse::Dtmf => {
                let mut all = digits.expose().clone();
                if all.len() < DIGITS_MAX {
                    all.push(digit);
                }
                let enough = self.digits_want.is_some_and(|want| all.len() >= usize::from(want));
                *digits = Private::new(all);
                enough && pulse == Pulse::Dtmf
            }
            _ => return,
        };
        self.until = Some(now + next);
        if complete {
            self.offer();
        }
    }

    fn offer(&mut self) {
        let State::Collecting { digits, .. } = &mut self.state else { return };
        let number = std::mem::take(digits);
        (self.state, self.until) = (State::Offered { on_since: None }, None);
        self.register(Register::Off);
        self.tell(Told::Incoming(number));
    }

    fn said(&mut self, now: Mono) {
        if matches!(self.state, State::Dialling) {
            let until = now + self.ring_max;
            (self.state, self.until) = (State::Waiting { until, since: None }, Some(until));
            self.register(Register::Off);
            self.tell(Told::Dialled);
            if self.far_off {
                self.hook(now, true);
            }
        }
    }

    fn clear(&mut self, now: Mono, cause: Cause) {
        match self.state {
            State::Idle
            | State::Releasing
            | State::Guard
            | State::Refused
            | State::Seized
            | State::Winking => {}
            // Nobody was told of a call.
            State::Collecting { .. } if !self.far_off => self.lost(now),
            State::Collecting { .. } => self.refuse(),
            State::Offered { .. } if !self.far_off => self.over(now, cause, false),
            State::Offered { .. } => {
                self.refuse();
                self.tell(Told::Ended { cause, by_peer: false });
            }
            _ => self.over(now, cause, false),
        }
    }

    /// The caller hears that there is nobody, until they hang up.
    fn refuse(&mut self) {
        self.register(Register::Busy);
        (self.state, self.until) = (State::Refused, None);
    }

    /// On-hook; the slot rests until the peer is, too.
    fn over(&mut self, now: Mono, cause: Cause, by_peer: bool) {
        self.register(Register::Off);
        self.out.push_back(Output::Hook { off: false });
        if self.far_off {
            (self.state, self.until) = (State::Releasing, None);
        } else {
            (self.state, self.until) = (State::Guard, Some(now + self.timing.guard));
        }
        self.tell(Told::Ended { cause, by_peer });
    }

    fn dropped(&mut self, now: Mono, cause: Cause) {
        let told = matches!(
            self.state,
            State::Seizing { .. }
                | State::Pausing { .. }
                | State::Dialling
                | State::Waiting { .. }
                | State::Active { .. }
                | State::Offered { .. }
        );
        if !matches!(self.state, State::Idle) {
            self.lost(now);
        }
        // The bits of a dead line mean nothing; those that come with it are changes again.
        self.far_off = false;
        if told {
            self.tell(Told::Ended { cause, by_peer: true });
        }
    }

    fn expired(&mut self, now: Mono) {
        let t = self.timing;
        match &self.state {
            State::Seized => match self.start {
                Start::Wink => {
                    self.out.push_back(Output::Hook { off: true });
                    (self.state, self.until) = (State::Winking, Some(now + t.wink));
                }
                Start::Immediate => self.collect(now),
            },
            State::Winking => {
                self.out.push_back(Output::Hook { off: false });
                self.collect(now);
            }
            State::Seizing { since: Some(_), .. } => self.glare(now),
            // No wink: the peer does not work.
            State::Seizing { .. } => self.over(now, Cause::NO_RESPONSE, false),
            State::Pausing { number } => {
                let mut all = number.expose().clone();
                if self.pulse == Pulse::Mf {
                    all = format!("K{all}S");
                }
                (self.state, self.until) = (State::Dialling, Some(now + t.said));
                self.register(Register::Say(self.pulse, Private::new(all)));
            }
            State::Dialling => self.over(now, Cause::TIMER, false),
            State::Waiting { since: Some(_), .. } => {
                (self.state, self.until) = (State::Active { since: None }, None);
                self.tell(Told::Answered);
            }
            State::Waiting { .. } => self.over(now, Cause::NO_ANSWER, false),
            State::Active { .. } => self.over(now, Cause::NORMAL, true),
            State::Offered { .. } => self.over(now, Cause::NORMAL, true),
            State::Collecting { on_since: Some(_), .. } => self.lost(now),
            State::Collecting { digits, .. } if self.pulse == Pulse::Dtmf && !digits.expose().is_empty() => {
                self.offer();
            }
            // Nothing, or half an MF number: the caller hears busy tone, nobody was told of a call.
            State::Collecting { .. } => self.refuse(),
            State::Guard if self.far_off => {
                (self.state, self.until) = (State::Seized, Some(now + t.off_hook));
            }
            State::Guard => self.state = State::Idle,
            State::Idle | State::Refused | State::Releasing => {}
        }
    }

    fn collect(&mut self, now: Mono) {
        self.register(Register::Listen(self.pulse));
        self.state = State::Collecting { digits: Private::default(), started: false, on_since: None };
        self.until = Some(now + self.timing.first_digit);
    }
}

#[cfg(test)]
mod tests;
